"""The state of a machine at any point of its node's log, from the logs alone. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hydra_sync.machine import Began, CheckpointPart, Machine, Progress, check_name, replay
from hydra_sync.node import Event
from hydra_sync.ranges import SeqRange
from hydra_sync.runtime.history import Contents, Read, entered

__all__ = ["Folded", "ReadRange", "fold", "fold_from_checkpoint"]

S = TypeVar("S")

ReadRange = Callable[[SeqRange], AsyncIterator[Event]]
"""The events of the machine's own log in a range, all of them."""

WINDOW: Final = 4096  # events looked at in one go when looking back for a checkpoint


@dataclass(frozen=True, slots=True)
class Folded(Generic[S]):
    """What a fold came to."""

    progress: Progress[S]
    began: bool
    """Whether a machine has written into this log."""
    records: int
    """How many records were folded."""
    checkpoint_bytes: int
    """Size of the checkpoint that it began from; 0 without."""
    tail_bytes: int
    """How much of the log was folded."""


async def fold(
    machine: Machine[S], own: AsyncIterator[Event], contents: Read, begin: Folded[S] | None = None
) -> Folded[S]:
    """The state after the events ``own``, which begin where ``begin`` ended, or with the log.

    Raises `MachineError` if the machine fails, the log is another machine's, or content that was heard is not here.
    """
    begin = begin or Folded(Progress(machine.start, {}), False, 0, 0, 0)
    progress, began, records, size = begin.progress, begin.began, begin.records, begin.tail_bytes
    resolver = Contents(contents)
    async for event in own:
        size += len(event.data)
        found = entered(event)
        if found is None:
            continue
        if isinstance(found.entry, Began):
            check_name(machine, found.entry.name)
            began = True
        record = await resolver.resolve(found.entry)
        if record is not None:
            progress = replay(machine, progress, record)
            records += 1
    return Folded(progress, began, records, begin.checkpoint_bytes, size)


async def fold_from_checkpoint(machine: Machine[S], own: ReadRange, stop: int, contents: Read) -> Folded[S]:
    """As `fold`, of the whole log below ``stop``, beginning at its last checkpoint.

    Looking back for that reads no more than what has to be folded, and the checkpoint itself.
    """
    checkpoint = await _last_checkpoint(own, stop)
    if checkpoint is None:
        return await fold(machine, own(SeqRange(0, stop)), contents)
    data, end = checkpoint
    begin = Folded(Progress.decode(machine, data), True, 0, len(data), 0)
    return await fold(machine, own(SeqRange(end, stop)), contents, begin)


async def _last_checkpoint(own: ReadRange, stop: int) -> tuple[bytes, int] | None:
    """The last whole checkpoint below ``stop``, and the seq behind it."""
    pieces: list[bytes] = []
    parts = end = 0
    while stop > 0:
        start = max(0, stop - WINDOW)
        window = [(event.seq, found.entry) async for event in own(SeqRange(start, stop)) if (found := entered(event))]
        for seq, entry in reversed(window):
            if not isinstance(entry, CheckpointPart):
                continue
            if entry.part == entry.parts - 1:
                pieces, parts, end = [], entry.parts, seq + 1
            pieces.append(entry.data)
            if entry.part == 0 and len(pieces) == parts:
                return b"".join(reversed(pieces)), end
        stop = start
    return None
