"""Virtual time: a trio clock that is the event queue of the simulation. No I/O.

trio asks its clock how long to sleep only when no task can run. That is the moment to let the next
packet arrive, or to jump to the next timeout; and when there is neither, nothing can ever happen again.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Final, TypeVarTuple

import trio

from hydra_sync.testing.world import _trio_internals as internals

__all__ = ["MS", "SECOND", "US", "EventClock", "nanoseconds"]

Ts = TypeVarTuple("Ts")

US: Final = 1_000  # nanoseconds
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
_NEVER: Final = 1 << 100


def nanoseconds(seconds: float) -> int:
    """The first whole nanosecond that is not before ``seconds``.

    >>> nanoseconds(0.1), nanoseconds(1e-10)
    (100000000, 1)
    """
    if seconds == inf:
        return _NEVER
    time_ns = int(seconds * SECOND)
    while time_ns / SECOND < seconds:
        time_ns += 1
    return time_ns


def _refuse(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED


class EventClock(trio.abc.Clock):
    """Time passes only here, event by event. ``on_stuck`` and ``on_error`` must wake or cancel some task."""

    def __init__(self, on_stuck: Callable[[], None], on_error: Callable[[BaseException], None]) -> None:
        self.now_ns = 0
        self._on_stuck = on_stuck
        self._on_error = on_error
        self._queue: list[tuple[int, int, Callable[..., object], tuple[object, ...]]] = []
        self._serial = 0
        self._interrupted = False
        self._deadline, self._due_ns = inf, _NEVER  # the one that trio named last

    def at(self, time_ns: int, act: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call ``act`` at a time, or now if that has passed; in order of calling among equals.

        For the engine's own events: they may wake tasks, but move no deadline.
        """
        self._serial += 1
        heappush(self._queue, (time_ns, self._serial, act, args))

    def at_carefully(self, time_ns: int, act: Callable[[*Ts], object], *args: *Ts) -> None:
        """As `at`, for an ``act`` that may do anything, such as moving deadlines."""

        def act_and_look_again() -> None:
            self._interrupted = True
            act(*args)

        self.at(time_ns, act_and_look_again)

    async def sleep_uncancelled(self, delay_ns: int) -> None:
        """Wait as for the disk: a cancellation does not cut it short."""
        self.at(self.now_ns + delay_ns, trio.lowlevel.reschedule, trio.lowlevel.current_task())
        await trio.lowlevel.wait_task_rescheduled(_refuse)

    def abandon(self) -> None:
        """Forget all events, but let go of those who wait in `sleep_uncancelled`."""
        events, self._queue = sorted(self._queue), []
        for _, _, act, args in events:
            if act is trio.lowlevel.reschedule:
                act(*args)  # type: ignore[arg-type]  # the queue does not know each callback's arguments

    def start_clock(self) -> None:
        """Called by trio when the run begins."""
        self._run = internals.Run.current()

    def current_time(self) -> float:
        """Virtual seconds since the world began."""
        return self.now_ns / SECOND

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Let time pass until a task can run or ``deadline`` is reached; never really sleep.

        Never raises: trio would die of it.
        """
        if self._run.idle_waiters:  # wait_all_tasks_blocked comes before the passing of time
            return self._run.idle_cushion() + 1
        if deadline != self._deadline:
            self._deadline, self._due_ns = deadline, nanoseconds(deadline)
        due_ns = self._due_ns
        if self._reached(due_ns):
            return 0
        if due_ns != _NEVER:
            self.now_ns = max(self.now_ns, due_ns)
        else:
            self._on_stuck()
        return 0

    def _reached(self, due_ns: int) -> bool:
        """Whether some event before ``due_ns`` made a task runnable, or a new look necessary."""
        queue, runnable = self._queue, self._run.runnable
        self._interrupted = False
        while queue and queue[0][0] <= due_ns:
            time_ns, _, act, args = heappop(queue)
            self.now_ns = max(self.now_ns, time_ns)
            try:
                act(*args)
            except BaseException as error:  # it is raised where the world is run
                self._on_error(error)
            queue = self._queue
            if self._interrupted or (runnable and not (queue and queue[0][0] <= self.now_ns)):
                return True  # what happens at one moment wakes all tasks that it wakes at once
        return False
