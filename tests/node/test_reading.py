"""Events out of a log as far as they may be delivered, and no work where nothing changes."""

from __future__ import annotations

import pytest
import trio

from hydra_sync.epoch import Grant, epoch_event
from hydra_sync.errors import OrphanedError
from hydra_sync.node.reading import Events
from tests.node.network import NetworkMaker


async def test_a_log_that_went_back_below_what_was_stable_is_waited_for(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without asking again and again: what a follower was given is told to be gone, and what comes is delivered."""
    asked = 0
    fill = Events._fill

    async def counting(events: Events, stop: int | None) -> None:
        nonlocal asked
        asked += 1
        assert asked < 100, "it spins"
        await fill(events, stop)

    monkeypatch.setattr(Events, "_fill", counting)
    network = make_network("alice", "bob", "carol")
    async with network.node("alice") as alice:
        engine, me = alice._engine, alice.config.key.member
        for number in range(4):
            await alice.append(number)
        engine.replicator.agreement.stability.stable[me] = 4  # as receipts have shown
        followed = alice.follow("alice")
        assert [(await anext(followed)).value for _ in range(4)] == [0, 1, 2, 3]
        await engine.store.log(me).rebranch(1, ())  # as when another epoch takes over there
        with pytest.raises(OrphanedError):
            await anext(followed)
        later = []

        async def follow() -> None:
            later.append((await anext(followed)).seq)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.sleep(0.05)
            assert later == []
            await engine.store.author.begin_epoch(1, epoch_event(Grant(1, bytes(16), False, {})))
            await alice.append("goes on")
        assert later == [2]
