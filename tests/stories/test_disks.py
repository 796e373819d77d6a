"""Disks fill up, fail, forget, lie and rot: what was acknowledged survives, and whom it strikes harms nobody else."""

from __future__ import annotations

from contextlib import suppress

import pytest

from hydra_sync.errors import UnavailableError
from hydra_sync.ranges import SeqRange
from hydra_sync.testing import SECOND, Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import (
    At,
    Backup,
    Crash,
    DiskError,
    FullDisk,
    LyingSync,
    Misdirect,
    On,
    Restore,
    Rot,
    Wipe,
)
from tests.stories.telling import NOW, all_meet, log_files, numbers, sources, stop_of, wait_held, warnings

CALM = Swarm.calm()


# Full


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_full_at_the_author(cluster: Cluster) -> None:
    """An append for which there is no room is refused; nothing else suffers, and with room appends work again."""
    await all_meet(cluster)
    await cluster.write("n0", count=3)
    cluster.inject([FullDisk(NOW, "n0", for_ns=20 * SECOND)])
    cluster.start_writing("n0", count=2, size=200_000)
    await cluster.write("n1", count=3)
    await cluster.run_for(19)
    assert cluster.world.effects["disk.full"] > 10  # the client tries again and again
    assert cluster.ledger.acknowledged_stop("n0") == 3
    assert cluster.world.host("n0").incarnation == 1
    await cluster.until(lambda: not cluster.pending["n0"], "the appends to return", within_s=3)
    await wait_held(cluster, cluster.aliases, "n0", 5, within_s=10)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_full_at_a_replica(cluster: Cluster) -> None:
    """A replica without room says what is missing and stays connected; the author goes on; with room it catches up."""
    await all_meet(cluster)
    await cluster.write("n0", count=3, replicas=2)
    cluster.inject([FullDisk(NOW, "n1", for_ns=30 * SECOND)])
    await cluster.write("n0", count=20, size=50_000, replicas=1)
    await cluster.run_for(20)
    assert "no room for n0's log" in warnings(cluster, "n1")
    assert stop_of(cluster, "n1", "n0") < 23
    assert stop_of(cluster, "n2", "n0") == 23
    assert all("n1" in cluster.connected(alias) for alias in ("n0", "n2"))
    await wait_held(cluster, ["n1"], "n0", 23, within_s=20)
    assert "no room" not in warnings(cluster, "n1")
    assert cluster.world.host("n1").incarnation == 1
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


# Failing


@simulate(nodes=3, seeds=5, swarm=CALM)
async def test_a_sync_fails_and_the_next_would_succeed(cluster: Cluster) -> None:
    """After a failed sync nothing more is acknowledged by that process; what it showed survives the next power cut."""
    await all_meet(cluster)
    await cluster.write("n0", count=3)
    cluster.inject([DiskError(NOW, "n0", "sync", subject=log_files("n0"))])
    for _ in range(5):  # the second batch waits in the queue while the sync of the first one fails
        cluster.start_writing("n0", count=4, size=600, together=2)
    await cluster.until(lambda: cluster.node("n0") is None, "the node to stop")
    assert cluster.world.effects["disk.sync_error"] == 1
    assert sorted(cluster.ledger.acknowledged["n0"]) == [0, 1, 2]
    await cluster.until(lambda: cluster.node("n0") is not None, "it to be started again")
    shown = stop_of(cluster, "n0", "n0")
    cluster.crash("n0", keep="lost")
    cluster.restart("n0")
    await cluster.until(lambda: stop_of(cluster, "n0", "n0") >= shown, "n0 to have what it showed")
    await cluster.settle(core=cluster.aliases)
    assert len(cluster.ledger.acknowledged["n0"]) >= 23
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_a_sync_of_a_replica_fails(cluster: Cluster) -> None:
    """Where a replica cannot be synced its node stops, gives no receipt, and gets the events once more."""
    await all_meet(cluster)
    cluster.inject([DiskError(NOW, "n1", "sync", subject=log_files("n0"))])
    cluster.start_writing("n0", replicas=2)
    await cluster.until(lambda: cluster.node("n1") is None, "the replica to stop")
    assert cluster.pending["n0"] == 1
    await cluster.until(lambda: not cluster.pending["n0"], "the append to return")
    assert cluster.world.host("n1").incarnation == 2
    assert cluster.world.host("n0").incarnation == 1
    assert stop_of(cluster, "n1", "n0") == 1
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_a_read_fails_while_serving(cluster: Cluster) -> None:
    """A source that cannot read what it holds is replaced by another one; nothing is skipped."""
    await all_meet(cluster)
    cluster.crash("n2")
    await cluster.write("n0", count=100, size=10_000, together=10)
    await wait_held(cluster, ["n1"], "n0")
    cluster.inject([DiskError(NOW, alias, "read", nth, log_files("n0")) for alias in ("n0", "n1") for nth in (1, 2)])
    cluster.restart("n2")
    await wait_held(cluster, ["n2"], "n0")
    assert cluster.world.effects["disk.read_error"]
    assert numbers(cluster, "n0") == list(range(100))
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


# Forgetting names


@simulate(nodes=2, seeds=5, swarm=CALM)
async def test_names_are_lost_while_a_store_is_made(cluster: Cluster) -> None:
    """A store whose files lost their names in crashes, while it was being made, is made again, and serves."""
    crashes = [Crash(On("n0", "sync_dir", nth), "n0", SECOND // 4, "lost") for nth in (1, 3, 6, 10)]
    cluster.inject(crashes)
    await cluster.write("n0", count=3)
    assert cluster.world.effects["disk.entries_lost"]
    assert cluster.world.host("n0").incarnation == 5
    cluster.crash("n0", keep="lost")
    cluster.restart("n0")
    await wait_held(cluster, cluster.aliases, "n0", 3)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=5, swarm=CALM)
async def test_the_name_of_a_new_segment_is_lost(cluster: Cluster) -> None:
    """No event is acknowledged, and none received, before the file that holds it has a durable name."""
    await all_meet(cluster)
    for alias in cluster.aliases:
        cluster.crash_at(alias, op="fsync_dir", keep="lost")
    await cluster.write("n0", count=3, replicas=1)
    assert cluster.world.effects["disk.entries_lost"] >= 2
    for alias in cluster.aliases:
        cluster.crash(alias, keep="lost")
        cluster.restart(alias)
    await wait_held(cluster, cluster.aliases, "n0")
    assert min(stop_of(cluster, alias, "n0") for alias in cluster.aliases) >= 3
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


# Lying, wiped, restored: the others must not suffer, and the member itself must not sign a second history


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_a_disk_lies(cluster: Cluster) -> None:
    """An author that lost acknowledged events learns it from those who have them, and stops before it forks."""
    await all_meet(cluster)
    await cluster.write("n0", count=3, replicas=2)
    cluster.inject([LyingSync(NOW, "n0", 5 * SECOND)])
    await cluster.write("n0", count=5, replicas=2)
    cluster.crash("n0", keep="lost")
    assert cluster.world.effects["disk.sync_lie"]
    await _comes_back_short(cluster, had=8)


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_a_disk_is_wiped(cluster: Cluster) -> None:
    """An author that begins anew with an empty disk learns that it has been here before, and stops before it forks."""
    await all_meet(cluster)
    await cluster.write("n0", count=8, replicas=2)
    cluster.inject([Wipe(NOW, "n0", LONG_DOWN_NS)])
    await cluster.run_for(1)
    await _comes_back_short(cluster, had=8)


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_a_backup_is_restored(cluster: Cluster) -> None:
    """An author on an old copy of its disk learns that there was more, and stops before it forks."""
    await all_meet(cluster)
    await cluster.write("n0", count=3, replicas=2)
    cluster.inject([Backup(NOW, "n0"), Restore(At(SECOND), "n0", LONG_DOWN_NS)])
    await cluster.run_for(0.1)
    await cluster.write("n0", count=5, replicas=2)
    await cluster.run_for(1)
    assert cluster.world.effects["disk.restore"]
    await _comes_back_short(cluster, had=8)


LONG_DOWN_NS = 1000 * SECOND


async def _comes_back_short(cluster: Cluster, *, had: int) -> None:
    """n0, which is down, comes back with less of its own log than the others have."""
    cluster.restart("n0")
    await cluster.until(lambda: "n0" in cluster.halted, "n0 to learn of it", within_s=10)
    assert stop_of(cluster, "n0", "n0") < had
    assert "appending would fork it" in warnings(cluster, "n0")
    await cluster.write("n0")  # is let off: refused for good
    assert cluster.ledger.acknowledged_stop("n0") == had
    await cluster.write("n1", count=5, replicas=2)
    await wait_held(cluster, cluster.aliases, "n1", 5)
    assert [stop_of(cluster, alias, "n0") for alias in ("n1", "n2")] == [had, had]
    assert numbers(cluster, "n0") == list(range(had))
    await cluster.settle(core=["n1", "n2"])
    cluster.check_all()


# Rotting


@simulate(nodes=4, seeds=4, swarm=CALM)
async def test_a_replica_rots(cluster: Cluster) -> None:
    """The range that rotted is refused by name, all else is served, and a late member gets the rest from others."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.crash("n3")
    await cluster.write("n0", count=60, size=2000, together=3)
    await wait_held(cluster, ["n1", "n2"], "n0")
    cluster.crash("n1", keep="kept")
    cluster.restart("n1")  # once it is open again, all that it holds counts as durable
    await all_meet(cluster, ["n0", "n1", "n2"])
    cluster.inject([Rot(NOW, "n1", log_files("n0"), offset=60_000)])
    await cluster.run_for(0.1)
    cluster.retire("n0")
    cluster.crash("n1", keep="kept")
    cluster.restart("n1")
    with pytest.raises(UnavailableError, match=r"events \[\d+, \d+\)"):
        await cluster.read("n1", "n0", SeqRange(0, 60))
    (hole,) = cluster.logs("n1")["n0"].holes
    assert len(await cluster.read("n1", "n0", SeqRange(0, hole.start))) == hole.start
    assert len(await cluster.read("n1", "n0", SeqRange(hole.stop, 60))) == 60 - hole.stop
    cluster.restart("n3")
    await wait_held(cluster, ["n3"], "n0", 60)
    assert sources(cluster, seen, "n3", "n0")["n2"] >= hole.count
    await cluster.settle(core=["n1", "n2", "n3"])
    cluster.check_all()


@simulate(nodes=3, seeds=4, swarm=CALM)
async def test_a_write_is_misdirected(cluster: Cluster) -> None:
    """A write that landed elsewhere is never taken for what it is not: it is missed, or fetched again."""
    await all_meet(cluster)
    await cluster.write("n0", count=20, size=1000)
    await wait_held(cluster, cluster.aliases, "n0")
    stop = 20
    while not cluster.world.effects["disk.misdirect"]:  # by chance, "elsewhere" may be where it belongs
        cluster.inject([Misdirect(NOW, "n1", subject=log_files("n0"))])
        await cluster.write("n0", count=20, size=1000)
        stop += 20
        await wait_held(cluster, ["n2"], "n0")
    cluster.crash("n1")
    cluster.restart("n1")
    await cluster.run_for(5)
    assert "log of n0" in warnings(cluster, "n1")
    written = list(cluster.ledger.written["n0"])
    for seq in range(stop):
        with suppress(UnavailableError):
            assert [event.data for event in await cluster.read("n1", "n0", SeqRange(seq, seq + 1))] == [written[seq]]
    assert len(await cluster.read("n2", "n0", SeqRange(0, stop))) == stop
    await cluster.settle(core=["n0", "n2"])
    cluster.check_all()
