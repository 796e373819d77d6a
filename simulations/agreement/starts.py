"""Stories of starts: all at once, late, through relays, and of two processes with one key."""

from __future__ import annotations

from dataclasses import replace

import trio

from hydra_sync import Node, open_node
from hydra_sync.errors import StoreError
from hydra_sync.sync import OwnLogTaken
from hydra_sync.testing import MS, SECOND, US
from hydra_sync.testing.cluster.channel import simulated_seams
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.plan.faults import At, Crash, Pause, StepClock, Wipe
from hydra_sync.testing.world.host import Host, Main
from hydra_sync.testing.world.platter import Keep
from hydra_sync.testing.world.streams import Stream
from simulations.agreement.telling import (
    NOW,
    cut,
    end,
    heal,
    outage_ns,
    some_time,
    somebody,
    soon,
    story,
    wait_up,
    write,
)

__all__ = ["all_at_once", "only_relays", "paused_for_long", "two_processes"]


@story(nodes=(3, 5))
async def all_at_once(cluster: Cluster, dice: Stream) -> None:
    """All nodes are restarted at once, some of them again before they are ready."""
    cluster.start_chatter(seconds=1)
    await some_time(cluster, dice)
    keep: Keep = dice.pick(("random", "lost", "kept", "torn", "cache"))
    cluster.inject([Crash(NOW, alias, outage_ns(dice), keep) for alias in cluster.aliases])
    again = [
        Crash(At(dice.between(10, 4000) * MS), somebody(cluster, dice), outage_ns(dice), keep)
        for _ in range(dice.below(4))
    ]
    cluster.inject(again)
    await cluster.run_for(dice.between(1, 4))
    await end(cluster)


@story(nodes=(3, 3))
async def paused_for_long(cluster: Cluster, dice: Stream) -> None:
    """A member stands still for ten minutes, and its wall clock is set back meanwhile; perhaps it is started anew."""
    late = somebody(cluster, dice)
    cluster.start_chatter(seconds=1)
    await some_time(cluster, dice)
    back_us = -dice.between(1, 24 * 3600) * SECOND // US
    cluster.inject([Pause(NOW, late, 600 * SECOND), StepClock(soon(dice, 500_000), late, back_us)])
    write(cluster, dice, somebody(cluster, dice, late))
    await cluster.run_for(600)
    if dice.below(2) and cluster.world.host(late).alive:
        cluster.inject([Crash(soon(dice), late, outage_ns(dice))])
    cluster.start_chatter(seconds=1)
    await cluster.run_for(2)
    await end(cluster)


@story(nodes=(3, 5))
async def only_relays(cluster: Cluster, dice: Stream) -> None:
    """Not everybody can reach everybody: promises and logs go through others, also of an author that lost its disk."""
    order = list(cluster.aliases)
    dice.shuffle(order)
    hub = dice.below(2) == 0
    for number, one in enumerate(order):
        neighbours = {order[0]} if hub and number else set(order[max(0, number - 1) : number + 2])
        if not (hub and number == 0):
            cut(cluster, [one], [other for other in order if other not in neighbours and other != one])
    if hub:
        for other in order[1:]:
            heal(cluster, [order[0]], [other])
    author = order[-1]
    await some_time(cluster, dice)
    write(cluster, dice, author)
    if dice.below(2):
        cluster.forgets(author)
        injector = cluster.inject([Wipe(NOW, author, outage_ns(dice))])
    else:
        injector = cluster.inject([Crash(NOW, author, outage_ns(dice))])
    await cluster.until(lambda: sum(injector.injected.values()) > 0, "the fault")
    write(cluster, dice, author)
    await wait_up(cluster, author)
    await cluster.until(lambda: not cluster.pending[author], f"{author} to start through relays", within_s=120)

    def all_have_it() -> bool:
        stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.cursors
        return all(cursors[alias, author] >= stop for alias in cluster.aliases)

    await cluster.until(all_have_it, f"all to have what {author} wrote", within_s=120)
    await end(cluster)


# Two with one key


def _beside(cluster: Cluster, alias: str, opened: list[Node]) -> Main:
    """The node of a member on another host, which only dials."""
    config = replace(cluster.members[alias].config, listen=None)

    async def live(host: Host) -> None:
        async with open_node(config, seams=simulated_seams(host)) as node:
            opened.append(node)
            await trio.sleep_forever()

    return live


@story(nodes=(3, 5))
async def two_processes(cluster: Cluster, dice: Stream) -> None:
    """A copy of an author's store is started beside it: the younger begins an epoch, the older stops, all go on."""
    author = somebody(cluster, dice)
    others = [alias for alias in cluster.aliases if alias != author]
    dice.shuffle(others)
    write(cluster, dice, author)
    await cluster.until(lambda: not cluster.pending[author], f"{author} to have written")
    await some_time(cluster, dice)
    younger, opened = cluster.world.host(f"{author}-again"), list[Node]()
    cut(cluster, [younger.name], [author, *others[dice.between(1, len(others)) :]])  # the rest through relays
    younger.disk.replace(cluster.world.host(author).disk.image())
    write(cluster, dice, somebody(cluster, dice, author))
    notices, epoch = cluster.watch(), cluster.logs(author)[author].tip.epoch
    younger.start(_beside(cluster, author, opened), expected=(StoreError,))
    await cluster.until(
        lambda: (author, OwnLogTaken) in [(alias, type(notice)) for alias, notice in notices], f"{author} to be told"
    )
    older = cluster.node(author)
    assert older is not None
    assert not older.status().start.ready
    assert "another process with the same key" in older.status().warnings[0]
    assert opened[0].status().start.ready
    assert opened[0].status().start.epoch > epoch
    await cluster.run_for(dice.between(1, 20))
    assert opened[0].status().start.ready  # who is older has not come back
    younger.kill()
    cluster.crash(author)
    cluster.restart(author)
    write(cluster, dice, author)
    await end(cluster)
