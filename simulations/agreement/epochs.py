"""Stories of epochs: what they leave out, who granted them, and who is there to tell."""

from __future__ import annotations

from hydra_sync.epoch import answers_needed, majority
from hydra_sync.testing import MS
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.plan.faults import Crash, Cut, On, Wipe
from hydra_sync.testing.world.platter import Keep
from hydra_sync.testing.world.streams import Stream
from simulations.agreement.telling import (
    LONG_NS,
    NOW,
    end,
    heal,
    outage_ns,
    part,
    some_time,
    story,
    wait_started,
    wait_up,
    waits,
    write,
)

__all__ = ["forgetful_witness", "gone_for_good", "left_out", "same_number"]


@story(nodes=(4, 4))
async def left_out(cluster: Cluster, dice: Stream) -> None:
    """What an author's new epoch leaves out is held by one member, and offered to those who granted the epoch."""
    names = list(cluster.aliases)
    dice.shuffle(names)
    author, holder, *witnesses = names
    await cluster.run_for(1)
    part(cluster, [author, holder], witnesses)
    for _ in range(dice.between(1, 3)):
        await cluster.write(author, count=dice.between(1, 2))
    stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.cursors
    await cluster.until(lambda: cursors[holder, author] >= stop, f"{holder} to hold what {author} wrote")
    part(cluster, [holder], [author])
    happens = dice.pick(("nothing", "crash", "crash", "wipe", "write", "write"))
    cluster.inject([Wipe(NOW, author, outage_ns(dice))])
    if happens != "write":
        subject = f"*/{member_key(author).hex()}/*.log"
        when = On(author, "sync", dice.pick((1, 2, 2, 3)), subject=subject, phase="after", delay_ns=dice.below(10 * MS))
        cluster.inject([Cut(when, author, witness, LONG_NS) for witness in witnesses if dice.below(4)])
    heal(cluster, [author], witnesses)
    await wait_started(cluster, author)
    if happens == "write":
        await cluster.write(author, count=dice.between(1, 3))
        await some_time(cluster, dice)
    elif happens == "crash":
        keep: Keep = dice.pick(("lost", "random"))
        crashed = witnesses[dice.below(2) :]
        cluster.inject([Crash(NOW, witness, dice.between(10, 500) * MS, keep) for witness in crashed])
    elif happens == "wipe":
        cluster.inject([Wipe(NOW, witnesses[0], dice.between(10, 500) * MS)])
    heal(cluster, [holder], witnesses)
    await cluster.until(
        lambda: set(witnesses) <= set(cluster.connected(holder)), f"{holder} to meet the witnesses", within_s=60
    )
    await some_time(cluster, dice, 2)
    await end(cluster)


@story(nodes=(4, 4))
async def same_number(cluster: Cluster, dice: Stream) -> None:
    """An epoch reaches one member, who is away while the author, its disk lost again, asks the others for one."""
    names = list(cluster.aliases)
    dice.shuffle(names)
    author, first, *witnesses = names
    write(cluster, dice, author)
    await some_time(cluster, dice)
    await cluster.run_for(1)
    subject = f"*/{member_key(author).hex()}/*.log"
    cluster.inject([Wipe(NOW, author, outage_ns(dice))])
    when = On(author, "sync", dice.pick((2, 2, 3)), subject=subject, phase="after")
    cluster.inject([Cut(when, author, witness, LONG_NS) for witness in witnesses])
    await wait_started(cluster, author)
    await some_time(cluster, dice, 0.2)
    part(cluster, [first], [author, *witnesses])
    cluster.inject([Wipe(NOW, author, outage_ns(dice))])
    heal(cluster, [author], witnesses)
    await wait_started(cluster, author)
    write(cluster, dice, author)
    await some_time(cluster, dice, 2)
    await end(cluster)


@story(nodes=(4, 7))
async def gone_for_good(cluster: Cluster, dice: Stream) -> None:
    """As many members as may be are gone for good, the author among them, when most of the rest have promised it more.

    What it wrote is stable, and few of those who are left saw that: the others have it only staged, under a
    promise to a start that never ends.
    """
    names = list(cluster.aliases)
    dice.shuffle(names)
    author, names = names[0], names[1:]
    late = [names.pop() for _ in range(answers_needed(len(cluster.aliases)) - 1)]
    others_gone = len(cluster.aliases) - majority(len(cluster.aliases)) - 1
    gone, holders = names[:others_gone], names[others_gone:]
    await some_time(cluster, dice)
    part(cluster, [author, *names], late)
    await cluster.write(author, count=dice.between(1, 3))
    stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.uniform_cursors
    await cluster.until(lambda: all(cursors[one, author] >= stop for one in holders), "it to be stable")
    part(cluster, [author], names)
    heal(cluster, [author], late)
    cluster.crash(author)
    await some_time(cluster, dice)
    cluster.restart(author)
    await wait_up(cluster, author)

    def promised() -> bool:
        node = cluster.node(author)
        return node is not None and set(late) <= set(node.status().start.promised)

    await cluster.until(promised, f"{author} to be promised an epoch")
    for one in dice.pick(([author, *gone], [*gone, author])):
        cluster.retire(one)
        await some_time(cluster, dice)
    await end(cluster, [*holders, *late])


@story(nodes=(4, 4))
async def forgetful_witness(cluster: Cluster, dice: Stream) -> None:
    """Of those that held what was stable, one lost its disk and one is away, when the author's is lost."""
    names = list(cluster.aliases)
    dice.shuffle(names)
    author, forgetful, knows, late = names
    await cluster.run_for(1)
    part(cluster, [late], [author, forgetful, knows])
    await cluster.write(author, count=dice.between(1, 3))
    stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.uniform_cursors
    await cluster.until(lambda: cursors[author, author] >= stop, "it to be stable")
    part(cluster, [knows], [author, forgetful])
    part(cluster, [author], [forgetful])
    cluster.inject([Wipe(NOW, forgetful, outage_ns(dice))])
    await some_time(cluster, dice)
    cluster.inject([Wipe(NOW, author, outage_ns(dice))])
    heal(cluster, [author, forgetful], [late, author, forgetful])
    await wait_up(cluster, author)
    write(cluster, dice, author)
    await cluster.run_for(dice.between(3, 9))
    waits(cluster.pending[author] > 0)
    await end(cluster)
