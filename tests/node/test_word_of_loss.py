"""The operator's word that a member's disk is lost for good is for one start: the next one is not bound by it."""

from __future__ import annotations

from pathlib import Path

from hydra_sync import Seams
from hydra_sync.disk import RealDisk
from hydra_sync.identity import MemberKey
from hydra_sync.node.recovering import record_loss, recover_store
from hydra_sync.store import read_standing
from hydra_sync.store.layout import LogPlace
from tests.node.network import Network


async def test_what_is_not_said_again_is_taken_back(tmp_path: Path) -> None:
    network = Network(tmp_path, ("alice", "bob", "carol"), Seams(), "prove")
    await network.init("alice")
    config, bob = network.configs["alice"], network.configs["bob"].key.member

    async def word() -> tuple[MemberKey, ...]:
        place = LogPlace(config.persistence_dir, config.network_id, config.key.member)
        return (await read_standing(RealDisk(), place)).without

    await record_loss(config, [bob])
    assert await word() == (bob,)
    await record_loss(config, [])
    assert await word() == ()
    await recover_store(config, without=[bob])
    assert await word() == (bob,)
    await recover_store(config)
    assert await word() == ()
