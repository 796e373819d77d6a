"""Stories of agreement: what may happen to the disk, the process or the honesty of an author, each for any seed.

Nobody calls recovery here: disks are lost, powers cut, clocks set back, and nodes started again; what
follows is the product's (design: 7). Details are drawn for each seed; times and networks are small, so
that many seeds can be run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from typing import Final, get_args

import trio

from hydra_sync import Node, Seams, open_node
from hydra_sync.epoch import answers_needed, majority
from hydra_sync.errors import StoreError
from hydra_sync.sync import OwnLogTaken
from hydra_sync.testing import MS, SECOND, US
from hydra_sync.testing.channel import PlaintextChannel
from hydra_sync.testing.cluster import Cluster
from hydra_sync.testing.faults import (
    At,
    Backup,
    Crash,
    Cut,
    Fault,
    LyingSync,
    On,
    Pause,
    Restore,
    Slow,
    StepClock,
    Wipe,
)
from hydra_sync.testing.host import Host, Main
from hydra_sync.testing.member import member_key
from hydra_sync.testing.platter import Keep
from hydra_sync.testing.signals import sometimes
from hydra_sync.testing.simulate import Simulation, simulate
from hydra_sync.testing.streams import Stream
from hydra_sync.testing.swarm import Swarm
from simulations.invariants import FEATURES
from simulations.traitors import Lie, Past, bump_epochs, mislead, part_ways, spare_signatures

__all__ = ["STORIES"]

NOW: Final = At(0)
LONG_NS: Final = 3600 * SECOND
FEW: Final = Swarm(nodes=(3, 4), seconds=(1, 3), operations=(4, 12), kinds=())

_orphans = sometimes("what was acknowledged and not stable is lost with its disk", cluster=True)
_waits = sometimes("a start waits for the one member that knows better", cluster=True)
_bumped = sometimes("an epoch that a traitor was granted is taken over", cluster=True)

STORIES: Final[dict[str, Simulation]] = {}


def _story(
    *, nodes: tuple[int, int] = FEW.nodes
) -> Callable[[Callable[[Cluster, Stream], Awaitable[None]]], Simulation]:
    """A scenario of a story that is told with dice of its own, and ends well."""

    def decorate(tell: Callable[[Cluster, Stream], Awaitable[None]]) -> Simulation:
        async def scenario(cluster: Cluster) -> None:
            await tell(cluster, cluster.world.random("story"))
            cluster.check_all()

        scenario.__name__, scenario.__doc__, scenario.__module__ = tell.__name__, tell.__doc__, tell.__module__
        simulation = simulate(swarm=replace(FEW, nodes=nodes), features=FEATURES, restart="prove")(scenario)
        STORIES[simulation.name] = simulation
        return simulation

    return decorate


# What most stories are made of


async def _some_time(cluster: Cluster, dice: Stream, most_s: float = 1.0) -> None:
    await cluster.run_for(dice.below(1 + int(most_s * 1000)) / 1000)


def _soon(dice: Stream, most_ms: int = 1000) -> At:
    return At(1 + dice.below(most_ms * MS))


def _write(cluster: Cluster, dice: Stream, alias: str, *, most: int = 4) -> None:
    """Some writes of one member, at once and one after the other."""
    for _ in range(dice.between(1, most)):
        together = dice.pick((1, 1, 2, 3))
        cluster.start_writing(alias, count=together, size=dice.pick((0, 0, 100, 700)), together=together)


def _at_own_sync(dice: Stream, alias: str) -> On | At:
    """In the middle of what the member does to its own log, mostly; or at any time."""
    if dice.below(3) == 0:
        return _soon(dice)
    delay_ns = dice.pick((0, 0, dice.below(3 * MS)))
    subject = f"*/{member_key(alias).hex()}/*.log"
    phase = dice.pick(("before", "after"))
    operation = dice.pick(("write", "sync"))
    return On(alias, operation, dice.between(1, 4), subject=subject, phase=phase, delay_ns=delay_ns)  # type: ignore[arg-type]


def _down_ns(dice: Stream) -> int:
    return dice.between(10 * MS, 1500 * MS)


def _part(cluster: Cluster, ones: Iterable[str], others: Collection[str]) -> None:
    """As `_cut`, and nothing that is on its way arrives later."""
    for one in ones:
        for other in others:
            cluster.world.network.reset(one, other)
            _cut(cluster, [one], [other])


def _cut(cluster: Cluster, ones: Iterable[str], others: Collection[str]) -> None:
    for one in ones:
        for other in others:
            if one != other:
                cluster.world.link(one, other).cut()
                cluster.world.link(other, one).cut()


def _heal(cluster: Cluster, ones: Iterable[str], others: Collection[str]) -> None:
    for one in ones:
        for other in others:
            if one != other:
                cluster.world.link(one, other).heal()
                cluster.world.link(other, one).heal()


def _keep_from_some(cluster: Cluster, dice: Stream, author: str) -> None:
    """By chance, nobody but some of the others hears what the author writes now."""
    others = [alias for alias in cluster.aliases if alias != author]
    dice.shuffle(others)
    _cut(cluster, [author], others[dice.between(0, len(others)) :])


async def _end(cluster: Cluster, core: Collection[str] | None = None) -> None:
    cluster.world.network.repair()
    await cluster.settle(core=cluster.aliases if core is None else core)
    for log in cluster.aliases:
        stable, acknowledged = cluster.ledger.agreed[log], cluster.ledger.acknowledged[log]
        _orphans(any(stable[seq].data != data for seq, data in acknowledged.items() if seq in stable))


async def _wait_up(cluster: Cluster, alias: str) -> None:
    """Until a member is up again, whatever it can do."""
    await cluster.until(lambda: cluster.node(alias) is not None, f"{alias} to be up")


async def _wait_started(cluster: Cluster, alias: str) -> None:
    """Until a member may append again: then it knows what it has lost."""
    await (await cluster.member(alias).wait_open()).wait_started()


async def _wait_remembering(cluster: Cluster, alias: str, log: str) -> None:
    """Until a member counts for a log again."""

    def counts() -> bool:
        node = cluster.node(alias)
        if node is None:
            return False
        warnings = node.status().warnings
        return not any(f"log of {log}" in warning and "does not count" in warning for warning in warnings)

    await cluster.until(counts, f"{alias} to count for the log of {log} again")


def _somebody(cluster: Cluster, dice: Stream, *but: str) -> str:
    return dice.pick([alias for alias in cluster.aliases if alias not in but])


# Disks


@_story(nodes=(3, 5))
async def wiped_author(cluster: Cluster, dice: Stream) -> None:
    """An author loses its disk, while it writes, and what it wrote last has reached some of the others."""
    author = _somebody(cluster, dice)
    cluster.start_chatter(seconds=1)
    await _some_time(cluster, dice)
    if dice.below(2):
        _keep_from_some(cluster, dice, author)
    cluster.inject([Wipe(_at_own_sync(dice, author), author, _down_ns(dice))])
    _write(cluster, dice, author)
    await _some_time(cluster, dice, 2)
    await _end(cluster)


@_story(nodes=(3, 5))
async def wiped_replica_before(cluster: Cluster, dice: Stream) -> None:
    """One of its replicas lost its disk before, and has caught up as far as the rules ask for."""
    author = _somebody(cluster, dice)
    replica = _somebody(cluster, dice, author)
    _write(cluster, dice, author)
    await _some_time(cluster, dice)
    cluster.inject([Wipe(NOW, replica, _down_ns(dice))])
    _write(cluster, dice, author)
    await _some_time(cluster, dice)
    if len(cluster.aliases) == 3 or dice.below(2):  # of three, both others have to remember
        await _wait_started(cluster, replica)
        await _wait_remembering(cluster, replica, author)
    cluster.inject([Wipe(_at_own_sync(dice, author), author, _down_ns(dice))])
    _write(cluster, dice, author)
    await _some_time(cluster, dice, 2)
    await _end(cluster)


@_story(nodes=(3, 5))
async def lying_sync(cluster: Cluster, dice: Stream) -> None:
    """An author's disk lies about syncs, and then its power is cut: its peers hold more of its log than it does."""
    author = _somebody(cluster, dice)
    _write(cluster, dice, author)
    await _some_time(cluster, dice)
    if dice.below(2):
        _keep_from_some(cluster, dice, author)
    lie = _soon(dice, 300)
    crash_ns = lie.time_ns + dice.below(1500 * MS)
    crash = Crash(At(crash_ns), author, _down_ns(dice), "lost")  # some of it kept, that would be rot
    cluster.inject([LyingSync(lie, author, crash_ns - lie.time_ns + 1), crash])
    for _ in range(dice.between(1, 3)):
        _write(cluster, dice, author)
        await _some_time(cluster, dice, 0.5)
    await cluster.run_for(2)
    await _end(cluster)


@_story(nodes=(3, 5))
async def old_backup(cluster: Cluster, dice: Stream) -> None:
    """An author goes back to an old backup, while a member that knows better is away."""
    author = _somebody(cluster, dice)
    knows = _somebody(cluster, dice, author)
    rest = [alias for alias in cluster.aliases if alias not in (author, knows)]
    cluster.forgets(author)
    _write(cluster, dice, author)
    await _some_time(cluster, dice)
    injector = cluster.inject([Backup(NOW, author), Restore(At(1500 * MS), author, _down_ns(dice))])
    await _some_time(cluster, dice, 0.3)
    _cut(cluster, [author], rest[dice.below(2) :])  # only one member hears of what comes, or one more
    _write(cluster, dice, author)
    await cluster.until(lambda: injector.injected["Restore"] > 0, "the restored backup")
    _heal(cluster, [author], rest)
    away = dice.pick(("cut", "down", "paused"))
    if away == "cut":
        _cut(cluster, [knows], cluster.aliases)
    elif cluster.world.host(knows).alive:
        if away == "down":
            cluster.crash(knows)
        else:
            cluster.world.host(knows).pause()
    await _wait_up(cluster, author)
    _write(cluster, dice, author)
    await cluster.run_for(dice.between(1, 6))
    _waits(cluster.pending[author] > 0)
    if away == "paused" and cluster.world.host(knows).state == "paused":
        cluster.world.host(knows).resume()
    await _end(cluster)


@_story(nodes=(3, 5))
async def lost_again(cluster: Cluster, dice: Stream) -> None:
    """The disk is lost again when the batch of the new epoch has reached one member."""
    author = _somebody(cluster, dice)
    first = _somebody(cluster, dice, author)
    _write(cluster, dice, author)
    await _some_time(cluster, dice)
    subject = f"*/{member_key(author).hex()}/*.log"
    slow: list[Fault] = [
        Slow(NOW, author, other, dice.between(100, 2000) * MS, 0, LONG_NS)
        for other in cluster.aliases
        if other not in (author, first) and dice.below(4)
    ]
    down_ns = _down_ns(dice)
    cluster.inject([*slow, Wipe(NOW, author, down_ns)])
    await _wait_up(cluster, author)
    times = dice.between(1, 3)
    wipes = [
        Wipe(
            On(first, "sync", number + 1, subject=subject, phase="after", delay_ns=dice.pick((0, dice.below(20 * MS)))),
            author,
            _down_ns(dice),
        )
        for number in range(times)
    ]
    cluster.inject(wipes)
    _write(cluster, dice, author)
    await cluster.run_for(dice.between(2, 8))
    await _end(cluster)


@_story(nodes=(5, 5))
async def two_of_five(cluster: Cluster, dice: Stream) -> None:
    """Two members of five lose their disks, at once or one after the other."""
    one = _somebody(cluster, dice)
    other = _somebody(cluster, dice, one)
    cluster.start_chatter(seconds=1)
    await _some_time(cluster, dice)
    cluster.inject([Wipe(_at_own_sync(dice, one), one, _down_ns(dice))])
    if dice.below(2):
        await _some_time(cluster, dice, 2)
    cluster.inject([Wipe(_at_own_sync(dice, other), other, _down_ns(dice))])
    _write(cluster, dice, one)
    _write(cluster, dice, other)
    await _some_time(cluster, dice, 2)
    await _end(cluster)


@_story()
async def killed_then_cut(cluster: Cluster, dice: Stream) -> None:
    """A process is killed between write and sync, started again on what its page cache has, and its power cut."""
    victim = _somebody(cluster, dice)
    author = dice.pick((victim, _somebody(cluster, dice)))
    _write(cluster, dice, author)
    await _some_time(cluster, dice)
    subject = f"*/{member_key(author).hex()}/*.log"
    kill = On(victim, "sync", dice.between(1, 3), subject=subject, delay_ns=dice.pick((0, 0, dice.below(MS))))
    up_ns = dice.between(1, 100) * MS
    cluster.inject([Crash(kill, victim, up_ns, "cache", "close")])
    cut: Keep = dice.pick(("lost", "lost", "random", "torn"))
    _write(cluster, dice, author)
    host = cluster.world.host(victim)
    await cluster.until(lambda: not host.alive or not cluster.pending[author], "the kill", within_s=30)
    await cluster.until(lambda: host.alive, "the victim to be started again")
    if dice.below(2):
        await _wait_up(cluster, victim)
    await _some_time(cluster, dice, dice.pick((0.005, 0.05, 0.5)))
    if host.alive:
        cluster.crash(victim, keep=cut)
    await _some_time(cluster, dice)
    await _end(cluster)


# Rules


@_story(nodes=(4, 4))
async def left_out(cluster: Cluster, dice: Stream) -> None:
    """What an author's new epoch leaves out is held by one member, and offered to those who granted the epoch."""
    names = list(cluster.aliases)
    dice.shuffle(names)
    author, holder, *witnesses = names
    await cluster.run_for(1)
    _part(cluster, [author, holder], witnesses)
    for _ in range(dice.between(1, 3)):
        await cluster.write(author, count=dice.between(1, 2))
    stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.cursors
    await cluster.until(lambda: cursors[holder, author] >= stop, f"{holder} to hold what {author} wrote")
    _part(cluster, [holder], [author])
    happens = dice.pick(("nothing", "crash", "crash", "wipe", "write", "write"))
    cluster.inject([Wipe(NOW, author, _down_ns(dice))])
    if happens != "write":
        subject = f"*/{member_key(author).hex()}/*.log"
        when = On(author, "sync", dice.pick((1, 2, 2, 3)), subject=subject, phase="after", delay_ns=dice.below(10 * MS))
        cluster.inject([Cut(when, author, witness, LONG_NS) for witness in witnesses if dice.below(4)])
    _heal(cluster, [author], witnesses)
    await _wait_started(cluster, author)
    if happens == "write":
        await cluster.write(author, count=dice.between(1, 3))
        await _some_time(cluster, dice)
    elif happens == "crash":
        keep: Keep = dice.pick(("lost", "random"))
        crashed = witnesses[dice.below(2) :]
        cluster.inject([Crash(NOW, witness, dice.between(10, 500) * MS, keep) for witness in crashed])
    elif happens == "wipe":
        cluster.inject([Wipe(NOW, witnesses[0], dice.between(10, 500) * MS)])
    _heal(cluster, [holder], witnesses)
    await cluster.until(
        lambda: set(witnesses) <= set(cluster.connected(holder)), f"{holder} to meet the witnesses", within_s=60
    )
    await _some_time(cluster, dice, 2)
    await _end(cluster)


@_story(nodes=(4, 4))
async def same_number(cluster: Cluster, dice: Stream) -> None:
    """An epoch reaches one member, who is away while the author, its disk lost again, asks the others for one."""
    names = list(cluster.aliases)
    dice.shuffle(names)
    author, first, *witnesses = names
    _write(cluster, dice, author)
    await _some_time(cluster, dice)
    await cluster.run_for(1)
    subject = f"*/{member_key(author).hex()}/*.log"
    cluster.inject([Wipe(NOW, author, _down_ns(dice))])
    when = On(author, "sync", dice.pick((2, 2, 3)), subject=subject, phase="after")
    cluster.inject([Cut(when, author, witness, LONG_NS) for witness in witnesses])
    await _wait_started(cluster, author)
    await _some_time(cluster, dice, 0.2)
    _part(cluster, [first], [author, *witnesses])
    cluster.inject([Wipe(NOW, author, _down_ns(dice))])
    _heal(cluster, [author], witnesses)
    await _wait_started(cluster, author)
    _write(cluster, dice, author)
    await _some_time(cluster, dice, 2)
    await _end(cluster)


@_story(nodes=(4, 7))
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
    await _some_time(cluster, dice)
    _part(cluster, [author, *names], late)
    await cluster.write(author, count=dice.between(1, 3))
    stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.uniform_cursors
    await cluster.until(lambda: all(cursors[one, author] >= stop for one in holders), "it to be stable")
    _part(cluster, [author], names)
    _heal(cluster, [author], late)
    cluster.crash(author)
    await _some_time(cluster, dice)
    cluster.restart(author)
    await _wait_up(cluster, author)

    def promised() -> bool:
        node = cluster.node(author)
        return node is not None and set(late) <= set(node.status().start.promised)

    await cluster.until(promised, f"{author} to be promised an epoch")
    for one in dice.pick(([author, *gone], [*gone, author])):
        cluster.retire(one)
        await _some_time(cluster, dice)
    await _end(cluster, [*holders, *late])


@_story(nodes=(4, 4))
async def forgetful_witness(cluster: Cluster, dice: Stream) -> None:
    """Of those that held what was stable, one lost its disk and one is away, when the author's is lost."""
    names = list(cluster.aliases)
    dice.shuffle(names)
    author, forgetful, knows, late = names
    await cluster.run_for(1)
    _part(cluster, [late], [author, forgetful, knows])
    await cluster.write(author, count=dice.between(1, 3))
    stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.uniform_cursors
    await cluster.until(lambda: cursors[author, author] >= stop, "it to be stable")
    _part(cluster, [knows], [author, forgetful])
    _part(cluster, [author], [forgetful])
    cluster.inject([Wipe(NOW, forgetful, _down_ns(dice))])
    await _some_time(cluster, dice)
    cluster.inject([Wipe(NOW, author, _down_ns(dice))])
    _heal(cluster, [author, forgetful], [late, author, forgetful])
    await _wait_up(cluster, author)
    _write(cluster, dice, author)
    await cluster.run_for(dice.between(3, 9))
    _waits(cluster.pending[author] > 0)
    await _end(cluster)


# Starts


@_story(nodes=(3, 5))
async def all_at_once(cluster: Cluster, dice: Stream) -> None:
    """All nodes are restarted at once, some of them again before they are ready."""
    cluster.start_chatter(seconds=1)
    await _some_time(cluster, dice)
    keep: Keep = dice.pick(("random", "lost", "kept", "torn", "cache"))
    cluster.inject([Crash(NOW, alias, _down_ns(dice), keep) for alias in cluster.aliases])
    again = [
        Crash(At(dice.between(10, 4000) * MS), _somebody(cluster, dice), _down_ns(dice), keep)
        for _ in range(dice.below(4))
    ]
    cluster.inject(again)
    await cluster.run_for(dice.between(1, 4))
    await _end(cluster)


@_story(nodes=(3, 3))
async def paused_for_long(cluster: Cluster, dice: Stream) -> None:
    """A member stands still for ten minutes, and its wall clock is set back meanwhile; perhaps it is started anew."""
    late = _somebody(cluster, dice)
    cluster.start_chatter(seconds=1)
    await _some_time(cluster, dice)
    back_us = -dice.between(1, 24 * 3600) * SECOND // US
    cluster.inject([Pause(NOW, late, 600 * SECOND), StepClock(_soon(dice, 500_000), late, back_us)])
    _write(cluster, dice, _somebody(cluster, dice, late))
    await cluster.run_for(600)
    if dice.below(2) and cluster.world.host(late).alive:
        cluster.inject([Crash(_soon(dice), late, _down_ns(dice))])
    cluster.start_chatter(seconds=1)
    await cluster.run_for(2)
    await _end(cluster)


@_story(nodes=(3, 5))
async def only_relays(cluster: Cluster, dice: Stream) -> None:
    """Not everybody can reach everybody: promises and logs go through others, also of an author that lost its disk."""
    order = list(cluster.aliases)
    dice.shuffle(order)
    hub = dice.below(2) == 0
    for number, one in enumerate(order):
        neighbours = {order[0]} if hub and number else set(order[max(0, number - 1) : number + 2])
        if not (hub and number == 0):
            _cut(cluster, [one], [other for other in order if other not in neighbours and other != one])
    if hub:
        for other in order[1:]:
            _heal(cluster, [order[0]], [other])
    author = order[-1]
    await _some_time(cluster, dice)
    _write(cluster, dice, author)
    if dice.below(2):
        cluster.forgets(author)
        injector = cluster.inject([Wipe(NOW, author, _down_ns(dice))])
    else:
        injector = cluster.inject([Crash(NOW, author, _down_ns(dice))])
    await cluster.until(lambda: sum(injector.injected.values()) > 0, "the fault")
    _write(cluster, dice, author)
    await _wait_up(cluster, author)
    await cluster.until(lambda: not cluster.pending[author], f"{author} to start through relays", within_s=120)

    def all_have_it() -> bool:
        stop, cursors = cluster.ledger.acknowledged_last[author], cluster.ledger.cursors
        return all(cursors[alias, author] >= stop for alias in cluster.aliases)

    await cluster.until(all_have_it, f"all to have what {author} wrote", within_s=120)
    await _end(cluster)


# Two with one key


def _beside(cluster: Cluster, alias: str, opened: list[Node]) -> Main:
    """The node of a member on another host, which only dials."""
    config = replace(cluster.members[alias].config, listen=None)

    async def live(host: Host) -> None:
        seams = Seams(disk=host.disk, channel=PlaintextChannel, wall_clock=host.wall_clock, entropy=host.entropy)
        async with open_node(config, seams=seams) as node:
            opened.append(node)
            await trio.sleep_forever()

    return live


@_story(nodes=(3, 5))
async def two_processes(cluster: Cluster, dice: Stream) -> None:
    """A copy of an author's store is started beside it: the younger begins an epoch, the older stops, all go on."""
    author = _somebody(cluster, dice)
    others = [alias for alias in cluster.aliases if alias != author]
    dice.shuffle(others)
    _write(cluster, dice, author)
    await cluster.until(lambda: not cluster.pending[author], f"{author} to have written")
    await _some_time(cluster, dice)
    younger, opened = cluster.world.host(f"{author}-again"), list[Node]()
    _cut(cluster, [younger.name], [author, *others[dice.between(1, len(others)) :]])  # the rest through relays
    younger.disk.replace(cluster.world.host(author).disk.image())
    _write(cluster, dice, _somebody(cluster, dice, author))
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
    _write(cluster, dice, author)
    await _end(cluster)


# Traitors


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


@_story(nodes=(3, 6))
async def two_faces(cluster: Cluster, dice: Stream) -> None:
    """An author shows one history to one half of a partition and another to the other; then the halves meet."""
    author = _somebody(cluster, dice)
    past = await _calm(cluster, dice, author)
    others = [alias for alias in cluster.aliases if alias != author]
    dice.shuffle(others)
    sides = others[: len(others) // 2], others[len(others) // 2 :]
    _cut(cluster, sides[0], sides[1])
    cluster.byzantine(author, part_ways(past, sides, events=dice.between(1, 4)))
    cluster.start_chatter(seconds=1)
    await cluster.run_for(dice.between(1, 4))
    leaves = dice.below(3)
    if leaves == 0:  # the traitor has gone before the halves meet
        cluster.crash(author)
        await cluster.run_for(1)
    for one in dice.pick((sides, tuple(reversed(sides)))):
        for alias in one:
            _heal(cluster, [alias], [other for side in sides for other in side])
            await _some_time(cluster, dice)
    if leaves == 1 and cluster.world.host(author).alive:
        cluster.crash(author)
    await _end(cluster, others)
    _nothing_stable_lost(cluster, author, past)
    if len(cluster.aliases) % 2 == 0:
        assert author not in cluster.ledger.disputed, f"two histories of {author} were delivered as stable"


@_story(nodes=(4, 6))
async def lying_witness(cluster: Cluster, dice: Stream) -> None:
    """A member lies about an author's log, or refuses whatever it asks for: the others are enough for its start."""
    author = _somebody(cluster, dice)
    liar = _somebody(cluster, dice, author)
    await _calm(cluster, dice, author)
    lie: Lie = dice.pick(get_args(Lie))
    cluster.byzantine(liar, mislead(member_key(author), lie))
    await cluster.until(lambda: liar in cluster.connected(author), f"{liar} to be back")
    fault: Fault = dice.pick((Wipe, Crash))(NOW, author, _down_ns(dice))
    injector = cluster.inject([fault])
    await cluster.until(lambda: sum(injector.injected.values()) > 0, "the fault")
    _write(cluster, dice, author)
    await _wait_up(cluster, author)
    await cluster.until(lambda: not cluster.pending[author], f"{author} to start in spite of {liar}", within_s=120)
    await _end(cluster, [alias for alias in cluster.aliases if alias != liar])


@_story(nodes=(3, 5))
async def few_signatures(cluster: Cluster, dice: Stream) -> None:
    """An author signs only every tenth record: nobody is blamed for passing on what it got."""
    author = _somebody(cluster, dice)
    past = await _calm(cluster, dice, author)
    others = [alias for alias in cluster.aliases if alias != author]
    if dice.below(2):
        _cut(cluster, [author], others[dice.between(1, len(others)) :])
    cluster.byzantine(author, spare_signatures(past, events=dice.between(5, 45)))
    cluster.start_chatter(seconds=1)
    await cluster.run_for(dice.between(2, 8))
    await _end(cluster, others)
    _nothing_stable_lost(cluster, author, past)


@_story(nodes=(3, 5))
async def bumped_epochs(cluster: Cluster, dice: Stream) -> None:
    """An author begins epoch after epoch, with grants and without: what was stable stays."""
    author = _somebody(cluster, dice)
    past = await _calm(cluster, dice, author)
    others = [alias for alias in cluster.aliases if alias != author]
    cluster.byzantine(author, bump_epochs(past))
    cluster.start_chatter(seconds=1)
    await cluster.run_for(dice.between(2, 8))
    await _end(cluster, others)
    tips = [cluster.logs(alias)[author].tip for alias in others]
    _bumped(any(tip.epoch > past.tip.epoch for tip in tips))
    _nothing_stable_lost(cluster, author, past)
