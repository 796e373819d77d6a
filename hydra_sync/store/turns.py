"""Many may look at once, or one may change things, alone. No I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hydra_sync.tasks import Signal

__all__ = ["Turns"]


class Turns:
    """Who wants to change waits for those who look, and meanwhile nobody else begins to look."""

    def __init__(self) -> None:
        self._looking = 0
        self._is_changing = False
        self._moved = Signal()

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look, while nobody changes anything."""
        while self._is_changing:
            await self._moved.wait()
        self._looking += 1
        try:
            yield
        finally:
            self._looking -= 1
            self._moved.fire()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Change things while nobody looks. One at a time: that is the caller's care."""
        assert not self._is_changing
        self._is_changing = True
        try:
            while self._looking:
                await self._moved.wait()
            yield
        finally:
            self._is_changing = False
            self._moved.fire()
