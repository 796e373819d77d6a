"""Stories of members that betray their own logs, or lie about that of another."""

from __future__ import annotations

from typing import get_args

from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.plan.faults import Crash, Fault, Wipe
from hydra_sync.testing.signals import sometimes
from hydra_sync.testing.world.streams import Stream
from simulations.agreement.telling import NOW, cut, end, heal, outage_ns, some_time, somebody, story, wait_up, write
from simulations.traitors import Lie, Past, bump_epochs, mislead, part_ways, spare_signatures

__all__ = ["bumped_epochs", "few_signatures", "lying_witness", "two_faces"]

_bumped = sometimes("an epoch that a traitor was granted is taken over", cluster=True)


async def _calm(cluster: Cluster, dice: Stream, author: str) -> Past:
    """An author writes something that all come to deliver uniformly."""
    for _ in range(dice.between(1, 4)):
        await cluster.write(author, count=dice.between(1, 3))
    stop = cluster.ledger.acknowledged_last[author]
    cursors = cluster.ledger.uniform_cursors
    await cluster.until(lambda: all(cursors[alias, author] >= stop for alias in cluster.aliases), "all to be stable")
    return Past.of(cluster, author)


def _nothing_stable_lost(cluster: Cluster, author: str, past: Past) -> None:
    """What was stable before its author turned is as it was, wherever it was delivered."""
    ledger = cluster.ledger
    disputed = ledger.disputed.get(author)
    assert disputed is None or disputed >= past.tip.next_seq, f"event {disputed} of {author} was stable, and changed"
    for alias in cluster.core:
        held = ledger.held[alias, author]
        stop = min(len(held), past.tip.next_seq)
        assert stop == past.tip.next_seq, f"{alias} lost what was stable of {author} beyond {stop}"
        for seq in range(stop):
            assert held[seq].batch_hash == ledger.agreed[author][seq].batch_hash, f"{alias} holds another event {seq}"


@story(nodes=(3, 6))
async def two_faces(cluster: Cluster, dice: Stream) -> None:
    """An author shows one history to one half of a partition and another to the other; then the halves meet."""
    author = somebody(cluster, dice)
    past = await _calm(cluster, dice, author)
    others = [alias for alias in cluster.aliases if alias != author]
    dice.shuffle(others)
    sides = others[: len(others) // 2], others[len(others) // 2 :]
    cut(cluster, sides[0], sides[1])
    cluster.byzantine(author, part_ways(past, sides, events=dice.between(1, 4)))
    cluster.start_chatter(seconds=1)
    await cluster.run_for(dice.between(1, 4))
    leaves = dice.below(3)
    if leaves == 0:  # the traitor has gone before the halves meet
        cluster.crash(author)
        await cluster.run_for(1)
    for one in dice.pick((sides, tuple(reversed(sides)))):
        for alias in one:
            heal(cluster, [alias], [other for side in sides for other in side])
            await some_time(cluster, dice)
    if leaves == 1 and cluster.world.host(author).alive:
        cluster.crash(author)
    await end(cluster, others)
    _nothing_stable_lost(cluster, author, past)
    if len(cluster.aliases) % 2 == 0:
        assert author not in cluster.ledger.disputed, f"two histories of {author} were delivered as stable"


@story(nodes=(4, 6))
async def lying_witness(cluster: Cluster, dice: Stream) -> None:
    """A member lies about an author's log, or refuses whatever it asks for: the others are enough for its start."""
    author = somebody(cluster, dice)
    liar = somebody(cluster, dice, author)
    await _calm(cluster, dice, author)
    lie: Lie = dice.pick(get_args(Lie))
    cluster.byzantine(liar, mislead(member_key(author), lie))
    await cluster.until(lambda: liar in cluster.connected(author), f"{liar} to be back")
    fault: Fault = dice.pick((Wipe, Crash))(NOW, author, outage_ns(dice))
    injector = cluster.inject([fault])
    await cluster.until(lambda: sum(injector.injected.values()) > 0, "the fault")
    write(cluster, dice, author)
    await wait_up(cluster, author)
    await cluster.until(lambda: not cluster.pending[author], f"{author} to start in spite of {liar}", within_s=120)
    await end(cluster, [alias for alias in cluster.aliases if alias != liar])


@story(nodes=(3, 5))
async def few_signatures(cluster: Cluster, dice: Stream) -> None:
    """An author signs only every tenth record: nobody is blamed for passing on what it got."""
    author = somebody(cluster, dice)
    past = await _calm(cluster, dice, author)
    others = [alias for alias in cluster.aliases if alias != author]
    if dice.below(2):
        cut(cluster, [author], others[dice.between(1, len(others)) :])
    cluster.byzantine(author, spare_signatures(past, events=dice.between(5, 45)))
    cluster.start_chatter(seconds=1)
    await cluster.run_for(dice.between(2, 8))
    await end(cluster, others)
    _nothing_stable_lost(cluster, author, past)


@story(nodes=(3, 5))
async def bumped_epochs(cluster: Cluster, dice: Stream) -> None:
    """An author begins epoch after epoch, with grants and without: what was stable stays."""
    author = somebody(cluster, dice)
    past = await _calm(cluster, dice, author)
    others = [alias for alias in cluster.aliases if alias != author]
    cluster.byzantine(author, bump_epochs(past))
    cluster.start_chatter(seconds=1)
    await cluster.run_for(dice.between(2, 8))
    await end(cluster, others)
    tips = [cluster.logs(alias)[author].tip for alias in others]
    _bumped(any(tip.epoch > past.tip.epoch for tip in tips))
    _nothing_stable_lost(cluster, author, past)
