"""Promises of the audit: it finds what a crash could have done to the stores, and nothing in sound ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hydra_sync import Address, Config, Member, SigningKey
from hydra_sync.disk import RealDisk
from hydra_sync.encoding import encode_event
from hydra_sync.store import Manifest, create_store, open_store
from tests.crash.audit import audit

ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
MEMBERS = tuple(Member(name, key.member, Address("127.0.0.1", 1)) for name, key in (("alice", ALICE), ("bob", BOB)))
NAMES = ["1.0", "1.1", "1.2", "2.0"]
PROMISED = {"alice": dict(enumerate(NAMES)), "bob": {}}


async def make_stores(directory: Path, names: list[str]) -> dict[str, Config]:
    """Stores of alice and bob that both hold alice's log, with these events."""
    configs = {
        "alice": Config("test", ALICE, MEMBERS, directory / "alice"),
        "bob": Config("test", BOB, MEMBERS, directory / "bob"),
    }
    for config in configs.values():
        manifest = Manifest(config.network_id, config.key.member, bytes(16), founding=True)
        await create_store(RealDisk(), config.persistence_dir, manifest)
        async with open_store(
            RealDisk(),
            config.persistence_dir,
            members=config.keys,
            network=config.network_id,
            key=config.key,
            wall_clock=lambda: 1,
            holder="a test",
        ) as store:
            if config.key is ALICE:
                for name in names:
                    await store.author.append([encode_event([b"", name])])
                batches = await store.log(ALICE.member).read(0, len(names), 1 << 20)
            else:
                await store.log(ALICE.member).commit(batches)
    return configs


def segment(config: Config) -> Path:
    return config.persistence_dir / "logs" / ALICE.member.hex() / f"{0:020d}.log"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)


def drop_last(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\x82\x59")])


async def test_sound_stores_pass(tmp_path: Path) -> None:
    """All that was acknowledged is found, in equal copies."""
    configs = await make_stores(tmp_path, NAMES)
    copies, wrong = await audit(configs, PROMISED)
    assert wrong == []
    assert {copy.ids for copy in copies if copy.log == "alice"} == {tuple(NAMES)}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (NAMES[:3], "alice's copy of alice's log: event 2.0, acknowledged at seq 3, is lost: nothing stands there"),
        ([*NAMES[:3], "9.9"], "bob's copy of alice's log: event 2.0, acknowledged at seq 3, is lost: 9.9 stands there"),
        ([*NAMES, "1.1"], "alice's copy of alice's log: event 1.1 is there 2 times: [1, 4]"),
        (["1.1", "1.0", "1.2", "2.0"], "bob's copy of alice's log: event 1.0, acknowledged at seq 0, stands at [1]"),
    ],
)
async def test_broken_promises_are_found(tmp_path: Path, names: list[str], found: str) -> None:
    """A lost event, one that stands twice and one that stands elsewhere are each named, with seq and store."""
    _, wrong = await audit(await make_stores(tmp_path, names), PROMISED)
    assert found in wrong


@pytest.mark.parametrize(
    ("harm", "found"),
    [(flip, "bob's copy of alice's log: Finding("), (drop_last, "alice's log has other bytes at bob (3 events)")],
)
async def test_harm_to_one_store_is_found(tmp_path: Path, harm: Callable[[Path], None], found: str) -> None:
    """A changed byte and a record that is gone in one store are found."""
    configs = await make_stores(tmp_path, NAMES)
    harm(segment(configs["bob"]))
    _, wrong = await audit(configs, PROMISED)
    assert any(sentence.startswith(found) for sentence in wrong), wrong
