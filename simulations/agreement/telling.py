"""What stories of agreement are made of. Details are drawn for each seed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from itertools import permutations
from typing import Final

from hydra_sync.testing import MS, SECOND, Shape
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.plan.faults import At, On
from hydra_sync.testing.plan.swarm import Swarm
from hydra_sync.testing.signals import sometimes
from hydra_sync.testing.simulate import Simulation, simulate
from hydra_sync.testing.world.operations import Operation, Phase
from hydra_sync.testing.world.streams import Stream
from simulations.invariants import FEATURES

__all__ = [
    "LONG_NS",
    "NOW",
    "STORIES",
    "at_own_sync",
    "cut",
    "end",
    "heal",
    "keep_from_some",
    "outage_ns",
    "part",
    "perhaps_near",
    "some_time",
    "somebody",
    "soon",
    "story",
    "wait_remembering",
    "wait_started",
    "wait_up",
    "waits",
    "write",
]

NOW: Final = At(0)
LONG_NS: Final = 3600 * SECOND
NEAR: Final = Shape(latency_ns=100_000, jitter_ns=50_000, bytes_per_s=125_000_000)
FEW: Final = Swarm(nodes=(3, 4), seconds=(1, 3), operations=(4, 12), kinds=())

STORIES: Final[dict[str, Simulation]] = {}

waits = sometimes("a start waits for the one member that knows better", cluster=True)
_orphans = sometimes("what was acknowledged and not stable is lost with its disk", cluster=True)


def story(
    *, nodes: tuple[int, int] = FEW.nodes
) -> Callable[[Callable[[Cluster, Stream], Awaitable[None]]], Simulation]:
    """A scenario of a story that is told with dice of its own, and ends well."""

    def decorate(tell: Callable[[Cluster, Stream], Awaitable[None]]) -> Simulation:
        async def scenario(cluster: Cluster) -> None:
            perhaps_near(cluster)
            await tell(cluster, cluster.world.random("story"))
            cluster.check_all()

        scenario.__name__, scenario.__doc__, scenario.__module__ = tell.__name__, tell.__doc__, tell.__module__
        simulation = simulate(swarm=replace(FEW, nodes=nodes), features=FEATURES, restart="prove")(scenario)
        STORIES[simulation.name] = simulation
        return simulation

    return decorate


def perhaps_near(cluster: Cluster) -> None:
    """By chance, the members stand side by side: then their disks are slower than the network between them."""
    if cluster.world.random("distance").below(4) == 0:
        for one, other in permutations(cluster.aliases, 2):
            link = cluster.world.link(one, other)
            link.usual = NEAR
            link.reshape(NEAR)


async def some_time(cluster: Cluster, dice: Stream, most_s: float = 1.0) -> None:
    await cluster.run_for(dice.below(1 + int(most_s * 1000)) / 1000)


def soon(dice: Stream, most_ms: int = 1000) -> At:
    return At(1 + dice.below(most_ms * MS))


def write(cluster: Cluster, dice: Stream, alias: str, *, most: int = 4) -> None:
    """Some writes of one member, at once and one after the other."""
    for _ in range(dice.between(1, most)):
        together = dice.pick((1, 1, 2, 3))
        cluster.start_writing(alias, count=together, size=dice.pick((0, 0, 100, 700)), together=together)


def at_own_sync(dice: Stream, alias: str) -> On | At:
    """In the middle of what the member does to its own log, mostly; or at any time."""
    if dice.below(3) == 0:
        return soon(dice)
    delay_ns = dice.pick((0, 0, dice.below(3 * MS)))
    subject = f"*/{member_key(alias).hex()}/*.log"
    phase: Phase = dice.pick(("before", "after"))
    operation: Operation = dice.pick(("write", "sync"))
    return On(alias, operation, dice.between(1, 4), subject=subject, phase=phase, delay_ns=delay_ns)


def outage_ns(dice: Stream) -> int:
    return dice.between(10 * MS, 1500 * MS)


def part(cluster: Cluster, ones: Iterable[str], others: Collection[str]) -> None:
    """As `cut`, and nothing that is on its way arrives later."""
    for one in ones:
        for other in others:
            cluster.world.network.reset(one, other)
            cut(cluster, [one], [other])


def cut(cluster: Cluster, ones: Iterable[str], others: Collection[str]) -> None:
    for one in ones:
        for other in others:
            if one != other:
                cluster.world.link(one, other).cut()
                cluster.world.link(other, one).cut()


def heal(cluster: Cluster, ones: Iterable[str], others: Collection[str]) -> None:
    for one in ones:
        for other in others:
            if one != other:
                cluster.world.link(one, other).heal()
                cluster.world.link(other, one).heal()


def keep_from_some(cluster: Cluster, dice: Stream, author: str) -> None:
    """By chance, nobody but some of the others hears what the author writes now."""
    others = [alias for alias in cluster.aliases if alias != author]
    dice.shuffle(others)
    cut(cluster, [author], others[dice.between(0, len(others)) :])


async def end(cluster: Cluster, core: Collection[str] | None = None) -> None:
    cluster.world.network.repair()
    await cluster.settle(core=cluster.aliases if core is None else core)
    for log in cluster.aliases:
        stable, acknowledged = cluster.ledger.agreed[log], cluster.ledger.acknowledged[log]
        _orphans(any(stable[seq].data != data for seq, data in acknowledged.items() if seq in stable))


async def wait_up(cluster: Cluster, alias: str) -> None:
    """Until a member is up again, whatever it can do."""
    await cluster.until(lambda: cluster.node(alias) is not None, f"{alias} to be up")


async def wait_started(cluster: Cluster, alias: str) -> None:
    """Until a member may append again: then it knows what it has lost."""
    await (await cluster.member(alias).wait_open()).wait_started()


async def wait_remembering(cluster: Cluster, alias: str, log: str) -> None:
    """Until a member counts for a log again."""

    def counts() -> bool:
        node = cluster.node(alias)
        if node is None:
            return False
        warnings = node.status().warnings
        return not any(f"log of {log}" in warning and "does not count" in warning for warning in warnings)

    await cluster.until(counts, f"{alias} to count for the log of {log} again")


def somebody(cluster: Cluster, dice: Stream, *but: str) -> str:
    return dice.pick([alias for alias in cluster.aliases if alias not in but])
