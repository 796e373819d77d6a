"""Promises of `hydra_sync.store.verify`: no flipped byte goes unseen."""

from __future__ import annotations

import pytest

from hydra_sync.batch import parse_batches
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.limits import COMMIT_BYTES_MAX
from hydra_sync.store import Standing, write_standing
from hydra_sync.store.cutting import begin_cut
from hydra_sync.store.index import Mark
from hydra_sync.store.log import open_log
from hydra_sync.store.verify import verify_log, verify_segment
from tests.store.crash_disk import MemoryDisk
from tests.store.worlds import ALICE, place, run_of


async def a_log(signed: list[bool], segment: int = 700) -> MemoryDisk:
    disk = MemoryDisk()
    await disk.make_dir(place().directory)
    await disk.make_dir(place().quarantine)
    log = await open_log(disk, place(), commit_bytes=COMMIT_BYTES_MAX, segment_bytes=segment)
    batches = run_of(ALICE, len(signed), signed=signed)
    while batches:  # a commit ends with a signature, if there is one
        size = signed.index(True, len(signed) - len(batches)) + 1 - len(signed) + len(batches) if signed[-1] else 1
        await log.commit(batches[:size])
        del batches[:size]
    await log.flush()
    return disk


async def test_a_sound_log_is_sound() -> None:
    """All is counted, and the tip is the log's."""
    disk = await a_log([True] * 8)
    progress: list[int] = []
    report = await verify_log(disk, place(), progress.append)
    assert report.is_sound
    assert not report.remarks
    assert (report.records, report.events, report.tip.next_seq) == (8, 8, 8)
    assert progress[-1] == report.size
    assert report.signatures < 8


@pytest.mark.parametrize("signed", [[True] * 7, [False, False, True, False, False, False, True]])
async def test_every_flipped_byte_is_found(signed: list[bool]) -> None:
    """In any record of any segment, signed by itself or not, with its file and a byte at or before it."""
    disk = await a_log(signed)
    segments = sorted(path for path in disk.names if path.suffix == ".log")
    assert len(segments) > 1
    for path in segments:
        live = disk.names[path].live
        for offset in range(len(bytes(live).rstrip(b"\0"))):
            live[offset] ^= 4
            report = await verify_log(disk, place())
            assert report.damage, (path.name, offset)
            assert any(found.file == path and found.offset <= offset for found in report.damage)
            live[offset] ^= 4
    assert (await verify_log(disk, place())).is_sound


async def test_bytes_in_the_unused_tail_are_only_remarked() -> None:
    """What a crash may leave behind the durable end is no damage."""
    disk = await a_log([True] * 3, segment=1 << 20)
    live = disk.names[place().segment(0)].live
    for offset in range(len(bytes(live).rstrip(b"\0")), len(live), 4099):
        live[offset] = 1
        report = await verify_log(disk, place())
        assert report.is_sound
        assert len(report.remarks) == 1
        live[offset] = 0


async def test_missing_records_are_found() -> None:
    """A lost segment, a shortened one, and an unsigned end."""
    disk = await a_log([True] * 8)
    segments = sorted(path for path in disk.names if path.suffix == ".log")
    last = disk.names[segments[-1]]
    kept = disk.names.pop(segments[1])
    assert not (await verify_log(disk, place())).is_sound
    disk.names[segments[1]] = kept
    whole, last.live = last.live, last.live[:100]
    assert not (await verify_log(disk, place())).is_sound
    last.live = bytearray(len(whole))
    assert not (await verify_log(disk, place())).is_sound
    last.live = whole
    assert (await verify_log(disk, place())).is_sound
    unsigned = await a_log([True, True, False], segment=1 << 20)
    assert not (await verify_log(unsigned, place())).is_sound


async def test_a_single_segment_can_be_checked() -> None:
    """Without the rest of its log, wherever the file lies."""
    disk = await a_log([True] * 8)
    path = sorted(path for path in disk.names if path.suffix == ".log")[1]
    first = next(parse_batches(bytes(disk.names[path].live))).header.first_seq
    report = await verify_segment(disk, place(), path, first)
    assert report.is_sound
    assert report.first_seq == first > 0
    disk.names[path].live[-1] ^= 1
    assert not (await verify_segment(disk, place(), path, first)).is_sound


async def test_a_log_of_several_epochs_with_what_lies_beside_it_is_sound() -> None:
    """A standing, a branch that was left, and a cut that was not finished are no damage; damage to them is."""
    disk = await a_log([True] * 8)
    log = await open_log(disk, place(), commit_bytes=COMMIT_BYTES_MAX, segment_bytes=700)
    before = (await log.read(4, 5, 1))[0]
    await log.rebranch(5, run_of(ALICE, 4, tip=Tip(3, 5, before.hash)))
    await write_standing(disk, place(), Standing(3, b"s" * 16))
    report = await verify_log(disk, place())
    assert report.is_sound
    assert not report.remarks
    assert (report.events, report.tip) == (9, log.tip)
    first = (await log.read(0, 1, 1))[0]
    for end, events in ((Mark(len(first.record), Tip.after(first)), 1), (Mark(0, EMPTY), 0)):
        await begin_cut(disk, place(), end)
        report = await verify_log(disk, place())
        assert report.is_sound
        assert not report.remarks
        assert (report.events, report.tip) == (events, end.tip)
    for path in (place().cut, place().standing):
        data = disk.names[path].live
        for offset in range(len(data)):
            data[offset] ^= 4
            assert any(found.file == path for found in (await verify_log(disk, place())).damage)
            data[offset] ^= 4
    assert (await verify_log(disk, place())).is_sound
