"""Decides which task runs next, in the place of trio's random generator. No I/O.

trio gives each batch of runnable tasks to be shuffled. We order it by the seed, write down the
order, and keep out of it what is frozen: that is how a host crashes or pauses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from trio.lowlevel import Task

from hydra_sync.testing.world import _trio_internals as internals
from hydra_sync.testing.world.clock import EventClock
from hydra_sync.testing.world.incarnation import Incarnation, incarnation_of
from hydra_sync.testing.world.streams import Stream
from hydra_sync.testing.world.trace import Trace

__all__ = ["LIVELOCK_STEPS", "LivelockError", "Policy", "Scheduler"]

Policy = Literal["random", "fifo"]
"""``random`` orders by the seed; ``fifo`` runs the older task first, which shows whether a failure
needs a special order at all."""

LIVELOCK_STEPS: Final = 1_000_000  # steps without any time passing: more is a loop, not work
_NEVER: Final = 1 << 60


class LivelockError(AssertionError):
    """Tasks wake one another for ever, and time stands still."""


class Scheduler:
    """Orders batches of tasks. ``on_error`` is told about a livelock."""

    def __init__(
        self,
        policy: Policy,
        stream: Stream,
        clock: EventClock,
        trace: Trace,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.steps = 0
        self._policy = policy
        self._stream = stream
        self._clock = clock
        self._trace = trace
        self._on_error = on_error
        self._batch: list[Task] = []
        self._frozen = 0
        self._ending = False
        self._first_number: int | None = None
        self._instant_ns = -1
        self._instant_steps = 0  # made before it
        self._act: Callable[[], int] = lambda: _NEVER
        self._act_at = _NEVER

    def random(self) -> float:
        """trio asks only where it does not sort its batches; ours are sorted."""
        raise AssertionError("trio did not sort a batch of tasks")

    def shuffle(self, batch: list[Task]) -> None:
        """Withhold what is frozen and order the rest; trio takes tasks from the end."""
        self._batch = batch
        self.steps += len(batch)
        now_ns, steps = self._clock.now_ns, self.steps
        if now_ns != self._instant_ns:
            self._instant_ns, self._instant_steps = now_ns, steps
        elif steps - self._instant_steps > LIVELOCK_STEPS:
            self._instant_steps = steps
            self._on_error(LivelockError(f"{LIVELOCK_STEPS:,} steps, and it is still {now_ns} ns"))
        if steps >= self._act_at:
            self._act_at = steps + self._act()
        if self._ending:
            for task in batch:
                internals.unshield(task)
        if self._frozen:
            self._withhold(batch)
        if len(batch) > 1:
            if self._policy == "fifo":
                batch.reverse()
            else:
                self._stream.shuffle(batch)
        self._write_down(batch)

    def after(self, steps: int, act: Callable[[], int]) -> None:
        """Call ``act`` after so many steps, and again after as many as it says."""
        self._act, self._act_at = act, steps

    def freeze(self, incarnation: Incarnation) -> None:
        """Keep the tasks of a frozen incarnation from running, from this very step on."""
        self._frozen += 1
        incarnation.frozen = True
        self._withhold(self._batch)

    def thaw(self, incarnation: Incarnation) -> None:
        """Undo `freeze`."""
        self._frozen -= 1
        incarnation.thaw()

    def end(self) -> None:
        """From now on, take the shield off every task that runs: everything is to end."""
        self._ending = True

    def _withhold(self, batch: list[Task]) -> None:
        kept = []
        for task in batch:
            incarnation = incarnation_of(task)
            if incarnation is not None and incarnation.frozen:
                incarnation.held.append(task)
            else:
                kept.append(task)
        batch[:] = kept

    def _write_down(self, batch: list[Task]) -> None:
        first = self._first_number
        if first is None:
            if not batch:
                return
            first = self._first_number = min(map(internals.task_number, batch))
        self._trace.decided([task._counter - first for task in batch])  # noqa: SLF001  `internals.task_number`, faster
