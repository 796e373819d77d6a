"""Promises kept through crashes: what was acknowledged is there, and the chain is whole."""

from __future__ import annotations

from random import Random

import pytest
import trio

from hydra_sync.chain import EMPTY, link
from hydra_sync.errors import StoreError
from hydra_sync.store import Log, Store, verify_log
from tests.store.crash_disk import MemoryDisk
from tests.store.worlds import ALICE, BOB, event, make_store, opened, place, read_all, run_of


async def check_chain(log: Log) -> None:
    tip = EMPTY
    while tip.next_seq < log.tip.next_seq:
        for batch in await log.read(tip.next_seq, log.tip.next_seq, 4000):
            tip = link(tip, batch)
    assert tip == log.tip


class World:
    """One node that appends, crashes and opens again; it knows what it was promised."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = MemoryDisk()
        self.sent = 0
        self.acknowledged: dict[int, bytes] = {}
        self.replica = run_of(BOB, 300, size=300)
        self.replica_acknowledged = 0

    async def appender(self, store: Store) -> None:
        while True:
            count = self.random.choice([1, 1, 2, 5])
            events = [event(self.sent + at, self.random.choice([8, 100, 512, 1500])) for at in range(count)]
            self.sent += count
            seqs = await store.author.append(events)
            assert seqs.count == count
            self.acknowledged.update(zip(range(seqs.start, seqs.stop), events, strict=True))
            await trio.sleep(self.random.choice([0, 0.0001]))

    async def fetcher(self, store: Store) -> None:
        log = store.log(BOB.member)
        while log.tip.next_seq < len(self.replica):
            start, count = log.tip.next_seq, self.random.choice([1, 2, 7])
            await store.log(BOB.member).commit(self.replica[start : start + count])
            self.replica_acknowledged = max(self.replica_acknowledged, min(start + count, len(self.replica)))

    async def live(self) -> None:
        """Work until some disk operation in which the node dies."""
        deadline = self.random.randrange(5, 200)

        async with opened(self.disk, segment_bytes=self.random.choice([3000, 20_000])) as store:
            assert not any(report.holes or report.short_of for report in store.reports.values())
            await self.check(store)
            operations = 0

            def count(name: str, path: object) -> None:
                nonlocal operations
                operations += 1
                if operations > deadline:
                    raise Died

            self.disk.fault = count
            try:
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(self.appender, store)
                    nursery.start_soon(self.fetcher, store)
            except* StoreError:
                pass

    async def check(self, store: Store) -> None:
        own = await read_all(store.log(ALICE.member))
        assert {seq: own[seq] for seq in self.acknowledged} == self.acknowledged
        assert len(own) == len(set(own))
        await check_chain(store.log(ALICE.member))
        copy = store.log(BOB.member)
        assert copy.tip.next_seq >= self.replica_acknowledged
        assert await read_all(copy) == [event(seq, 300) for seq in range(copy.tip.next_seq)]


class Died(BaseException):
    """The node is gone, in the middle of a disk operation."""


@pytest.mark.parametrize("seed", range(24))
async def test_what_was_acknowledged_survives_every_crash(seed: int) -> None:
    """Append, die in any disk operation, lose power or not, open again, many times: every acknowledged
    event is there once, at its seq, the chain is whole, and nothing is taken for rot."""
    world = World(seed)
    await make_store(world.disk)
    for _ in range(6):
        try:
            await world.live()
        except BaseExceptionGroup as group:
            rest = group.split(Died)[1]
            if rest is not None:
                raise rest from None
        except Died:
            pass
        world.disk.fault = lambda name, path: None
        if world.random.random() < 0.7:
            world.disk.crash(world.random)
        else:
            world.disk.kill()
    async with opened(world.disk) as store:
        await world.check(store)
    for key in (ALICE, BOB):
        report = await verify_log(world.disk, place(key=key))
        assert report.is_sound, report.damage
        assert not report.remarks


async def test_a_seal_that_was_not_synced_is_done_again() -> None:
    """A process that died between cutting a full segment and syncing that leaves no zeros in a sealed one."""
    disk = MemoryDisk()
    await make_store(disk)
    async with opened(disk, segment_bytes=3000) as store:
        await store.author.append([event(0, 2500)])
    segment = disk.names[place().segment(0)]
    assert len(segment.durable) == 3000
    record = await verify_log(disk, place())
    del segment.live[record.size :]
    async with opened(disk, segment_bytes=3000) as store:
        await store.author.append([event(1, 2500)])
    assert segment.durable == segment.live
    assert len(segment.durable) == record.size


async def test_records_of_a_killed_process_are_synced_before_they_are_shown() -> None:
    """A record that only reached the page cache is durable once an opened log shows it."""
    disk = MemoryDisk()
    await make_store(disk)
    async with opened(disk) as store:
        await store.author.append([event(0)])
        lost = disk.names[place().segment(0)]
        synced = bytes(lost.durable)
        await store.author.append([event(1)])
    # As if the second sync had not happened, and the page of it were clean after a failed sync.
    await disk.remove(place().index(0))
    lost.durable = bytearray(synced)
    written = []
    disk.fault = lambda name, path: written.append(name) if path == place().segment(0) else None
    async with opened(disk) as store:
        shown = store.log(ALICE.member).tip.next_seq
        assert "write_at" in written  # a sync alone would not write a clean page
    disk.crash(Random(1))
    async with opened(disk) as store:
        assert shown == 2 == store.log(ALICE.member).tip.next_seq
