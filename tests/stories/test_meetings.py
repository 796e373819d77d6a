"""Members meet, and meet again: one connection a pair, whatever became of the one before."""

from __future__ import annotations

from itertools import combinations

from hydra_sync.sync import Connected, Disconnected, NoSession
from hydra_sync.testing import MS, SECOND, Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import At, Crash, Partition, Pause, Refuse, Reset, Slow, Throttle, Vanish
from tests.stories.telling import LONG_NS, NOW, all_meet, all_met, stop_of, wait_held

CALM = Swarm.calm()


def connections(cluster: Cluster) -> list[int]:
    """How many connections each pair has."""
    network = cluster.world.network
    return [len(network.connections(one, other)) for one, other in combinations(cluster.aliases, 2)]


@simulate(nodes=2, seeds=5, swarm=CALM)
async def test_both_ends_dial_at_once(cluster: Cluster) -> None:
    """Two connections that cross become one, the same for both ends, and nobody dials again."""
    cluster.inject([Slow(NOW, one, other, 500 * MS, 0, LONG_NS) for one, other in (("n0", "n1"), ("n1", "n0"))])
    await cluster.run_for(10)
    dials = cluster.world.operations.counts
    assert (dials["n0", "connect"], dials["n1", "connect"]) == (1, 1)
    assert connections(cluster) == [1]
    assert all_met(cluster)
    await cluster.write("n0", count=3)
    await cluster.write("n1", count=3)
    await wait_held(cluster, ["n1"], "n0", within_s=3)
    await wait_held(cluster, ["n0"], "n1", within_s=3)
    await cluster.run_for(30)
    assert (dials["n0", "connect"], dials["n1", "connect"]) == (1, 1)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=6, seeds=2, swarm=CALM)
async def test_everyone_comes_back_at_once(cluster: Cluster) -> None:
    """Six members that start in one moment soon have one connection for each pair."""
    await all_meet(cluster)
    for alias in cluster.aliases:
        cluster.crash(alias)
    for alias in cluster.aliases:
        cluster.restart(alias)
    await all_meet(cluster, within_s=5)
    await cluster.run_for(5)
    assert connections(cluster) == [1] * 15
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_half_open_connection(cluster: Cluster) -> None:
    """A connection that died without a word is given up after a silence, and another one takes its place."""
    await all_meet(cluster)
    seen = cluster.watch()
    cluster.inject([Vanish(NOW, "n0", "n1")])
    await cluster.write("n0", count=5)
    await cluster.run_for(10)
    assert cluster.world.effects["net.vanish"]
    assert all_met(cluster)  # as far as they know
    assert stop_of(cluster, "n1", "n0") == 0
    await wait_held(cluster, ["n1"], "n0", within_s=12)
    assert {who for who, notice in seen if isinstance(notice, Disconnected)} == {"n0", "n1"}
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=4, swarm=CALM)
async def test_back_before_anyone_noticed(cluster: Cluster) -> None:
    """Who restarts within a moment is let in at once, though its old connection still looks alive to the other."""
    await all_meet(cluster)
    cluster.inject([Crash(NOW, "n1", 200 * MS)])
    await cluster.run_for(0.1)
    assert cluster.connected("n0") == ["n1"]
    await cluster.until(lambda: cluster.connected("n1") == ["n0"], "n1 to be let in", within_s=2)
    await cluster.write("n0", count=3)
    await wait_held(cluster, ["n1"], "n0", within_s=1)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_refused_and_then_accepted(cluster: Cluster) -> None:
    """Members that refuse each other keep trying, ever more slowly but not too slowly, until they are let in."""
    await all_meet(cluster)
    seen = cluster.watch()
    cluster.inject([Refuse(NOW, "n0", 60 * SECOND), Refuse(NOW, "n1", 60 * SECOND), Reset(NOW, "n0", "n1")])
    await cluster.write("n0", count=3)
    await cluster.run_for(59)
    assert cluster.connected("n0") == cluster.connected("n1") == []
    assert any(isinstance(notice, NoSession) and "refused" in notice.why for _, notice in seen)
    assert 20 < cluster.world.effects["net.refuse"] < 60  # both dial, at least every five seconds
    await wait_held(cluster, ["n1"], "n0", within_s=7)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_nobody_answers(cluster: Cluster) -> None:
    """A dial into a black hole ends in time, says so, and is tried again until somebody is there."""
    cluster.inject([Partition(NOW, (("n0",), ("n1",)), 25 * SECOND)])
    await cluster.run_for(24)
    node = cluster.node("n0")
    assert node is not None
    assert "nobody answered" in str(node.status().members[1].last_error)
    await all_meet(cluster, within_s=16)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_reset_in_the_middle_of_a_frame(cluster: Cluster) -> None:
    """Half an event that arrived before a reset is nothing; over the next connection it comes as a whole."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.inject([Throttle(NOW, "n0", "n1", 400_000, LONG_NS), Reset(At(2 * SECOND), "n0", "n1")])
    await cluster.write("n0", size=1_000_000)
    await cluster.run_for(1.9)
    assert stop_of(cluster, "n1", "n0") == 0  # the line needs two and a half seconds for it
    await cluster.run_for(1)
    assert cluster.world.effects["net.reset"] == 1
    assert stop_of(cluster, "n1", "n0") == 0
    await wait_held(cluster, ["n1"], "n0", within_s=5)
    assert any(isinstance(notice, Disconnected) for _, notice in seen)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=2, swarm=CALM)
async def test_reset_again_and_again(cluster: Cluster) -> None:
    """With a reset every second for half a minute, events still get through between them, each once."""
    await all_meet(cluster)
    seen = cluster.watch()
    cluster.inject([Reset(At(number * SECOND), "n0", "n1") for number in range(1, 31)])
    for _ in range(30):
        await cluster.write("n0", count=5, size=3000)
        await cluster.run_for(1)
    assert cluster.world.effects["net.reset"] > 20
    assert sum(isinstance(notice, Connected) for who, notice in seen if who == "n1") > 20
    await wait_held(cluster, ["n1"], "n0", within_s=3)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_a_pause_of_a_minute(cluster: Cluster) -> None:
    """Who stood still for a minute, and finds all its connections dead, has caught up in a moment."""
    await all_meet(cluster)
    cluster.start_writing("n1", count=100)
    cluster.inject([Pause(NOW, "n1", 60 * SECOND)])
    await cluster.run_for(30)
    assert cluster.connected("n0") == ["n2"]
    await cluster.write("n0", count=50)
    await wait_held(cluster, ["n2"], "n0")
    before = cluster.ledger.acknowledged_stop("n1")
    await cluster.run_for(29)
    assert cluster.ledger.acknowledged_stop("n1") == before < 100
    assert cluster.now_s < 61
    await wait_held(cluster, cluster.aliases, "n0", within_s=10)
    await cluster.until(lambda: not cluster.pending["n1"], "n1 to have written the rest", within_s=5)
    await wait_held(cluster, cluster.aliases, "n1", 100, within_s=5)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
