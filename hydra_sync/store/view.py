"""What can be seen of one author's log: where it durably ends, its events, its damage. Does I/O: reads only."""

from __future__ import annotations

from collections.abc import Callable

import trio

from hydra_sync.batch import GENESIS_HASH, Batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.disk import Disk
from hydra_sync.errors import UnavailableError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import DATA_BYTES_TARGET, RECENT_BYTES, RUN_RECORDS_MAX
from hydra_sync.ranges import SeqRange, subtract
from hydra_sync.store.cutting import pending_cut
from hydra_sync.store.epochs import first_of_epoch
from hydra_sync.store.faults import translated
from hydra_sync.store.index import Index, Mark
from hydra_sync.store.layout import LogPlace, segment_seqs
from hydra_sync.store.opening import Opened, open_segments
from hydra_sync.store.reading import Hole, Reader
from hydra_sync.store.recent import Recent
from hydra_sync.store.survey import Survey, survey_tail
from hydra_sync.store.turns import Turns
from hydra_sync.tasks import Signal

__all__ = ["LogView"]


class LogView:
    """The batches of one author, in order, up to a durable tip."""

    def __init__(self, disk: Disk, place: LogPlace, opened: Opened, *, commit_bytes: int, read_only: bool) -> None:
        self.author: MemberKey = place.author
        self.report = opened.report
        self._disk = disk
        self._place = place
        self._commit_bytes = commit_bytes
        self._read_only = read_only
        self._holes: list[SeqRange] = []
        self._failure: str | None = None
        self._turns = Turns()
        self._changed = Signal()
        self._callbacks: list[Callable[[Tip], None]] = []
        self._orphan_callbacks: list[Callable[[SeqRange], None]] = []
        self._damage_callbacks: list[Callable[[], None]] = []
        self._show(opened)

    def _show(self, opened: Opened) -> None:
        """Be the log that was opened; damage found before is remembered as far as it reaches."""
        tip = opened.report.tip
        whole = SeqRange(0, tip.next_seq)
        self._end = Mark(opened.tail.offset if opened.tail else 0, tip)
        self._holes = subtract(whole, subtract(whole, [*self._holes, *opened.report.holes]))
        self._recent = Recent(RECENT_BYTES)
        self._reader = Reader(self._disk, self._place, opened.seqs, saves_indexes=not self._read_only)
        if opened.tail is not None:
            self._reader.add_segment(opened.tail.index)
            if self._read_only:
                opened.tail.file.close()

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

    def on_orphaned(self, callback: Callable[[SeqRange], None]) -> None:
        """Call ``callback``, which must not fail, with events that were here and are not of this log any more.

        Another branch takes their place (design: 7, orphans): its tip is told after this.
        """
        self._orphan_callbacks.append(callback)

    def on_damage(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, which must not fail, whenever a read has found more of the log damaged."""
        self._damage_callbacks.append(callback)

    async def end_hash(self, next_seq: int) -> bytes | None:
        """Hash of the batch that ends exactly at ``next_seq``; None if none does, or it cannot be read."""
        tip = self.tip
        if next_seq in (0, tip.next_seq):
            await trio.lowlevel.checkpoint()
            return tip.hash if next_seq == tip.next_seq else GENESIS_HASH
        try:
            batch = await self._batch_at(next_seq - 1)
        except UnavailableError:
            return None
        return batch.hash if batch.header.stop == next_seq else None

    async def tip_at(self, seq: int) -> Tip:
        """Where the last batch ends that ends at ``seq`` or before, and is not damaged; else the beginning.

        Raises `UnavailableError` where the disk fails, so that nobody knows.
        """
        while seq > 0:
            try:
                batches = await self.read(seq - 1, seq, 1)
            except UnavailableError:
                hole = next((hole for hole in self.holes if seq - 1 in hole), None)
                if hole is None:
                    raise
                seq = hole.start
                continue
            if not batches:  # another branch, a shorter one, has taken over while we looked
                return self.tip
            batch = batches[0]
            if batch.header.stop == seq:
                return Tip.after(batch)
            seq = batch.header.first_seq
        return EMPTY

    async def run_round(self, seqs: SeqRange) -> list[Batch]:
        """The batches round these seqs, to be held against others': from the one before, to one that is signed.

        At most `RUN_RECORDS_MAX`; none where damage is.
        """
        run: list[Batch] = []
        at = max(0, seqs.start - 1)
        try:
            while at < self.tip.next_seq and len(run) < RUN_RECORDS_MAX:
                for batch in await self.read(at, self.tip.next_seq, DATA_BYTES_TARGET):
                    run.append(batch)
                    at = batch.header.stop
                    if at >= seqs.stop and self.signed(batch):
                        return run
        except UnavailableError:
            return []
        while run and not self.signed(run[-1]):
            run.pop()
        return run

    async def epoch_at(self, seq: int) -> tuple[int, int]:
        """Epoch of the batch that holds ``seq``, and the first seq held here of that epoch.

        Costs some twenty reads in a log of a million batches. Raises `UnavailableError` if there is no
        such event, or what tells is damaged or gone.
        """
        batch = await self._batch_at(seq)
        first = await first_of_epoch(self._batch_at, lambda: self.holes, self.first_seq, batch)
        return batch.header.epoch, first

    async def _batch_at(self, seq: int) -> Batch:
        batches = await self.read(seq, seq + 1, 1) if seq >= 0 else []
        if not batches:
            raise UnavailableError(f"log of member {self.author.hex()}: there is no event {seq} here")
        return batches[0]

    async def wait_past(self, seq: int) -> Tip:
        """Wait until event ``seq`` is durable, and return the tip."""
        while self.tip.next_seq <= seq:
            await self._changed.wait()
        return self.tip

    async def wait_change(self) -> None:
        """Wait until there is another tip, or a reason to look at the log again."""
        await self._changed.wait()

    def look_again(self) -> None:
        """Let all who wait look at the log again: something else about it has changed."""
        self._changed.fire()

    def _orphan(self, events: SeqRange) -> None:
        for callback in self._orphan_callbacks:
            callback(events)

    def _wake(self) -> None:
        tip = self._end.tip
        for callback in self._callbacks:
            callback(tip)
        self._changed.fire()

    async def read(self, start_seq: int, stop_seq: int, bytes_max: int) -> list[Batch]:
        """Whole batches, from the one that holds ``start_seq`` on, none of them beginning at ``stop_seq`` or later.

        At least one, and no more than ``bytes_max`` bytes of them otherwise; a read may end early, but is
        empty only if nothing is durable in the range. Forms, body hashes and the chain are right;
        signatures are the reader's affair. Raises `UnavailableError` if ``start_seq`` is damaged or
        not held here; batches before damage are returned, and the next read tells.
        """
        if start_seq >= min(stop_seq, self.tip.next_seq):
            await trio.lowlevel.checkpoint()
            return []
        if recent := self.recent(start_seq, stop_seq, bytes_max):
            await trio.lowlevel.checkpoint()
            return recent
        async with self._turns.looking():
            return await self._read(start_seq, stop_seq, bytes_max)

    async def _read(self, start_seq: int, stop_seq: int, bytes_max: int) -> list[Batch]:
        end = self._end
        stop_seq = min(stop_seq, end.tip.next_seq)
        if start_seq >= stop_seq:
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
        """Look for what another process has changed since; whether the tip moved. For read-only logs.

        If that process has left the branch that was seen here, `on_orphaned` tells before the tip does.
        """
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
            if self.tip == before and not await self._is_on_disk(before):
                await self._look_again()
        if self.tip == before:
            return False
        self._wake()
        return True

    async def _is_on_disk(self, tip: Tip) -> bool:
        """Whether the log on disk still has the end that was seen."""
        if not self._reader.seqs:
            return True
        if await pending_cut(self._disk, self._place) is not None:
            return False
        try:
            batches, _, _ = await self._reader.read(tip.next_seq - 1, tip.next_seq, 1, self._end)
        except FileNotFoundError:
            return False
        return bool(batches) and batches[-1].hash == tip.hash

    async def _look_again(self) -> None:
        before = self.tip
        opened = await open_segments(self._disk, self._place, commit_bytes=self._commit_bytes, read_only=True)
        if opened.report.tip == before:
            if opened.tail is not None:
                opened.tail.file.close()
            return
        self._show(opened)
        # Another branch begins with a later epoch than the one it leaves.
        start, stop = self.first_seq, self.tip.next_seq
        while start < stop:
            middle = (start + stop) // 2
            header = (await self._batch_at(middle)).header
            start, stop = (header.stop, stop) if header.epoch <= before.epoch else (start, header.first_seq)
        if start < before.next_seq:
            self._orphan(SeqRange(start, before.next_seq))

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
