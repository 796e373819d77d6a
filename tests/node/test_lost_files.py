"""Files of a store that are gone while the rest is there: what the disk lost is not taken for what never was."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from hydra_sync import Node, Seams, SeqRange
from hydra_sync.node.recovering import recover_store
from tests.node.network import Network, holds, until

NAMES = ("alice", "bob", "carol", "dave", "erin")


async def test_a_witness_that_lost_its_logs_does_not_count(tmp_path: Path) -> None:
    """Its word that it holds nothing of alice's log would let her begin an epoch without what was stable."""
    network = Network(tmp_path, NAMES, Seams(), "prove")
    async with AsyncExitStack() as running, AsyncExitStack() as away:
        nodes = {name: await running.enter_async_context(network.node(name)) for name in NAMES[:3]}
        for name in NAMES[3:]:
            await away.enter_async_context(network.node(name))
        await nodes["alice"].append("of all five", replicas=4)
        await away.aclose()
        last = await nodes["alice"].append_many(range(20), replicas=2)
        await nodes["alice"].wait_stable(last)
    shutil.rmtree(tmp_path / "alice")
    shutil.rmtree(tmp_path / "bob" / "logs")
    await recover_store(network.configs["alice"])
    async with AsyncExitStack() as running:
        for name in ("bob", "dave", "erin"):
            nodes[name] = await running.enter_async_context(network.node(name))
        alice = await running.enter_async_context(network.node("alice"))
        await until(lambda: _said(alice) == {"bob": "amnesiac", "dave": "ok", "erin": "ok"}, "three to be heard")
        with trio.move_on_after(1) as scope:
            await alice.wait_started()
        assert scope.cancelled_caught, "who knows nothing was believed"
        await running.enter_async_context(network.node("carol"))
        await alice.wait_started()
        await until(holds(alice, "alice", last + 1))
        values = [event.value async for event in alice.read("alice", SeqRange(0, last + 1))]
        assert values == ["of all five", *range(20)]
        await alice.append("and on", replicas=4)
        await until(lambda: not nodes["bob"].status().warnings, "bob to count again")


def _said(node: Node) -> dict[str, str]:
    """What the connected others say that their word about alice's log is worth."""
    return {member.alias: member.states.get("alice", "") for member in node.status().members if member.connected}
