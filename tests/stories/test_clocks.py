"""Wall clocks are for people to read: whatever they say, order and delivery stay as they are."""

from __future__ import annotations

from itertools import pairwise

from hydra_sync.ranges import SeqRange
from hydra_sync.testing import SECOND, US, Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import At, DriftClock, StepClock
from tests.stories.telling import NOW, all_meet, numbers, wait_held

CALM = Swarm.calm()
HOUR_US = 3600 * SECOND // US


async def times(cluster: Cluster, alias: str, log: str, count: int) -> list[int]:
    """When the author's clock says that each event was written."""
    return [event.time_us for event in await cluster.read(alias, log, SeqRange(0, count))]


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_back_by_an_hour(cluster: Cluster) -> None:
    """Events that were written later, and are dated earlier, stay behind those before them, at every member."""
    await all_meet(cluster)
    await cluster.write("n0", count=5)
    cluster.inject([StepClock(NOW, "n0", -HOUR_US)])
    await cluster.run_for(1)
    await cluster.write("n0", count=5)
    await wait_held(cluster, cluster.aliases, "n0", 10, within_s=3)
    dates = await times(cluster, "n2", "n0", 10)
    assert dates[5] < dates[4] - HOUR_US * 9 // 10
    assert numbers(cluster, "n0") == list(range(10))
    cluster.crash("n0")
    cluster.restart("n0")
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_to_before_the_beginning(cluster: Cluster) -> None:
    """A clock that says a time before 1970, or after all that can be said, stops nobody from writing."""
    await all_meet(cluster)
    for by_us in (-(1 << 62), (1 << 62) + (1 << 63)):
        cluster.inject([StepClock(NOW, "n0", by_us)])
        await cluster.run_for(1)
        await cluster.write("n0", count=2)
    await wait_held(cluster, cluster.aliases, "n0", 4, within_s=3)
    assert await times(cluster, "n1", "n0", 4) == [0, 0, (1 << 63) - 1, (1 << 63) - 1]
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=2, swarm=CALM)
async def test_ever_farther_apart(cluster: Cluster) -> None:
    """Members whose clocks jump and drift apart keep their connections, and deliver at once what the others write."""
    await all_meet(cluster)
    cluster.inject(
        [
            DriftClock(NOW, "n0", 100_000),
            DriftClock(NOW, "n1", -100_000),
            *(StepClock(At(second * SECOND), "n2", (-1) ** second * HOUR_US) for second in range(1, 60, 7)),
        ]
    )
    for _ in range(20):
        for alias in cluster.aliases:
            await cluster.write(alias)
        await cluster.run_for(3)
        assert cluster.connected("n0") == ["n1", "n2"]
    dates = {alias: await times(cluster, "n1", alias, 20) for alias in cluster.aliases}
    assert dates["n0"][-1] - dates["n1"][-1] > 10 * SECOND // US
    assert any(later < earlier for earlier, later in pairwise(dates["n2"]))
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
