"""A node's store looked at without the node, or beside it: nothing is touched. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from hydra_sync.config import Config
from hydra_sync.disk import RealDisk
from hydra_sync.identity import MemberKey
from hydra_sync.node.events import Event
from hydra_sync.node.reading import Events
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.store import Store, open_store

__all__ = ["open_read_only", "replicas"]


@asynccontextmanager
async def open_read_only(config: Config, directory: Path | None = None) -> AsyncIterator[Store]:
    """The node's store, or a copy of it in another directory. Raises as `open_store` does."""
    async with open_store(
        RealDisk(),
        (directory or config.persistence_dir).absolute(),
        members=config.keys,
        network=config.network_id,
        key=None,
        wall_clock=wall_clock_us,
        holder="reader",
        read_only=True,
    ) as store:
        yield store


def replicas(store: Store, config: Config) -> Callable[[MemberKey, int], AsyncIterator[Event]]:
    """Reads of members' logs: from a seq on, all that is held now."""

    def read(member: MemberKey, start: int) -> AsyncIterator[Event]:
        log = store.log(member)
        return Events(log, config.alias(member), start, max(start, log.tip.next_seq))

    return read
