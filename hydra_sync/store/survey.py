"""What the tail of a log holds after a crash, and which of its records count. Does I/O: reads only.

Below the durable mark of the index, bad bytes are rot: they were right once. Beyond it they are rot
too if a commit after them is there, for that one began when theirs was synced; else a torn tail.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from hydra_sync.chain import Tip
from hydra_sync.disk import File
from hydra_sync.ranges import SeqRange
from hydra_sync.store.index import Index
from hydra_sync.store.layout import LogPlace
from hydra_sync.store.scan import Damage, Placed, Walk, data_end, record_at

__all__ = ["Survey", "survey_durable", "survey_tail"]


@dataclass(frozen=True, slots=True)
class _Suspect:
    """Bad bytes, and the state of the survey before them."""

    damage: Damage
    offset: int
    tip: Tip | None
    seq: int
    records: int


@dataclass(slots=True)
class Survey:
    """The records from some offset to the end of a segment file.

    ``offset`` is the end of the last record that counts, ``tip`` the tip there (None before the first
    record of a segment whose predecessor is unknown). Bytes from ``offset`` to ``data_end`` are torn.
    """

    offset: int
    seq: int
    tip: Tip | None
    data_end: int = 0
    torn: str = ""
    """What is wrong with the torn bytes."""
    holes: list[SeqRange] = field(default_factory=list)
    starts: array[int] = field(default_factory=lambda: array("Q"))
    _suspects: list[_Suspect] = field(default_factory=list)

    def add_damage(self, damage: Damage) -> None:
        self._suspects.append(_Suspect(damage, self.offset, self.tip, self.seq, len(self.starts)))

    def add_record(self, placed: Placed, commit_bytes: int | None) -> None:
        header = placed.batch.header
        if header.first_seq > self.seq:
            self.holes.append(SeqRange(self.seq, header.first_seq))
        # A commit has at most commit_bytes: this record, farther away, was written by a later one.
        self._suspects = [s for s in self._suspects if placed.offset - s.damage.start < (commit_bytes or 0)]
        self.starts.append(placed.offset)
        self.offset, self.seq, self.tip = placed.stop, header.stop, Tip.after(placed.batch)

    def cut_suspects(self) -> None:
        """Go back to before the first bad bytes that may be a torn commit."""
        if self._suspects:
            first = self._suspects[0]
            self.torn = first.damage.reason
            self._go_back(first.offset, first.seq, first.tip, first.records)

    def _go_back(self, offset: int, seq: int, tip: Tip | None, records: int) -> None:
        self.offset, self.seq, self.tip = offset, seq, tip
        self.holes = [hole for hole in self.holes if hole.stop <= seq]
        del self.starts[records:]

    async def cut_unsigned(self, file: File, place: LogPlace, start: Survey) -> None:
        """Go back to the last record with its author's own signature: an author may sign only some.

        A log that ended elsewhere could not be handed on: its receiver could not verify it.
        """
        while self.torn and self.starts:
            batch = await record_at(file, self.starts[-1], self.offset)
            if place.signed(batch):
                self._go_back(
                    self.starts[-1] + len(batch.record), batch.header.stop, Tip.after(batch), len(self.starts)
                )
                return
            self._go_back(self.starts[-1], batch.header.first_seq, None, len(self.starts) - 1)
        if self.torn:
            self._go_back(start.offset, start.seq, start.tip, 0)


async def survey_tail(
    file: File, place: LogPlace, start: Survey, index: Index, commit_bytes: int | None, end: bytes | None = None
) -> Survey:
    """The records beyond ``start``; ``index`` learns where they are.

    A commit has at most ``commit_bytes``, or is one record where that is 0. With None the first bad
    bytes are the end, because somebody may be writing them right now. A last record with the hash ``end``
    is as sound as a signed one.
    """
    size = await file.size()
    survey = Survey(start.offset, start.seq, start.tip)
    walk = Walk(file, start.offset, size, seq=start.seq, tip=start.tip, signed=place.signed, end=end, open_ended=True)
    while (item := await walk.next()) is not None:
        if isinstance(item, Damage):
            survey.add_damage(item)
            if commit_bytes is None:
                break
        else:
            survey.add_record(item, commit_bytes)
            index.add(item.batch.header.first_seq, item.offset)
    survey.cut_suspects()
    await survey.cut_unsigned(file, place, start)
    index.cut(max(survey.offset, start.offset))
    survey.data_end = await data_end(file, survey.offset, size) if survey.torn else survey.offset
    return survey


async def survey_durable(file: File, place: LogPlace, index: Index) -> list[SeqRange] | None:
    """What is damaged in the last stretch below the index's mark; None if the index is of another log.

    The rest below the mark is looked at when it is read.
    """
    mark = index.mark
    assert mark is not None
    entry = index.find(max(mark.tip.next_seq - 1, index.first_seq))
    holes = await _holes(file, place, index, entry)
    if holes and holes[0].start == entry[0] != index.first_seq:
        # The index is wrong here, or damage began before the entry: look at the whole segment.
        holes = await _holes(file, place, index, (index.first_seq, 0))
    return holes


async def _holes(file: File, place: LogPlace, index: Index, entry: tuple[int, int]) -> list[SeqRange] | None:
    mark = index.mark
    assert mark is not None
    seq, offset = entry
    index.cut(offset)
    walk = Walk(file, offset, mark.offset, seq=seq, signed=place.signed, end=mark.tip.hash)
    holes: list[SeqRange] = []
    last: bytes | None = None
    while (item := await walk.next()) is not None:
        last = None
        if isinstance(item, Placed):
            header = item.batch.header
            if header.first_seq > seq:
                holes.append(SeqRange(seq, header.first_seq))
            seq, last = header.stop, item.batch.hash
            index.add(header.first_seq, item.offset)
    if seq > mark.tip.next_seq or (last is not None and last != mark.tip.hash):
        return None
    if seq < mark.tip.next_seq:
        holes.append(SeqRange(seq, mark.tip.next_seq))
    return holes
