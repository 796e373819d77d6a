"""Making a log sound again when it is opened: nothing is shown that is not durable. Does I/O.

What a killed process left in the page cache, or a failed sync left there, is not durable yet: records
beyond the durable mark are written again, the same bytes in place, and synced. A torn tail is cut.
What may be lost with it is told first, so that whoever has to remember it can.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.disk import Disk, File
from hydra_sync.errors import StoreDamagedError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import UINT_MAX
from hydra_sync.ranges import SeqRange, subtract
from hydra_sync.store.cutting import Shortened, cut_index, finish_cut, pending_cut
from hydra_sync.store.files import remove_file
from hydra_sync.store.index import Index, Mark
from hydra_sync.store.layout import LogPlace, segment_seqs
from hydra_sync.store.missing import NoFile, gaps, load_index, lost_segments
from hydra_sync.store.quarantine import Part, keep
from hydra_sync.store.scan import CHUNK_BYTES
from hydra_sync.store.survey import Survey, survey_durable, survey_tail

__all__ = ["Cut", "Loss", "Opened", "OpeningReport", "Tail", "no_matter", "open_segments"]


@dataclass(frozen=True, slots=True)
class Loss:
    """The end of a log may be lost, from ``seq`` on."""

    seq: int
    was_durable: bool
    """What is gone was durable once; a torn tail never was, as far as can be known."""
    reason: str


async def no_matter(_: Loss) -> None:
    """For whoever need not remember a loss."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A torn tail that was taken out: ``size`` bytes that may have held ``seq`` and what follows."""

    seq: int
    size: int
    saved: Path
    reason: str


@dataclass(frozen=True, slots=True)
class OpeningReport:
    """What opening a log found and did. Without ``cuts``, ``holes``, ``short_of`` and ``gone`` all was well."""

    author: MemberKey
    tip: Tip
    cuts: tuple[Cut, ...] = ()
    holes: tuple[SeqRange, ...] = ()
    """Events that are damaged here: those found now, and those known from earlier."""
    short_of: Tip | None = None
    """The log once ended here, durably, and its last records are gone: the disk lost or changed them."""
    gone: tuple[SeqRange, ...] = ()
    """Events that are in no segment file, although later ones are; below the tip they are holes, too."""

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
        said += [f"{log}: a segment file is gone from the disk, it held events {events}" for events in self.gone]
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


async def open_segments(
    disk: Disk,
    place: LogPlace,
    *,
    commit_bytes: int,
    read_only: bool,
    before_loss: Callable[[Loss], Awaitable[None]] = no_matter,
    end: bytes | None = None,
) -> Opened:
    """Open the last segment that has records, sound and durable. With ``read_only`` nothing is changed.

    A commit has at most ``commit_bytes``, or is one record where that is 0. ``before_loss`` has returned
    before anything that shows the loss is changed; with ``read_only`` it is not called. ``end`` is the hash
    of the last batch, where that is known: a log that was cut may end with one that its author did not sign.
    """
    cut = await pending_cut(disk, place)
    end = end if cut is None else cut.tip.hash
    if cut is not None and not read_only:
        await finish_cut(disk, place, cut)
        cut = None
    seqs, lost = await _list_segments(disk, place, cut, again=read_only)
    cuts: list[Cut] = []
    gone: list[SeqRange] = []
    while True:
        is_lost = bool(lost) and lost[-1] > (seqs[-1] if seqs else -1)
        if is_lost:
            # The log ended in this one, or later. What its index knows of the end is kept.
            seqs.append(lost.pop())
            if not read_only:
                await _create_segment(disk, place, seqs[-1])
        if not seqs:
            return Opened([], None, OpeningReport(place.author, EMPTY, tuple(cuts), gone=tuple(gone)))
        gone += await gaps(disk, place, seqs)
        opening = _TailOpening(disk, place, seqs[-1], commit_bytes, cut, end)
        await opening.look(seqs[-2] if len(seqs) > 1 else None, again=read_only, is_lost=is_lost)
        try:
            cuts += await opening.show() if read_only else await opening.repair(before_loss)
        except BaseException:
            opening.file.close()
            raise
        if (tip := opening.survey.tip) is not None and not opening.is_empty:
            tail = Tail(opening.file, opening.index, opening.survey.offset)
            return Opened(seqs, tail, opening.report(tip, tuple(cuts), gone))
        # A segment was begun, and no record in it became durable. The one before it is the last.
        opening.file.close()
        if len(seqs) == 1 and seqs[0] > 0 and not lost:
            raise StoreDamagedError(
                f"nothing readable is left of the log of member {place.author.hex()}, which began at seq "
                f"{seqs[0]}: move {place.directory} away and start again, to fetch the log from other members"
            )
        if not read_only:
            await _remove_segment(disk, place, seqs[-1])
        seqs.pop()


async def _list_segments(disk: Disk, place: LogPlace, cut: Mark | None, *, again: bool) -> tuple[list[int], list[int]]:
    """The segments that are there, and those of which only an index is; without what a ``cut`` will take.

    With ``again``, files may be coming and going right now, and a loss is believed when seen twice.
    """
    try:
        names = await disk.list_dir(place.directory)
        lost = await lost_segments(disk, place, names)
        if lost and again:
            names = await disk.list_dir(place.directory)
            lost = await lost_segments(disk, place, names)
    except FileNotFoundError:
        return [], []
    stop = UINT_MAX if cut is None else cut.tip.next_seq
    return [seq for seq in segment_seqs(names) if seq < stop], [seq for seq in lost if seq < stop]


async def _create_segment(disk: Disk, place: LogPlace, first_seq: int) -> None:
    (await disk.open(place.segment(first_seq), "create")).close()
    await disk.sync_dir(place.directory)


async def _remove_segment(disk: Disk, place: LogPlace, first_seq: int) -> None:
    await remove_file(disk, place.index(first_seq))
    await disk.sync_dir(place.directory)  # an index that came back alone would tell of a loss
    await remove_file(disk, place.segment(first_seq))
    await disk.sync_dir(place.directory)


class _TailOpening:
    """The opening of one segment as a log's last."""

    file: File
    index: Index
    survey: Survey
    start: Survey

    def __init__(
        self, disk: Disk, place: LogPlace, first_seq: int, commit_bytes: int, cut: Mark | None, end: bytes | None
    ) -> None:
        self._disk = disk
        self._place = place
        self._first_seq = first_seq
        self._commit_bytes = commit_bytes
        self._cut = cut
        self._end = end
        self._holes: list[SeqRange] = []
        self._short_of: Tip | None = None

    @property
    def is_empty(self) -> bool:
        return self.index.mark is None and self.survey.offset == 0

    async def look(self, previous_seq: int | None, *, again: bool, is_lost: bool) -> None:
        """Find out what the segment holds.

        With ``again``, somebody may be writing to it right now, and damage is believed when seen twice.
        There is no file to look at with it where the segment ``is_lost``.
        """
        if again and is_lost:
            self.file = NoFile()
        else:
            self.file = await self._disk.open(self._place.segment(self._first_seq), "read" if again else "write")
        if self._cut is not None:
            self.file = Shortened(self.file, self._cut.offset)
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
        return await survey_tail(self.file, self._place, self.start, self.index, self._commit_bytes, self._end)

    async def _look_below_mark(self, previous_seq: int | None) -> None:
        index = await load_index(self._disk, self._place, self._first_seq)
        if index is not None and self._cut is not None:
            cut_index(index, self._cut)
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

    def _losses(self) -> Iterator[Loss]:
        """What may be lost here."""
        if self._short_of is not None:
            start = self._holes[-1].start
            reason = (
                f"it was durable up to seq {self._short_of.next_seq}, and from seq {start} on it is damaged or gone"
            )
            yield Loss(start, True, reason)
        if self.survey.data_end > self.survey.offset:
            reason = f"a torn tail was cut at seq {self.survey.seq}: {self.survey.torn}"
            yield Loss(self.survey.seq, False, reason)

    async def show(self) -> list[Cut]:
        """Make durable what is about to be shown; a descriptor for reading is enough for that."""
        if self.survey.offset > self.start.offset:
            await self.file.sync()
        return []

    async def repair(self, before_loss: Callable[[Loss], Awaitable[None]]) -> list[Cut]:
        """Save and cut the torn tail, write again what is not known to be durable, and sync."""
        for loss in self._losses():
            await before_loss(loss)
        survey, cuts = self.survey, []
        if survey.data_end > survey.offset:
            saved = await keep(
                self._disk,
                self._place,
                [Part(self._place.segment(self._first_seq), survey.offset, survey.data_end)],
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

    def report(self, tip: Tip, cuts: tuple[Cut, ...], gone: Sequence[SeqRange]) -> OpeningReport:
        whole = SeqRange(0, tip.next_seq)
        holes = subtract(whole, subtract(whole, [*self._holes, *self.survey.holes, *gone]))
        gone = sorted(set(gone))
        return OpeningReport(self._place.author, tip, cuts, tuple(holes), self._short_of, tuple(gone))
