"""One author's log on disk: commits, reads, and where it durably ends. Does I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip, link
from hydra_sync.disk import Disk
from hydra_sync.errors import StoreError, StoreFullError, UnavailableError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import INDEX_FLUSH_BYTES, RECENT_BYTES, SEGMENT_BYTES
from hydra_sync.ranges import SeqRange, subtract
from hydra_sync.store.faults import is_refusal, translated
from hydra_sync.store.files import replace_file
from hydra_sync.store.index import Index, Mark, encode_index
from hydra_sync.store.layout import LogPlace, segment_seqs
from hydra_sync.store.opening import Loss, Opened, no_matter, open_segments
from hydra_sync.store.reading import Hole, Reader
from hydra_sync.store.recent import Recent
from hydra_sync.store.segment import Segment
from hydra_sync.store.survey import Survey, survey_tail

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
        log = Log(disk, place, opened, segment_bytes=segment_bytes, read_only=read_only)
        await log.attach(opened)
    return log


class Log:
    """The batches of one author, in order, up to a durable tip. Made by `open_log`.

    Reads may go on while a commit does; there is one commit at a time.
    """

    def __init__(
        self,
        disk: Disk,
        place: LogPlace,
        opened: Opened,
        *,
        segment_bytes: int,
        read_only: bool,
    ) -> None:
        self.author: MemberKey = place.author
        self.report = opened.report
        self._disk = disk
        self._place = place
        self._segment_bytes = segment_bytes
        self._read_only = read_only
        self._end = Mark(opened.tail.offset if opened.tail else 0, opened.report.tip)
        self._holes = list(opened.report.holes)
        self._reader = Reader(disk, place, opened.seqs, saves_indexes=not read_only)
        self._segment: Segment | None = None
        self._flushed: Mark | None = None
        self._failure: str | None = None
        self._committing = False
        self._changed = trio.Event()
        self._recent = Recent(RECENT_BYTES)
        self._callbacks: list[Callable[[Tip], None]] = []
        self._damage_callbacks: list[Callable[[], None]] = []

    async def attach(self, opened: Opened) -> None:
        """Take over the opened tail: the second half of `open_log`."""
        tail = opened.tail
        if tail is None:
            return
        self._reader.add_segment(tail.index)
        self._flushed = tail.index.mark
        if self._read_only:
            tail.file.close()
            return
        first_seq = tail.index.first_seq
        self._segment = Segment(
            tail.file,
            self._place.segment(first_seq),
            first_seq=first_seq,
            offset=tail.offset,
            allocated=await tail.file.size(),
            bytes_max=self._segment_bytes,
        )
        await self.flush()

    @property
    def tip(self) -> Tip:
        """Where the log ends durably."""
        return self._end.tip

    @property
    def first_seq(self) -> int:
        """The first event held here, unless it is in a hole; equal to the tip's in an empty log."""
        first_seq = self._reader.seqs[0] if self._reader.seqs else self.tip.next_seq
        return min(first_seq, self._holes[0].start) if self._holes else first_seq

    @property
    def holes(self) -> tuple[SeqRange, ...]:
        """Events below the tip found damaged so far, in order."""
        return tuple(self._holes)

    @property
    def failure(self) -> str | None:
        """Why no commit is possible any more, if so."""
        return self._failure

    def warnings(self, alias: str) -> list[str]:
        """What is wrong with this log now, or was when it was opened, in sentences."""
        said = self.report.lines(alias)
        said += [f"log of {alias}: events {hole} are damaged here and unavailable" for hole in self._holes]
        if self._failure is not None:
            said.append(f"log of {alias}: no more appends, the disk failed ({self._failure}): restart the node")
        return said

    def signed(self, batch: Batch) -> bool:
        """Whether the batch carries the author's own valid signature."""
        return self._place.signed(batch)

    def on_durable(self, callback: Callable[[Tip], None]) -> None:
        """Call ``callback``, which must not fail, with every new tip, before anybody who waits is woken."""
        self._callbacks.append(callback)

    def on_damage(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, which must not fail, whenever a read has found more of the log damaged."""
        self._damage_callbacks.append(callback)

    async def wait_past(self, seq: int) -> Tip:
        """Wait until event ``seq`` is durable, and return the tip."""
        while self.tip.next_seq <= seq:
            await self._changed.wait()
        return self.tip

    async def commit(self, batches: Sequence[Batch]) -> None:
        """Append batches by one write and one sync; durable and visible on return.

        If cancelled, either nothing was begun or all is done. Raises `DivergedError` unless they follow
        the tip, `StoreFullError` if there is no room (nothing has changed, try again later), and
        `StoreError` when the disk fails: from then on every commit raises it.
        """
        assert batches
        assert not self._read_only
        assert not self._committing
        await trio.lowlevel.checkpoint_if_cancelled()
        self._require_sound()
        tip = self.tip
        for batch in batches:
            tip = link(tip, batch)
        self._committing = True
        try:
            with trio.CancelScope(shield=True):
                await self._write(batches)
                self._publish(tip, batches)
                if self._end.offset - (self._flushed.offset if self._flushed else 0) >= INDEX_FLUSH_BYTES:
                    await self.flush()
        finally:
            self._committing = False

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise StoreError(
                f"log of member {self.author.hex()}: no more appends, because the disk failed ({self._failure}): "
                "restart the node; records not known to be durable are rewritten on opening"
            )

    async def _write(self, batches: Sequence[Batch]) -> None:
        data = b"".join(batch.record for batch in batches)
        try:
            segment = await self._segment_for(len(data), batches[0].header.first_seq)
            await segment.reserve(len(data))
            await segment.write(data)
        except StoreFullError:
            raise
        except StoreError as error:
            # What a failed write or sync has left is unknown, and a second sync would not tell.
            self._failure = str(error)
            self._require_sound()

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

    def _publish(self, tip: Tip, batches: Sequence[Batch]) -> None:
        index, offset = self._reader.last_index(), self._end.offset
        for batch in batches:
            index.add(batch.header.first_seq, offset)
            offset += len(batch.record)
        self._end = Mark(offset, tip)
        self._recent.add(batches)
        self._wake()

    def _wake(self) -> None:
        for callback in self._callbacks:
            callback(self.tip)
        self._changed.set()
        self._changed = trio.Event()

    async def read(self, start_seq: int, stop_seq: int, bytes_max: int) -> list[Batch]:
        """Whole batches, from the one that holds ``start_seq`` on, none of them beginning at ``stop_seq`` or later.

        At least one, and no more than ``bytes_max`` bytes of them otherwise; a read may end early, but is
        empty only if nothing is durable in the range. Forms, body hashes and the chain are right;
        signatures are the reader's affair. Raises `UnavailableError` if ``start_seq`` is damaged or
        not held here; batches before damage are returned, and the next read tells.
        """
        end = self._end
        stop_seq = min(stop_seq, end.tip.next_seq)
        if start_seq >= stop_seq:
            await trio.lowlevel.checkpoint()
            return []
        if start_seq < self.first_seq:
            raise UnavailableError(
                f"log of member {self.author.hex()}: events {SeqRange(start_seq, self.first_seq)} were pruned here"
            )
        if start_seq < self._reader.seqs[0]:
            raise UnavailableError(
                f"log of member {self.author.hex()}: events {SeqRange(start_seq, self._reader.seqs[0])} are gone: "
                f"the segment file that held them is not in {self._place.directory}"
            )
        if recent := self.recent(start_seq, stop_seq, bytes_max):
            await trio.lowlevel.checkpoint()
            return recent
        try:
            batches, holes, stretch = await self._reader.read(start_seq, stop_seq, bytes_max, end)
        except OSError as error:
            raise UnavailableError(
                f"log of member {self.author.hex()}: event {start_seq} cannot be read: {error}"
            ) from error
        for hole in holes:
            self._note_hole(hole.range)
        if not batches:
            raise UnavailableError(self._describe(holes[-1], stretch.first_seq))
        return batches

    def recent(self, start_seq: int, stop_seq: int, bytes_max: int) -> list[Batch]:
        """What `read` would return, if that is in memory; else nothing."""
        return self._recent.read(start_seq, min(stop_seq, self.tip.next_seq), bytes_max)

    def _describe(self, hole: Hole, first_seq: int) -> str:
        where = f"{self._place.segment(first_seq)}, byte {hole.start}"
        return f"log of member {self.author.hex()}: events {hole.range} are damaged: {hole.reason} ({where})"

    def _note_hole(self, hole: SeqRange) -> None:
        whole = SeqRange(0, self.tip.next_seq)
        holes = subtract(whole, subtract(whole, [*self._holes, hole]))
        if holes == self._holes:
            return
        self._holes = holes
        for callback in self._damage_callbacks:
            callback()

    async def refresh(self) -> bool:
        """Look for what another process has appended since; whether the tip moved. For read-only logs."""
        assert self._read_only
        before = self.tip
        with translated(f"reading the log of member {self.author.hex()}"):
            try:
                names = await self._disk.list_dir(self._place.directory)
            except FileNotFoundError:
                return False
            if self._reader.seqs:
                await self._extend(self._reader.last_index(), self._end.offset)
            for first_seq in segment_seqs(names):
                if first_seq == self.tip.next_seq and first_seq not in self._reader.seqs[-1:]:
                    await self._extend(Index(first_seq), 0)
        if self.tip == before:
            return False
        self._wake()
        return True

    async def _extend(self, index: Index, offset: int) -> None:
        tip = self.tip
        try:
            file = await self._disk.open(self._place.segment(index.first_seq), "read")
        except FileNotFoundError:
            return  # it was lost before this log was opened, or begun and given up
        try:
            # Damage is the end here: a write may be under way. Opening the log again can tell.
            start = Survey(offset, tip.next_seq, tip)
            survey = await survey_tail(file, self._place, start, index, commit_bytes=None)
            if survey.offset > offset and survey.tip is not None:
                await file.sync()
                self._reader.add_segment(index)
                self._end = Mark(survey.offset, survey.tip)
        finally:
            file.close()

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
