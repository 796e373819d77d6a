"""Power is cut at the worst of moments: what was acknowledged is there, and what was torn never was."""

from __future__ import annotations

from hydra_sync.sync import Fetching
from hydra_sync.testing import MS, SECOND, Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import Crash, CrashLoop, On
from tests.stories.telling import all_meet, log_files, numbers, stop_of, wait_held, warnings

CALM = Swarm.calm()


@simulate(nodes=3, seeds=5, swarm=CALM)
async def test_in_the_middle_of_a_batch(cluster: Cluster) -> None:
    """A batch of which half reached the platter is cut off, no event of it is seen, and the log goes on behind it."""
    await all_meet(cluster)
    await cluster.write("n0", count=3)
    cluster.inject([Crash(On("n0", "sync", subject=log_files("n0")), "n0", keep="torn")])
    await cluster.write("n0", count=20, size=500, together=20)
    assert cluster.world.effects["disk.torn"]
    assert "torn tail" in warnings(cluster, "n0")
    await wait_held(cluster, cluster.aliases, "n0", 23)
    assert numbers(cluster, "n0") == [0, 1, 2, *range(23, 43)]  # the client wrote twenty others instead
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_between_write_and_sync(cluster: Cluster) -> None:
    """What was written and not synced has been shown to nobody: when it is lost, nobody knows better."""
    await all_meet(cluster)
    await cluster.write("n0", count=3)
    lost = Crash(On("n0", "sync", subject=log_files("n0"), delay_ns=MS // 4), "n0", 5 * SECOND, "lost", "close")
    cluster.inject([lost])
    cluster.start_writing("n0", count=5, together=5)
    await cluster.run_for(4)
    assert cluster.node("n0") is None
    assert cluster.world.effects["disk.lost"]
    assert [stop_of(cluster, alias, "n0") for alias in ("n1", "n2")] == [3, 3]
    await cluster.settle(core=cluster.aliases)
    assert numbers(cluster, "n0")[:8] == [0, 1, 2, *range(8, 13)]
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_right_after_the_acknowledgement(cluster: Cluster) -> None:
    """An event whose append has just returned is there after the crash, though nobody else had it yet."""
    await cluster.write("n0", count=5)
    cluster.crash("n0", keep="lost")
    await all_meet(cluster, ["n1", "n2"])
    assert [stop_of(cluster, alias, "n0") for alias in ("n1", "n2")] == [0, 0]
    cluster.restart("n0")
    await wait_held(cluster, cluster.aliases, "n0", 5)
    assert numbers(cluster, "n0") == [0, 1, 2, 3, 4]
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_right_before_the_acknowledgement(cluster: Cluster) -> None:
    """An event that was synced, and whose append never returned, is in the log all the same: once, for everyone."""
    await all_meet(cluster)
    await cluster.write("n0", count=3)
    cluster.inject([Crash(On("n0", "sync", subject=log_files("n0"), phase="after"), "n0", keep="lost")])
    await cluster.write("n0", count=1)
    assert cluster.world.effects["host.crash"] == 1
    await wait_held(cluster, cluster.aliases, "n0", 5)
    assert numbers(cluster, "n0") == [0, 1, 2, 3, 4]  # the fourth was never acknowledged, and the client wrote a fifth
    assert sorted(cluster.ledger.acknowledged["n0"]) == [0, 1, 2, 4]
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_while_catching_up(cluster: Cluster) -> None:
    """Who crashes while catching up goes on where its disk ends, and does not begin anew."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.crash("n2")
    await cluster.write("n0", count=600, size=5000, together=30)
    synced = On("n2", "sync", nth=4, subject=log_files("n0"))
    cluster.inject([Crash(synced, "n2", keep="lost")])
    cluster.restart("n2")
    await cluster.until(lambda: cluster.world.host("n2").incarnation == 3, "n2 to crash and start again")
    crashed = len(seen)
    await wait_held(cluster, ["n2"], "n0")
    asked = [
        notice.start
        for alias, notice in seen[crashed:]
        if alias == "n2" and isinstance(notice, Fetching) and cluster.alias_of(notice.log) == "n0"
    ]
    assert 0 < min(asked) < 600
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_again_and_again(cluster: Cluster) -> None:
    """A node that dies six times, mostly before it has opened its store, loses nothing that it acknowledged."""
    await all_meet(cluster)
    loop = CrashLoop(On("n0", "sync", nth=5, subject=log_files("n0")), "n0", 6, 20 * MS, 50 * MS)
    cluster.inject([loop])
    await cluster.write("n0", count=40, size=600)
    assert cluster.world.host("n0").incarnation == 7
    await wait_held(cluster, cluster.aliases, "n0")
    await cluster.settle(core=cluster.aliases)
    assert len(cluster.ledger.acknowledged["n0"]) >= 40
    cluster.check_all()


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_everyone_at_once(cluster: Cluster) -> None:
    """After a power failure of the whole network, each log is at least as long as it was acknowledged."""
    await all_meet(cluster)
    for alias in cluster.aliases:
        cluster.start_writing(alias, count=100, size=300)
    await cluster.run_for(0.05)
    acknowledged = {alias: cluster.ledger.acknowledged_stop(alias) for alias in cluster.aliases}
    assert all(0 < stop < 100 for stop in acknowledged.values())
    for alias in cluster.aliases:
        cluster.crash(alias)
    await cluster.run_for(1)
    for alias in cluster.aliases:
        cluster.restart(alias)
    await cluster.settle(core=cluster.aliases)
    assert all(stop_of(cluster, alias, alias) >= acknowledged[alias] + 1 for alias in cluster.aliases)
    cluster.check_all()


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_one_after_the_other_under_load(cluster: Cluster) -> None:
    """While every member is restarted in turn, an author goes on, and each of its appends reaches another disk."""
    await all_meet(cluster)
    cluster.start_writing("n0", count=450, replicas=1)
    for alias in cluster.aliases:
        cluster.crash(alias)
        await cluster.run_for(0.5)
        before = cluster.ledger.acknowledged_stop("n0")
        cluster.restart(alias)
        await cluster.run_for(2)
        assert cluster.pending["n0"]
        assert cluster.ledger.acknowledged_stop("n0") > before
    await cluster.settle(core=cluster.aliases)
    assert len(cluster.ledger.acknowledged["n0"]) >= 450
    cluster.check_all()


@simulate(nodes=2, seeds=4, swarm=CALM)
async def test_while_it_opens_its_store(cluster: Cluster) -> None:
    """A node that dies while it makes its log sound again, twice, makes it sound at the third time."""
    await cluster.write("n0", count=5, size=600)
    killed = Crash(On("n0", "sync", subject=log_files("n0")), "n0", SECOND // 4, keep="cache")
    reopening = [Crash(On("n0", "write", nth, log_files("n0")), "n0", SECOND // 4, "torn") for nth in (2, 3)]
    cluster.inject([killed, *reopening])
    await cluster.write("n0", count=5, size=600, together=5)
    assert cluster.world.effects["host.crash"] == 3
    await cluster.settle(core=cluster.aliases)
    assert numbers(cluster, "n0")[:5] == [0, 1, 2, 3, 4]
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_first_of_the_process_and_then_of_the_machine(cluster: Cluster) -> None:
    """What a killed process had left in the page cache is made durable before it is shown: no power cut undoes it."""
    await all_meet(cluster)
    await cluster.write("n0", count=3)
    cluster.inject([Crash(On("n0", "sync", subject=log_files("n0")), "n0", SECOND // 4, "cache", "close")])
    cluster.start_writing("n0", count=1)
    await cluster.until(lambda: stop_of(cluster, "n1", "n0") == 4, "n1 to see what the killed process had written")
    assert sorted(cluster.ledger.acknowledged["n0"]) == [0, 1, 2]
    cluster.crash("n0", keep="lost")
    cluster.restart("n0")
    await cluster.until(lambda: stop_of(cluster, "n0", "n0") >= 4, "n0 to have it still")
    await cluster.settle(core=cluster.aliases)
    assert not cluster.halted
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_of_a_replica_before_its_sync(cluster: Cluster) -> None:
    """A replica has an event when it has synced it, and no sooner: until then the append waits."""
    await all_meet(cluster)
    cluster.inject([Crash(On("n1", "sync", subject=log_files("n0")), "n1", 5 * SECOND, "lost")])
    cluster.start_writing("n0", replicas=1)
    await cluster.run_for(4)
    assert cluster.node("n1") is None
    assert stop_of(cluster, "n0", "n0") == 1
    assert cluster.pending["n0"] == 1
    await cluster.until(lambda: not cluster.pending["n0"], "the append to return")
    assert stop_of(cluster, "n1", "n0") == 1
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
