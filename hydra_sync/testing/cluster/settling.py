"""The end of a run: who is in the core, what becomes of the others, and waiting until all is well. Runs in a world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import trio

from hydra_sync.epoch import answers_needed, majority
from hydra_sync.errors import ForkedError, StoreError, UnavailableError
from hydra_sync.testing.cluster.invariant import Invariant, InvariantError
from hydra_sync.testing.cluster.member import Member
from hydra_sync.testing.cluster.state import ClusterState
from hydra_sync.testing.signals import reachable
from hydra_sync.testing.world.host import HostDiedError

__all__ = ["audit", "choose_core", "enlarge_core", "strand", "wait_for"]

POLL_S: Final = 0.25
OPEN_S: Final = 5.0  # a store is open by then, unless its disk fails

_stranded = reachable("the core has to do without some member", cluster=True)


def choose_core(cluster: ClusterState) -> list[str]:
    """A majority of sound members at least, by chance, or as many as can start; all where they are not so many."""
    dice = cluster.world.random("core")
    able = [alias for alias in cluster.aliases if cluster.is_sound(alias)]
    dice.shuffle(able)
    members = len(cluster.aliases)
    fewest = 1 + answers_needed(members) if cluster.proves else majority(members)
    if cluster.forgetful:  # what is durable on a majority of all may be so on few of those who remember
        fewest = len(able)
    return able[: dice.between(min(fewest, len(able)), len(able))]


async def enlarge_core(cluster: ClusterState, core: Sequence[str]) -> list[str]:
    """The core, or all who are able where a copy had a torn tail: it counts for nothing before its author starts."""
    with trio.move_on_after(OPEN_S):
        while not all(cluster.node(alias) for alias in core):  # noqa: ASYNC110  they open one after the other
            await trio.sleep(POLL_S)
    doubts = any(log.state == "amnesiac" for alias in core for log in cluster.logs(alias).values())
    return [alias for alias in cluster.aliases if cluster.is_sound(alias)] if doubts else list(core)


def strand(cluster: ClusterState) -> None:
    """Those outside of the core stay down, or cut off one way or both, or are left alone."""
    dice = cluster.world.random("outsiders")
    for alias in cluster.aliases:
        if alias in cluster.core or alias in cluster.hostile:
            continue
        fate = dice.pick(("down", "cut", "deaf", "mute", "alone"))
        cluster.world.note("outside", alias, fate)
        _stranded(fate != "alone")
        if fate == "down":
            cluster.retire(alias)
        for other in cluster.core:
            if fate in {"cut", "deaf"}:
                cluster.world.link(other, alias).cut()
            if fate in {"cut", "mute"}:
                cluster.world.link(alias, other).cut()


async def wait_for(cluster: ClusterState, stage: Sequence[Invariant]) -> None:
    """Return when all invariants of a stage hold at once; the run fails when the time of one has passed."""
    began_s = cluster.now_s
    while True:
        missing = [(one, why) for one in stage if (why := one.unmet()) is not None]
        if not missing:
            return
        for one, why in missing:
            if cluster.now_s >= began_s + one.within_s:
                one.broken(f"{one.within_s:g} s after faults stopped, {why}")
        await trio.sleep(POLL_S)


async def audit(cluster: ClusterState, members: Mapping[str, Member]) -> None:
    """Have every running node read all its logs again."""
    for alias in cluster.running:
        member = members[alias]
        for log in cluster.aliases:
            node = member.node
            if node is None:
                break
            try:
                await member.host.call(member.reread, node, log)
            except UnavailableError as error:
                forked = isinstance(error, ForkedError) and not cluster.is_sound(log)
                if cluster.is_sound(alias) and not forked:
                    cluster.world.fail(InvariantError("S1" if log == alias else "S6", str(error), alias))
            except (HostDiedError, StoreError):
                break
