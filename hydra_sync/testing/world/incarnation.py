"""One life of a host, from start to crash: what the scheduler freezes. No I/O.

A context variable, which child tasks inherit, says to which incarnation a task belongs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from typing import TypeVarTuple

import trio
from trio.lowlevel import Task

from hydra_sync.testing.world import _trio_internals as internals

__all__ = ["Incarnation", "current_incarnation", "incarnation_of"]

Ts = TypeVarTuple("Ts")

_current: ContextVar[Incarnation | None] = ContextVar("hydra_sync.testing incarnation", default=None)


class Incarnation:
    """What runs between one start of a host and its end. Frozen, not one more line of it runs."""

    __slots__ = ("_aborts", "dead", "frozen", "held", "host", "number", "on_death")

    def __init__(self, host: str, number: int) -> None:
        self.host = host
        self.number = number
        self.frozen = False  # paused or dead
        self.dead = False
        self.held: list[Task] = []  # runnable, but withheld by the scheduler
        self.on_death: list[Callable[[], None]] = []
        self._aborts: list[tuple[Task, internals.AbortFunction]] = []

    def spawn(self, nursery: trio.Nursery, run: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a task that belongs to this incarnation, and whose children do."""

        def start() -> None:
            _current.set(self)
            nursery.start_soon(run, *args)

        copy_context().run(start)

    def die(self) -> None:
        """Freeze for good, deaf even to cancellation: a time-out would call code of the victim's."""
        self.frozen = self.dead = True
        for task in internals.Run.current().all_tasks():
            if incarnation_of(task) is self and (abort := internals.take_abort(task)) is not None:
                self._aborts.append((task, abort))
        waiting, self.on_death = self.on_death, []
        for act in waiting:
            act()

    def thaw(self) -> None:
        """Let the tasks run that were withheld, and hear what was cancelled meanwhile."""
        self.frozen = False
        internals.Run.current().runnable.extend(self.held)
        self.held = []
        aborts, self._aborts = self._aborts, []
        for task, abort in aborts:
            internals.give_abort(task, abort)

    async def halt_if_dead(self) -> None:
        """Do not return if dead: for the task that is still in its last step."""
        if self.dead:
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)


current_incarnation = _current.get
"""The one whose code is running, or None in the code of the scenario."""


def incarnation_of(task: Task) -> Incarnation | None:
    """The one that a task belongs to, or None if it is the scenario's."""
    return task.context.get(_current)
