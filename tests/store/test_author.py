"""Promises of `hydra_sync.store.author`: syncs are shared, errors reach the right callers."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from hydra_sync.chain import Tip
from hydra_sync.errors import StoreError, StoreFullError, UsageError
from hydra_sync.limits import EVENT_BYTES_MAX, EVENTS_PER_BATCH_MAX, PENDING_BYTES_MAX, UINT_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Store
from tests.store.crash_disk import MemoryDisk
from tests.store.crashes import Died, die_at
from tests.store.worlds import ALICE, event, make_store, opened, read_all, run_of


@pytest.fixture
async def disk() -> MemoryDisk:
    disk = MemoryDisk()
    await make_store(disk)
    return disk


async def test_appends_share_syncs(disk: MemoryDisk) -> None:
    """A hundred appends at once take two syncs: the first goes alone, the others wait for it together."""
    async with opened(disk) as store:
        await store.author.append([event(0)])
        before, disk.gate = disk.syncs, trio.Event()
        ranges: list[SeqRange] = []

        async def append(seq: int) -> None:
            ranges.append(await store.author.append([event(seq)]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(append, 1)
            await trio.testing.wait_all_tasks_blocked()
            for seq in range(2, 101):
                nursery.start_soon(append, seq)
            await trio.testing.wait_all_tasks_blocked()
            disk.gate.set()
        assert disk.syncs - before == 2
        assert sorted(ranges) == [SeqRange(seq, seq + 1) for seq in range(1, 101)]
        assert sorted(await read_all(store.log(ALICE.member), bytes_max=1 << 20)) == [event(s) for s in range(101)]


async def test_an_append_returns_when_it_is_durable(disk: MemoryDisk) -> None:
    """Not before its sync has returned."""
    async with opened(disk) as store:
        disk.gate = trio.Event()
        returned = False

        async def append() -> None:
            nonlocal returned
            await store.author.append([event(0)])
            returned = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(append)
            await trio.testing.wait_all_tasks_blocked()
            assert not returned
            disk.gate.set()
        assert returned


async def test_the_events_of_a_call_stay_together(disk: MemoryDisk) -> None:
    """They share one batch if they fit into one, else lie in consecutive ones; the range is the call's."""
    async with opened(disk) as store:
        large = [b"x" * EVENT_BYTES_MAX, b"y" * EVENT_BYTES_MAX, b"z"]
        assert await store.author.append(large) == SeqRange(0, 3)
        many = [b""] * (EVENTS_PER_BATCH_MAX + 1)
        seqs = await store.author.append(many)
        assert seqs.count == len(many)
        log = store.log(ALICE.member)
        batches = await log.read(0, log.tip.next_seq, 8 << 20)
        assert [batch.header.count for batch in batches] == [1, 2, EVENTS_PER_BATCH_MAX, 1] or [
            batch.header.count for batch in batches
        ] == [1, 1, 1, EVENTS_PER_BATCH_MAX, 1]


@pytest.mark.parametrize(("clock", "written"), [(-1, 0), (7, 7), (UINT_MAX + 1, UINT_MAX)])
async def test_a_wall_clock_gone_mad_does_no_harm(disk: MemoryDisk, clock: int, written: int) -> None:
    """A time that no header can hold is written as the nearest that one can; the record is read again."""
    async with opened(disk, wall_clock=lambda: clock) as store:
        await store.author.append([event(0)])
    async with opened(disk) as store:
        (batch,) = await store.log(ALICE.member).read(0, 1, 1000)
        assert batch.header.time_us == written
        assert list(batch.events()) == [event(0)]


async def test_impossible_appends_are_refused(disk: MemoryDisk) -> None:
    """No events, or one too large, are the caller's mistake."""
    async with opened(disk) as store:
        with pytest.raises(UsageError):
            await store.author.append([])
        with pytest.raises(UsageError):
            await store.author.append([bytes(EVENT_BYTES_MAX + 1)])


async def test_a_full_disk_fails_the_callers_of_that_batch_only(disk: MemoryDisk) -> None:
    """Whoever shares the refused batch gets `StoreFullError`; with room again, appends work, and no seq is lost."""
    async with opened(disk) as store:
        await store.author.append([event(0)])

        def full(name: str, path: Path) -> None:
            if name == "write_at" and path.suffix == ".log":
                raise OSError(errno.ENOSPC, "full")

        disk.fault = full
        failed = []

        async def append(seq: int) -> None:
            try:
                await store.author.append([event(seq)])
            except StoreFullError:
                failed.append(seq)

        async with trio.open_nursery() as nursery:
            for seq in range(5):
                nursery.start_soon(append, seq)
        assert sorted(failed) == list(range(5))
        disk.fault = lambda name, path: None
        assert await store.author.append([event(1)]) == SeqRange(1, 2)
    async with opened(disk) as store:
        assert await read_all(store.log(ALICE.member)) == [event(0), event(1)]


async def test_a_failed_disk_fails_everybody(disk: MemoryDisk) -> None:
    """After a failed sync all who wait and all who come get a `StoreError`."""
    async with opened(disk) as store:

        def fail(name: str, path: Path) -> None:
            if name == "sync":
                raise OSError(errno.EIO, "broken")

        disk.fault = fail
        failed = []

        async def append(seq: int) -> None:
            with pytest.raises(StoreError, match="restart"):
                await store.author.append([event(seq)])
            failed.append(seq)

        async with trio.open_nursery() as nursery:
            for seq in range(5):
                nursery.start_soon(append, seq)
        assert len(failed) == 5
        disk.fault = lambda name, path: None
        await append(9)


async def test_a_cancelled_append_leaves_a_sound_log(disk: MemoryDisk) -> None:
    """Its event may be there or not; the others are, and the log goes on."""
    async with opened(disk) as store:
        disk.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.author.append, [event(0)])
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        disk.gate.set()
        assert (await store.author.append([event(1)])).start in (0, 1)
    async with opened(disk) as store:
        assert (await read_all(store.log(ALICE.member)))[-1] == event(1)


async def test_too_much_waiting_makes_callers_wait_outside(disk: MemoryDisk) -> None:
    """Pending appends hold a bounded number of bytes; those outside enter in order."""
    async with opened(disk) as store:
        disk.gate = trio.Event()
        ranges = []

        async def append() -> None:
            ranges.append(await store.author.append([bytes(EVENT_BYTES_MAX)]))

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(append)
            await trio.testing.wait_all_tasks_blocked()
            assert store.author._group._pending_bytes <= PENDING_BYTES_MAX
            disk.gate.set()
        assert sorted(ranges) == [SeqRange(seq, seq + 1) for seq in range(40)]


async def _open_later(gate: trio.Event) -> None:
    await trio.testing.wait_all_tasks_blocked()
    gate.set()


async def test_closing_the_store_fails_who_waits(disk: MemoryDisk) -> None:
    """An append that waits when the store is closed is told so."""
    errors = []
    async with trio.open_nursery() as nursery, opened(disk) as store:
        disk.gate = trio.Event()

        async def append() -> None:
            try:
                await store.author.append([event(0)])
            except StoreError as error:
                errors.append(str(error))

        nursery.start_soon(append)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(append)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(_open_later, disk.gate)
    assert len(errors) == 1
    with pytest.raises(StoreError, match="closed"):
        await store.author.append([event(0)])


def full_once(disk: MemoryDisk) -> None:
    """The next write to a log finds the disk full; those after it do not."""

    def full(name: str, path: Path) -> None:
        if name == "write_at" and path.suffix == ".log":
            disk.fault = lambda name, path: None
            raise OSError(errno.ENOSPC, "full")

    disk.fault = full


async def test_a_call_is_never_committed_with_a_gap(disk: MemoryDisk) -> None:
    """If the first batch of a large call is refused, its later ones are not committed either."""
    async with opened(disk) as store:
        full_once(disk)
        with pytest.raises(StoreFullError):
            await store.author.append([bytes(EVENT_BYTES_MAX), bytes(EVENT_BYTES_MAX)])
        await trio.testing.wait_all_tasks_blocked()
        assert await store.author.append([event(0)]) == SeqRange(0, 1)


async def fill(store: Store, count: int) -> None:
    for seq in range(count):
        await store.author.append([event(seq)])


async def test_an_epoch_begins_with_a_batch_of_one_event(disk: MemoryDisk) -> None:
    """On the tip, durable on return; appends follow in that epoch, also after the store was opened again."""
    async with opened(disk) as store:
        await fill(store, 3)
        batch = await store.author.begin_epoch(7, b"granted")
        assert (batch.header.epoch, batch.header.first_seq, batch.events()) == (7, 3, (b"granted",))
        assert store.log(ALICE.member).tip == Tip.after(batch)
        await store.author.append([event(4)])
        for epoch in (6, 7):
            with pytest.raises(UsageError, match=f"epoch {epoch} cannot begin"):
                await store.author.begin_epoch(epoch, b"again")
        with pytest.raises(UsageError):
            await store.author.begin_epoch(8, bytes(EVENT_BYTES_MAX + 1))
    async with opened(disk) as store:
        assert store.author.epoch == 7
        await store.author.append([event(5)])
        log = store.log(ALICE.member)
        assert [b.header.epoch for b in await log.read(0, 6, 1 << 20)] == [0, 0, 0, 7, 7, 7]
        assert await log.epoch_at(5) == (7, 3)


async def test_appends_never_sign_a_seq_again_in_a_spent_epoch(disk: MemoryDisk) -> None:
    """After the log has left its branch they wait, those under way and those to come, until a later epoch is begun."""
    async with opened(disk) as store:
        await fill(store, 3)
        await store.author.begin_epoch(4, b"first")  # seq 3
        await store.author.append([event(4)])
        log = store.log(ALICE.member)
        assert await log.rebranch(3, []) == SeqRange(3, 5)  # the tip is of epoch 0 again
        ranges: list[SeqRange] = []

        async def append(seq: int) -> None:
            ranges.append(await store.author.append([event(seq)]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(append, 10)
            await trio.testing.wait_all_tasks_blocked()
            assert not ranges
            assert log.tip.next_seq == 3
            adopted = run_of(ALICE, 1, tip=Tip(3, 3, log.tip.hash))  # of an epoch before the one that was left
            await log.commit(adopted)
            nursery.start_soon(append, 11)
            await trio.testing.wait_all_tasks_blocked()
            assert log.tip == Tip.after(adopted[0])
            with pytest.raises(UsageError, match="has had epoch 4"):
                await store.author.begin_epoch(4, b"again")
            await store.author.begin_epoch(5, b"granted")
        assert sorted(ranges) == [SeqRange(5, 6), SeqRange(6, 7)]
        assert [b.header.epoch for b in await log.read(3, 7, 1 << 20)] == [3, 5, 5, 5]


@pytest.mark.parametrize("adopts", [True, False])
async def test_an_append_under_way_follows_the_branch_that_came_between(disk: MemoryDisk, adopts: bool) -> None:
    """One that waits for a rebranch of its log is sealed on what that has left, in its epoch, or waits on."""
    async with opened(disk) as store:
        await fill(store, 3)
        log = store.log(ALICE.member)
        before = (await log.read(0, 1, 1))[0]
        disk.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.rebranch, 1, run_of(ALICE, 1, tip=Tip(2, 1, before.hash)) if adopts else [])
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(store.author.append, [event(9)])
            await trio.testing.wait_all_tasks_blocked()
            disk.gate.set()
            await trio.testing.wait_all_tasks_blocked()
            if not adopts:
                assert log.tip == Tip.after(before)
                await store.author.begin_epoch(2, b"granted")
        assert [b.header.epoch for b in await log.read(0, 3, 1 << 20)] == [0, 2, 2]


async def test_an_epoch_is_begun_or_not_when_the_node_dies(disk: MemoryDisk) -> None:
    """Die in each disk operation: the log ends before the batch or with it, and nothing is damaged."""
    for seed in range(4):
        for nth in range(1, 30):
            disk = MemoryDisk()
            await make_store(disk)
            done = False
            try:
                async with opened(disk) as store:
                    await fill(store, 2)
                    die_at(disk, nth)
                    await store.author.begin_epoch(3, b"granted")
                    done = True
                    disk.fault = lambda name, path: None
            except Died:
                pass
            disk.fault = lambda name, path: None
            disk.crash(Random(seed)) if seed else disk.kill()
            async with opened(disk) as store:
                log = store.log(ALICE.member)
                assert (log.tip.epoch, log.tip.next_seq) in ([(3, 3)] if done else [(3, 3), (0, 2)])
                assert not log.holes
                assert not store.standing(ALICE.member).amnesiac
            if done:
                break
        assert done
