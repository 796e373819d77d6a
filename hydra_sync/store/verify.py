"""Checking every record of a log on disk, as an auditor would. Does I/O: reads only.

Form, body hash, chain and density of every record; and the author's signature of the last record of
every run, which authenticates the run. Constant memory, and nothing is taken from an index but the
durable mark, which tells a torn tail from damage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.disk import Disk
from hydra_sync.errors import NewerFormatError, StoreDamagedError
from hydra_sync.limits import DATA_BYTES_TARGET
from hydra_sync.ranges import SeqRange
from hydra_sync.store.cutting import Shortened, pending_cut
from hydra_sync.store.faults import translated
from hydra_sync.store.index import Mark
from hydra_sync.store.layout import LogPlace, segment_seqs
from hydra_sync.store.missing import load_index
from hydra_sync.store.scan import Damage, Placed, Walk
from hydra_sync.store.standing_file import read_standing

__all__ = ["Finding", "VerifyReport", "verify_log", "verify_segment"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: the events concerned, as far as known, the file, the byte, and what it is."""

    range: SeqRange
    file: Path
    offset: int
    reason: str


@dataclass(slots=True)
class VerifyReport:
    """What a check found. The log is sound if there is no ``damage``."""

    records: int = 0
    events: int = 0
    size: int = 0
    """Bytes of sound records."""
    signatures: int = 0
    """Signatures checked on the last records of runs."""
    first_seq: int = 0
    tip: Tip = EMPTY
    damage: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)
    """Torn tails: no harm done, and cut when the store is opened."""

    @property
    def is_sound(self) -> bool:
        return not self.damage


Progress = Callable[[int], None]


async def verify_log(disk: Disk, place: LogPlace, progress: Progress = lambda _: None) -> VerifyReport:
    """Check all segments of one log and its standing, the store being closed. ``progress`` gets the bytes done so far.

    If the end of the log was being taken out, the log is checked as it is when that is finished.

    Raises `StoreError` if a file cannot be read.
    """
    with translated(f"verifying {place.directory}"):
        cut, findings = await _small_files(disk, place)
        seqs = segment_seqs(await disk.list_dir(place.directory))
        if cut is not None:
            seqs = [seq for seq in seqs if seq < cut.tip.next_seq]
        report = VerifyReport(first_seq=seqs[0] if seqs else 0, damage=findings)
        tip = EMPTY if seqs[:1] == [0] else None
        check = _Check(place, report, progress)
        for at, first_seq in enumerate(seqs):
            is_last = at == len(seqs) - 1
            index = await load_index(disk, place, first_seq) if is_last else None
            mark = cut if is_last and cut is not None else index.mark if index else None
            await check.segment(
                disk, place.segment(first_seq), first_seq, tip, is_last=is_last, mark=mark, is_cut=mark is cut
            )
            tip = check.tip
        check.finish()
    return report


async def verify_segment(
    disk: Disk, place: LogPlace, path: Path, first_seq: int, progress: Progress = lambda _: None
) -> VerifyReport:
    """Check a single segment file, wherever it lies, whose first event is ``first_seq``. See `verify_log`."""
    with translated(f"verifying {path}"):
        report = VerifyReport(first_seq=first_seq)
        check = _Check(place, report, progress)
        await check.segment(disk, path, first_seq, EMPTY if first_seq == 0 else None, is_last=True, mark=None)
        check.finish()
    return report


async def _small_files(disk: Disk, place: LogPlace) -> tuple[Mark | None, list[Finding]]:
    """Where the log is to end, if it is being cut, and what is wrong with the files beside the segments."""
    cut: Mark | None = None
    findings: list[Finding] = []
    try:
        cut = await pending_cut(disk, place)
    except (StoreDamagedError, NewerFormatError) as error:
        findings.append(Finding(SeqRange(0, 0), place.cut, 0, str(error)))
    try:
        await read_standing(disk, place)
    except (StoreDamagedError, NewerFormatError) as error:
        findings.append(Finding(SeqRange(0, 0), place.standing, 0, str(error)))
    return cut, findings


class _Check:
    """The check of one log, segment by segment."""

    def __init__(self, place: LogPlace, report: VerifyReport, progress: Progress) -> None:
        self.tip: Tip | None = None
        """The end of what was checked; None behind damage."""
        self._place = place
        self._report = report
        self._progress = progress
        self._path = Path()
        self._run: list[Placed] = []
        self._run_bytes = 0
        self._unsigned: Finding | None = None

    async def segment(
        self,
        disk: Disk,
        path: Path,
        first_seq: int,
        tip: Tip | None,
        *,
        is_last: bool,
        mark: Mark | None,
        is_cut: bool = False,
    ) -> None:
        """Check the next segment, which stands on ``tip`` if that is known."""
        self._path, self.tip = path, tip
        if tip is not None and tip.next_seq != first_seq:
            # The seqs between are in no file.
            self._report.damage.append(
                Finding(
                    SeqRange(min(tip.next_seq, first_seq), max(tip.next_seq, first_seq)),
                    path,
                    0,
                    f"this segment begins with seq {first_seq}, the one before it ended with {tip.next_seq}",
                )
            )
            self.tip = None
        file = await disk.open(path, "read")
        if is_cut and mark is not None:
            file = Shortened(file, mark.offset)
        try:
            size = await file.size()
            walk = Walk(file, 0, size, seq=first_seq, tip=self.tip, signed=self._place.signed, open_ended=is_last)
            durable = mark.offset if mark else 0
            await self._walk(walk, first_seq, durable=durable, knows_mark=mark is not None, is_last=is_last)
            if mark is not None and self._report.tip.next_seq < mark.tip.next_seq:
                self._miss(mark)
        finally:
            file.close()

    async def _walk(self, walk: Walk, seq: int, *, durable: int, knows_mark: bool, is_last: bool) -> None:
        damage: Damage | None = None
        while (item := await walk.next()) is not None:
            if isinstance(item, Damage):
                damage = damage or item
                continue
            header = item.batch.header
            if damage is not None or header.first_seq > seq:
                self._found(SeqRange(seq, max(seq, header.first_seq)), damage or Damage(item.offset, item.offset, ""))
                damage = None
            seq = header.stop
            self._take(item)
        if damage is not None:
            is_torn = is_last and knows_mark and damage.start >= durable
            self._found(SeqRange(seq, seq), damage, is_torn=is_torn)
        self._end_run()

    def finish(self) -> None:
        """Records at the end of the log must be signed, too."""
        if self._unsigned is not None:
            self._report.damage.append(self._unsigned)

    def _take(self, placed: Placed) -> None:
        report, header = self._report, placed.batch.header
        report.records += 1
        report.events += header.count
        report.size += len(placed.batch.record)
        report.tip = self.tip = Tip.after(placed.batch)
        self._run.append(placed)
        self._run_bytes += len(placed.batch.record)
        if self._run_bytes >= DATA_BYTES_TARGET:
            self._end_run()

    def _end_run(self) -> None:
        # The chain leads from a valid signature to everything before it, back to the last damage.
        for at in range(len(self._run), 0, -1):
            self._report.signatures += 1
            if self._place.signed(self._run[at - 1].batch):
                self._unsigned = self._finding(self._run[at]) if at < len(self._run) else None
                break
        else:
            if self._run and self._unsigned is None:
                self._unsigned = self._finding(self._run[0])
        self._run, self._run_bytes = [], 0
        self._progress(self._report.size)

    def _finding(self, placed: Placed) -> Finding:
        return Finding(
            placed.batch.header.range, self._path, placed.offset, "no valid signature covers the records from here on"
        )

    def _found(self, missing: SeqRange, damage: Damage, *, is_torn: bool = False) -> None:
        self._end_run()
        self.finish()
        self._unsigned = None
        self.tip = None
        reason = damage.reason or "records are missing"
        finding = Finding(missing, self._path, damage.start, reason)
        (self._report.remarks if is_torn else self._report.damage).append(finding)

    def _miss(self, mark: Mark) -> None:
        if not self._report.damage:
            at = SeqRange(self._report.tip.next_seq, mark.tip.next_seq)
            reason = "the segment is shorter than what was once durable"
            self._report.damage.append(Finding(at, self._path, self._report.size, reason))
