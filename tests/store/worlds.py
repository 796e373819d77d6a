"""What the tests of the store share: a network of two, stores on disks in memory and on the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import trio
import trio.testing

from hydra_sync.batch import Batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.disk import Disk
from hydra_sync.identity import MemberKey, NetworkId, SigningKey, network_id
from hydra_sync.store import Log, Manifest, Store, create_store, open_store
from hydra_sync.store.layout import LogPlace

ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
MEMBERS = (ALICE.member, BOB.member)
NETWORK = network_id("test", MEMBERS)
ROOT = Path("/node/store")
MANIFEST = Manifest(NETWORK, ALICE.member, b"s" * 16, founding=True)


def place(root: Path = ROOT, key: SigningKey = ALICE) -> LogPlace:
    return LogPlace(root, NETWORK, key.member)


async def make_store(disk: Disk, root: Path = ROOT) -> None:
    await create_store(disk, root, MANIFEST)


class Options(TypedDict, total=False):
    """What a test may want to be otherwise when a store is opened."""

    members: Sequence[MemberKey]
    network: NetworkId
    key: SigningKey | None
    wall_clock: Callable[[], int]
    holder: str
    read_only: bool
    segment_bytes: int


USUAL: Options = {
    "members": MEMBERS,
    "network": NETWORK,
    "key": ALICE,
    "wall_clock": lambda: 1_700_000_000_000_000,
    "holder": "a test",
}
READING: Options = {"read_only": True, "key": None}


@asynccontextmanager
async def opened(disk: Disk, root: Path = ROOT, **options: Unpack[Options]) -> AsyncIterator[Store]:
    wanted: Options = {**USUAL, **options}
    async with open_store(disk, root, **wanted) as store:
        yield store


def run_of(
    key: SigningKey, count: int, *, tip: Tip = EMPTY, size: int = 40, signed: Sequence[bool] | None = None
) -> list[Batch]:
    """A chain of batches with one event each; those not ``signed`` carry somebody else's signature."""
    batches = []
    for at in range(count):
        own = signed is None or signed[at]
        batch = seal_batch(
            key if own else SigningKey(b"m" * 32),
            NETWORK,
            [event(tip.next_seq, size)],
            epoch=tip.epoch,
            first_seq=tip.next_seq,
            time_us=1,
            prev_hash=tip.hash,
        )
        batches.append(batch)
        tip = Tip.after(batch)
    return batches


def event(seq: int, size: int = 40) -> bytes:
    return seq.to_bytes(8) + bytes([seq % 251]) * (size - 8)


async def read_all(log: Log, start: int = 0, bytes_max: int = 1000) -> list[bytes]:
    events: list[bytes] = []
    while start < log.tip.next_seq:
        batches = await log.read(start, log.tip.next_seq, bytes_max)
        for batch in batches:
            events += batch.events()[max(0, start - batch.header.first_seq) :]
        start = batches[-1].header.stop
    return events


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()
