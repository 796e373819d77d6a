"""One author's log on disk, and what changes it: commits, and another branch in the place of its end. Does I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip, link
from hydra_sync.disk import Disk
from hydra_sync.errors import StoreError, StoreFullError, UnavailableError
from hydra_sync.limits import INDEX_FLUSH_BYTES, SEGMENT_BYTES
from hydra_sync.ranges import SeqRange
from hydra_sync.store.cutting import begin_cut, finish_cut
from hydra_sync.store.faults import is_refusal, translated
from hydra_sync.store.files import replace_file
from hydra_sync.store.index import Index, Mark, encode_index
from hydra_sync.store.layout import LogPlace
from hydra_sync.store.opening import Loss, Opened, no_matter, open_segments
from hydra_sync.store.quarantine import Part, keep
from hydra_sync.store.segment import Segment
from hydra_sync.store.view import LogView
from hydra_sync.tasks import Turn

__all__ = ["Log", "open_log"]


async def open_log(
    disk: Disk,
    place: LogPlace,
    *,
    commit_bytes: int,
    segment_bytes: int = SEGMENT_BYTES,
    read_only: bool = False,
    before_loss: Callable[[Loss], Awaitable[None]] = no_matter,
) -> Log:
    """The log at ``place``, whose directory is there; everything that it shows is durable.

    A commit has at most ``commit_bytes``, or is one record where that is 0: that is how a torn commit
    is told from rot. With ``read_only`` nothing is changed, and another process may be appending.
    ``before_loss`` has to remember durably that the end of the log may be lost, before it is cut.
    Raises `StoreError`.
    """
    with translated(f"opening the log of member {place.author.hex()}"):
        opened = await open_segments(
            disk, place, commit_bytes=commit_bytes, read_only=read_only, before_loss=before_loss
        )
        log = Log(disk, place, opened, commit_bytes=commit_bytes, segment_bytes=segment_bytes, read_only=read_only)
        if not read_only:
            await log.attach(opened)
    return log


class Log(LogView):
    """The log of one author, to read and to change. Made by `open_log`.

    Reads may go on while a commit does; changes wait for one another.
    """

    def __init__(
        self,
        disk: Disk,
        place: LogPlace,
        opened: Opened,
        *,
        commit_bytes: int,
        segment_bytes: int,
        read_only: bool,
    ) -> None:
        super().__init__(disk, place, opened, commit_bytes=commit_bytes, read_only=read_only)
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._flushed: Mark | None = None
        self._turn = Turn()

    async def attach(self, opened: Opened, orphans: SeqRange | None = None) -> None:
        """Show what was opened and take over its tail: the second half of `open_log`, and of a cut."""
        segment, tail = None, opened.tail
        if tail is not None:
            first_seq = tail.index.first_seq
            segment = Segment(
                tail.file,
                self._place.segment(first_seq),
                first_seq=first_seq,
                offset=tail.offset,
                allocated=await tail.file.size(),
                bytes_max=self._segment_bytes,
            )
        self._segment, self._flushed = segment, tail.index.mark if tail else None
        if orphans is not None:
            self._show(opened)
            self._orphan(orphans)
        await self.flush()

    async def commit(self, batches: Sequence[Batch]) -> None:
        """Append batches by one write and one sync; durable and visible on return.

        In our own log each record is written and synced by itself, for that is how damage there is told
        from a torn tail. If cancelled, either nothing was begun or all is done. Raises `DivergedError`
        unless they follow the tip, `StoreFullError` if there is no room (nothing has changed, or in our
        own log some of them are there; try again later), and `StoreError` when the disk fails: from then
        on every commit raises it.
        """
        assert batches
        assert not self._read_only
        async with self._turn:
            self._require_sound()
            _link_all(self.tip, batches)
            with trio.CancelScope(shield=True):
                await self._append(batches)

    async def commit_next(self, seal: Callable[[Tip], Batch]) -> Batch:
        """Append the batch that ``seal`` makes to follow the tip; see `commit`. Nothing else comes between."""
        assert not self._read_only
        async with self._turn:
            self._require_sound()
            batch = seal(self.tip)
            link(self.tip, batch)
            with trio.CancelScope(shield=True):
                await self._append([batch])
        return batch

    async def rebranch(self, at: int, batches: Sequence[Batch]) -> SeqRange:
        """Leave this branch at seq ``at``: what follows goes to quarantine, and ``batches`` take its place.

        Returns the events that are not of this log any more, maybe none. They are kept in one file of
        the quarantine, as a CBOR Sequence of whole records. A crash at any time leaves the log as it was,
        or ending at ``at``, or with the first of ``batches`` as after any commit, or with all of them.
        Without ``batches`` the log just ends at ``at``. Those of them that are here already stay where they are:
        what they follow was fetched from below the parting. Where all are, nothing is left at all.

        If cancelled, either nothing was begun or all is done. Raises `ValueError` if no batch ends at
        ``at``, `DivergedError` unless ``batches`` follow there, and as `commit` does; where there is no
        room, nothing has changed, or the log ends at ``at`` and the batches can be committed later.
        """
        assert not self._read_only
        async with self._turn:
            self._require_sound()
            end = await self._branch_point(at)
            _link_all(end.tip, batches)
            if here := await self._count_here(batches):
                at, batches = batches[here - 1].header.stop, batches[here:]
                if not batches:
                    self._wake()
                    return SeqRange(self.tip.next_seq, self.tip.next_seq)
                end = await self._branch_point(at)
            orphans = SeqRange(at, self.tip.next_seq)
            with trio.CancelScope(shield=True):
                if orphans.count:
                    await self._cut(end, batches, orphans)
                if batches:
                    try:
                        await self._append(batches)
                    except StoreError:
                        if orphans.count and self.tip == end.tip:
                            self._wake()  # that much is so, whatever became of the rest
                        raise
                elif orphans.count:
                    self._wake()
        return orphans

    async def _count_here(self, batches: Sequence[Batch]) -> int:
        """How many of these batches, the first ones, this log has; what follows damage counts as not had.

        A hash covers all that is before it, so what is common is found by halves.
        """
        low, high = 0, len(batches)
        while low < high:
            middle = (low + high + 1) // 2
            last = batches[middle - 1]
            if await self.end_hash(last.header.stop) == last.hash:
                low = middle
            else:
                high = middle - 1
        return low

    async def _branch_point(self, at: int) -> Mark:
        """The durable end of the batch that ends at ``at``."""
        if at == self.tip.next_seq:
            return self._end
        if at == 0:
            return Mark(0, EMPTY)
        if not 0 < at < self.tip.next_seq:
            raise ValueError(
                f"log of member {self.author.hex()}: no batch ends at seq {at}, the last one at {self.tip.next_seq}"
            )
        try:
            batch = await self._batch_at(at - 1)
            with translated(f"reading the log of member {self.author.hex()}"):
                end = await self._reader.end_of(batch, self._end)
        except UnavailableError as error:
            raise StoreError(f"log of member {self.author.hex()}: no other branch at seq {at}: {error}") from error
        if batch.header.stop != at:
            raise ValueError(f"log of member {self.author.hex()}: seq {at} is inside the batch of {batch.header.range}")
        if end is None:
            raise StoreError(f"log of member {self.author.hex()}: the batch before seq {at} cannot be found")
        return end

    async def _cut(self, end: Mark, batches: Sequence[Batch], orphans: SeqRange) -> None:
        at = end.tip.next_seq
        if batches:
            reason = f"orphaned: epoch {batches[-1].header.epoch} took over at seq {at}"
        else:
            reason = f"orphaned: given up from seq {at} on"
        with self._poisoning(), translated(f"keeping what follows seq {at} of the log of {self.author.hex()}"):
            await keep(self._disk, self._place, self._parts(end), seq=at, reason=reason)
        async with self._turns.changing():
            with self._poisoning():
                await begin_cut(self._disk, self._place, end)
            try:
                with translated(f"cutting the log of member {self.author.hex()} at seq {at}", may_be_full=False):
                    await finish_cut(self._disk, self._place, end)
                    await self._reopen(end.tip, orphans)
            except StoreError as error:
                self._failure = str(error)
                self._end = end
                self._require_sound()

    async def _reopen(self, tip: Tip, orphans: SeqRange) -> None:
        opened = await open_segments(
            self._disk, self._place, commit_bytes=self._commit_bytes, read_only=False, end=tip.hash
        )
        self.close()
        if opened.report.tip != tip:
            raise StoreError(f"log of member {self.author.hex()}: cut at {tip}, it ends at {opened.report.tip}")
        await self.attach(opened, orphans)

    def _parts(self, end: Mark) -> list[Part]:
        """The bytes beyond ``end``, by segment."""
        seqs = self._reader.seqs
        first = max((at for at, seq in enumerate(seqs) if seq < end.tip.next_seq), default=0)
        starts = [end.offset, *(0 for _ in seqs[first + 1 :])]
        stops = [*(None for _ in seqs[first + 1 :]), self._end.offset]
        return [
            Part(self._place.segment(seq), start, stop)
            for seq, start, stop in zip(seqs[first:], starts, stops, strict=True)
        ]

    async def _append(self, batches: Sequence[Batch]) -> None:
        runs = [batches] if self._commit_bytes else [[batch] for batch in batches]
        for run in runs:
            self._require_sound()
            await self._write(run)
            self._publish(run)
            if self._end.offset - (self._flushed.offset if self._flushed else 0) >= INDEX_FLUSH_BYTES:
                await self.flush()

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise StoreError(
                f"log of member {self.author.hex()}: no more appends, because the disk failed ({self._failure}): "
                "restart the node; records not known to be durable are rewritten on opening"
            )

    @contextmanager
    def _poisoning(self) -> Iterator[None]:
        """What a failed write or sync has left is unknown, and a second sync would not tell: the last change."""
        try:
            yield
        except StoreFullError:
            raise
        except StoreError as error:
            self._failure = str(error)
            self._require_sound()

    async def _write(self, batches: Sequence[Batch]) -> None:
        data = b"".join([batch.record for batch in batches])
        with self._poisoning():
            segment = await self._segment_for(len(data), batches[0].header.first_seq)
            await segment.reserve(len(data))
            await segment.write(data)

    async def _segment_for(self, size: int, first_seq: int) -> Segment:
        old = self._segment
        if old is not None and old.has_room(size):
            return old
        if old is not None:
            await old.seal()
            await self.flush()
        new = await Segment.create(self._disk, self._place, first_seq, self._segment_bytes)
        if old is not None:
            old.file.close()
        self._segment = new
        self._end, self._flushed = Mark(0, self.tip), None
        self._reader.add_segment(Index(first_seq))
        return new

    def _publish(self, batches: Sequence[Batch]) -> None:
        index, offset = self._reader.last_index(), self._end.offset
        for batch in batches:
            index.add(batch.header.first_seq, offset)
            offset += len(batch.record)
        self._end = Mark(offset, Tip.after(batches[-1]))
        self._recent.add(batches)
        self._wake()

    async def flush(self) -> None:
        """Write the index file, so that the next opening scans no more than what comes after."""
        segment = self._segment
        if segment is None or self._read_only or self._failure is not None:
            return
        index = self._reader.last_index()
        if self._flushed == self._end and index.holes == self.holes:
            return
        index.mark, index.holes = self._end, self.holes
        path = self._place.index(index.first_seq)
        try:
            await replace_file(self._disk, path, encode_index(index, self.author))
            await self._disk.sync_dir(path.parent)  # or a power cut takes the mark back, and rot below it looks torn
        except OSError as error:
            # The index is a cache, and one may do without where there is no room or file for it. Any
            # other failure is the disk's.
            if not is_refusal(error):
                self._failure = f"writing {path}: {error}"
        else:
            self._flushed = index.mark

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._segment is not None:
            self._segment.file.close()


def _link_all(tip: Tip, batches: Sequence[Batch]) -> None:
    for batch in batches:
        tip = link(tip, batch)
