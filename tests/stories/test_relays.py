"""Events come from whoever has them: the author is not needed once anyone holds what it wrote."""

from __future__ import annotations

from itertools import combinations, pairwise

from hydra_sync.sync import Fetched, Fetching, SourceReplaced
from hydra_sync.testing import SECOND, Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import Partition, Throttle
from tests.stories.telling import LONG_NS, NOW, Seen, all_meet, hold, log_bytes, sources, stop_of, wait_held

CALM = Swarm.calm()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_the_author_is_gone_for_ever(cluster: Cluster) -> None:
    """The last events of a dead author, which one relay alone has, reach everyone, byte for byte as signed."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.world.network.partition(["n2"], ["n0", "n1"])
    await cluster.write("n0", count=10, size=100, replicas=1)
    cluster.retire("n0")
    assert stop_of(cluster, "n2", "n0") == 0
    cluster.world.network.heal("n1", "n2")
    await wait_held(cluster, ["n1", "n2"], "n0", 10)
    assert sources(cluster, seen, "n2", "n0") == {"n1": 10}
    assert log_bytes(cluster, "n2", "n0") == log_bytes(cluster, "n1", "n0") == log_bytes(cluster, "n0", "n0") != b""
    await cluster.settle(core=["n1", "n2"])
    cluster.check_all()


@simulate(nodes=4, seeds=3, swarm=CALM)
async def test_from_hand_to_hand(cluster: Cluster) -> None:
    """Events outlive the author, and then the first relay, as long as each has met the next one."""
    await all_meet(cluster)
    cluster.crash("n2")
    cluster.crash("n3")
    await cluster.write("n0", count=10, replicas=1)
    cluster.retire("n0")
    cluster.restart("n2")
    await wait_held(cluster, ["n2"], "n0", 10)
    cluster.retire("n1")
    cluster.restart("n3")
    await wait_held(cluster, ["n3"], "n0", 10)
    assert cluster.running == ["n2", "n3"]
    await cluster.settle(core=["n2", "n3"])
    cluster.check_all()


@simulate(nodes=4, seeds=4, swarm=CALM)
async def test_the_relay_dies_while_relaying(cluster: Cluster) -> None:
    """When one source of several falls silent in the middle of a range, the rest comes from the others."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.crash("n3")
    await cluster.write("n0", count=400, size=10_000, together=20)
    await wait_held(cluster, ["n1", "n2"], "n0")
    cluster.retire("n0")
    cluster.inject([Throttle(NOW, relay, "n3", 1_000_000, LONG_NS) for relay in ("n1", "n2")])
    cluster.restart("n3")
    await cluster.until(lambda: bool(sources(cluster, seen, "n3", "n0")), "someone to relay")
    relay = next(iter(sources(cluster, seen, "n3", "n0")))
    cluster.retire(relay)
    assert stop_of(cluster, "n3", "n0") < 400
    await wait_held(cluster, ["n3"], "n0", within_s=30)
    assert set(sources(cluster, seen, "n3", "n0")) == {"n1", "n2"}
    await cluster.settle(core=[alias for alias in ("n1", "n2", "n3") if alias != relay])
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_the_only_relay_dies_while_relaying(cluster: Cluster) -> None:
    """When the only source there is dies in the middle and comes back, it goes on from where the late one is."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.crash("n2")
    await cluster.write("n0", count=200, size=10_000, together=20)
    await wait_held(cluster, ["n1"], "n0")
    cluster.retire("n0")
    cluster.inject([Throttle(NOW, "n1", "n2", 1_000_000, LONG_NS)])
    cluster.restart("n2")
    await cluster.until(lambda: stop_of(cluster, "n2", "n0") > 0, "n2 to hold the first events")
    cluster.crash("n1")
    had = stop_of(cluster, "n2", "n0")
    assert had < 200
    await cluster.run_for(3)
    cluster.restart("n1")
    await wait_held(cluster, ["n2"], "n0")
    assert sources(cluster, seen, "n2", "n0")["n1"] < 200 + 100  # the part on its way came twice, not all of it
    await cluster.settle(core=["n1", "n2"])
    cluster.check_all()


@simulate(nodes=4, seeds=3, swarm=CALM)
async def test_two_late_ones_feed_each_other(cluster: Cluster) -> None:
    """Two members have each met one of two authors, who are dead now: each gets from the other what it lacks."""
    seen = cluster.watch()
    cluster.world.network.partition(["n0", "n2"], ["n1", "n3"])
    await cluster.write("n0", count=50, size=1000, replicas=1)
    await cluster.write("n1", count=50, size=1000, replicas=1)
    cluster.retire("n0")
    cluster.retire("n1")
    assert (stop_of(cluster, "n2", "n1"), stop_of(cluster, "n3", "n0")) == (0, 0)
    cluster.world.network.heal("n2", "n3")
    await wait_held(cluster, ["n2", "n3"], "n0", 50)
    await wait_held(cluster, ["n2", "n3"], "n1", 50)
    assert sources(cluster, seen, "n2", "n1") == {"n3": 50}
    assert sources(cluster, seen, "n3", "n0") == {"n2": 50}
    await cluster.settle(core=["n2", "n3"])
    cluster.check_all()


@simulate(nodes=5, seeds=2, swarm=CALM)
async def test_a_line(cluster: Cluster) -> None:
    """Where each has but its neighbours, every log gets from one end to the other, from neighbour to neighbour."""
    seen = cluster.watch()
    neighbours = list(pairwise(cluster.aliases))
    for one, other in combinations(cluster.aliases, 2):
        if (one, other) not in neighbours:
            cluster.world.network.cut(one, other)
    for alias in cluster.aliases:
        await cluster.write(alias, count=5)
    for log in cluster.aliases:
        await wait_held(cluster, cluster.aliases, log, 5)
    assert sources(cluster, seen, "n4", "n0") == {"n3": 5}
    assert sources(cluster, seen, "n0", "n4") == {"n1": 5}
    cluster.world.network.heal_all()
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=6, seeds=2, swarm=CALM)
async def test_a_star(cluster: Cluster) -> None:
    """Where all know but the one in the middle, it relays everything; when it restarts, nothing is missing."""
    seen = cluster.watch()
    cluster.world.network.partition(*([leaf] for leaf in cluster.aliases[1:]))
    for leaf in cluster.aliases[1:]:
        await cluster.write(leaf, count=5)
    await wait_held(cluster, cluster.aliases, "n5", 5)
    cluster.crash("n0")
    for leaf in cluster.aliases[1:]:
        await cluster.write(leaf, count=5)
    await cluster.run_for(5)
    assert not any(hold(cluster, ["n1"], leaf, 6) for leaf in cluster.aliases[2:])
    cluster.restart("n0")
    for leaf in cluster.aliases[1:]:
        await wait_held(cluster, cluster.aliases, leaf, 10)
    assert sources(cluster, seen, "n1", "n5") == {"n0": 10}
    cluster.world.network.heal_all()
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=4, seeds=3, swarm=CALM)
async def test_a_source_falls_silent(cluster: Cluster) -> None:
    """What a source owes is asked of another one after five seconds, long before the connection counts as dead."""
    await all_meet(cluster)
    cluster.crash("n3")
    await cluster.write("n0", count=1500, size=1000, together=20)
    await wait_held(cluster, ["n1", "n2"], "n0")
    cluster.retire("n0")
    cluster.inject([Throttle(NOW, relay, "n3", 500_000, LONG_NS) for relay in ("n1", "n2")])
    seen = cluster.watch()
    cluster.restart("n3")
    await cluster.until(lambda: bool(sources(cluster, seen, "n3", "n0")), "someone to relay")
    relay = next(iter(sources(cluster, seen, "n3", "n0")))
    cluster.world.link(relay, "n3").cut()
    assert stop_of(cluster, "n3", "n0") < 1500
    await wait_held(cluster, ["n3"], "n0", within_s=12)
    assert relay in cluster.connected("n3")
    replaced = [notice for alias, notice in seen if alias == "n3" and isinstance(notice, SourceReplaced)]
    assert (relay, "no progress") in [(cluster.alias_of(notice.peer), notice.why) for notice in replaced]
    await cluster.settle(core=["n1", "n2", "n3"])
    cluster.check_all()


def _asked_at_once(cluster: Cluster, seen: Seen, alias: str, log: str) -> int:
    """From how many others a member was fetching ranges of a log at the same time, at most."""
    under_way: dict[int, str] = {}
    most = 0
    for who, notice in seen:
        if who == alias and isinstance(notice, Fetching | Fetched) and cluster.alias_of(notice.log) == log:
            if isinstance(notice, Fetched):
                under_way = {stop: peer for stop, peer in under_way.items() if stop != notice.events.stop}
            elif notice.stop is not None:
                under_way[notice.stop] = cluster.alias_of(notice.peer)
            most = max(most, len(set(under_way.values())))
    return most


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_far_behind_everyone_helps(cluster: Cluster) -> None:
    """Who is megabytes behind asks several members at once for different ranges."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.crash("n3")
    await cluster.write("n0", count=800, size=8000, together=50)
    await wait_held(cluster, ["n1", "n2"], "n0")
    cluster.inject([Partition(NOW, (("n3",), ("n0",)), SECOND)])
    cluster.restart("n3")
    await wait_held(cluster, ["n3"], "n0")
    assert max(sources(cluster, seen, "n3", "n0").values()) < 800
    assert _asked_at_once(cluster, seen, "n3", "n0") >= 2
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
