"""Promises of opening: a store that may have lost what it showed says so durably, before anything is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from hydra_sync.errors import StoreError, UsageError
from hydra_sync.identity import SigningKey
from hydra_sync.store import Standing, create_store, give_up, read_manifest, read_standing, write_standing
from tests.store.crash_disk import MemoryDisk
from tests.store.crashes import Died, die_at
from tests.store.worlds import (
    ALICE,
    BOB,
    MANIFEST,
    MEMBERS,
    READING,
    ROOT,
    USUAL,
    event,
    make_store,
    opened,
    place,
    run_of,
)

REMADE = replace(MANIFEST, founding=False)


async def a_store(key: SigningKey, *, flushed: bool) -> MemoryDisk:
    """A store with three events in the log of ``key``; the process was killed, or closed."""
    disk = MemoryDisk()
    await make_store(disk)
    async with opened(disk) as store:
        log = store.log(key.member)
        for batch in run_of(key, 3):
            await log.commit([batch])
        index = place(key=key).index(0)
    if not flushed:
        await disk.remove(index)
    await disk.sync_dir(index.parent)
    return disk


def tear(disk: MemoryDisk, key: SigningKey) -> None:
    """Half of a fourth record is there."""
    batches = run_of(key, 4)
    at = sum(len(batch.record) for batch in batches[:3])
    inode = disk.names[place(key=key).segment(0)]
    for data in (inode.live, inode.durable):
        data[at : at + 60] = batches[3].record[:60]


def shorten(disk: MemoryDisk, key: SigningKey) -> None:
    """The file ends in the third record."""
    inode = disk.names[place(key=key).segment(0)]
    for data in (inode.live, inode.durable):
        del data[sum(len(batch.record) for batch in run_of(key, 2)) + 9 :]


@pytest.mark.parametrize(
    ("key", "harm", "forgets"), [(ALICE, tear, False), (ALICE, shorten, True), (BOB, tear, True), (BOB, shorten, True)]
)
async def test_a_lost_end_makes_the_log_amnesiac(key: SigningKey, harm: object, forgets: bool) -> None:
    """A replica that was cut or is short; our own log only when it is short: a torn tail was never acknowledged."""
    disk = await a_store(key, flushed=harm is shorten)
    harm(disk, key)  # type: ignore[operator]
    before = {path: bytes(inode.live) for path, inode in disk.names.items()}
    async with opened(disk, read_only=True, key=None) as store:
        assert not store.standing(key.member).amnesiac
    assert before == {path: bytes(inode.live) for path, inode in disk.names.items()}
    for _ in range(2):
        async with opened(disk) as store:
            standing = store.standing(key.member)
            assert standing.amnesiac == forgets
            assert bool(standing.why) == forgets
            assert any("may have lost" in line for line in store.warnings(lambda key: key.hex())) == forgets
            other = BOB if key is ALICE else ALICE
            assert store.standing(other.member) == Standing()
    async with opened(disk, read_only=True, key=None) as store:
        assert store.standing(key.member) == standing


async def test_what_was_promised_is_kept_by_who_forgets() -> None:
    """Amnesia is added to the standing, and the first reason stays."""
    disk = await a_store(BOB, flushed=False)
    async with opened(disk) as store:
        await store.set_standing(BOB.member, Standing(5, b"s" * 16))
    tear(disk, BOB)
    async with opened(disk) as store:
        first = store.standing(BOB.member)
        assert (first.promised, first.start, first.amnesiac) == (5, b"s" * 16, True)
    shorten(disk, BOB)
    async with opened(disk) as store:
        assert store.standing(BOB.member) == first


@pytest.mark.parametrize("harm", [tear, shorten])
async def test_a_crash_while_it_is_opened_forgets_nothing(harm: object) -> None:
    """Die in each disk operation of opening: a store whose tail is not there any more is amnesiac."""
    for seed in range(5):
        for nth in range(1, 200):
            done = False
            disk = await a_store(BOB, flushed=harm is shorten)
            harm(disk, BOB)  # type: ignore[operator]
            die_at(disk, nth)
            try:
                async with opened(disk) as store:
                    shown, done = store.standing(BOB.member).amnesiac, True
                    disk.fault = lambda name, path: None
            except Died:
                shown = True
            disk.fault = lambda name, path: None
            disk.crash(Random(seed)) if seed else disk.kill()
            assert shown
            async with opened(disk) as store:
                assert store.standing(BOB.member).amnesiac, (seed, nth)
                assert store.log(BOB.member).tip.next_seq == 3
            if done:
                break
        assert nth > 20


async def test_a_store_made_again_is_amnesiac_before_it_is_a_store() -> None:
    """Die in each disk operation of making it: no store, or one that knows it may have forgotten anything."""
    for seed in range(8):
        for nth in range(1, 200):
            disk = MemoryDisk()
            die_at(disk, nth)
            done = False
            try:
                await create_store(disk, ROOT, REMADE, amnesiac=MEMBERS, why="a lost disk")
                done = True
            except Died:
                pass
            disk.fault = lambda name, path: None
            disk.crash(Random(seed)) if seed else disk.kill()
            try:
                await read_manifest(disk, ROOT)
            except StoreError:
                assert not done
                await create_store(disk, ROOT, REMADE, amnesiac=MEMBERS, why="a lost disk")
            async with opened(disk) as store:
                assert not store.manifest.founding
                for member in MEMBERS:
                    assert store.standing(member) == Standing(amnesiac=True, why="a lost disk")
            if done:
                break
        assert done


async def test_the_operators_word_is_durable_where_the_log_was_gone() -> None:
    """It lies with the own log, whose directory may have to be made for it."""
    for seed in range(8):
        disk = MemoryDisk()
        await create_store(disk, ROOT, REMADE)
        await give_up(disk, ROOT, REMADE, [BOB.member])
        disk.crash(Random(seed))
        assert (await read_standing(disk, place())).without == (BOB.member,)


async def test_a_store_made_again_keeps_a_promise_that_is_there_and_no_log() -> None:
    """Standings without logs are those of a creation that a crash ended; logs are not written over."""
    disk = await a_store(BOB, flushed=True)
    async with opened(disk) as store:
        await store.set_standing(BOB.member, Standing(5, b"s" * 16))
    await disk.remove(ROOT / "store.toml")
    with pytest.raises(UsageError, match="already"):
        await create_store(disk, ROOT, REMADE, amnesiac=MEMBERS)
    for path in [path for path in disk.names if path.suffix in (".log", ".idx")]:
        await disk.remove(path)
    with pytest.raises(UsageError, match="already"):
        await create_store(disk, ROOT, MANIFEST)
    disk.names[place().standing] = disk.names[place(key=BOB).standing]  # of another log: damaged
    await create_store(disk, ROOT, REMADE, amnesiac=MEMBERS, why="x")
    async with opened(disk) as store:
        assert store.standing(BOB.member) == Standing(5, b"s" * 16, amnesiac=True, why="x")
        assert store.standing(ALICE.member) == Standing(amnesiac=True, why="x")
    with pytest.raises(UsageError, match="founding"):
        await create_store(disk, Path("/other"), MANIFEST, amnesiac=MEMBERS)


async def test_standings_can_be_written_while_no_store_is_open() -> None:
    """For `recover`, beside `write_manifest`."""
    disk = await a_store(BOB, flushed=True)
    assert await read_standing(disk, place(key=BOB)) == Standing()
    await write_standing(disk, place(key=BOB), Standing(amnesiac=True))
    async with opened(disk) as store:
        assert store.standing(BOB.member).amnesiac


async def test_founding_ends_once_and_for_all() -> None:
    """Durable on return, whatever crashes; a crash before leaves one or the other, and never a damaged file."""
    for seed in range(6):
        for nth in range(1, 40):
            disk = MemoryDisk()
            await make_store(disk)
            done = False
            try:
                async with opened(disk) as store:
                    await store.author.append([event(0)])
                    assert store.manifest.founding
                    die_at(disk, nth)
                    await store.end_founding()
                    done = not store.manifest.founding
                    disk.fault = lambda name, path: None
                    await store.end_founding()
            except Died:
                pass
            disk.fault = lambda name, path: None
            disk.crash(Random(seed)) if seed else disk.kill()
            async with opened(disk) as store:
                assert not (done and store.manifest.founding)
                assert replace(store.manifest, founding=True) == MANIFEST
            if done:
                break
        assert done


async def a_settled_store() -> MemoryDisk:
    """A store with an event in either log, that is founding no more, as after its first epoch."""
    disk = await a_store(BOB, flushed=True)
    async with opened(disk) as store:
        await store.author.append([event(0)])
        await store.end_founding()
    return disk


def without(disk: MemoryDisk, key: SigningKey, *, names: str) -> None:
    """All files in the directory of a log whose name ends so are gone, for good."""
    for there in (disk.names, disk.durable_names):
        for path in [path for path in there if path.parent == place(key=key).directory and path.name.endswith(names)]:
            del there[path]


@pytest.mark.parametrize("names", ["", "standing.cbor"])
async def test_a_replica_whose_files_are_gone_is_amnesiac(names: str) -> None:
    """All of them, or what it promised alone: an empty log is that of a new author only while the store is new."""
    disk = await a_settled_store()
    without(disk, BOB, names=names)
    for options in (READING, USUAL, USUAL):
        async with opened(disk, **options) as store:
            assert store.standing(BOB.member).amnesiac
            assert "gone from the disk" in store.standing(BOB.member).why
            assert store.standing(ALICE.member) == Standing()
    disk.crash(Random(1))
    assert (await read_standing(disk, place(key=BOB))).amnesiac


async def test_a_store_whose_own_log_is_gone_is_amnesiac_for_all() -> None:
    """Whatever took it may have taken any of the others' too."""
    disk = await a_settled_store()
    without(disk, ALICE, names="")
    async with opened(disk) as store:
        assert store.standing(ALICE.member).amnesiac
        assert store.standing(BOB.member).amnesiac
    disk.crash(Random(1))
    assert (await read_standing(disk, place(key=BOB))).amnesiac


async def test_a_founding_store_has_nothing_to_forget() -> None:
    """And is one until its own log has begun, whatever it holds of others; then opening ends it, if a crash came."""
    disk = await a_store(BOB, flushed=True)
    for _ in range(2):
        async with opened(disk) as store:
            assert store.manifest.founding
            assert store.standing(BOB.member) == store.standing(ALICE.member) == Standing()
    async with opened(disk) as store:
        await store.author.append([event(0)])
        assert store.manifest.founding
    async with opened(disk) as store:
        assert not store.manifest.founding
        assert store.standing(BOB.member) == store.standing(ALICE.member) == Standing()


async def test_a_crash_while_founding_ends_forgets_nothing() -> None:
    """Die in each disk operation of it, power lost: the store is founding, or has what it needs to be no more."""
    for nth in range(1, 60):
        disk = await a_store(BOB, flushed=True)
        done = False
        try:
            async with opened(disk) as store:
                die_at(disk, nth)
                await store.end_founding()
                done = True
                disk.fault = lambda name, path: None
        except Died:
            pass
        disk.fault = lambda name, path: None
        disk.crash(Random(nth))
        async with opened(disk) as store:
            assert store.standing(BOB.member) == store.standing(ALICE.member) == Standing()
            assert not (done and store.manifest.founding)
        if done:
            break
    assert done
    assert nth > 10
