"""Our scenarios, each for any seed: ``python -m simulations campaign`` runs them all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from hydra_sync.epoch import answers_needed
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.hostile import PROGRAMS
from hydra_sync.testing.plan.swarm import DAMAGING, SURVIVABLE, Swarm
from hydra_sync.testing.signals import sometimes
from hydra_sync.testing.simulate import simulate
from simulations.agreement.telling import perhaps_near
from simulations.invariants import FEATURES

__all__ = ["behind", "damage", "founding", "hostile", "pair", "quiet", "swarm"]

_all_sound = sometimes("a plan with damage leaves all members sound", cluster=True)
_two_hostile = sometimes("two members are hostile at once", cluster=True)

DAMAGED: Final = Swarm(seconds=(5, 20), operations=(10, 40), kinds=("crash", "one_way", *DAMAGING), each=(1, 2))
LATE: Final = Swarm(nodes=(3, 5), seconds=(2, 10), operations=(5, 20), each=(1, 2), on_ppm=250_000)
# A replica's torn tail may be one that was durable: with another's lost disk, that is one loss too many for so few.
WHOLE: Final = tuple(kind for kind in SURVIVABLE if kind != "torn")
FEW: Final = Swarm(seconds=(1, 4), operations=(5, 20), kinds=(*WHOLE, "wipe"), on_ppm=250_000, damaged_max=1)
ATTACKED: Final = Swarm(nodes=(4, 6), seconds=(5, 20), operations=(10, 40), each=(1, 2), on_ppm=150_000)


async def _live_through(cluster: Cluster, *, core: Collection[str] | None = None) -> None:
    perhaps_near(cluster)
    cluster.start_chatter()
    async with cluster.faults():
        await cluster.run_for()
    await cluster.settle(core)
    cluster.check_all()


@simulate(swarm=Swarm.default(), features=FEATURES, restart="prove")
async def swarm(cluster: Cluster) -> None:
    """Everyone writes while everything happens that the product promises to survive; then all logs become equal."""
    await _live_through(cluster)


@simulate(swarm=replace(FEW, nodes=(2, 5)), features=FEATURES, restart="prove", founding=True)
async def founding(cluster: Cluster) -> None:
    """Everything goes wrong while the network is being founded, and a disk may be lost: it is founded all the same."""
    await _live_through(cluster, core=cluster.aliases)


@simulate(swarm=replace(FEW, nodes=(2, 2), seconds=(5, 20)).also("restore"), features=FEATURES, restart="prove")
async def pair(cluster: Cluster) -> None:
    """Of two members one may lose its disk, or go back to a backup: the other is all that it has."""
    await _live_through(cluster, core=cluster.aliases)


@simulate(swarm=ATTACKED, features=FEATURES, restart="prove")
async def hostile(cluster: Cluster) -> None:
    """One or two members have other programs: what the correct ones promise each other holds all the same."""
    dice = cluster.world.random("hostile")
    traitors = [cluster.aliases[-1], *([cluster.aliases[0]] if len(cluster.aliases) > 5 and dice.below(3) == 0 else [])]
    _two_hostile(len(traitors) == 2)
    cluster.start_chatter()
    async with cluster.faults():
        for traitor in traitors:
            await cluster.run_for(dice.below(2000) / 1000)
            cluster.byzantine(traitor, PROGRAMS[dice.pick(list(PROGRAMS))]())
        await cluster.run_for()
    await cluster.settle()
    cluster.check_all()


@simulate(swarm=LATE, features=FEATURES, restart="prove")
async def behind(cluster: Cluster) -> None:
    """A member comes back thousands of events late, and catches up from several others while they crash and part."""
    dice = cluster.world.random("behind")
    late, author = cluster.aliases[-1], cluster.aliases[0]
    await cluster.run_for(1)
    cluster.crash(late)
    for _ in range(dice.between(3, 8)):
        await cluster.write(author, count=1500, size=dice.pick((0, 50, 700)), together=dice.pick((50, 500)))
    async with cluster.faults():
        cluster.restart(late)
        cluster.start_chatter()
        await cluster.run_for()
    await cluster.settle()
    cluster.check_all()


@simulate(swarm=DAMAGED, features=FEATURES, restart="prove")
async def damage(cluster: Cluster) -> None:
    """Disks lie, rot, are wiped or replaced by backups: nothing wrong is delivered, nobody else suffers."""
    cluster.start_chatter()
    async with cluster.faults():
        _all_sound(not cluster.damaged)
        await cluster.run_for()
    sound = [alias for alias in cluster.aliases if alias not in cluster.rotten]
    # A start needs so many others: where they would be too few, those whose disks changed bytes have to help.
    enough = len(sound) > answers_needed(len(cluster.aliases))
    await cluster.settle(core=sound if enough else cluster.aliases)
    cluster.check_all()


@simulate(swarm=Swarm(seconds=(5, 20), kinds=()), features=FEATURES, restart="prove")
async def quiet(cluster: Cluster) -> None:
    """Nothing goes wrong: all is delivered, and then the network falls silent."""
    cluster.start_chatter()
    await cluster.run_for()
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
