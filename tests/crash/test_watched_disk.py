"""Promises about syncs: what a node shows, delivers or acknowledges is synced before, by the bytes on its disk.

Cheaper than killing, and it sees what killing cannot: after SIGKILL the page cache is still there.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from hydra_sync import Config, Node, Seams, load_config, open_node
from hydra_sync.batch import seal_batch
from hydra_sync.chain import EMPTY
from hydra_sync.demo.processes import prepare
from hydra_sync.disk import RealDisk
from hydra_sync.identity import SigningKey, network_id
from hydra_sync.store import Manifest, create_store
from hydra_sync.sync import Advanced, Notice
from tests.crash.watched_disk import SyncedLog, WatchedDisk

PATIENCE_S: Final = 60.0
CLIENTS: Final = 12
APPENDS: Final = 10
ALICE: Final = SigningKey(b"a" * 32)


class Watched:
    """A member whose disk is watched, and who fails where it shows what is not synced."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.disk = WatchedDisk(RealDisk())
        self.shown = 0

    def log(self, name: str) -> SyncedLog:
        return self.disk.logs.setdefault(self.config.find(name).hex(), SyncedLog())

    def observe(self, notice: Notice) -> None:
        if isinstance(notice, Advanced):
            self.log(notice.log.hex()).require(notice.next_seq, "shown")
            self.shown += 1


async def test_events_are_shown_delivered_and_acknowledged_only_when_synced(tmp_path: Path) -> None:
    """Under concurrent appends every acknowledgement, receipt and delivery comes after the sync, on both nodes."""
    members = {name: Watched(load_config(file)) for name, file in prepare(tmp_path, ("alice", "bob")).items()}
    alice, bob = members.values()
    for name, member in members.items():
        config = member.config
        manifest = Manifest(config.network_id, config.key.member, name.encode().ljust(16), founding=True)
        await create_store(RealDisk(), config.persistence_dir, manifest)

    async def append(node: Node, client: int) -> None:
        for number in range(APPENDS):
            seq = await node.append([client, number], replicas=client % 2)
            alice.log("alice").require(seq + 1, "acknowledged")
            if client % 2:
                bob.log("alice").require(seq + 1, "acknowledged as replicated")

    with trio.fail_after(PATIENCE_S):
        async with (
            open_node(bob.config, seams=Seams(disk=bob.disk), observe=bob.observe) as bobs,
            open_node(alice.config, seams=Seams(disk=alice.disk), observe=alice.observe) as alices,
            trio.open_nursery() as nursery,
        ):
            for client in range(CLIENTS):
                nursery.start_soon(partial(append, alices, client))
            async for event in bobs.follow("alice"):
                bob.log("alice").require(event.seq + 1, "delivered")
                if event.seq == CLIENTS * APPENDS:  # seq 0 begins the epoch
                    break
    assert 0 < alice.shown <= CLIENTS * APPENDS  # appends shared syncs
    assert bob.shown > 0


async def test_the_watched_disk_knows_what_is_written_and_what_is_synced(tmp_path: Path) -> None:
    """A record counts when it is written and then synced, and room made with zeros counts for nothing."""
    disk = WatchedDisk(RealDisk())
    path = tmp_path / "00000000000000000000.log"
    log = disk.logs.setdefault(tmp_path.name, SyncedLog())
    file = await disk.open(path, "create")
    await file.write_at(0, bytes(9000))
    await file.sync()
    assert (log.written_stop, log.synced_stop) == (0, 0)
    network = network_id("test", [ALICE.member])
    batch = seal_batch(ALICE, network, [b"\0"] * 7, epoch=0, first_seq=0, time_us=1, prev_hash=EMPTY.hash)
    await file.write_at(0, batch.record)
    assert (log.written_stop, log.synced_stop) == (7, 0)
    with pytest.raises(AssertionError, match="up to seq 7 are shown, but only those up to 0 are synced"):
        log.require(7, "shown")
    with pytest.raises(AssertionError, match="has not synced"):
        log.opened(7)
    await file.sync()
    log.require(7, "shown")
    log.opened(7)
    file.close()
    assert path.read_bytes() == batch.record + bytes(9000 - len(batch.record))
