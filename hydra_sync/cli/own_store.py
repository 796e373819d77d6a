"""A stopped node's own store, to append to its log without the node. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hydra_sync.config import Config
from hydra_sync.disk import RealDisk
from hydra_sync.errors import StoreDamagedError, StoreError
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.store import Store, open_store, own_log_forked

__all__ = ["open_to_append"]


@asynccontextmanager
async def open_to_append(config: Config, what: str) -> AsyncIterator[Store]:
    """The store, its own log begun as it is to begin; ``what`` is done with it, for whoever finds it in use.

    Raises `StoreError` where the log is proven to be forked, `StoreDamagedError` where the end of it may be lost,
    and as `open_store` does.
    """
    async with open_store(
        RealDisk(),
        config.persistence_dir.absolute(),
        members=config.keys,
        network=config.network_id,
        key=config.key,
        wall_clock=wall_clock_us,
        holder=f"{what} of {config.me.alias}",
    ) as store:
        if (forked_at := store.forked_at(config.key.member)) is not None:
            raise StoreError(own_log_forked(forked_at))
        if (standing := store.standing(config.key.member)).amnesiac:
            raise StoreDamagedError(
                f"{config.me.alias}'s own log may be longer than what is here ({standing.why}), and appending could "
                "fork it. Get the rest back from the others with hydra-sync recover; or append with hydra-sync run "
                "--stdin, which gets it back first"
            )
        await store.begin()
        yield store
