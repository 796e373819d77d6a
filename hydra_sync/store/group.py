"""Group commit: callers that come while a sync is under way share the next one. No I/O of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from hydra_sync.errors import StoreError
from hydra_sync.limits import PENDING_BYTES_MAX
from hydra_sync.tasks import Flag, Signal, Turn

__all__ = ["GroupCommit", "Piece"]

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Piece(Generic[T]):
    """Work that is committed as a whole, its bytes, and how many items it holds."""

    work: T
    size: int
    count: int
    settled: trio.Event = field(default_factory=trio.Event)
    error: StoreError | None = None
    call: object = None
    """What tells the pieces of one call from those of others."""


class GroupCommit(Generic[T]):
    """A queue of pieces and the one task, `run`, that commits them, as many together as fit.

    A commit takes pieces of ``bytes_max`` and ``count_max`` at most, in order; a piece must fit alone.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[T]], Awaitable[None]],
        *,
        bytes_max: int,
        count_max: int,
    ) -> None:
        self._commit = commit
        self._bytes_max = bytes_max
        self._count_max = count_max
        self._queue: deque[Piece[T]] = deque()
        self._pending_bytes = 0
        self._door = Turn()  # first come, first served, also for those who wait for room
        self._arrived = Flag()
        self._settled = Signal()
        self._closed = False

    async def submit(self, pieces: Sequence[Piece[T]]) -> None:
        """Wait for room in the queue, and then until every piece is committed.

        Raises the `StoreError` of the first piece that is not; those after it are not committed either.
        If cancelled in the queue, the pieces may be committed nevertheless.
        """
        async with self._door:
            await self._wait_for_room(sum(piece.size for piece in pieces))
            if self._closed:
                raise StoreError("the store is closed")
            self._enter(pieces)
        for piece in pieces:
            await piece.settled.wait()
            if piece.error is not None:
                raise _again(piece.error)

    async def run(self) -> None:
        """Commit what is submitted, until cancelled; then every waiting call fails."""
        try:
            while True:
                while not self._queue:
                    await self._arrived.wait()
                group = self._next_group()
                try:
                    await self._commit([piece.work for piece in group])
                except StoreError as error:
                    self._fail(group, error)
                else:
                    self._settle(len(group), None)
        finally:
            self._closed = True
            self._settle(len(self._queue), StoreError("the store was closed while an append was waiting"))

    async def _wait_for_room(self, size: int) -> None:
        while self._queue and self._pending_bytes + size > PENDING_BYTES_MAX:
            await self._settled.wait()

    def _enter(self, pieces: Sequence[Piece[T]]) -> None:
        call = object()
        for piece in pieces:
            assert piece.size <= self._bytes_max
            assert piece.count <= self._count_max
            piece.call = call
            self._queue.append(piece)
            self._pending_bytes += piece.size
        self._arrived.set()

    def _next_group(self) -> list[Piece[T]]:
        group: list[Piece[T]] = []
        size = count = 0
        for piece in self._queue:
            size, count = size + piece.size, count + piece.count
            if size > self._bytes_max or count > self._count_max:
                break
            group.append(piece)
        return group

    def _fail(self, group: Sequence[Piece[T]], error: StoreError) -> None:
        # A call is committed from its start, never with a gap: its later pieces fail with it.
        failed = len(group)
        while failed < len(self._queue) and self._queue[failed].call is group[-1].call:
            failed += 1
        self._settle(failed, error)

    def _settle(self, count: int, error: StoreError | None) -> None:
        for _ in range(count):
            piece = self._queue.popleft()
            self._pending_bytes -= piece.size
            piece.error = error
            piece.settled.set()
        self._settled.fire()


def _again(error: StoreError) -> StoreError:
    # Several tasks raise it, and a traceback belongs to one.
    copy = type(error)(*error.args)
    copy.__cause__ = error
    return copy
