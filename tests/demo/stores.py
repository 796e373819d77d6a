"""Stores of a network of two, written by hand, for the verdict to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hydra_sync.batch import seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.config import Config, Member
from hydra_sync.demo import Verdict, judge
from hydra_sync.disk import RealDisk
from hydra_sync.encoding import encode_event
from hydra_sync.identity import SigningKey
from hydra_sync.store import Manifest, create_store

KEYS = {"alice": SigningKey(b"a" * 32), "bob": SigningKey(b"b" * 32)}
DUE: Mapping[str, Sequence[bytes]] = {name: [f"{name} pays {number}".encode() for number in range(6)] for name in KEYS}


@dataclass(frozen=True)
class Stores:
    """Makes a store with whatever events, and judges them all."""

    directory: Path

    def config(self, node: str) -> Config:
        members = tuple(Member(name, key.member) for name, key in KEYS.items())
        return Config("demo", KEYS[node], members, self.directory / node)

    def segment(self, node: str, log: str) -> Path:
        return self.directory / node / "logs" / KEYS[log].member.hex() / f"{0:020d}.log"

    async def make(self, node: str, logs: Mapping[str, Sequence[bytes]] = DUE) -> None:
        """A store that holds these events, each signed as its author would."""
        config = self.config(node)
        manifest = Manifest(config.network_id, config.key.member, node.encode().ljust(16), founding=True)
        await create_store(RealDisk(), config.persistence_dir, manifest)
        for log, events in logs.items():
            self.segment(node, log).parent.mkdir()
            self.segment(node, log).write_bytes(b"".join(self.records(log, events)))

    def records(self, log: str, events: Sequence[bytes], time_us: int = 1) -> list[bytes]:
        tip, records = EMPTY, []
        for event in events:
            batch = seal_batch(
                KEYS[log],
                self.config(log).network_id,
                [encode_event(event)],
                epoch=0,
                first_seq=tip.next_seq,
                time_us=time_us,
                prev_hash=tip.hash,
            )
            tip = Tip.after(batch)
            records.append(batch.record)
        return records

    async def judge(self) -> Verdict:
        return await judge({name: self.config(name) for name in KEYS}, DUE)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)
