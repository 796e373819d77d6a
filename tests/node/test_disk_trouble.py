"""A disk that is full pauses a node and loses nothing; a disk that fails stops it. No peer suffers."""

from __future__ import annotations

import errno
import importlib
from pathlib import Path

import pytest

from hydra_sync import Node, Seams, StoreError, StoreFullError
from hydra_sync.batch import parse_batches
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.disk import File, OpenMode, RealDisk
from hydra_sync.sync import Effect, Locate
from tests.node.network import Network, NetworkMaker, holds, until


class TroubledDisk(RealDisk):
    """A real disk whose writes to logs can be refused and whose syncs can fail."""

    def __init__(self) -> None:
        self.full = False
        self.broken = False
        self.unreadable = False

    async def open(self, path: Path, mode: OpenMode) -> File:
        if self.unreadable and mode == "read":
            raise OSError(errno.EMFILE, "too many open files")
        if self.full and mode == "create":
            raise OSError(errno.ENOSPC, "no space left")
        file = await super().open(path, mode)
        return _TroubledFile(self, file)


class _TroubledFile:
    def __init__(self, disk: TroubledDisk, file: File) -> None:
        self._disk = disk
        self._file = file
        self.read_at = file.read_at
        self.size = file.size
        self.truncate = file.truncate
        self.close = file.close

    async def write_at(self, offset: int, data: bytes) -> None:
        if self._disk.full and offset + len(data) > await self._file.size():
            raise OSError(errno.ENOSPC, "no space left")
        await self._file.write_at(offset, data)

    async def sync(self) -> None:
        if self._disk.broken:
            raise OSError(errno.EIO, "input/output error")
        await self._file.sync()


@pytest.fixture(autouse=True)
def _fast_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("hydra_sync.node.engine"), "STALL_S", 0.2)
    monkeypatch.setattr(importlib.import_module("hydra_sync.node.engine"), "TICK_S_MAX", 0.1)


async def test_a_replica_on_a_full_disk_goes_on_when_there_is_room(make_network: NetworkMaker) -> None:
    """bob stops fetching, stays connected, says nothing false to alice, and catches up after."""
    network = make_network("alice", "bob")
    disk = TroubledDisk()
    async with network.node("alice") as alice, network.node("bob", seams=Seams(disk=disk)) as bob:
        await alice.append("before", replicas=1)
        disk.full = True
        await alice.append_many([bytes(10_000) for _ in range(50)])
        await until(lambda: bool(bob._engine.replicator.sessions))
        state = bob._engine.replicator._fetcher._logs[alice.config.key.member]
        await until(lambda: state.paused_until > 0, "bob pausing")
        assert not holds(bob, "alice", 51)()
        assert alice.status().members[1].receipt == 1
        disk.full = False
        await until(holds(bob, "alice", 51), "bob catching up")
        await until(lambda: alice.status().members[1].receipt == 51)
    assert network.records("bob", "alice") == network.records("alice", "alice")


@pytest.mark.parametrize("of_epoch", [False, True])
async def test_a_log_that_cannot_be_read_now_is_not_left_at_its_beginning(
    make_network: NetworkMaker, of_epoch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where bob's branch of alice's log may part from another is not known then: he looks again, and keeps his."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice, network.node("bob") as bob:
        await alice.append_many(range(9))
        await until(holds(bob, "alice", 9))
    disk = TroubledDisk()
    async with network.node("bob", seams=Seams(disk=disk)) as bob:  # with nothing in memory
        log = network.configs["alice"].key.member
        state = bob._engine.replicator._fetcher._logs[log]
        locate = Locate(log, 9, of_epoch)
        disk.unreadable = True
        state.locating = True
        await bob._engine._locate(locate)
        assert (state.locating, state.base, state.intake.frontier) == (False, None, state.intake.durable)
        disk.unreadable = False
        found = where(bob, monkeypatch)
        await bob._engine._locate(locate)
        assert found == [EMPTY if of_epoch else state.intake.durable]


def where(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[Tip | None]:
    """What the core is told from now on of where branches part."""
    found: list[Tip | None] = []

    def located(_: Locate, tip: Tip | None, _now: float) -> list[Effect]:
        found.append(tip)
        return []

    monkeypatch.setattr(node._engine.replicator, "located", located)
    return found


async def test_where_an_epoch_begins_is_sought_below_damage(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tells may be damaged for ever: then the branches part before it."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice, network.node("bob") as bob:
        for number in range(9):
            await alice.append(number)
        await until(holds(bob, "alice", 9))
    log = network.configs["alice"].key.member
    path = network.configs["bob"].persistence_dir / "logs" / log.hex() / f"{0:020d}.log"
    batches = list(parse_batches(network.records("bob", "alice")))
    data = bytearray(path.read_bytes())
    data[data.index(batches[8].record) + 60] ^= 1
    path.write_bytes(data)
    async with network.node("bob") as bob:
        found, stop = where(bob, monkeypatch), bob._engine.store.log(log).tip.next_seq
        await bob._engine._locate(Locate(log, stop, of_epoch=True))
        assert found == [Tip.after(batches[7])]


async def test_a_witness_on_a_full_disk_says_that_it_can_promise_nothing(tmp_path: Path) -> None:
    """alice's start waits for bob, who names the promise as what he has no room for, and gives it when he has."""
    network = Network(tmp_path, ("alice", "bob"), Seams(), restart="prove")
    disk = TroubledDisk()
    async with network.node("bob", seams=Seams(disk=disk)) as bob:
        disk.full = True
        async with network.node("alice") as alice:
            promise = "no room for what this node promises about alice's log"
            await until(lambda: any(promise in warning for warning in bob.status().warnings), "bob saying why")
            assert not alice.status().start.ready
            disk.full = False
            await alice.wait_started()
            assert not any(promise in warning for warning in bob.status().warnings)


async def test_an_append_on_a_full_disk_is_refused_and_works_again(make_network: NetworkMaker) -> None:
    """`StoreFullError` means that nothing was appended; seqs go on without a gap."""
    network = make_network("alice")
    disk = TroubledDisk()
    async with network.node("alice", seams=Seams(disk=disk)) as alice:
        assert await alice.append("one") == 0
        disk.full = True
        with pytest.raises(StoreFullError, match="room"):
            await alice.append(bytes(200_000))
        disk.full = False
        assert await alice.append("two") == 1


async def test_a_failed_sync_stops_the_node_and_nothing_more_is_acknowledged(make_network: NetworkMaker) -> None:
    """After a failed sync every append fails; a new start finds all that was acknowledged."""
    network = make_network("alice")
    disk = TroubledDisk()
    async with network.node("alice", seams=Seams(disk=disk)) as alice:
        await alice.append_many(range(5))
        disk.broken = True
        with pytest.raises(StoreError, match="input/output error"):
            await alice.append("lost")
        disk.broken = False
        with pytest.raises(StoreError):
            await alice.append("never trusted again")
    async with network.node("alice") as alice:
        assert alice.status().members[0].log.tip.next_seq >= 5


async def test_a_replica_that_cannot_sync_ends_the_node_not_its_peers(make_network: NetworkMaker) -> None:
    """bob's disk fails: bob's block raises `StoreError`, alice goes on."""
    network = make_network("alice", "bob")
    disk = TroubledDisk()
    async with network.node("alice") as alice:
        with pytest.raises(StoreError, match="input/output error"):  # noqa: PT012  the block is the node's life
            async with network.node("bob", seams=Seams(disk=disk)) as bob:
                await alice.append("first", replicas=1)
                disk.broken = True
                await alice.append("second")
                await until(holds(bob, "alice", 99), "nothing: the node must end")
        await alice.append("third")
        async with network.node("bob") as bob:
            await until(holds(bob, "alice", 3))
    assert network.records("bob", "alice") == network.records("alice", "alice")
