"""What the moving parts of a node do with what the core decides, one effect at a time."""

from __future__ import annotations

from hydra_sync.sync import BeginEpoch
from tests.node.network import NetworkMaker


async def test_an_epoch_that_cannot_begin_any_more_ends_no_node(make_network: NetworkMaker) -> None:
    """The log has had a later one since that was decided."""
    network = make_network("alice")
    async with network.node("alice") as alice:
        await alice._engine._begin_epoch(BeginEpoch(0, b""))
        assert await alice.append("goes on") == 0
