"""What a node is doing at this moment, on a page of memory that outlives it. Does I/O: maps a file.

The page is shared by the node and whoever kills it. SIGKILL leaves it as it was, so that afterwards it
tells in which phases the node died.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

__all__ = ["Page", "Phase"]


class Phase(IntEnum):
    """A stretch of a node's work in which a crash has its own way of doing harm.

    In the order of how seldom they are met: of several at once, the first one is the one to tell.
    """

    ENCODE = 0
    """A batch of the node's own log is encoded, hashed and signed."""
    CATCH_UP = 1
    """A replica is written or synced that has not yet what the others had when they connected."""
    ACKNOWLEDGE = 2
    """Own events are durable and visible, and their acknowledgements are not out yet."""
    WRITE = 3
    """A segment of the node's own log is written to."""
    SYNC = 4
    """A segment of the node's own log is synced."""


class Page:
    """How many activities of each phase are under way, one byte for each phase."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    @staticmethod
    def create(path: Path) -> Page:
        """A page on which nothing is under way."""
        path.write_bytes(bytes(mmap.PAGESIZE))
        return Page(path)

    def __getitem__(self, phase: Phase) -> int:
        return self._bytes[phase]

    def __setitem__(self, phase: Phase, count: int) -> None:
        self._bytes[phase] = count

    @contextmanager
    def during(self, phases: Sequence[Phase]) -> Iterator[None]:
        """Count an activity as long as the block lasts."""
        for phase in phases:
            self._bytes[phase] += 1
        try:
            yield
        finally:
            for phase in phases:
                self._bytes[phase] -= 1

    def under_way(self) -> list[Phase]:
        """The phases that the page shows, the one to tell first."""
        return [phase for phase in Phase if self._bytes[phase]]

    def clear(self) -> None:
        """Forget what a dead node was doing."""
        self._bytes[: len(Phase)] = bytes(len(Phase))

    def close(self) -> None:
        """Unmap the page. Idempotent."""
        self._bytes.close()
