"""Promises of `hydra_sync.store.log`: commits, reads, opening, damage, faults of the disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
import trio.testing

from hydra_sync.batch import seal_batch
from hydra_sync.chain import EMPTY, DivergedError, Tip
from hydra_sync.disk import RealDisk
from hydra_sync.errors import StoreError, StoreFullError, UnavailableError
from hydra_sync.limits import COMMIT_BYTES_MAX, EXTENT_BYTES_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.store.index import encode_index, parse_index
from hydra_sync.store.log import Log, open_log
from hydra_sync.store.verify import verify_log
from tests.store.crash_disk import MemoryDisk
from tests.store.worlds import ALICE, BOB, NETWORK, ROOT, event, place, read_all, run_of

SEGMENT = place().segment(0)


async def fresh() -> MemoryDisk:
    disk = MemoryDisk()
    for directory in (place().directory, place().quarantine):
        await disk.make_dir(directory)
    for directory in (*place().directory.parents, place().directory):
        await disk.sync_dir(directory)
    return disk


async def open_it(disk: MemoryDisk, commit_bytes: int = 0, *, read_only: bool = False, segment: int = 1 << 20) -> Log:
    return await open_log(disk, place(), commit_bytes=commit_bytes, segment_bytes=segment, read_only=read_only)


async def filled(count: int, *, close: bool = False, segment: int = 1 << 20, size: int = 40) -> MemoryDisk:
    """A disk with a log of ``count`` batches, each committed by itself; the process was killed, or closed."""
    disk = await fresh()
    log = await open_it(disk, segment=segment)
    for batch in run_of(ALICE, count, size=size):
        await log.commit([batch])
    if close:
        await log.flush()
    return disk


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def flip(disk: MemoryDisk, offset: int, path: Path = SEGMENT) -> None:
    disk.names[path].live[offset] ^= 1


async def test_a_commit_is_durable_and_visible_on_return() -> None:
    """The tip, readers and waiters see a commit when it is synced, and not before."""
    disk = await fresh()
    log = await open_it(disk, COMMIT_BYTES_MAX)
    seen: list[Tip] = []
    log.on_durable(seen.append)
    batches = run_of(ALICE, 3)
    disk.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.commit, batches)
        await trio.testing.wait_all_tasks_blocked()
        assert log.tip.next_seq == 0
        assert not seen
        assert await log.read(0, 3, 1000) == []
        nursery.cancel_scope.cancel()  # what was begun is finished all the same
        disk.gate.set()
    assert log.tip == Tip.after(batches[-1])
    assert seen == [log.tip]
    assert (await log.wait_past(2)).next_seq == 3
    data = b"".join(batch.record for batch in batches)
    assert disk.names[SEGMENT].durable.startswith(data)


async def test_a_commit_must_follow_the_tip() -> None:
    """What does not chain on the tip is refused before anything is written."""
    log = await open_it(await fresh())
    with pytest.raises(DivergedError):
        await log.commit(run_of(ALICE, 2)[1:])
    assert log.tip.next_seq == 0


@pytest.mark.parametrize("segment", [500, 3000, 1 << 20])
async def test_reads_give_whole_batches_from_the_one_that_holds_the_start(segment: int) -> None:
    """Every start and limit: the first batch holds the start, they chain, the limit holds but for one batch."""
    batches = []
    tip = Tip(0, 0, bytes(32))
    for count in (1, 3, 2, 1, 5, 1, 1):
        events = [event(tip.next_seq + at) for at in range(count)]
        batches.append(
            seal_batch(ALICE, NETWORK, events, epoch=0, first_seq=tip.next_seq, time_us=0, prev_hash=tip.hash)
        )
        tip = Tip.after(batches[-1])
    disk = await fresh()
    log = await open_it(disk, segment=segment)
    for batch in batches:
        await log.commit([batch])
    for reader in (log, await open_it(disk, segment=segment), await open_it(disk, read_only=True)):
        for start in range(tip.next_seq):
            for bytes_max in (1, 600, 1 << 20):
                got = await reader.read(start, tip.next_seq, bytes_max)
                at = batches.index(got[0])
                assert got == batches[at : at + len(got)]
                assert start in got[0].header.range
                assert len(got) == 1 or sum(len(batch.record) for batch in got) <= bytes_max
        assert await reader.read(tip.next_seq, tip.next_seq + 9, 100) == []
        assert [b.header.first_seq for b in await reader.read(0, 1, 1 << 20)] == [0]


async def test_a_sealed_segment_is_nothing_but_records() -> None:
    """Sealing gives back the preallocated zeros."""
    disk = await filled(20, segment=2000)
    sealed = sorted(path for path in disk.names if path.suffix == ".log")[:-1]
    batches = run_of(ALICE, 20)
    assert len(sealed) == 2
    data = b"".join(bytes(disk.names[path].live) for path in sealed)
    assert b"".join(batch.record for batch in batches).startswith(data)


@pytest.mark.parametrize("known", [True, False])
async def test_a_torn_tail_of_any_length_is_cut_and_saved(known: bool) -> None:
    """However much of the last record is missing, the records before it stay, and what was there is kept."""
    batches = run_of(ALICE, 4)
    start, whole = sum(len(b.record) for b in batches[:3]), len(batches[3].record)
    for length in range(whole):
        disk = await filled(3, close=known)
        disk.names[SEGMENT].live[start : start + length] = batches[3].record[:length]
        log = await open_it(disk)
        assert log.tip == Tip.after(batches[2])
        assert not log.holes
        torn = batches[3].record[:length].rstrip(b"\0")
        saved = [bytes(inode.live) for path, inode in disk.names.items() if path.suffix == ".bin"]
        assert saved == ([torn] if torn else [])
        assert [cut.size for cut in log.report.cuts] == [len(data) for data in saved]
        assert not any(disk.names[SEGMENT].durable[start:])
        await log.commit(batches[3:])
        assert (await open_it(disk)).tip == Tip.after(batches[3])


async def test_damage_before_a_later_commit_is_rot() -> None:
    """Any flipped byte before the last record leaves the rest in place: the range is a hole, the tip stays."""
    batches = run_of(ALICE, 4)
    ends = [sum(len(b.record) for b in batches[: at + 1]) for at in range(4)]
    for offset in range(ends[2]):
        hurt = next(at for at in range(4) if offset < ends[at])
        disk = await filled(4)
        flip(disk, offset)
        log = await open_it(disk)
        assert log.tip == Tip.after(batches[3])
        assert log.holes == (SeqRange(hurt, hurt + 1),), offset
        assert not log.report.cuts
        for seq in range(4):
            if seq == hurt:
                with pytest.raises(UnavailableError, match=rf"{ALICE.member.hex()}.*\[{seq}, {seq + 1}\)"):
                    await log.read(seq, 4, 1000)
            else:
                assert (await log.read(seq, 4, 1))[0] == batches[seq]


async def test_damage_below_the_mark_is_found_by_reading_and_remembered() -> None:
    """Any flipped byte in what was durable at the last close: a hole, never a cut, and the next opening knows."""
    batches = run_of(ALICE, 4)
    size = sum(len(b.record) for b in batches)
    for offset in range(size):
        disk = await filled(4, close=True)
        flip(disk, offset)
        log = await open_it(disk)
        assert log.tip == Tip.after(batches[3])
        with pytest.raises(UnavailableError):
            await read_all(log)
        hurt = log.holes
        assert [hole.count for hole in hurt] == [1]
        assert not log.report.cuts
        await log.flush()
        assert (await open_it(disk)).holes == hurt


async def test_where_batches_end_and_what_lies_round_some_seqs() -> None:
    """The last end at or before a seq, and below damage; and the run from the batch before to a signed one.

    Where the disk fails it is not known where that is: it need not be the beginning.
    """
    disk = await filled(4)
    log = await open_it(disk)
    batches = run_of(ALICE, 4)
    stops = [batch.header.stop for batch in batches]
    for seq in range(stops[-1] + 1):
        ends = [Tip.after(batch) for batch in batches if batch.header.stop <= seq]
        assert await log.tip_at(seq) == (ends[-1] if ends else EMPTY)
    second = batches[1].header
    assert await log.run_round(second.range) == batches[:2]
    assert await log.run_round(SeqRange(second.first_seq, stops[-1] + 5)) == batches
    assert await log.run_round(SeqRange(stops[-1] + 5, stops[-1] + 6)) == []
    other = await filled(4)
    flip(other, len(batches[0].record) + 60)
    log = await open_it(other)
    assert await log.run_round(SeqRange(0, stops[-1])) == []
    assert await log.tip_at(stops[1]) == Tip.after(batches[0])
    other.fault = fail_reading
    for seq in (1, stops[1], stops[2]):
        with pytest.raises(UnavailableError, match="cannot be read"):
            await log.tip_at(seq)
    assert await log.tip_at(0) == EMPTY


def fail_reading(name: str, path: Path) -> None:
    if name == "read_at":
        raise OSError(errno.EIO, "no")


async def test_reading_returns_what_is_good_before_damage() -> None:
    """Batches before the damage are returned; the next read says what is missing; behind it reads go on."""
    disk = await filled(6, close=True)
    log = await open_it(disk)
    batches = run_of(ALICE, 6)
    flip(disk, sum(len(b.record) for b in batches[:3]) + 60)
    assert await log.read(0, 6, 1 << 20) == batches[:3]
    assert log.holes == (SeqRange(3, 4),)
    with pytest.raises(UnavailableError):
        await log.read(3, 6, 1 << 20)
    assert await log.read(4, 6, 1 << 20) == batches[4:]


async def test_damage_is_told_when_it_is_found() -> None:
    """Once for what a read finds, and not again for what is known."""
    disk = await filled(6, close=True)
    log = await open_it(disk)
    told: list[tuple[SeqRange, ...]] = []
    log.on_damage(lambda: told.append(log.holes))
    flip(disk, sum(len(b.record) for b in run_of(ALICE, 3)) + 60)
    await log.read(0, 6, 1 << 20)
    assert told == [(SeqRange(3, 4),)]
    with pytest.raises(UnavailableError):
        await log.read(3, 6, 1 << 20)
    assert len(told) == 1


async def test_a_segment_without_its_end_keeps_the_tip() -> None:
    """A file shorter than it once was: said in the report, the lost range is a hole, and no seq is used twice."""
    disk = await filled(4, close=True)
    batches = run_of(ALICE, 5)
    del disk.names[SEGMENT].live[len(batches[0].record) + 7 :]
    log = await open_it(disk)
    assert log.report.short_of == Tip.after(batches[3]) == log.tip
    assert log.holes == (SeqRange(1, 4),)
    await log.commit(batches[4:])
    assert await log.read(4, 5, 100) == batches[4:]
    assert await log.read(0, 5, 1) == batches[:1]


@pytest.mark.parametrize("far", [False, True])
async def test_a_replica_takes_damage_within_one_commit_for_a_torn_tail(far: bool) -> None:
    """Records less than one commit behind bad bytes may be of the same torn commit; farther ones are not."""
    batches = run_of(ALICE, 4)
    sizes = [len(b.record) for b in batches]
    disk = await fresh()
    log = await open_it(disk, COMMIT_BYTES_MAX)
    await log.commit(batches)
    flip(disk, sizes[0] + 50)
    reopened = await open_it(disk, sizes[1] if far else sizes[1] + sizes[2] + 1)
    if far:
        assert reopened.tip == Tip.after(batches[3])
        assert reopened.holes == (SeqRange(1, 2),)
    else:
        assert reopened.tip == Tip.after(batches[0])
        assert [cut.size for cut in reopened.report.cuts] == [sum(sizes[1:])]


@pytest.mark.parametrize("signed", [1, 2, 3, 4])
async def test_a_tail_without_its_authors_signature_is_cut_back(signed: int) -> None:
    """The log ends at a record that its author signed, so that it can be handed on."""
    batches = run_of(ALICE, 4, signed=[at == signed - 1 for at in range(4)])
    disk = await fresh()
    log = await open_it(disk, COMMIT_BYTES_MAX)
    await log.commit(batches)
    reopened = await open_it(disk, COMMIT_BYTES_MAX)
    assert reopened.tip == Tip.after(batches[signed - 1])
    assert len(reopened.report.cuts) == (signed < 4)
    assert await read_all(reopened) == [event(seq) for seq in range(signed)]


async def test_an_event_that_holds_a_record_does_not_pass_for_one() -> None:
    """A torn record whose event is itself a signed record of this log is a torn tail like any other."""
    first = run_of(ALICE, 1)[0]
    outer = seal_batch(ALICE, NETWORK, [first.record], epoch=0, first_seq=1, time_us=0, prev_hash=first.hash)
    disk = await filled(1)
    at = len(first.record)
    disk.names[SEGMENT].live[at : at + len(outer.record)] = bytes(10) + outer.record[10:]
    log = await open_it(disk)
    assert log.tip == Tip.after(first)
    assert len(log.report.cuts) == 1


async def test_an_event_that_holds_a_later_record_does_not_pass_for_one() -> None:
    """Nor does a record that somebody else made up to look like the next one."""
    first = run_of(ALICE, 1)[0]
    later = b"".join(batch.record for batch in run_of(BOB, 2, tip=Tip(0, 3, bytes(32))))
    outer = seal_batch(ALICE, NETWORK, [later], epoch=0, first_seq=1, time_us=0, prev_hash=first.hash)
    disk = await filled(1)
    at = len(first.record)
    disk.names[SEGMENT].live[at : at + len(outer.record)] = bytes(10) + outer.record[10:]
    log = await open_it(disk)
    assert log.tip == Tip.after(first)
    assert not log.holes


async def test_an_index_that_points_elsewhere_is_made_again() -> None:
    """A well-formed index whose positions are wrong costs time, and no event is called damaged."""
    disk = await filled(400, close=True, size=1000, segment=300_000)
    index = parse_index(bytes(disk.names[place().index(0)].live), ALICE.member, 0)
    for at in range(1, len(index._offsets)):
        index._offsets[at] -= 5
    disk.names[place().index(0)].live[:] = encode_index(index, ALICE.member)
    log = await open_it(disk, segment=300_000)
    assert len(index._offsets) > 3
    assert (await log.read(index._seqs[2], 400, 1))[0].header.first_seq == index._seqs[2]
    assert await read_all(log, bytes_max=1 << 16) == [event(seq, 1000) for seq in range(400)]
    assert not log.holes


@pytest.mark.parametrize("harm", ["missing", "garbage", "stale", "wrong"])
async def test_any_index_gives_the_same_log(harm: str) -> None:
    """The index is a cache: without it, or with a wrong one, everything is found all the same."""
    disk = await filled(40, close=True, segment=3000, size=300)
    indexes = sorted(path for path in disk.names if path.suffix == ".idx")
    for path in indexes:
        if harm == "missing":
            await disk.remove(path)
        elif harm == "garbage":
            disk.names[path].live[40] ^= 1
        elif harm == "wrong":
            disk.names[path] = disk.names[indexes[0]]
    log = await open_it(disk, segment=3000)
    if harm == "stale":
        for batch in run_of(ALICE, 3, tip=log.tip, size=300):
            await log.commit([batch])
        log = await open_it(disk, segment=3000)
    assert await read_all(log) == [event(seq, 300) for seq in range(log.tip.next_seq)]
    assert not log.holes
    assert log.tip.next_seq == (43 if harm == "stale" else 40)


async def test_opening_a_large_log_reads_little() -> None:
    """Opening reads from the mark on, not the log: here less than an extent and some of 32 MiB."""
    disk = await fresh()
    log = await open_it(disk, segment=8 << 20)
    tip = log.tip
    for _ in range(32):
        run = run_of(ALICE, 1, tip=tip, size=1_000_000)
        await log.commit(run)
        tip = log.tip
    disk.bytes_read = 0
    assert (await open_it(disk, segment=8 << 20)).tip == tip
    assert disk.bytes_read < EXTENT_BYTES_MAX + (6 << 20)


async def test_a_failed_sync_poisons_the_log() -> None:
    """After a failed sync nothing is appended any more, nothing unsynced is shown, and reads go on; opening heals."""
    disk = await filled(2)
    log = await open_it(disk)
    batches = run_of(ALICE, 4)

    def fail(name: str, path: Path) -> None:
        if name == "sync":
            raise OSError(errno.EIO, "input/output error")

    disk.fault = fail
    with pytest.raises(StoreError, match="restart the node"):
        await log.commit(batches[2:3])
    disk.fault = lambda name, path: None
    syncs = disk.syncs
    with pytest.raises(StoreError, match="restart the node"):
        await log.commit(batches[2:3])
    await log.flush()
    assert disk.syncs == syncs
    assert log.tip.next_seq == 2
    assert await log.read(0, 9, 1000) == batches[:2]
    assert (await open_it(disk)).tip.next_seq == 3


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
async def test_a_failed_write(code: int) -> None:
    """A full disk refuses the commit, whichever operation finds it, and later ones work; another error poisons."""
    batches = run_of(ALICE, 30, size=500)
    for nth in range(1, 60):
        disk = await fresh()
        log = await open_it(disk, segment=4000)
        left = nth

        def fail(name: str, path: Path, code: int = code) -> None:
            nonlocal left
            if name in ("write_at", "open") and path.suffix == ".log":
                left -= 1
                if left == 0:
                    raise OSError(code, "no")

        disk.fault = fail
        failed = 0
        for batch in batches:
            try:
                await log.commit([batch])
            except StoreFullError:
                failed += 1
                assert code == errno.ENOSPC
                assert log.tip.next_seq == batch.header.first_seq
                await log.commit([batch])
            except StoreError:
                assert code == errno.EIO
                assert log.failure
                break
        assert failed <= 1
        disk.fault = lambda name, path: None
        assert await read_all(log) == [event(seq, 500) for seq in range(log.tip.next_seq)]
        if code == errno.ENOSPC:
            assert log.tip.next_seq == 30
            assert (await verify_log(disk, place())).is_sound


@pytest.mark.parametrize(("code", "cause"), [(errno.EMFILE, "this process has too many"), (errno.ENFILE, "machine")])
@pytest.mark.parametrize("operation", ["open", "sync_dir"])
async def test_too_many_open_files_refuse_one_commit(operation: str, code: int, cause: str) -> None:
    """Whatever finds no file to be had leaves the log as it was, and says what it was; later commits work."""
    batches = run_of(ALICE, 30, size=500)
    said: list[str] = []
    for nth in range(1, 30):
        disk = await fresh()
        log = await open_it(disk, segment=4000)
        left = nth

        def fail(name: str, path: Path) -> None:
            nonlocal left
            if name == operation:
                left -= 1
                if left == 0:
                    raise OSError(code, "too many files")

        disk.fault = fail
        for batch in batches:
            try:
                await log.commit([batch])
            except StoreFullError as error:
                said.append(str(error))
                # A smaller one may still fit into the segment before.
                await log.commit(run_of(ALICE, 1, tip=log.tip, size=8))
                break
        disk.fault = lambda name, path: None
        assert log.failure is None
        for batch in run_of(ALICE, 20, tip=log.tip, size=500):
            await log.commit([batch])
        again = await open_it(disk, segment=4000)
        assert again.tip == log.tip
        assert not again.holes
        assert (await verify_log(disk, place())).is_sound
    assert len(said) > 1
    assert all(cause in text for text in said)


async def test_a_nearly_full_disk_is_used_up() -> None:
    """Where no whole extent fits, what does fit is used; then the commit is refused, and later ones work."""
    disk = await fresh()
    log = await open_it(disk)
    disk.file_bytes_max = 100_000
    used = 0
    for batch in run_of(ALICE, 200, size=1000):
        used += len(batch.record)
        try:
            await log.commit([batch])
        except StoreFullError:
            assert used - len(batch.record) <= 100_000 < used
            disk.file_bytes_max = 1 << 30
            await log.commit([batch])
    assert disk.file_bytes_max == 1 << 30
    assert (await open_it(disk)).tip.next_seq == 200


async def test_a_reader_beside_a_writer_sees_what_is_appended(tmp_path: Path) -> None:
    """A read-only log follows a writer over the ends of segments, changes nothing, and shows only what is durable."""
    disk = RealDisk()
    here = place(tmp_path)
    await disk.make_dir(here.directory)
    await disk.make_dir(here.quarantine)
    log = await open_log(disk, here, commit_bytes=0, segment_bytes=2000)
    reader = await open_log(disk, here, commit_bytes=0, read_only=True)
    assert not await reader.refresh()
    for batch in run_of(ALICE, 40):
        await log.commit([batch])
        if batch.header.first_seq % 7 == 3:
            before = contents(tmp_path)
            assert await reader.refresh()
            assert not await reader.refresh()
            assert reader.tip == log.tip
            assert before == contents(tmp_path)
    late = await open_log(disk, here, commit_bytes=0, read_only=True)
    assert await reader.refresh()
    for other in (reader, late):
        assert await read_all(other) == [event(seq) for seq in range(40)]
    log.close()


async def test_a_reader_takes_a_record_under_way_for_the_end() -> None:
    """Bad bytes at the end are nothing yet to a read-only log; it shows them when they are a record."""
    disk = await filled(2)
    batch = run_of(ALICE, 3)[2]
    at = sum(len(b.record) for b in run_of(ALICE, 2))
    live = disk.names[SEGMENT].live
    live[at : at + 100] = batch.record[:100]
    reader = await open_it(disk, read_only=True)
    assert reader.tip.next_seq == 2
    assert not await reader.refresh()
    live[at : at + len(batch.record)] = batch.record
    syncs = disk.syncs
    assert await reader.refresh()
    assert disk.syncs > syncs
    assert reader.tip.next_seq == 3
    assert ROOT / "quarantine" in disk.dirs
    assert not any(path.suffix == ".bin" for path in disk.names)
