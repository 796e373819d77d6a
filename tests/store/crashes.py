"""Dying in any disk operation."""

from __future__ import annotations

from pathlib import Path

from tests.store.crash_disk import MemoryDisk


class Died(BaseException):
    """The node is gone, in the middle of a disk operation."""


def die_at(disk: MemoryDisk, nth: int) -> None:
    """From the ``nth`` disk operation on, none is done: each raises `Died`."""
    left = nth

    def fault(name: str, path: Path) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Died

    disk.fault = fault
