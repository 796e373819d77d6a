"""``hydra-sync read`` and ``follow``: events out of a store, beside a running node or without. Does I/O."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import click
import trio

from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.cli.values import event_json, event_line
from hydra_sync.config import Config
from hydra_sync.disk import RealDisk
from hydra_sync.node import Event
from hydra_sync.node.reading import Events
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Store, open_store

__all__ = ["follow", "open_read_only", "read"]

POLL_S: Final = 0.2  # a node does not tell us of its appends; its files do


@click.command(epilog="Example: hydra-sync read --config bob.toml alice 10 20")
@click.argument("log", metavar="LOG")
@click.argument("start", type=click.IntRange(min=0), default=0)
@click.argument("stop", type=click.IntRange(min=0), required=False)
@node_options
@json_option("one line an event")
def read(log: str, start: int, stop: int | None, as_json: bool, **options: Any) -> None:
    """Print the events of LOG from START (0) up to, but not including, STOP (all there are).

    LOG is a member's alias or key. The node may run meanwhile.
    """
    config = take_config(options)
    trio.run(_read, config, log, start, stop, as_json)


@click.command(epilog="Example: hydra-sync follow --config bob.toml alice --from 100 --json")
@click.argument("log", metavar="LOG")
@click.option("--from", "start", type=click.IntRange(min=0), default=0, show_default=True, help="First seq.")
@node_options
@json_option("one line an event")
def follow(log: str, start: int, as_json: bool, **options: Any) -> None:
    """Print the events of LOG, and go on as they come, until interrupted."""
    config = take_config(options)
    try:
        trio.run(_follow, config, log, start, as_json)
    except* KeyboardInterrupt:
        pass


@asynccontextmanager
async def open_read_only(config: Config) -> AsyncIterator[Store]:
    """The node's store, looked at without touching it."""
    async with open_store(
        RealDisk(),
        config.persistence_dir.absolute(),
        members=config.keys,
        network=config.network_id,
        key=None,
        wall_clock=wall_clock_us,
        holder="reader",
        read_only=True,
    ) as store:
        yield store


async def _read(config: Config, log: str, start: int, stop: int | None, as_json: bool) -> None:
    member = config.find(log)
    async with open_read_only(config) as store:
        held = store.log(member)
        seqs = SeqRange(start, max(start, held.tip.next_seq if stop is None else stop))
        async for event in Events(held, config.alias(member), seqs.start, seqs.stop):
            _print(event, config.alias(member), as_json)


async def _follow(config: Config, log: str, start: int, as_json: bool) -> None:
    member = config.find(log)
    async with open_read_only(config) as store:
        held = store.log(member)
        while True:
            if start < held.tip.next_seq:
                async for event in Events(held, config.alias(member), start, held.tip.next_seq):
                    _print(event, config.alias(member), as_json)
                    start = event.seq + 1
            elif not await held.refresh():
                await trio.sleep(POLL_S)


def _print(event: Event, alias: str, as_json: bool) -> None:
    click.echo(json.dumps(event_json(event, alias)) if as_json else event_line(event))
