"""Reading batches out of the segments of a log. Does I/O: reads, and writes index files that were missing."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import trio

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.disk import Disk, File
from hydra_sync.ranges import SeqRange
from hydra_sync.store.files import replace_file
from hydra_sync.store.index import Index, Mark, encode_index
from hydra_sync.store.layout import LogPlace
from hydra_sync.store.missing import load_index
from hydra_sync.store.scan import Damage, Placed, Walk

__all__ = ["Hole", "Reader", "Stretch"]


@dataclass(frozen=True, slots=True)
class Hole:
    """Events that cannot be read, the bytes that should hold them, and why."""

    range: SeqRange
    start: int
    stop: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """The durable bytes of one segment: up to offset ``stop`` and ``end_seq``, the last hash if known."""

    first_seq: int
    stop: int
    end_seq: int
    end_hash: bytes | None


class Reader:
    """Finds and reads records by seq, in constant memory.

    ``seqs`` are the first seqs of the log's segments, ascending; all but the last are complete.
    """

    def __init__(self, disk: Disk, place: LogPlace, seqs: list[int], *, saves_indexes: bool) -> None:
        self.seqs = seqs
        self._disk = disk
        self._place = place
        self._saves_indexes = saves_indexes
        self._indexes: dict[int, Index] = {}
        self._building = trio.Lock()

    def add_segment(self, index: Index) -> None:
        """Take a further segment as the last one, or another index for the last one."""
        if index.first_seq not in self.seqs[-1:]:
            self.seqs.append(index.first_seq)
        self._indexes[index.first_seq] = index

    def last_index(self) -> Index:
        """The index of the last segment, for its writer to add to."""
        return self._indexes[self.seqs[-1]]

    async def read(
        self, start_seq: int, stop_seq: int, bytes_max: int, end: Mark
    ) -> tuple[list[Batch], list[Hole], Stretch]:
        """Whole batches from the one that holds ``start_seq``, out of its segment, and the damage met.

        There is at least one batch, and no more than ``bytes_max`` bytes of them, unless there is damage.
        ``end`` is the end of the last segment.
        """
        file, stretch, is_last = await self._open(start_seq, end)
        try:
            index = self._indexes.get(stretch.first_seq) or await self._index(file, stretch, is_last=is_last)
            entry = index.find(start_seq)
            batches, holes = await self._run(file, stretch, entry, start_seq, stop_seq, bytes_max)
            if entry[1] > 0 and holes and holes[0].range.start == entry[0]:
                # Is it the log or the index that is wrong? A new index can tell.
                index = await self._rebuild(file, stretch, is_last=is_last)
                entry = index.find(start_seq)
                batches, holes = await self._run(file, stretch, entry, start_seq, stop_seq, bytes_max)
            return batches, holes, stretch
        finally:
            file.close()

    async def end_of(self, batch: Batch, end: Mark) -> Mark | None:
        """Where this batch, as `read` has just returned it, ends in its segment; None if it is not found."""
        file, stretch, is_last = await self._open(batch.header.first_seq, end)
        try:
            index = self._indexes.get(stretch.first_seq) or await self._index(file, stretch, is_last=is_last)
            seq, offset = index.find(batch.header.first_seq)
            walk = Walk(file, offset, stretch.stop, seq=seq, signed=self._place.signed, end=stretch.end_hash)
            while (item := await walk.next()) is not None:
                if isinstance(item, Placed) and item.batch.header.stop >= batch.header.stop:
                    return Mark(item.stop, Tip.after(batch)) if item.batch.hash == batch.hash else None
            return None
        finally:
            file.close()

    async def _open(self, seq: int, end: Mark) -> tuple[File, Stretch, bool]:
        """The segment that holds ``seq``, and whether it is the last one."""
        at = bisect_right(self.seqs, seq) - 1
        is_last = at == len(self.seqs) - 1
        first_seq = self.seqs[at]
        file = await self._disk.open(self._place.segment(first_seq), "read")
        if is_last:
            return file, Stretch(first_seq, end.offset, end.tip.next_seq, end.tip.hash), True
        return file, Stretch(first_seq, await file.size(), self.seqs[at + 1], None), False

    async def _index(self, file: File, stretch: Stretch, *, is_last: bool) -> Index:
        async with self._building:
            if stretch.first_seq not in self._indexes:
                index = await load_index(self._disk, self._place, stretch.first_seq)
                if index is None:
                    return await self._rebuild(file, stretch, is_last=is_last)
                self._indexes[stretch.first_seq] = index
            return self._indexes[stretch.first_seq]

    async def _rebuild(self, file: File, stretch: Stretch, *, is_last: bool) -> Index:
        index = Index(stretch.first_seq)
        walk = Walk(file, 0, stretch.stop, seq=stretch.first_seq, signed=self._place.signed, end=stretch.end_hash)
        tip: Tip | None = None
        while (item := await walk.next()) is not None:
            tip = None
            if isinstance(item, Placed):
                index.add(item.batch.header.first_seq, item.offset)
                tip = Tip.after(item.batch)
        old = self._indexes.get(stretch.first_seq)
        self._indexes[stretch.first_seq] = index
        if is_last:
            index.mark = old.mark if old else None
        elif tip is not None and tip.next_seq == stretch.end_seq:
            index.mark = Mark(stretch.stop, tip)
            await self._save(index)
        return index

    async def _save(self, index: Index) -> None:
        if self._saves_indexes:
            try:
                await replace_file(
                    self._disk, self._place.index(index.first_seq), encode_index(index, self._place.author)
                )
            except OSError:
                return  # it is a cache, and reading must not depend on room for it

    async def _run(
        self,
        file: File,
        stretch: Stretch,
        entry: tuple[int, int],
        start_seq: int,
        stop_seq: int,
        bytes_max: int,
    ) -> tuple[list[Batch], list[Hole]]:
        seq, offset = entry
        walk = Walk(file, offset, stretch.stop, seq=seq, signed=self._place.signed, end=stretch.end_hash)
        batches: list[Batch] = []
        holes: list[Hole] = []
        size, damage = 0, None
        good_stop = offset
        while seq < min(stop_seq, stretch.end_seq) and (seq <= start_seq or batches):
            item = await walk.next()
            if isinstance(item, Damage):
                damage = damage or item
                continue
            found_seq = stretch.end_seq if item is None else item.batch.header.first_seq
            if found_seq > seq:
                reason = damage.reason if damage else "the records are not there"
                bytes_stop = stretch.stop if item is None else item.offset
                holes.append(Hole(SeqRange(seq, found_seq), good_stop, bytes_stop, reason))
                if batches or start_seq < found_seq:
                    break
            if item is None:
                break
            damage, seq, good_stop = None, item.batch.header.stop, item.stop
            if seq > start_seq:
                size += len(item.batch.record)
                if batches and size > bytes_max:
                    break
                batches.append(item.batch)
        return batches, holes
