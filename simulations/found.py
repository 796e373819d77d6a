"""What failing seeds have become: small scenarios, each named after the bug that it showed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import trio

from hydra_sync.chain import Tip
from hydra_sync.errors import OrphanedError
from hydra_sync.sync import Orphaned
from hydra_sync.testing import MS, SECOND
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.hostile import knock, stale_epochs
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.cluster.insider import HostileProgram, Insider, Wire, converse
from hydra_sync.testing.plan.faults import At, Crash, DiskError, FullDisk, LyingSync, On, Pause, Wipe
from hydra_sync.testing.plan.swarm import Swarm
from hydra_sync.testing.simulate import simulate
from hydra_sync.wire import LogTip, Tips
from simulations.agreement.telling import heal, part
from simulations.invariants import FEATURES

__all__ = [
    "answers_find_another_way",
    "author_with_a_hole",
    "breaker_is_not_courted",
    "claimed_epoch",
    "claims_by_turns",
    "delivered_and_restarted",
    "crowd_after_a_pause",
    "disk_fails_under_an_append",
    "later_epoch_as_long_as_ours",
    "orphans_are_told_at_once",
    "promise_waits_for_room",
    "reminded_without_a_word",
    "strangers_at_every_door",
]

CALM: Final = replace(Swarm.calm(), nodes=(3, 3), seconds=(4, 4), operations=(10, 10))


@simulate(swarm=CALM, features=FEATURES, restart="prove")
async def breaker_is_not_courted(cluster: Cluster) -> None:
    """A member that breaks the protocol as soon as it is introduced is dropped, and not dialed again at once.

    Found by `hostile`, seed 1 (S7): the back-off began anew with each session that got as far as tips.
    """
    cluster.byzantine("n2", stale_epochs())
    cluster.start_chatter()
    await cluster.run_for(30)
    await cluster.settle(core=["n0", "n1"])


@simulate(swarm=CALM, features=FEATURES, restart="prove")
async def strangers_at_every_door(cluster: Cluster) -> None:
    """Whoever opens many connections and says nothing on them does not keep members from meeting.

    Found by the story of the mutant S7, seed 0 (L4): strangers held all places for handshakes.
    """
    cluster.byzantine("n2", knock())
    cluster.start_chatter()
    await cluster.run_for()
    await cluster.settle(core=["n0", "n1"])


@simulate(swarm=CALM, features=FEATURES, restart="prove")
async def crowd_after_a_pause(cluster: Cluster) -> None:
    """However many strangers come in one moment, no more than `HANDSHAKES_MAX` are let in: each sends another away.

    Found by `hostile`, seeds 49 and 89 (S7): a crowd sent the same one away again and again.
    """
    cluster.inject([Pause(At(number * 300 * MS), "n0", for_ns=SECOND // 4) for number in range(1, 10)])
    cluster.byzantine("n2", knock())
    await cluster.run_for()


@simulate(swarm=CALM, features=FEATURES)
async def author_with_a_hole(cluster: Cluster) -> None:
    """A member that follows a relay stays with it while the author has damage where it would have to go on.

    Found by `damage`, seed 606 (S8): the relay was left for the author, and taken again, at the speed of
    messages, until it was blamed for not ending the fetches.
    """
    cluster.inject(
        [
            Crash(On("n2", "sync", 34, phase="after"), "n2", down_ns=SECOND // 2),
            LyingSync(At(5619 * MS), "n2", for_ns=3704 * MS),
            Crash(At(7028 * MS), "n2", keep="lost"),
        ]
    )
    cluster.start_chatter(operations=35, seconds=12)
    await cluster.run_for(20)
    await cluster.settle()


@simulate(swarm=CALM, features=FEATURES, restart="prove")
async def answers_find_another_way(cluster: Cluster) -> None:
    """A promise is brought to an author by others, though its witness took the author for connected when it gave it.

    Found by `only_relays`, seeds 1 and 2: the author had gone without a word, asked again through a relay, and
    its witness answered on the dead connection; a relay that believed the same passed nothing on. Asking again
    did not help, because everything is passed on once.
    """
    for one, other in (("n0", "n2"), ("n2", "n0")):
        cluster.world.link(one, other).cut()
    cluster.inject([Crash(At(0), "n2")])
    await cluster.write("n2")


@simulate(swarm=CALM, features=FEATURES, restart="prove")
async def reminded_without_a_word(cluster: Cluster) -> None:
    """Who finds its own log short is reminded of the others' by what they have shown, though they write nothing new.

    Found by `wiped_replica_before`, seed 5: the replica forgot everything again when its lost log came back, and
    counted for nobody until there was something new in each log.
    """
    cluster.member("n1").operator = "init"
    await cluster.write("n1", count=3)
    cluster.inject([Wipe(At(0), "n1")])
    await cluster.run_for(2)
    await (await cluster.member("n1").wait_open()).wait_started()
    await cluster.run_for(2)
    node = cluster.node("n1")
    assert node is not None
    assert not [warning for warning in node.status().warnings if "may have lost" in warning]


@simulate(nodes=4, swarm=CALM, features=FEATURES, restart="prove")
async def orphans_are_told_at_once(cluster: Cluster) -> None:
    """Who follows eagerly hears that events are gone when they are, though the log is shorter than before.

    Found by `wiped_author`, seed 28 (L1): it was told when the log had grown past where it waited. And who goes
    on from a seq, after a restart, is told of all that is gone, not only from there on.
    """
    world, ledger = cluster.world, cluster.ledger
    await cluster.run_for(1)
    part(cluster, ["n0", "n1"], ["n2", "n3"])
    await cluster.write("n0", count=5)
    await cluster.until(lambda: ledger.cursors["n1", "n0"] == 6, "n1 to have it all")
    part(cluster, ["n1"], ["n0"])
    cluster.inject([Wipe(At(0), "n0")])
    heal(cluster, ["n0"], ["n2", "n3"])
    await (await cluster.member("n0").wait_open()).wait_started()
    node = cluster.node("n1")
    assert node is not None
    late = aiter(node.follow("n0", 6, delivery="eager"))
    world.network.repair()
    await cluster.until(lambda: cluster.logs("n1")["n0"].tip.epoch > 1, "n1 to take over the new epoch")
    await cluster.run_for(1)
    assert ledger.cursors["n1", "n0"] == cluster.logs("n1")["n0"].tip.next_seq == 2
    told: OrphanedError | None = None
    try:
        await cluster.member("n1").host.call(late.__anext__)
    except OrphanedError as error:
        told = error
    assert told is not None
    assert (told.start, told.stop) == (1, 6)


@simulate(nodes=4, swarm=CALM, features=FEATURES, restart="prove")
async def later_epoch_as_long_as_ours(cluster: Cluster) -> None:
    """A member leaves its branch for a later epoch's of the same length, though nobody writes anything more.

    Found beside `left_out` (L7): what it held was as long as the new branch, and it waited at its end, without the
    hash there, for what would come next.
    """
    cursors = cluster.ledger.cursors
    await cluster.run_for(1)
    part(cluster, ["n0", "n1"], ["n2", "n3"])
    await cluster.write("n0")
    await cluster.until(lambda: cursors["n1", "n0"] == 2, "n1 to have it")
    part(cluster, ["n1"], ["n0"])
    cluster.inject([Wipe(At(0), "n0")])
    heal(cluster, ["n0"], ["n2", "n3"])
    await (await cluster.member("n0").wait_open()).wait_started()
    cluster.inject([Crash(At(0), other, SECOND * 3 // 10) for other in ("n2", "n3")])
    heal(cluster, ["n1"], ["n2", "n3"])
    await cluster.run_for(1)
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=5, swarm=CALM, features=FEATURES, restart="prove")
async def delivered_and_restarted(cluster: Cluster) -> None:
    """What a member delivered before it was restarted reaches the others, though who else held it is gone for good.

    Found by thinking about `gone_for_good`: its node does not know any more that it is stable; its application does.
    """
    world, cursors = cluster.world, cluster.ledger.uniform_cursors
    await cluster.run_for(1)
    part(cluster, ["n0", "n1", "n2"], ["n3", "n4"])
    await cluster.write("n0")
    await cluster.until(lambda: cursors["n2", "n0"] == 2, "it to be stable")
    part(cluster, ["n0"], ["n1", "n2"])
    part(cluster, ["n1"], ["n2"])
    heal(cluster, ["n0"], ["n3", "n4"])
    cluster.inject([Crash(At(0), "n0", SECOND), Crash(At(0), "n2", SECOND)])
    await cluster.run_for(5)
    for one in ("n0", "n1"):
        cluster.retire(one)
    world.network.repair()
    await cluster.until(lambda: cursors["n3", "n0"] == cursors["n4", "n0"] == 2, "all who are left to deliver it")


@simulate(swarm=CALM, features=FEATURES, restart="prove")
async def promise_waits_for_room(cluster: Cluster) -> None:
    """A member whose disk is full cannot promise, and goes on; once there is room, it does.

    Found by `swarm`, seed 1456: the promise found no room, and the node stopped.
    """
    await cluster.run_for(1)
    cluster.inject([FullDisk(At(0), "n0", free_bytes=0, for_ns=10 * SECOND), Crash(At(0), "n1", SECOND)])
    await cluster.run_for(5)
    assert cluster.node("n0") is not None
    assert not (await cluster.member("n1").wait_open()).status().start.ready
    await (await cluster.member("n1").wait_open()).wait_started()
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=2, swarm=CALM, features=FEATURES, restart="prove")
async def disk_fails_under_an_append(cluster: Cluster) -> None:
    """A node whose disk fails while its first events are written says that the disk failed, and nothing else.

    Found by `pair`, seed 2053: the events became durable when the node had ended, which wanted to look at them.
    """
    cluster.inject([DiskError(At(0), "n0", "sync_dir", subject="*/store")])  # when it ends to be founding
    await cluster.run_for(0.006)
    cluster.start_writing("n0")
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


def _claim_epoch(author: str) -> HostileProgram:
    """Show all but the author an epoch of its log that nobody has begun, and a log of one event; supply nothing."""
    lie = LogTip(member_key(author), Tip(99, 1, bytes(32)))

    async def program(insider: Insider) -> None:
        async def talk(wire: Wire) -> None:
            tips = [] if wire.peer == author else [lie]
            await converse(insider, wire, lambda: tips, lambda _, fetch: ())

        await insider.meet(talk)

    return program


@simulate(nodes=4, swarm=CALM, features=FEATURES, restart="prove")
async def claimed_epoch(cluster: Cluster) -> None:
    """A member claims a later epoch of another's log: all go on to follow that log's author, and to deliver its events.

    Found by a look for lies: they left their branch for the claimed one, which nobody supplies. What the author sent
    from then on was held back, as of a branch that had still to prove that it is the later one.
    """
    cursors, acknowledged = cluster.ledger.uniform_cursors, cluster.ledger.acknowledged_last
    await cluster.run_for(1)
    await cluster.write("n0", count=3)
    cluster.byzantine("n3", _claim_epoch("n0"))
    await cluster.run_for(3)
    seen = cluster.watch()
    for other in ("n1", "n2"):
        cluster.world.network.reset("n0", other)
    await cluster.run_for(2)
    cluster.start_writing("n0", count=3)
    await cluster.until(
        lambda: cursors["n1", "n0"] == cursors["n2", "n0"] == acknowledged["n0"] > 5,
        "all to deliver what the author writes",
    )
    cluster.inject([Crash(At(0), "n0", SECOND)])
    await cluster.run_for(10)
    assert not [notice for _, notice in seen if isinstance(notice, Orphaned)]
    await cluster.settle(core=["n0", "n1", "n2"])


def _claim_by_turns(author: str, victim: str) -> HostileProgram:
    """Show one member much of an epoch that nobody has begun, on connections that take turns; supply nothing.

    Each is over before it counts as stalled, and says that it is of another process, for they overlap.
    """
    lie = LogTip(member_key(author), Tip(99, 1000, bytes(32)))

    async def program(insider: Insider) -> None:
        async def talk(wire: Wire) -> None:
            await wire.say(insider.hello().of_start(insider.entropy(16)), Tips(True, (lie,)))
            await trio.sleep(4)

        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(insider.visit, victim, talk)
                await trio.sleep(3)

    return program


@simulate(nodes=5, swarm=CALM, features=FEATURES, restart="prove")
async def claims_by_turns(cluster: Cluster) -> None:
    """A member hides the log of an author who has gone, by claims of a later epoch: who needs it gets it from others.

    Found by a look for lies: only the latest epoch's sources were asked, and what a member had not supplied was
    forgotten with its connection.
    """
    cursors, everyone = cluster.ledger.uniform_cursors, set(cluster.aliases)
    await cluster.run_for(1)
    part(cluster, ["n2"], sorted(everyone - {"n2"}))
    await cluster.write("n0", count=5)
    stop = cluster.ledger.acknowledged_last["n0"]
    await cluster.until(lambda: cursors["n1", "n0"] == cursors["n4", "n0"] == stop, "the others to have it")
    cluster.retire("n0")
    cluster.byzantine("n3", _claim_by_turns("n0", "n2"))
    heal(cluster, ["n2"], ["n3"])
    await cluster.run_for(3)
    heal(cluster, ["n2"], ["n1", "n4"])
    await cluster.until(lambda: cursors["n2", "n0"] == stop, "it to come from those who have it")
