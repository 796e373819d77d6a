"""What the moving parts of a node do with what the core decides, one effect at a time."""

from __future__ import annotations

from collections import deque

import pytest
import trio

from hydra_sync.fork import ForkProof
from hydra_sync.identity import MemberKey
from hydra_sync.node.engine import _queue
from hydra_sync.standing import Standing
from hydra_sync.store import Store
from hydra_sync.sync import BeginEpoch, EndFounding, KeepProof, Persist
from hydra_sync.sync.witness import Witness
from tests.node.network import NetworkMaker, until


async def test_an_epoch_that_cannot_begin_any_more_ends_no_node(make_network: NetworkMaker) -> None:
    """The log has had a later one since that was decided."""
    network = make_network("alice")
    async with network.node("alice") as alice:
        await alice._engine._begin_epoch(BeginEpoch(0, b""))
        assert await alice.append("goes on") == 0


ALICE, BOB = MemberKey(bytes(32)), MemberKey(bytes([1]) * 32)
Kept = list[tuple[MemberKey, Standing] | None]


@pytest.fixture
def disk_is_free(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """What is to be kept of standings waits for it."""
    free, keep = trio.Event(), Store.set_standing

    async def slowly(store: Store, log: MemberKey, standing: Standing) -> None:
        await free.wait()
        await keep(store, log, standing)

    monkeypatch.setattr(Store, "set_standing", slowly)
    return free


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The standings that became durable, in order; None is the end of founding."""
    kept: Kept = []
    persisted, end_founding = Witness.persisted, Store.end_founding

    def noted(witness: Witness, log: MemberKey, standing: Standing) -> bool:
        kept.append((log, standing))
        return persisted(witness, log, standing)

    async def ended(store: Store) -> None:
        kept.append(None)
        await end_founding(store)

    monkeypatch.setattr(Witness, "persisted", noted)
    monkeypatch.setattr(Store, "end_founding", ended)
    return kept


async def test_of_each_log_only_the_newest_standing_waits_for_the_disk(
    make_network: NetworkMaker, disk_is_free: trio.Event, kept: Kept
) -> None:
    """However fast an author asks, and in turn: the others' come no later for it."""
    network = make_network("alice", "bob", "carol")
    async with network.node("alice") as alice:
        engine, (bob, carol) = alice._engine, map(network.configs["alice"].find, ("bob", "carol"))
        engine.perform([Persist(bob, Standing(promised=1))])
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2, 1000):
            engine.perform([Persist(bob, Standing(promised=number))])
        engine.perform([Persist(carol, Standing(promised=5)), Persist(bob, Standing(promised=1000))])
        assert len(engine._persists) == 2
        disk_is_free.set()
        await until(lambda: len(kept) == 3)
        last = (bob, Standing(promised=1000))
        assert kept == [(bob, Standing(promised=1)), last, (carol, Standing(promised=5))]
        assert engine.store.standing(bob) == Standing(promised=1000)


async def test_no_standing_passes_the_end_of_founding_and_no_amnesia_is_left_out(
    make_network: NetworkMaker, disk_is_free: trio.Event, kept: Kept
) -> None:
    """They wait for one another: what was forgotten is durable before the store is that of a new network no more."""
    network = make_network("alice", "bob", "carol")
    async with network.node("alice") as alice:
        engine, (bob, carol) = alice._engine, map(network.configs["alice"].find, ("bob", "carol"))
        forgot, reminded, later = Standing(amnesiac=True), Standing(promised=3), Standing(promised=4)
        engine.perform([Persist(carol, later)])
        await trio.testing.wait_all_tasks_blocked()
        engine.perform([Persist(bob, forgot), Persist(bob, reminded), EndFounding(), Persist(bob, later)])
        disk_is_free.set()
        await until(lambda: len(kept) == 5)
        assert kept == [(carol, later), (bob, forgot), (bob, reminded), None, (bob, later)]


def test_of_each_log_only_the_best_proof_of_a_fork_waits_for_the_disk() -> None:
    """A forked author can make proofs without end, each better than the one before."""
    waiting: deque[Persist | EndFounding | KeepProof] = deque()
    for number in range(100):
        for log in (ALICE, BOB):
            _queue(waiting, KeepProof(ForkProof(log, (bytes([number]),), ())))
    assert list(waiting) == [KeepProof(ForkProof(log, (b"c",), ())) for log in (ALICE, BOB)]
