"""Promises of `hydra_sync.store.missing`: no segment file goes missing without a word, or a fork."""

from __future__ import annotations

import pytest

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.errors import UnavailableError
from hydra_sync.ranges import SeqRange
from hydra_sync.store.layout import index_seqs, segment_seqs
from hydra_sync.store.log import Log, open_log
from tests.store.crash_disk import MemoryDisk
from tests.store.worlds import ALICE, place, run_of

COUNT = 40


async def open_it(disk: MemoryDisk, *, read_only: bool = False) -> Log:
    return await open_log(disk, place(), commit_bytes=0, segment_bytes=3000, read_only=read_only)


async def filled() -> tuple[MemoryDisk, list[int]]:
    """A disk with a closed log of several segments, and their first seqs."""
    disk = MemoryDisk()
    for directory in (place().directory, place().quarantine):
        await disk.make_dir(directory)
    log = await open_it(disk)
    for batch in run_of(ALICE, COUNT, size=300):
        await log.commit([batch])
    await log.flush()
    log.close()
    seqs = segment_seqs(path.name for path in disk.names)
    assert len(seqs) > 3
    return disk, seqs


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_a_log_whose_last_segments_are_gone_keeps_its_tip(kept: int) -> None:
    """Where an index is left, the log ends where that says, with a hole, a warning, and no seq used twice."""
    disk, seqs = await filled()
    for seq in seqs[kept:]:
        await disk.remove(place().segment(seq))
    tip = Tip.after(run_of(ALICE, COUNT, size=300)[-1])
    lost = SeqRange(seqs[kept], COUNT)
    before = {path: bytes(inode.live) for path, inode in disk.names.items()}
    reader = await open_it(disk, read_only=True)
    assert before == {path: bytes(inode.live) for path, inode in disk.names.items()}
    for log in (reader, await open_it(disk)):
        assert log.tip == tip == log.report.short_of
        assert log.holes == (lost,)
        assert log.first_seq == 0
        assert any("its end is damaged or gone" in line for line in log.warnings("alice"))
        for seq in (lost.start, lost.stop - 1):
            with pytest.raises(UnavailableError):
                await log.read(seq, COUNT, 1000)
    assert not await reader.refresh()
    more = run_of(ALICE, 20, tip=tip, size=300)
    for batch in more:
        await log.commit([batch])
    assert await reader.refresh()
    await log.flush()
    for again in (log, await open_it(disk)):
        assert again.holes == (lost,)
        assert again.tip == Tip.after(more[-1]) == reader.tip
        assert (await again.read(COUNT, COUNT + 1, 1000)) == more[:1]


@pytest.mark.parametrize("index_too", [True, False])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_hole_is_seen_where_a_segment_is_gone(at: int, index_too: bool) -> None:
    """The first segment or one in the middle, with its index or without: a hole and a warning at opening."""
    disk, seqs = await filled()
    await disk.remove(place().segment(seqs[at]))
    if index_too:
        await disk.remove(place().index(seqs[at]))
    lost = SeqRange(seqs[at], seqs[at + 1])
    for read_only in (True, False, False):
        log = await open_it(disk, read_only=read_only)
        assert log.holes == (lost,) == log.report.gone
        assert log.first_seq == 0
        assert log.tip.next_seq == COUNT
        assert any(f"a segment file is gone from the disk, it held events {lost}" in w for w in log.warnings("alice"))
        with pytest.raises(UnavailableError):
            await log.read(lost.start, COUNT, 1000)
        assert (await log.read(lost.stop, COUNT, 1))[0].header.first_seq == lost.stop
        await log.flush()


async def test_an_index_older_than_its_sealed_segment_is_no_gap() -> None:
    """A disk that was full when the segment was sealed has left the index of before; the records are there."""
    disk, seqs = await filled()
    log = await open_it(disk)
    old = bytes(disk.names[place().index(seqs[-1])].live)
    for batch in run_of(ALICE, 20, tip=log.tip, size=300):
        await log.commit([batch])
    await log.flush()
    disk.names[place().index(seqs[-1])].live[:] = old
    log = await open_it(disk)
    assert not log.holes
    assert not log.report.gone


async def test_a_segment_gone_before_one_just_begun_is_still_missed() -> None:
    """Behind the lost segment there is an empty one: the tip is that of the lost one's index all the same."""
    disk, seqs = await filled()
    await disk.remove(place().segment(seqs[-1]))
    (await disk.open(place().segment(COUNT), "create")).close()
    log = await open_it(disk)
    assert log.tip.next_seq == COUNT
    assert log.holes == (SeqRange(seqs[-1], COUNT),)


async def test_a_damaged_index_alone_says_nothing() -> None:
    """What cannot be read as an index of this log is no sign of a lost segment."""
    disk, seqs = await filled()
    for seq in seqs:
        await disk.remove(place().segment(seq))
        disk.names[place().index(seq)].live[40] ^= 1
    for read_only in (True, False):
        log = await open_it(disk, read_only=read_only)
        assert log.tip == EMPTY
        assert not log.holes
    assert index_seqs(path.name for path in disk.names) == seqs
