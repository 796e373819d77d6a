"""Stories of disks that are lost, lie, or go back to what they once held."""

from __future__ import annotations

from hydra_sync.testing import MS
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.plan.faults import At, Backup, Crash, Fault, LyingSync, On, Restore, Slow, Wipe
from hydra_sync.testing.world.platter import Keep
from hydra_sync.testing.world.streams import Stream
from simulations.agreement.telling import (
    LONG_NS,
    NOW,
    at_own_sync,
    cut,
    end,
    heal,
    keep_from_some,
    outage_ns,
    some_time,
    somebody,
    soon,
    story,
    wait_remembering,
    wait_started,
    wait_up,
    waits,
    write,
)

__all__ = [
    "killed_then_cut",
    "lost_again",
    "lying_sync",
    "old_backup",
    "two_of_five",
    "wiped_author",
    "wiped_replica_before",
]


@story(nodes=(3, 5))
async def wiped_author(cluster: Cluster, dice: Stream) -> None:
    """An author loses its disk, while it writes, and what it wrote last has reached some of the others."""
    author = somebody(cluster, dice)
    cluster.start_chatter(seconds=1)
    await some_time(cluster, dice)
    if dice.below(2):
        keep_from_some(cluster, dice, author)
    cluster.inject([Wipe(at_own_sync(dice, author), author, outage_ns(dice))])
    write(cluster, dice, author)
    await some_time(cluster, dice, 2)
    await end(cluster)


@story(nodes=(3, 5))
async def wiped_replica_before(cluster: Cluster, dice: Stream) -> None:
    """One of its replicas lost its disk before, and has caught up as far as the rules ask for."""
    author = somebody(cluster, dice)
    replica = somebody(cluster, dice, author)
    write(cluster, dice, author)
    await some_time(cluster, dice)
    cluster.inject([Wipe(NOW, replica, outage_ns(dice))])
    write(cluster, dice, author)
    await some_time(cluster, dice)
    if len(cluster.aliases) == 3 or dice.below(2):  # of three, both others have to remember
        await wait_started(cluster, replica)
        await wait_remembering(cluster, replica, author)
    cluster.inject([Wipe(at_own_sync(dice, author), author, outage_ns(dice))])
    write(cluster, dice, author)
    await some_time(cluster, dice, 2)
    await end(cluster)


@story(nodes=(3, 5))
async def lying_sync(cluster: Cluster, dice: Stream) -> None:
    """An author's disk lies about syncs, and then its power is cut: its peers hold more of its log than it does."""
    author = somebody(cluster, dice)
    write(cluster, dice, author)
    await some_time(cluster, dice)
    if dice.below(2):
        keep_from_some(cluster, dice, author)
    lie = soon(dice, 300)
    crash_ns = lie.time_ns + dice.below(1500 * MS)
    crash = Crash(At(crash_ns), author, outage_ns(dice), "lost")  # some of it kept, that would be rot
    cluster.inject([LyingSync(lie, author, crash_ns - lie.time_ns + 1), crash])
    for _ in range(dice.between(1, 3)):
        write(cluster, dice, author)
        await some_time(cluster, dice, 0.5)
    await cluster.run_for(2)
    await end(cluster)


@story(nodes=(3, 5))
async def old_backup(cluster: Cluster, dice: Stream) -> None:
    """An author goes back to an old backup, while a member that knows better is away."""
    author = somebody(cluster, dice)
    knows = somebody(cluster, dice, author)
    rest = [alias for alias in cluster.aliases if alias not in (author, knows)]
    cluster.forgets(author)
    write(cluster, dice, author)
    await some_time(cluster, dice)
    injector = cluster.inject([Backup(NOW, author), Restore(At(1500 * MS), author, outage_ns(dice))])
    await some_time(cluster, dice, 0.3)
    cut(cluster, [author], rest[dice.below(2) :])  # only one member hears of what comes, or one more
    write(cluster, dice, author)
    await cluster.until(lambda: injector.injected["Restore"] > 0, "the restored backup")
    heal(cluster, [author], rest)
    away = dice.pick(("cut", "down", "paused"))
    if away == "cut":
        cut(cluster, [knows], cluster.aliases)
    elif cluster.world.host(knows).alive:
        if away == "down":
            cluster.crash(knows)
        else:
            cluster.world.host(knows).pause()
    await wait_up(cluster, author)
    write(cluster, dice, author)
    await cluster.run_for(dice.between(1, 6))
    waits(cluster.pending[author] > 0)
    if away == "paused" and cluster.world.host(knows).state == "paused":
        cluster.world.host(knows).resume()
    await end(cluster)


@story(nodes=(3, 5))
async def lost_again(cluster: Cluster, dice: Stream) -> None:
    """The disk is lost again when the batch of the new epoch has reached one member."""
    author = somebody(cluster, dice)
    first = somebody(cluster, dice, author)
    write(cluster, dice, author)
    await some_time(cluster, dice)
    subject = f"*/{member_key(author).hex()}/*.log"
    slow: list[Fault] = [
        Slow(NOW, author, other, dice.between(100, 2000) * MS, 0, LONG_NS)
        for other in cluster.aliases
        if other not in (author, first) and dice.below(4)
    ]
    down_ns = outage_ns(dice)
    cluster.inject([*slow, Wipe(NOW, author, down_ns)])
    await wait_up(cluster, author)
    times = dice.between(1, 3)
    wipes = [
        Wipe(
            On(first, "sync", number + 1, subject=subject, phase="after", delay_ns=dice.pick((0, dice.below(20 * MS)))),
            author,
            outage_ns(dice),
        )
        for number in range(times)
    ]
    cluster.inject(wipes)
    write(cluster, dice, author)
    await cluster.run_for(dice.between(2, 8))
    await end(cluster)


@story(nodes=(5, 5))
async def two_of_five(cluster: Cluster, dice: Stream) -> None:
    """Two members of five lose their disks, at once or one after the other."""
    one = somebody(cluster, dice)
    other = somebody(cluster, dice, one)
    cluster.start_chatter(seconds=1)
    await some_time(cluster, dice)
    cluster.inject([Wipe(at_own_sync(dice, one), one, outage_ns(dice))])
    if dice.below(2):
        await some_time(cluster, dice, 2)
    cluster.inject([Wipe(at_own_sync(dice, other), other, outage_ns(dice))])
    write(cluster, dice, one)
    write(cluster, dice, other)
    await some_time(cluster, dice, 2)
    await end(cluster)


@story()
async def killed_then_cut(cluster: Cluster, dice: Stream) -> None:
    """A process is killed between write and sync, started again on what its page cache has, and its power cut."""
    victim = somebody(cluster, dice)
    author = dice.pick((victim, somebody(cluster, dice)))
    write(cluster, dice, author)
    await some_time(cluster, dice)
    subject = f"*/{member_key(author).hex()}/*.log"
    kill = On(victim, "sync", dice.between(1, 3), subject=subject, delay_ns=dice.pick((0, 0, dice.below(MS))))
    up_ns = dice.between(1, 100) * MS
    cluster.inject([Crash(kill, victim, up_ns, "cache", "close")])
    keep: Keep = dice.pick(("lost", "lost", "random", "torn"))
    write(cluster, dice, author)
    host = cluster.world.host(victim)
    await cluster.until(lambda: not host.alive or not cluster.pending[author], "the kill", within_s=30)
    await cluster.until(lambda: host.alive, "the victim to be started again")
    if dice.below(2):
        await wait_up(cluster, victim)
    await some_time(cluster, dice, dice.pick((0.005, 0.05, 0.5)))
    if host.alive:
        cluster.crash(victim, keep=keep)
    await some_time(cluster, dice)
    await end(cluster)
