"""A store of format version 1, as it was written once: every later release reads it, and goes on in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hydra_sync.disk import RealDisk
from hydra_sync.encoding import decode_event, encode_event
from hydra_sync.identity import MemberKey, SigningKey, network_id
from hydra_sync.store import Log, Store, open_store, verify_log
from hydra_sync.store.layout import LogPlace

FIXTURE = Path(__file__).parent.parent / "fixtures" / "format-1" / "store"
ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
MEMBERS = sorted([ALICE.member, BOB.member])
NETWORK = network_id("format 1", MEMBERS)
ALICES = [value for number in range(20) for value in (["alice", number], b"x" * number)]
BOBS = [{"bob": number} for number in range(12)]


async def values(log: Log) -> list[object]:
    found: list[object] = []
    while len(found) < log.tip.next_seq:
        batches = await log.read(len(found), log.tip.next_seq, 1000)
        found += [decode_event(event) for batch in batches for event in batch.events()]
    return found


async def check(store: Store) -> None:
    assert await values(store.log(ALICE.member)) == ALICES
    assert await values(store.log(BOB.member)) == BOBS
    assert store.manifest.store_id == bytes(range(16))


async def test_it_is_read() -> None:
    """Read-only, as it lies there: its keys, its order, its segments, its indexes."""
    async with open_store(
        RealDisk(), FIXTURE, members=MEMBERS, network=NETWORK, key=None, wall_clock=int, holder="test", read_only=True
    ) as store:
        await check(store)
        assert store.manifest.founding


@pytest.mark.parametrize("indexed", [True, False])
async def test_it_is_continued(tmp_path: Path, indexed: bool) -> None:
    """A copy is opened for writing, with its indexes or without, and the next event follows."""
    copy = tmp_path / "store"
    shutil.copytree(FIXTURE, copy)
    if not indexed:
        for index in copy.rglob("*.idx"):
            index.unlink()
    async with open_store(
        RealDisk(), copy, members=MEMBERS, network=NETWORK, key=ALICE, wall_clock=int, holder="test"
    ) as store:
        await check(store)
        assert not store.manifest.founding  # its own log has begun
        assert not store.warnings(lambda key: key.hex())
        assert (await store.author.append([encode_event("later")])).start == len(ALICES)
    for member in MEMBERS:
        report = await verify_log(RealDisk(), LogPlace(copy, NETWORK, MemberKey(member)), lambda *_: None)
        assert report.is_sound
