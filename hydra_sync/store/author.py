"""The node's own log: events are signed into batches, one batch for all that wait. Does I/O through `Log`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from hydra_sync.batch import Batch, body_size, seal_batch
from hydra_sync.chain import Tip
from hydra_sync.epoch import is_epoch_event
from hydra_sync.errors import UsageError
from hydra_sync.identity import NetworkId, SigningKey
from hydra_sync.limits import BODY_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_PER_BATCH_MAX, UINT_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.store.group import GroupCommit, Piece
from hydra_sync.store.log import Log
from hydra_sync.tasks import Signal

__all__ = ["Author"]

_EVENTS_BYTES_MAX: Final = BODY_BYTES_MAX - 5  # the head of an array has 5 bytes at most


@dataclass(slots=True)
class _Events:
    """Events of one call that go into one batch, and where they came to lie."""

    events: Sequence[bytes]
    range: SeqRange | None = None


class _SpentError(Exception):
    """Nothing may be signed in the epoch of the tip."""


class Author:
    """Appends to the node's own log.

    ``wall_clock`` gives microseconds since 1970; what it says goes into the headers, for people to read,
    and where it is out of their range, the nearest that is not.

    Batches are of the epoch of the tip. Where the log has left a branch (`Log.rebranch`), seqs that were
    signed before come again, so appends wait until the tip is of a later epoch than the branch was:
    one that `begin_epoch` began, or that came with the new branch.
    """

    def __init__(self, log: Log, key: SigningKey, network: NetworkId, wall_clock: Callable[[], int]) -> None:
        self.log = log
        self._spent_epoch = -1  # in this one, and those before, we may have signed what would come again
        self._seen_epoch = log.tip.epoch
        self._ready = Signal()
        log.on_durable(self._follow)
        log.on_orphaned(self._leave)
        self._key = key
        self._network = network
        self._wall_clock = wall_clock
        self._group = GroupCommit(self._commit, bytes_max=_EVENTS_BYTES_MAX, count_max=EVENTS_PER_BATCH_MAX)

    @property
    def epoch(self) -> int:
        """The epoch of the batches to come, once appends are taken."""
        return self.log.tip.epoch

    async def begin_epoch(self, epoch: int, event: bytes) -> Batch:
        """Begin an epoch with a batch of this one event on the tip; durable on return.

        Appends follow in that epoch, also those that wait already. Raises `UsageError` for an epoch that
        is not later than all that were in this log since it was opened, or an event that is too large,
        and as `append` does.
        """
        parts = list(_split([event]))
        assert len(parts) == 1
        return await self.log.commit_next(partial(self._seal_first, epoch, event))

    async def append(self, events: Sequence[bytes]) -> SeqRange:
        """Append encoded events; they are durable on return, at the seqs that are returned.

        Calls that come while a sync is under way share the next batch and its sync. The events of one
        call lie behind one another, in one batch if they fit into one.

        Raises `UsageError` for no events or one that is too large, `StoreFullError` if there was no room,
        `StoreError` if the disk failed or the store was closed. A call so large that it needs several
        batches may then have begun: what is durable of it are its first events. If cancelled, the events
        may or may not be committed.
        """
        if any(map(is_epoch_event, events)):
            raise UsageError(
                "an event that begins as those do which begin an epoch is the log's own: give it another form"
            )
        pieces = [Piece(_Events(part), size, len(part)) for part, size in _split(events)]
        await self._group.submit(pieces)
        first, last = pieces[0].work.range, pieces[-1].work.range
        assert first is not None
        assert last is not None
        return SeqRange(first.start, last.stop)

    async def run(self) -> None:
        """Commit what is appended, until cancelled."""
        await self._group.run()

    def _follow(self, tip: Tip) -> None:
        self._seen_epoch = max(self._seen_epoch, tip.epoch)
        self._ready.fire()

    def _leave(self, _: SeqRange) -> None:
        self._spent_epoch = self._seen_epoch

    async def _commit(self, works: Sequence[_Events]) -> None:
        events = [event for work in works for event in work.events]
        while True:
            while self.epoch <= self._spent_epoch:
                await self._ready.wait()
            try:
                batch = await self.log.commit_next(partial(self._seal_next, events))
            except _SpentError:
                continue
            break
        seq = batch.header.first_seq
        for work in works:
            work.range = SeqRange(seq, seq + len(work.events))
            seq += len(work.events)

    def _seal_next(self, events: Sequence[bytes], tip: Tip) -> Batch:
        if tip.epoch <= self._spent_epoch:
            raise _SpentError  # the log was cut while this waited for its turn
        return self._seal(events, tip.epoch, tip)

    def _seal_first(self, epoch: int, event: bytes, tip: Tip) -> Batch:
        if epoch <= self._seen_epoch:
            raise UsageError(f"epoch {epoch} cannot begin: this log has had epoch {self._seen_epoch}")
        return self._seal([event], epoch, tip)

    def _seal(self, events: Sequence[bytes], epoch: int, tip: Tip) -> Batch:
        return seal_batch(
            self._key,
            self._network,
            events,
            epoch=epoch,
            first_seq=tip.next_seq,
            time_us=max(0, min(self._wall_clock(), UINT_MAX)),
            prev_hash=tip.hash,
        )


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
