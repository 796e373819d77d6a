"""Where an epoch begins in a log: epochs only grow along it, so bisection tells. No I/O of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hydra_sync.batch import Batch
from hydra_sync.errors import UnavailableError
from hydra_sync.ranges import SeqRange

__all__ = ["first_of_epoch"]

BatchAt = Callable[[int], Awaitable[Batch]]


async def first_of_epoch(batch_at: BatchAt, holes: Callable[[], tuple[SeqRange, ...]], start: int, batch: Batch) -> int:
    """The first seq, at ``start`` or later, of the epoch that ``batch`` is of.

    ``batch_at`` reads the batch that holds a seq, or raises `UnavailableError` and notes one of ``holes``.
    Raises it where what tells is damaged.
    """
    epoch = batch.header.epoch
    low, high = start, batch.header.first_seq  # below low are earlier epochs, at high is this one
    while low < high:
        middle = (low + high) // 2
        try:
            found = await batch_at(middle)
        except UnavailableError:
            hole = next((hole for hole in holes() if middle in hole), None)
            if hole is None:
                raise
            after = await _sound(batch_at, hole.stop) if hole.stop < high else None
            before = await _sound(batch_at, hole.start - 1) if hole.start > low else None
            if after is not None and after.header.epoch < epoch:
                found = after
            elif before is not None and before.header.epoch == epoch:
                found = before
            else:
                raise
        if found.header.epoch == epoch:
            high = found.header.first_seq
        else:
            low = found.header.stop
    return high


async def _sound(batch_at: BatchAt, seq: int) -> Batch | None:
    try:
        return await batch_at(seq)
    except UnavailableError:
        return None
