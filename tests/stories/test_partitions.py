"""The network falls apart: both sides go on, and whatever order it heals in, all logs become equal."""

from __future__ import annotations

from hydra_sync.sync import Disconnected
from hydra_sync.testing import MS, SECOND, Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import At, Clog, Cut, Loss, Partition, Throttle
from tests.stories.telling import LONG_NS, NOW, all_meet, hold, sources, stop_of, wait_held

CALM = Swarm.calm()


@simulate(nodes=5, seeds=3, swarm=CALM)
async def test_both_sides_go_on_writing(cluster: Cluster) -> None:
    """A minority writes as a majority does; afterwards everyone has what was written on either side."""
    await all_meet(cluster)
    cluster.inject([Partition(NOW, (("n0", "n1"), ("n2", "n3", "n4")), for_ns=40 * SECOND)])
    for alias in cluster.aliases:
        await cluster.write(alias, count=10, size=200)
    await cluster.run_for(30)
    assert hold(cluster, ["n0", "n1"], "n0", 10)
    assert hold(cluster, ["n2", "n3", "n4"], "n4", 10)
    assert [stop_of(cluster, alias, "n0") for alias in ("n2", "n3", "n4")] == [0, 0, 0]
    assert [stop_of(cluster, alias, "n4") for alias in ("n0", "n1")] == [0, 0]
    for log in cluster.aliases:
        await wait_held(cluster, cluster.aliases, log, 10)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=4, seeds=3, swarm=CALM)
async def test_heals_in_the_wrong_order(cluster: Cluster) -> None:
    """Links come back farthest from the author first: each event still walks the whole chain, as links allow."""
    seen = cluster.watch()
    everyone = tuple((alias,) for alias in cluster.aliases)
    chain = (("n2", "n3", 20), ("n1", "n2", 40), ("n0", "n1", 60))
    cluster.inject(
        [
            *(Cut(NOW, one, other, heals_s * SECOND) for one, other, heals_s in chain),
            *(Cut(NOW, other, one, heals_s * SECOND) for one, other, heals_s in chain),
            Partition(NOW, everyone, LONG_NS),  # all the other links
        ]
    )
    await cluster.write("n0", count=10, size=1000)
    await cluster.run_for(59)
    assert cluster.connected("n2") == ["n1", "n3"]
    assert [stop_of(cluster, alias, "n0") for alias in ("n1", "n2", "n3")] == [0, 0, 0]
    await wait_held(cluster, cluster.aliases, "n0", within_s=30)
    chained = [sources(cluster, seen, alias, "n0") for alias in ("n1", "n2", "n3")]
    assert chained == [{"n0": 10}, {"n1": 10}, {"n2": 10}]
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_one_way(cluster: Cluster) -> None:
    """Who still hears, and is not heard any more, is served over others, and both ends give the connection up."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.inject([Cut(NOW, "n0", "n1", LONG_NS)])
    await cluster.write("n0", count=10)
    await wait_held(cluster, cluster.aliases, "n0", within_s=10)
    assert sources(cluster, seen, "n1", "n0") == {"n2": 10}
    await cluster.run_for(20)
    assert cluster.connected("n0") == ["n2"]
    assert cluster.connected("n1") == ["n2"]
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_clogged_link(cluster: Cluster) -> None:
    """A link that holds everything back for less than the silence that ends a session costs time and nothing else."""
    await all_meet(cluster)
    seen = cluster.watch()
    cluster.inject([Clog(NOW, "n0", "n1", 12 * SECOND)])
    await cluster.write("n0", count=20, size=100)
    await cluster.run_for(11)
    assert stop_of(cluster, "n1", "n0") == 0
    await wait_held(cluster, ["n1"], "n0", within_s=2)
    assert not [notice for _, notice in seen if isinstance(notice, Disconnected)]
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_clogged_author(cluster: Cluster) -> None:
    """Behind a clogged link to the author, a member does not wait: it gets the events from who has them already."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.inject([Clog(NOW, "n0", "n1", 12 * SECOND)])
    await cluster.write("n0", count=20, size=100)
    await wait_held(cluster, ["n1"], "n0", within_s=6)
    assert cluster.world.effects["link.clog"]
    assert sources(cluster, seen, "n1", "n0") == {"n2": 20}
    await cluster.run_for(10)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_flapping(cluster: Cluster) -> None:
    """A network that falls apart for a moment each second, in ever other ways, keeps its connections and its pace."""
    await all_meet(cluster)
    seen = cluster.watch()
    groups = ((("n0",), ("n1", "n2")), (("n0", "n1"), ("n2",)), (("n0", "n2"), ("n1",)))
    cluster.inject([Partition(At(second * SECOND), groups[second % 3], 400 * MS) for second in range(30)])
    for _ in range(15):
        await cluster.write("n0", count=5)
        await cluster.run_for(2)
    assert cluster.world.effects["link.cut"] >= 15
    assert not [notice for _, notice in seen if isinstance(notice, Disconnected)]
    await wait_held(cluster, cluster.aliases, "n0", 75, within_s=5)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_slow_drip(cluster: Cluster) -> None:
    """Over 20 kB/s with 30 % of all segments lost, events arrive, in order, as fast as the line is."""
    await all_meet(cluster)
    for one, other in (("n0", "n1"), ("n1", "n0")):
        cluster.inject([Throttle(NOW, one, other, 20_000, LONG_NS), Loss(NOW, one, other, 300_000, LONG_NS)])
    await cluster.write("n0", count=40, size=5000)
    assert stop_of(cluster, "n1", "n0") < 40
    await wait_held(cluster, ["n1"], "n0", within_s=60)
    assert cluster.world.effects["link.loss"] > 5
    assert cluster.world.effects["link.throttle"] > 20
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_for_a_quarter_of_an_hour(cluster: Cluster) -> None:
    """A member that was away for long is dialed again within the cap of the back-off, not ever more rarely."""
    await all_meet(cluster)
    cluster.inject([Partition(NOW, (("n3",), ("n0", "n1", "n2")), 900 * SECOND)])
    await cluster.write("n0", count=10)
    await cluster.write("n3", count=10)
    await cluster.run_for(899)
    assert cluster.connected("n3") == []
    await all_meet(cluster, within_s=18)  # an attempt takes up to 10 s, the pause after it up to 5 s
    await wait_held(cluster, cluster.aliases, "n0", within_s=2)
    await wait_held(cluster, cluster.aliases, "n3", within_s=2)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
