"""The proxy's time: calls back at real moments, as the event queue of a world does at virtual ones. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final, TypeVarTuple

import trio

from hydra_sync.tasks import Signal
from hydra_sync.testing.world.clock import SECOND, US

__all__ = ["TrioTimetable"]

Ts = TypeVarTuple("Ts")

_TICK_NS: Final = US  # finer than anyone sleeps, coarser than the error of floating point


class TrioTimetable:
    """Counts from its making, in trio's time, be it real or virtual."""

    def __init__(self) -> None:
        self._zero = trio.current_time()
        self._queue: list[tuple[int, int, Callable[..., object], tuple[object, ...]]] = []
        self._serial = 0
        self._sooner = Signal()

    @property
    def now_ns(self) -> int:
        """Since the beginning."""
        return int((trio.current_time() - self._zero) * SECOND)

    def at(self, time_ns: int, act: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call ``act`` at a time, or now if that has passed; in order of calling among equals."""
        self._serial += 1
        heappush(self._queue, (time_ns, self._serial, act, args))
        if self._queue[0][1] == self._serial:
            self._sooner.fire()

    async def sleep_until(self, time_ns: int) -> None:
        """Return at a time."""
        await trio.sleep_until(self._zero + time_ns / SECOND)

    async def run(self) -> None:
        """Call back whoever is due, for ever."""
        while True:
            now_ns = self.now_ns + _TICK_NS
            while self._queue and self._queue[0][0] <= now_ns:
                _, _, act, args = heappop(self._queue)
                act(*args)
            deadline = self._zero + self._queue[0][0] / SECOND if self._queue else float("inf")
            with trio.CancelScope(deadline=deadline):
                await self._sooner.wait()
