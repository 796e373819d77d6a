"""A member has another program in place of its node: what the correct ones promise each other holds all the same."""

from __future__ import annotations

import pytest

from hydra_sync.errors import ForkedError
from hydra_sync.node import Event
from hydra_sync.ranges import SeqRange
from hydra_sync.sync import Disconnected, Fetching, Forked, NoSession, SourceReplaced
from hydra_sync.testing import Cluster, Swarm, simulate
from hydra_sync.testing.cluster.hostile import equivocate, flood, forge, garbage, knock, replay, stale_epochs, stall
from tests.stories.telling import Seen, all_meet, all_met, numbers, sources, stop_of, wait_held

CALM = Swarm.calm()
CORRECT = ("n0", "n1", "n2")


async def write_and_settle(cluster: Cluster, *, within_s: float = 5) -> None:
    """The correct members write, and have each other's events as soon as ever."""
    for alias in CORRECT:
        await cluster.write(alias, count=10, size=100)
    for alias in CORRECT:
        await wait_held(cluster, CORRECT, alias, within_s=within_s)
    await cluster.settle(core=CORRECT)
    cluster.check_all()


def asked(cluster: Cluster, seen: Seen, peer: str) -> int:
    """How often correct members asked a peer for anything."""
    return sum(isinstance(notice, Fetching) and cluster.alias_of(notice.peer) == peer for _, notice in seen)


def losses(cluster: Cluster, seen: Seen, peer: str) -> str:
    """Why connections with a peer ended, or came to nothing."""
    lost = [notice for _, notice in seen if isinstance(notice, Disconnected | NoSession) and notice.peer is not None]
    return "\n".join(notice.why for notice in lost if notice.peer and cluster.alias_of(notice.peer) == peer)


async def held(cluster: Cluster, alias: str, log: str) -> list[Event]:
    """All that a member holds of a log."""
    return await cluster.read(alias, log, SeqRange(0, stop_of(cluster, alias, log)))


@simulate(nodes=4, seeds=4, swarm=CALM)
async def test_equivocator(cluster: Cluster) -> None:
    """Two histories are proven once their holders meet: one verdict, delivery ends there, all else goes on."""
    seen = cluster.watch()
    cluster.byzantine("n3", equivocate(3, events=6))
    await cluster.until(lambda: {stop_of(cluster, alias, "n3") for alias in CORRECT} == {6}, "all to hold a branch")
    cluster.retire("n3")
    await cluster.run_for(30)
    said = {(alias, cluster.alias_of(notice.log), notice.seq) for alias, notice in seen if isinstance(notice, Forked)}
    assert {alias for alias, _, _ in said} == set(CORRECT)
    assert {log for _, log, _ in said} == {"n3"}
    last = {alias: min(seq for other, _, seq in said if other == alias) for alias in CORRECT}
    assert len(set(last.values())) == 1
    assert last["n0"] >= 3
    with pytest.raises(ForkedError):
        await held(cluster, "n0", "n3")
    await write_and_settle(cluster)


@simulate(nodes=4, seeds=4, swarm=CALM)
async def test_replayer(cluster: Cluster) -> None:
    """Messages that were true once, sent again to anyone in any order, end the connection and change nothing."""
    seen = cluster.watch()
    for alias in CORRECT:
        await cluster.write(alias, count=20, together=2)
    cluster.byzantine("n3", replay())
    await cluster.run_for(10)
    assert losses(cluster, seen, "n3")
    await write_and_settle(cluster)
    assert all(numbers(cluster, alias) == list(range(len(cluster.ledger.acknowledged[alias]))) for alias in CORRECT)


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_flooder(cluster: Cluster) -> None:
    """Who asks for everything again and again, and reads nothing, is not what the others wait for."""
    await all_meet(cluster, CORRECT)
    for alias in CORRECT:
        await cluster.write(alias, count=50, size=5000, together=5)
    seen = cluster.watch()
    cluster.byzantine("n3", flood())
    await cluster.run_for(0.5)
    for _ in range(10):
        await cluster.write("n0", count=5)
        await wait_held(cluster, CORRECT, "n0", within_s=0.5)
        await cluster.run_for(1)
    assert "fetches at once" in losses(cluster, seen, "n3")
    await write_and_settle(cluster)


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_staller(cluster: Cluster) -> None:
    """A source that claims to have more than anyone, and sends nothing, costs a question now and then."""
    seen = cluster.watch()
    cluster.byzantine("n3", stall())
    await cluster.run_for(5)
    cluster.crash("n2")
    await cluster.write("n0", count=300, size=5000, together=10)
    cluster.restart("n2")
    await wait_held(cluster, CORRECT, "n0", within_s=30)
    assert sources(cluster, seen, "n2", "n0").keys() <= {"n0", "n1"}
    first = asked(cluster, seen, "n3")
    assert first
    await cluster.run_for(60)
    replaced = [notice for _, notice in seen if isinstance(notice, SourceReplaced)]
    assert ("n3", "no progress") in [(cluster.alias_of(notice.peer), notice.why) for notice in replaced]
    assert asked(cluster, seen, "n3") - first < 3 * 4 * 60 / 5 * 2  # of each log, by each member, each five seconds
    await write_and_settle(cluster)


@simulate(nodes=4, seeds=4, swarm=CALM)
async def test_garbage(cluster: Cluster) -> None:
    """Noise ends each session that it comes over, costs its sender a pause, and leaves no trace in any log."""
    seen = cluster.watch()
    cluster.byzantine("n3", garbage())
    await cluster.run_for(20)
    assert losses(cluster, seen, "n3")
    assert [stop_of(cluster, alias, "n3") for alias in CORRECT] == [0, 0, 0]
    await write_and_settle(cluster)


@simulate(nodes=5, seeds=3, swarm=CALM)
async def test_stale_epochs(cluster: Cluster) -> None:
    """Batches of epochs that nobody granted, going up or down, are taken from nobody, not even from their author."""
    seen = cluster.watch()
    cluster.byzantine("n3", stale_epochs())
    cluster.byzantine("n4", stale_epochs(events=2))  # epochs 0 and 2, a chain that is whole
    await cluster.run_for(20)
    for traitor in ("n3", "n4"):
        assert asked(cluster, seen, traitor)
        assert "epoch" in losses(cluster, seen, traitor)
        for alias in CORRECT:
            assert all(event.epoch == 0 for event in await held(cluster, alias, traitor))
    await write_and_settle(cluster)


@simulate(nodes=4, seeds=4, swarm=CALM)
async def test_forger(cluster: Cluster) -> None:
    """A relay that makes up what it is asked for is believed once, proven a liar by the signature, and dropped."""
    seen = cluster.watch()
    cluster.byzantine("n3", forge())
    await cluster.run_for(20)
    assert asked(cluster, seen, "n3")
    assert "not authentic" in losses(cluster, seen, "n3")
    assert [stop_of(cluster, alias, log) for alias in CORRECT for log in CORRECT] == [0] * 9
    await write_and_settle(cluster)


@simulate(nodes=4, seeds=1, swarm=CALM)
async def test_strangers_at_the_door(cluster: Cluster) -> None:
    """While strangers hold all places at every door, a member that restarts is let in."""
    await all_meet(cluster)
    cluster.byzantine("n3", knock(doors=120))
    await cluster.run_for(5)
    machine = cluster.world.host("n0").machine
    assert len(machine.endpoints) > 50
    cluster.crash("n1")
    cluster.restart("n1")
    await cluster.until(lambda: all_met(cluster, CORRECT), "n1 to be let in", within_s=20)
    await write_and_settle(cluster)


@simulate(nodes=4, seeds=2, swarm=CALM)
async def test_an_author_turns_bad(cluster: Cluster) -> None:
    """What a member wrote while its program was good outlives it, though its new one only claims to serve it."""
    seen = cluster.watch()
    await all_meet(cluster)
    cluster.crash("n2")
    await cluster.write("n3", count=100, size=1000, replicas=1)
    await wait_held(cluster, ["n0", "n1"], "n3")
    cluster.byzantine("n3", stall())
    cluster.restart("n2")
    await wait_held(cluster, ["n2"], "n3", 100, within_s=30)
    assert sources(cluster, seen, "n2", "n3").keys() <= {"n0", "n1"}
    await write_and_settle(cluster)
