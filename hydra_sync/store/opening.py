"""Making a log sound again when it is opened: nothing is shown that is not durable. Does I/O.

What a killed process left in the page cache, or a failed sync left there, is not durable yet: records
beyond the durable mark are written again, the same bytes in place, and synced. A torn tail is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.disk import Disk, File
from hydra_sync.errors import FormatError, StoreDamagedError
from hydra_sync.identity import MemberKey
from hydra_sync.ranges import SeqRange
from hydra_sync.store.files import read_file, remove_file
from hydra_sync.store.index import INDEX_BYTES_MAX, Index, parse_index
from hydra_sync.store.layout import LogPlace, segment_seqs
from hydra_sync.store.quarantine import keep
from hydra_sync.store.scan import CHUNK_BYTES
from hydra_sync.store.survey import Survey, survey_durable, survey_tail

__all__ = ["Cut", "Opened", "OpeningReport", "Tail", "load_index", "open_segments"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A torn tail that was taken out: ``size`` bytes that may have held ``seq`` and what follows."""

    seq: int
    size: int
    saved: Path
    reason: str


@dataclass(frozen=True, slots=True)
class OpeningReport:
    """What opening a log found and did. Without ``cuts``, ``holes`` and ``short_of`` all was well."""

    author: MemberKey
    tip: Tip
    cuts: tuple[Cut, ...] = ()
    holes: tuple[SeqRange, ...] = ()
    """Events that are damaged here: those found now, and those known from earlier."""
    short_of: Tip | None = None
    """The log once ended here, durably, and its last records are gone: the disk lost or changed them."""

    def lines(self, alias: str) -> list[str]:
        """What was cut and what is gone, in sentences for the log output; of holes the log itself tells."""
        log = f"log of {alias}"
        said = [
            f"{log}: a torn tail of {cut.size} bytes at seq {cut.seq} was cut and saved as {cut.saved} ({cut.reason})"
            for cut in self.cuts
        ]
        if self.short_of is not None:
            seq = self.short_of.next_seq
            said.append(f"{log}: it was durable up to seq {seq}, and its end is damaged or gone from the disk")
        return said


@dataclass(slots=True)
class Tail:
    """The last segment of a log, open."""

    file: File
    index: Index
    offset: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The segments of a log, by first seq, and the last one of them, if any."""

    seqs: list[int]
    tail: Tail | None
    report: OpeningReport


async def load_index(disk: Disk, place: LogPlace, first_seq: int) -> Index | None:
    """The index file of a segment; None if there is none that can be used."""
    try:
        data = await read_file(disk, place.index(first_seq), INDEX_BYTES_MAX)
        return parse_index(data, place.author, first_seq)
    except (FileNotFoundError, FormatError):
        return None


async def open_segments(disk: Disk, place: LogPlace, *, commit_bytes: int, read_only: bool) -> Opened:
    """Open the last segment that has records, sound and durable. With ``read_only`` nothing is changed.

    A commit has at most ``commit_bytes``, or is one record where that is 0.
    """
    try:
        seqs = segment_seqs(await disk.list_dir(place.directory))
    except FileNotFoundError:
        seqs = []
    cuts: list[Cut] = []
    while seqs:
        opening = _TailOpening(disk, place, seqs[-1], commit_bytes)
        await opening.look(seqs[-2] if len(seqs) > 1 else None, again=read_only)
        try:
            cuts += await opening.show() if read_only else await opening.repair()
        except BaseException:
            opening.file.close()
            raise
        if (tip := opening.survey.tip) is not None and not opening.is_empty:
            tail = Tail(opening.file, opening.index, opening.survey.offset)
            return Opened(seqs, tail, opening.report(tip, tuple(cuts)))
        # A segment was begun, and no record in it became durable. The one before it is the last.
        opening.file.close()
        if len(seqs) == 1 and seqs[0] > 0:
            raise StoreDamagedError(
                f"nothing readable is left of the log of member {place.author.hex()}, which began at seq "
                f"{seqs[0]}: move {place.directory} away and start again, to fetch the log from other members"
            )
        if not read_only:
            await remove_file(disk, place.index(seqs[-1]))
            await remove_file(disk, place.segment(seqs[-1]))
            await disk.sync_dir(place.directory)
        seqs.pop()
    return Opened([], None, OpeningReport(place.author, EMPTY, tuple(cuts)))


class _TailOpening:
    """The opening of one segment as a log's last."""

    file: File
    index: Index
    survey: Survey
    start: Survey

    def __init__(self, disk: Disk, place: LogPlace, first_seq: int, commit_bytes: int) -> None:
        self._disk = disk
        self._place = place
        self._first_seq = first_seq
        self._commit_bytes = commit_bytes
        self._holes: list[SeqRange] = []
        self._short_of: Tip | None = None

    @property
    def is_empty(self) -> bool:
        return self.index.mark is None and self.survey.offset == 0

    async def look(self, previous_seq: int | None, *, again: bool) -> None:
        """Find out what the segment holds.

        With ``again``, somebody may be writing to it right now, and damage is believed when seen twice.
        """
        self.file = await self._disk.open(self._place.segment(self._first_seq), "read" if again else "write")
        try:
            await self._look_below_mark(previous_seq)
            self.survey = await self._survey()
            holes: list[SeqRange] = []
            while again and self.survey.holes != holes:
                holes = self.survey.holes
                self.survey = await self._survey()
        except BaseException:
            self.file.close()
            raise

    async def _survey(self) -> Survey:
        return await survey_tail(self.file, self._place, self.start, self.index, self._commit_bytes)

    async def _look_below_mark(self, previous_seq: int | None) -> None:
        index = await load_index(self._disk, self._place, self._first_seq)
        if index is not None and index.mark is not None:
            durable = await survey_durable(self.file, self._place, index)
            if durable is not None:
                self._holes = [*index.holes, *durable]
                if durable and durable[-1].stop == index.mark.tip.next_seq:
                    self._short_of = index.mark.tip
                self.index = index
                self.start = Survey(index.mark.offset, index.mark.tip.next_seq, index.mark.tip)
                return
        self.index = Index(self._first_seq)
        self.start = Survey(0, self._first_seq, await self._tip_before(previous_seq))

    async def _tip_before(self, previous_seq: int | None) -> Tip | None:
        if self._first_seq == 0:
            return EMPTY
        previous = await load_index(self._disk, self._place, previous_seq) if previous_seq is not None else None
        if previous is None or previous.mark is None:
            return None
        self._holes = list(previous.holes)
        return previous.mark.tip if previous.mark.tip.next_seq == self._first_seq else None

    async def show(self) -> list[Cut]:
        """Make durable what is about to be shown; a descriptor for reading is enough for that."""
        if self.survey.offset > self.start.offset:
            await self.file.sync()
        return []

    async def repair(self) -> list[Cut]:
        """Save and cut the torn tail, write again what is not known to be durable, and sync."""
        survey, cuts = self.survey, []
        if survey.data_end > survey.offset:
            saved = await keep(
                self._disk,
                self._place,
                self.file,
                survey.offset,
                survey.data_end,
                seq=survey.seq,
                reason=survey.torn,
            )
            cuts.append(Cut(survey.seq, survey.data_end - survey.offset, saved, survey.torn))
            for at in range(survey.offset, survey.data_end, CHUNK_BYTES):
                await self.file.write_at(at, bytes(min(CHUNK_BYTES, survey.data_end - at)))
        for at in range(self.start.offset, survey.offset, CHUNK_BYTES):
            await self.file.write_at(at, await self.file.read_at(at, min(CHUNK_BYTES, survey.offset - at)))
        if survey.data_end > self.start.offset:
            await self.file.sync()
            await self._disk.sync_dir(self._place.directory)
        return cuts

    def report(self, tip: Tip, cuts: tuple[Cut, ...]) -> OpeningReport:
        holes = tuple(sorted({*self._holes, *self.survey.holes}))
        return OpeningReport(self._place.author, tip, cuts, holes, self._short_of)
