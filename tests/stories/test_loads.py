"""Much to carry, in large pieces or in small ones: it arrives, and it does not get in the way of the rest."""

from __future__ import annotations

from hydra_sync.limits import EVENT_BYTES_MAX
from hydra_sync.sync import Disconnected, Fetching, SourceReplaced
from hydra_sync.testing import Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import Throttle
from tests.stories.telling import LONG_NS, NOW, all_meet, hold, stop_of, wait_held

CALM = Swarm.calm()
LARGEST = EVENT_BYTES_MAX - 64  # beside the alias and the number


@simulate(nodes=2, seeds=2, swarm=CALM)
async def test_largest_events_over_a_narrow_line(cluster: Cluster) -> None:
    """Events of a mebibyte, ten seconds each, are no stall: they arrive, over one connection, from one source."""
    await all_meet(cluster)
    seen = cluster.watch()
    cluster.inject([Throttle(NOW, "n0", "n1", 100_000, LONG_NS)])
    await cluster.write("n0", count=3, size=LARGEST)
    await cluster.run_for(10)
    assert stop_of(cluster, "n1", "n0") == 0
    await wait_held(cluster, ["n1"], "n0", 3, within_s=23)
    assert not [notice for _, notice in seen if isinstance(notice, Disconnected | SourceReplaced)]
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=1, swarm=CALM)
async def test_tiny_batches_far_behind(cluster: Cluster) -> None:
    """More than a thousand batches of one event are fetched in a fraction of the time in which they were made."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.crash("n2")
    began_s = cluster.now_s
    await cluster.write("n0", count=1300)
    wrote_s = cluster.now_s - began_s
    await wait_held(cluster, ["n1"], "n0")
    cluster.restart("n2")
    await cluster.until(lambda: bool(cluster.connected("n2")), "n2 to meet someone")
    began_s = cluster.now_s
    await wait_held(cluster, ["n2"], "n0", 1300)
    assert cluster.now_s - began_s < wrote_s / 4
    ranges = [notice.stop for who, notice in seen if who == "n2" and isinstance(notice, Fetching)]
    assert any(stop is not None for stop in ranges)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=2, swarm=CALM)
async def test_a_slow_member_slows_nobody(cluster: Cluster) -> None:
    """While one member is served over a line too narrow for what is written, the others are up to date."""
    await all_meet(cluster)
    cluster.inject([Throttle(NOW, source, "n2", 30_000, LONG_NS) for source in ("n0", "n1")])
    for _ in range(10):
        await cluster.write("n0", count=10, size=10_000, together=2)
        await wait_held(cluster, ["n1"], "n0", within_s=0.3)
        await cluster.run_for(1)
    assert 0 < stop_of(cluster, "n2", "n0") < 80
    await wait_held(cluster, ["n2"], "n0", 100, within_s=40)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_everyone_wrote_while_one_was_away(cluster: Cluster) -> None:
    """A member that comes back fetches the logs of all others at once, while they go on writing."""
    await all_meet(cluster)
    cluster.crash("n3")
    for alias in ("n0", "n1", "n2"):
        await cluster.write(alias, count=300, size=2000, together=10)
    for alias in ("n0", "n1", "n2"):
        cluster.start_writing(alias, count=100)
    cluster.restart("n3")
    await cluster.until(lambda: hold(cluster, ["n3"], "n0", 300), "n3 to get what it missed", within_s=10)
    for alias in ("n0", "n1", "n2"):
        await wait_held(cluster, ["n3"], alias, 400, within_s=5)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
