"""Promises of `Log.rebranch`: a log leaves its branch whole or not at all, and what it left stays readable."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from hydra_sync.batch import GENESIS_HASH, Batch, parse_batches, seal_batch
from hydra_sync.chain import EMPTY, DivergedError, Tip, link
from hydra_sync.errors import StoreError, StoreFullError, UnavailableError
from hydra_sync.limits import COMMIT_BYTES_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Log, verify_log
from hydra_sync.store.log import open_log
from tests.currently import currently
from tests.store.crash_disk import MemoryDisk
from tests.store.crashes import Died, die_at
from tests.store.worlds import ALICE, NETWORK, place, run_of

COUNT = 12
SEGMENT = 1500  # four records or so
OLD = run_of(ALICE, COUNT, size=300)


def tip_at(batches: Sequence[Batch], seq: int) -> Tip:
    return Tip.after(batches[seq - 1]) if seq else EMPTY


def branch(at: int, count: int, *, epoch: int = 1, size: int = 250) -> list[Batch]:
    """Batches of another epoch, on top of the old ones below ``at``."""
    before = tip_at(OLD, at)
    return run_of(ALICE, count, tip=Tip(epoch, before.next_seq, before.hash), size=size)


async def fresh() -> MemoryDisk:
    disk = MemoryDisk()
    for directory in (place().directory, place().quarantine):
        await disk.make_dir(directory)
    for directory in (*place().directory.parents, place().directory):
        await disk.sync_dir(directory)
    return disk


async def open_it(disk: MemoryDisk, *, read_only: bool = False, commit_bytes: int = COMMIT_BYTES_MAX) -> Log:
    return await open_log(disk, place(), commit_bytes=commit_bytes, segment_bytes=SEGMENT, read_only=read_only)


async def filled(*, indexed: bool = True) -> tuple[MemoryDisk, Log]:
    disk = await fresh()
    log = await open_it(disk)
    for batch in OLD:
        await log.commit([batch])
    if not indexed:
        for path in [path for path in disk.names if path.suffix == ".idx"]:
            await disk.remove(path)
        log = await open_it(disk)
        for path in [path for path in disk.names if path.suffix == ".idx"]:
            await disk.remove(path)
    return disk, log


async def contents(log: Log) -> list[Batch]:
    found: list[Batch] = []
    tip = EMPTY
    while tip.next_seq < log.tip.next_seq:
        for batch in await log.read(tip.next_seq, log.tip.next_seq, 700):
            tip = link(tip, batch)
            found.append(batch)
    assert tip == log.tip
    return found


def orphans_kept(disk: MemoryDisk) -> list[tuple[list[Batch], str]]:
    """The branches in the quarantine, with the reasons; torn tails may lie there, too."""
    kept = sorted(path for path in disk.names if path.parent == place().quarantine and path.suffix == ".txt")
    reasons = [(path, disk.names[path].live.decode()) for path in kept]
    return [
        (list(parse_batches(bytes(disk.names[path.with_suffix(".bin")].live))), reason)
        for path, reason in reasons
        if "orphaned" in reason and path.with_suffix(".bin") in disk.names
    ]


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("count", [0, 1, 6])
async def test_another_branch_takes_the_place_of_the_end(count: int, indexed: bool) -> None:
    """At every boundary of a log of several segments: contents, tip, caches, callbacks, quarantine, indexes."""
    for at in range(COUNT + 1):
        disk, log = await filled(indexed=indexed)
        reader = await open_it(disk, read_only=True)
        told: list[object] = []
        log.on_durable(told.append)
        log.on_orphaned(told.append)
        new = branch(at, count)
        orphans = SeqRange(at, COUNT)
        assert await log.rebranch(at, new) == orphans
        tip = Tip.after(new[-1]) if new else tip_at(OLD, at)
        assert log.tip == tip
        if at < COUNT:
            assert told == [orphans, tip]
            ((kept, why),) = orphans_kept(disk)
            assert kept == OLD[at:]
            assert (f"orphaned: epoch 1 took over at seq {at}" if new else f"given up from seq {at}") in why
        else:
            assert told == [tip] * bool(new)
            assert orphans_kept(disk) == []
        assert place().cut not in disk.names
        assert place().cut not in disk.durable_names
        more = run_of(ALICE, 9, tip=Tip(1, log.tip.next_seq, log.tip.hash), size=300)
        seen_by_others = [log, await open_it(disk, read_only=True)]
        if tip != tip_at(OLD, COUNT):
            assert await reader.refresh()
            seen_by_others.append(reader)
        for other in seen_by_others:
            assert await contents(other) == OLD[:at] + new
            assert not other.holes
        for batch in more:
            await log.commit([batch])
        assert await reader.refresh()
        for other in (log, reader, await open_it(disk, read_only=True), await open_it(disk)):
            assert await contents(other) == OLD[:at] + new + more
            assert not other.holes
            assert not other.report.cuts
            assert other.report.short_of is None
        report = await verify_log(disk, place())
        assert report.is_sound, report.damage
        assert not report.remarks


@pytest.mark.parametrize("kept", range(COUNT + 1))
async def test_what_is_here_already_is_not_left(kept: int) -> None:
    """However far below the parting the new branch was fetched: only what really ends is an orphan, and kept as one."""
    for at in range(kept + 1):
        disk, log = await filled()
        told: list[object] = []
        log.on_durable(told.append)
        log.on_orphaned(told.append)
        new = OLD[at:kept] + branch(kept, 3)
        orphans = SeqRange(kept, COUNT)
        assert await log.rebranch(at, new) == orphans
        assert told == [*[orphans] * bool(orphans.count), Tip.after(new[-1])]
        assert [batches for batches, _ in orphans_kept(disk)] == [OLD[kept:]] * bool(orphans.count)
        for other in (log, await open_it(disk)):
            assert await contents(other) == OLD[:kept] + branch(kept, 3)


async def test_batches_that_are_all_here_are_no_other_branch() -> None:
    """Nothing is left for them, and what follows stays; it is told anew where the log ends."""
    for at in range(COUNT):
        disk, log = await filled()
        told: list[object] = []
        log.on_durable(told.append)
        log.on_orphaned(told.append)
        assert (await log.rebranch(at, OLD[at : at + 3])).count == 0
        assert told == [tip_at(OLD, COUNT)]
        assert orphans_kept(disk) == []
        assert await contents(log) == OLD


@pytest.mark.parametrize(("at", "count"), [(0, 6), (3, 6), (5, 1), (5, 6), (11, 6), (0, 0), (5, 0)])
async def test_a_crash_anywhere_leaves_one_of_three_logs(at: int, count: int) -> None:
    """Die in each disk operation, lose power or not: the old branch, the common prefix, or the new branch, maybe
    torn like any commit; no damage, nothing short; and the log goes on from there."""
    new = branch(at, count)
    for seed in range(3):
        for nth in range(1, 300):
            disk, log = await filled()
            await disk.sync_dir(place().directory)
            die_at(disk, nth)
            done = False
            try:
                await log.rebranch(at, new)
                done = True
            except Died:
                pass
            disk.fault = lambda name, path: None
            disk.crash(Random(seed)) if seed else disk.kill()
            where = (at, seed, nth)
            looked = await open_it(disk, read_only=True)
            assert not looked.holes, where
            seen = await contents(looked)
            if nth % 4 == 0:
                report = await verify_log(disk, place())
                assert report.is_sound, (where, report.damage)
            log = await open_it(disk)
            found = await contents(log)
            assert seen == found, where
            assert found == OLD or (found[:at], found[at:]) == (OLD[:at], new[: len(found) - at]), where
            assert not done or found == OLD[:at] + new
            assert not log.holes, where
            assert log.report.short_of is None, where
            assert not log.report.gone
            if found != OLD:
                assert OLD[at:] in [kept for kept, _ in orphans_kept(disk)], where
            elif not done:
                assert not log.report.cuts
            for path in [path for path in disk.names if path.suffix == ".log"]:
                inode = disk.names[path]
                assert disk.durable_names.get(path) is inode, where
                assert inode.live.rstrip(b"\0") == inode.durable.rstrip(b"\0"), where
            assert await log.rebranch(at, []) == SeqRange(at, len(found))
            await log.rebranch(at, branch(at, 7, epoch=2))
            disk.crash(Random(seed + 50))
            log = await open_it(disk)
            assert await contents(log) == OLD[:at] + branch(at, 7, epoch=2), where
            assert not log.holes
            if done:
                break
        assert done
        assert nth > 15


async def test_only_the_end_of_a_batch_is_a_place_to_leave() -> None:
    """Inside a batch, beyond the tip, or on another history: refused, and nothing has changed."""
    disk = await fresh()
    log = await open_it(disk)
    events = [b"a", b"b", b"c"]
    batch = seal_batch(ALICE, NETWORK, events, epoch=0, first_seq=0, time_us=0, prev_hash=GENESIS_HASH)
    await log.commit([batch])
    before = {path: bytes(inode.live) for path, inode in disk.names.items()}
    for at in (1, 2, 4, -1):
        with pytest.raises(ValueError, match="log of member"):
            await log.rebranch(at, [])
    with pytest.raises(DivergedError):
        await log.rebranch(0, run_of(ALICE, 2)[1:])
    assert before == {path: bytes(inode.live) for path, inode in disk.names.items()}
    assert log.tip == Tip.after(batch)
    await log.rebranch(0, run_of(ALICE, 2))
    assert await contents(log) == run_of(ALICE, 2)


async def test_where_the_batch_before_is_damaged_nothing_is_left() -> None:
    """What the new branch would stand on must be here; damage elsewhere is no matter, and goes along."""
    disk, log = await filled()
    segment = next(path for path in sorted(disk.names) if path.suffix == ".log")
    disk.names[segment].live[len(OLD[0].record) + 50] ^= 1
    log = await open_it(disk)
    with pytest.raises(StoreError, match="no other branch at seq 2"):
        await log.rebranch(2, [])
    assert log.tip == tip_at(OLD, COUNT)
    await log.rebranch(3, branch(3, 2))
    assert currently(log.holes) == (SeqRange(1, 2),) == (await open_it(disk)).holes
    await log.rebranch(1, branch(1, 4, epoch=2))
    assert not log.holes
    for again in (log, await open_it(disk)):
        assert await contents(again) == OLD[:1] + branch(1, 4, epoch=2)
        assert not again.holes


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EIO])
async def test_a_failing_disk_leaves_one_of_three_logs(code: int) -> None:
    """Whichever operation finds no room, no file, or fails: refused or poisoned, never half of it."""
    at, new, refused = 5, branch(5, 6), 0
    for nth in range(1, 200):
        disk, _ = await filled()
        log = await open_it(disk)  # with nothing in memory
        left, done = nth, False

        def fail(name: str, path: Path) -> None:
            nonlocal left
            is_met = name in ("write_at", "sync", "sync_dir", "rename") or (code != errno.ENOSPC and name == "open")
            left -= is_met
            if is_met and left == 0:
                raise OSError(code, "no")

        disk.fault = fail
        told: list[object] = []
        log.on_orphaned(told.append)
        log.on_durable(told.append)
        try:
            await log.rebranch(at, new)
            done = True
        except StoreFullError:
            refused += 1
            assert log.failure is None
            found = await contents(log)
            assert found == (OLD[:at] if told else OLD)
            assert told in ([], [SeqRange(at, COUNT), tip_at(OLD, at)])
            assert await log.rebranch(at, new) == SeqRange(at, len(found))
            assert all(kept == OLD[at:] for kept, _ in orphans_kept(disk))
            assert all(path.with_suffix(".txt") in disk.names for path in disk.names if path.suffix == ".bin")
            assert await contents(log) == OLD[:at] + new
        except StoreError:
            if log.failure is None:  # it could not even be read
                assert not told
                continue
            assert await contents(log) in (OLD, OLD[:at])
            with pytest.raises(StoreError, match="restart the node"):
                await log.rebranch(at, new)
            if told:
                assert told == [SeqRange(at, COUNT), log.tip]
        disk.fault = lambda name, path: None
        log.close()
        for _ in range(2):
            log = await open_it(disk)
            assert await contents(log) in ([OLD[:at] + new] if done else [OLD, OLD[:at], OLD[:at] + new])
            assert not log.holes
        if left > 0:
            break
    assert left > 0
    assert refused or code == errno.EIO


@pytest.mark.parametrize("count", [0, 4])
async def test_a_branch_may_be_left_at_a_record_that_its_author_did_not_sign(count: int) -> None:
    """A hostile author signs only some records, and stands an epoch on one that is not: that is no torn tail. A crash
    anywhere, or no room for an index, leaves one of three logs, but maybe cut where a signature is."""
    old = run_of(ALICE, 6, size=200, signed=[seq not in (2, 3) for seq in range(6)])
    at = Tip(1, 4, old[3].hash)
    new = run_of(ALICE, count, tip=at, size=250)

    async def unsigned_end() -> tuple[MemoryDisk, Log]:
        disk = await fresh()
        log = await open_log(disk, place(), commit_bytes=COMMIT_BYTES_MAX)
        await log.commit(old)
        return disk, log

    disk, log = await unsigned_end()
    assert await log.rebranch(4, new) == SeqRange(4, 6)
    for again in (log, await open_it(disk, read_only=True), await open_it(disk)):
        assert await contents(again) == old[:4] + new
        assert not again.report.cuts

    refused: list[Path] = []

    def refuse(name: str, path: Path) -> None:
        if name == "rename" and ".idx" in path.name:
            refused.append(path)
            raise OSError(errno.ENOSPC, "no room")

    disk, log = await unsigned_end()
    disk.fault = refuse
    assert await log.rebranch(4, new) == SeqRange(4, 6)
    assert refused
    assert await contents(log) == old[:4] + new

    for nth in range(1, 200):
        disk, log = await unsigned_end()
        die_at(disk, nth)
        done = False
        with suppress(Died):
            await log.rebranch(4, new)
            done = True
        disk.fault = lambda name, path: None
        disk.kill()
        for read_only in (True, False):
            found = await contents(await open_it(disk, read_only=read_only))
            assert found in (old, old[:2], *(old[:4] + new[:more] for more in range(count + 1))), nth
            assert not done or found == old[:4] + new
        if done:
            break
    assert done


async def test_readers_never_see_half_of_it() -> None:
    """Reads that go on meanwhile return the old branch, or the new one; nothing is called damaged."""
    at, new = 3, branch(3, 9)
    for seed in range(5):
        disk, _ = await filled()
        log = await open_it(disk)  # with nothing in memory

        async def read(random: Random, log: Log, done: trio.Event) -> None:
            while not done.is_set():
                start = random.randrange(COUNT)
                stop = log.tip.next_seq
                got = await log.read(start, stop, 1)
                assert not got or got[0] in (*OLD, *new)
                assert got or stop >= at
                assert not log.holes

        random, done = Random(seed), trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(read, random, log, done)
            await log.rebranch(at, new)
            done.set()
        assert await contents(log) == OLD[:at] + new


async def test_changes_wait_for_one_another_and_waiters_for_the_seq() -> None:
    """A commit that was waiting finds its place taken; who waits for an event gets the new branch's."""
    disk, log = await filled()
    disk.gate = trio.Event()
    new = branch(5, 8)
    failed: list[Exception] = []
    tips: list[Tip] = []

    async def late() -> None:
        try:
            await log.commit(run_of(ALICE, 1, tip=tip_at(OLD, COUNT)))
        except DivergedError as error:
            failed.append(error)

    async def wait() -> None:
        tips.append(await log.wait_past(COUNT))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(log.rebranch, 5, new)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(late)
        await trio.testing.wait_all_tasks_blocked()
        disk.gate.set()
    assert len(failed) == 1
    assert tips == [Tip.after(new[-1])]


async def test_a_cancelled_call_has_done_nothing_or_all() -> None:
    """What was begun is finished."""
    disk, log = await filled()
    disk.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.rebranch, 5, branch(5, 2))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        disk.gate.set()
    assert await contents(log) == OLD[:5] + branch(5, 2)


async def test_our_own_log_takes_its_batches_one_by_one() -> None:
    """So that a torn one is never followed by a whole one, which would be taken for damage."""
    for nth, seed in itertools.product(range(1, 120), range(5)):
        disk = await fresh()
        log = await open_it(disk, commit_bytes=0)
        for batch in OLD:
            await log.commit([batch])
        die_at(disk, nth)
        done = False
        try:
            await log.rebranch(4, branch(4, 6))
            done = True
        except Died:
            pass
        disk.fault = lambda name, path: None
        disk.crash(Random(1000 * nth + seed))
        log = await open_it(disk, commit_bytes=0)
        assert not log.holes
        found = await contents(log)
        assert found == OLD or found == (OLD[:4] + branch(4, 6))[: len(found)]
        if done:
            break
    assert done


async def test_end_hashes_and_epochs_are_found() -> None:
    """At every seq, in a log of several epochs and segments, by few reads."""
    disk = await fresh()
    log = await open_it(disk)
    assert await log.end_hash(0) == GENESIS_HASH
    assert await log.end_hash(1) is None
    batches: list[Batch] = []
    starts = {2: 0, 5: 7, 6: 8, 9: 30}
    tip = EMPTY
    while tip.next_seq < 60:
        epoch = max(epoch for epoch, start in starts.items() if start <= tip.next_seq)
        stops = [start for start in starts.values() if start > tip.next_seq] + [60]
        count = min(1 + tip.next_seq % 3, stops[0] - tip.next_seq)
        batch = seal_batch(
            ALICE,
            NETWORK,
            [b"x" * 200] * count,
            epoch=epoch,
            first_seq=tip.next_seq,
            time_us=0,
            prev_hash=tip.hash,
        )
        batches.append(batch)
        await log.commit([batch])
        tip = log.tip
    ends = {0: GENESIS_HASH, **{batch.header.stop: batch.hash for batch in batches}}
    reads = 0

    def count_opens(name: str, path: Path) -> None:
        nonlocal reads
        reads += name == "open"

    for other in (log, await open_it(disk), await open_it(disk, read_only=True)):
        disk.fault = count_opens
        for seq in range(-1, 63):
            assert await other.end_hash(seq) == ends.get(seq)
        for batch in batches:
            for seq in range(batch.header.first_seq, batch.header.stop):
                reads = 0
                assert await other.epoch_at(seq) == (batch.header.epoch, starts[batch.header.epoch])
                assert reads <= 9
        for seq in (-1, 60):
            with pytest.raises(UnavailableError):
                await other.epoch_at(seq)
        disk.fault = lambda name, path: None


@pytest.mark.parametrize("at", range(1, COUNT))
async def test_an_epoch_is_found_beside_damage(at: int) -> None:
    """Damage hides the beginning of an epoch only where it touches it; it is never answered wrongly."""
    for hurt in range(COUNT + 4):
        disk, log = await filled()
        await log.rebranch(at, branch(at, COUNT + 4 - at, size=300))
        batches = await contents(log)
        assert [batch.header.epoch for batch in batches] == [int(seq >= at) for seq in range(COUNT + 4)]
        for inode in disk.names.values():
            found = bytes(inode.live).find(batches[hurt].record)
            if found >= 0:
                inode.live[found + 200] ^= 1
        log = await open_it(disk, commit_bytes=0)
        for seq, first in ((COUNT + 3, at), (at - 1, 0)):
            try:
                assert await log.epoch_at(seq) == (int(seq >= at), first), (at, hurt)
            except UnavailableError:
                assert hurt in (first, first - 1, seq)
        if hurt not in (0, COUNT + 3):
            assert await log.end_hash(hurt + 1) is None
        assert await log.end_hash(hurt) == (batches[hurt - 1].hash if hurt else GENESIS_HASH)
