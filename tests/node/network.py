"""A network of nodes on loopback, in one process, over real sockets and on real disks."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from hydra_sync import Address, Config, Member, Node, Seams, SigningKey, open_node
from hydra_sync.channel import TlsChannel
from hydra_sync.config import Restart
from hydra_sync.disk import RealDisk
from hydra_sync.store import Manifest, create_store
from hydra_sync.sync import Notice
from hydra_sync.testing.cluster.channel import PlaintextChannel

PATIENCE_S = 30.0  # far more than anything here takes

N = TypeVar("N", bound=Notice)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass
class Network:
    """Configurations and stores of members, and what their nodes told."""

    directory: Path
    names: Sequence[str]
    seams: Seams
    restart: Restart = "trust-disk"
    configs: dict[str, Config] = field(default_factory=dict)
    notices: list[tuple[str, Notice]] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = {name: SigningKey(bytes([index + 1]) * 32) for index, name in enumerate(self.names)}
        members = tuple(Member(name, key.member, Address("127.0.0.1", free_port())) for name, key in keys.items())
        for member in members:
            self.configs[member.alias] = Config(
                "test",
                keys[member.alias],
                members,
                self.directory / member.alias,
                listen=member.address,
                restart=self.restart,
            )

    def moved(self, name: str, *, to: Address) -> None:
        """Everybody now dials ``name`` at another address, where the node itself does not listen."""
        for other, config in self.configs.items():
            if other != name:
                members = tuple(replace(m, address=to) if m.alias == name else m for m in config.members)
                self.configs[other] = replace(config, members=members)

    def hidden(self, name: str, *, seen_from: str) -> None:
        """``seen_from`` knows no address of ``name``."""
        config = self.configs[seen_from]
        members = tuple(replace(m, address=None) if m.alias == name else m for m in config.members)
        self.configs[seen_from] = replace(config, members=members)

    async def init(self, name: str) -> None:
        config = self.configs[name]
        manifest = Manifest(config.network_id, config.key.member, name.encode().ljust(16), founding=True)
        await create_store(RealDisk(), config.persistence_dir, manifest)

    @asynccontextmanager
    async def node(self, name: str, *, seams: Seams | None = None) -> AsyncIterator[Node]:
        """The node of ``name``, running; its store is made if it has none."""
        if not (self.configs[name].persistence_dir / "store.toml").exists():
            await self.init(name)

        def observe(notice: Notice) -> None:
            self.notices.append((name, notice))

        async with open_node(self.configs[name], seams=seams or self.seams, observe=observe) as node:
            yield node

    def told(self, name: str, kind: type[N]) -> list[N]:
        """The notices of one kind that one node gave, in order."""
        return [notice for teller, notice in self.notices if teller == name and isinstance(notice, kind)]

    def records(self, name: str, log: str) -> bytes:
        """All bytes of one log in one node's store."""
        directory = self.configs[name].persistence_dir / "logs" / self.configs[name].find(log).hex()
        return b"".join(path.read_bytes().rstrip(b"\0") for path in sorted(directory.glob("*.log")))


NetworkMaker = Callable[..., Network]


@pytest.fixture
def make_network(tmp_path: Path) -> NetworkMaker:
    """Makes networks over TLS."""

    def make(*names: str) -> Network:
        return Network(tmp_path, names, Seams())

    return make


@pytest.fixture(params=["tls", "plaintext"])
def make_network_both(tmp_path: Path, request: pytest.FixtureRequest) -> NetworkMaker:
    """Makes networks over each of the channels in turn: a session must not know the difference."""
    seams = Seams(channel=TlsChannel if request.param == "tls" else PlaintextChannel)

    def make(*names: str) -> Network:
        return Network(tmp_path, names, seams)

    return make


async def until(happened: Callable[[], bool], what: str = "it", *, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that has no event of its own. Fails when patience ends."""
    with trio.move_on_after(patience_s):
        while not happened():  # noqa: ASYNC110  there is no event for it
            await trio.sleep(0.01)
        return
    pytest.fail(f"waited {patience_s:g} s in vain for {what}")


def holds(node: Node, log: str, count: int) -> Callable[[], bool]:
    """Whether the node's copy of a log has come to ``count`` events."""

    def check() -> bool:
        member = next(member for member in node.status().members if member.alias == log)
        return member.log.tip.next_seq >= count

    return check


def connected(node: Node, other: str) -> Callable[[], bool]:
    """Whether the node has a session with another member."""

    def check() -> bool:
        return next(member for member in node.status().members if member.alias == other).connected

    return check
