"""The wall clock of one host: wrong by an offset, drifting, stepped. No I/O; reads virtual time only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hydra_sync.testing.world.streams import MILLION

__all__ = ["EPOCH_US", "WallClock"]

EPOCH_US: Final = 1_767_225_600_000_000  # every world begins on 2026-01-01 00:00 UTC


class WallClock:
    """Microseconds since 1970, as this host believes: call it.

    >>> now = [0]
    >>> clock = WallClock(lambda: now[0])
    >>> clock.drift(200)  # parts per million fast
    >>> now[0] = 10_000_000_000
    >>> clock() - EPOCH_US
    10002000
    >>> clock.step(-1_000_000)
    >>> clock() - EPOCH_US
    9002000
    """

    def __init__(self, now_ns: Callable[[], int], offset_us: int = 0) -> None:
        self._now_ns = now_ns
        self._anchor_ns = now_ns()
        self._anchor_us = EPOCH_US + offset_us + self._anchor_ns // 1000
        self._drift_ppm = 0

    def __call__(self) -> int:
        passed_ns = self._now_ns() - self._anchor_ns
        return self._anchor_us + passed_ns * (MILLION + self._drift_ppm) // (1000 * MILLION)

    def drift(self, parts_per_million: int) -> None:
        """Run so much too fast, or with a negative number too slow, from now on."""
        self._anchor_us, self._anchor_ns = self(), self._now_ns()
        self._drift_ppm = parts_per_million

    def step(self, by_us: int) -> None:
        """Jump forward, or with a negative number back."""
        self._anchor_us += by_us
