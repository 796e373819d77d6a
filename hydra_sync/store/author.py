"""The node's own log: events are signed into batches, one batch for all that wait. Does I/O through `Log`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync.batch import body_size, seal_batch
from hydra_sync.errors import UsageError
from hydra_sync.identity import NetworkId, SigningKey
from hydra_sync.limits import BODY_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_PER_BATCH_MAX, UINT_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.store.group import GroupCommit, Piece
from hydra_sync.store.log import Log

__all__ = ["Author"]

_EVENTS_BYTES_MAX: Final = BODY_BYTES_MAX - 5  # the head of an array has 5 bytes at most


@dataclass(slots=True)
class _Events:
    """Events of one call that go into one batch, and where they came to lie."""

    events: Sequence[bytes]
    range: SeqRange | None = None


class Author:
    """Appends to the node's own log.

    ``epoch`` is that of the batches to come. ``wall_clock`` gives microseconds since 1970; what it says
    goes into the headers, for people to read, and where it is out of their range, the nearest that is not.
    """

    def __init__(self, log: Log, key: SigningKey, network: NetworkId, wall_clock: Callable[[], int]) -> None:
        self.log = log
        self.epoch = log.tip.epoch
        self._key = key
        self._network = network
        self._wall_clock = wall_clock
        self._group = GroupCommit(self._commit, bytes_max=_EVENTS_BYTES_MAX, count_max=EVENTS_PER_BATCH_MAX)

    async def append(self, events: Sequence[bytes]) -> SeqRange:
        """Append encoded events; they are durable on return, at the seqs that are returned.

        Calls that come while a sync is under way share the next batch and its sync. The events of one
        call lie behind one another, in one batch if they fit into one.

        Raises `UsageError` for no events or one that is too large, `StoreFullError` if there was no room,
        `StoreError` if the disk failed or the store was closed. A call so large that it needs several
        batches may then have begun: what is durable of it are its first events. If cancelled, the events
        may or may not be committed.
        """
        pieces = [Piece(_Events(part), size, len(part)) for part, size in _split(events)]
        await self._group.submit(pieces)
        first, last = pieces[0].work.range, pieces[-1].work.range
        assert first is not None
        assert last is not None
        return SeqRange(first.start, last.stop)

    async def run(self) -> None:
        """Commit what is appended, until cancelled."""
        await self._group.run()

    async def _commit(self, works: Sequence[_Events]) -> None:
        tip = self.log.tip
        batch = seal_batch(
            self._key,
            self._network,
            [event for work in works for event in work.events],
            epoch=self.epoch,
            first_seq=tip.next_seq,
            time_us=max(0, min(self._wall_clock(), UINT_MAX)),
            prev_hash=tip.hash,
        )
        await self.log.commit([batch])
        seq = tip.next_seq
        for work in works:
            work.range = SeqRange(seq, seq + len(work.events))
            seq += len(work.events)


def _split(events: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], int]]:
    """Parts that fit into a batch each, with their bytes in its body."""
    if not events:
        raise UsageError("append needs at least one event")
    start = size = 0
    for at, event in enumerate(events):
        if len(event) > EVENT_BYTES_MAX:
            raise UsageError(f"an event has at most {EVENT_BYTES_MAX:,} bytes, this one {len(event):,}: split it")
        own = body_size((event,)) - 1
        if size + own > _EVENTS_BYTES_MAX or at - start == EVENTS_PER_BATCH_MAX:
            yield events[start:at], size
            start, size = at, 0
        size += own
    yield events[start:], size
