"""``hydra-sync read`` and ``follow``: events out of a store, beside a running node or without. Does I/O."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

import click
import trio

from hydra_sync.cli.options import json_option, node_options, repeat_options, take_config
from hydra_sync.cli.values import event_json, event_line
from hydra_sync.config import Config
from hydra_sync.errors import StoreDamagedError, UnavailableError, UsageError
from hydra_sync.limits import UINT_MAX
from hydra_sync.node import open_read_only
from hydra_sync.node.reading import Events
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Log, Store

__all__ = ["follow", "read"]

POLL_S: Final = 0.2  # a node does not tell us of its appends; its files do


@click.command(epilog="Example: hydra-sync read --config bob.toml alice 10 20")
@click.argument("log", metavar="LOG")
@click.argument("start", type=click.IntRange(min=0, max=UINT_MAX), default=0)
@click.argument("stop", type=click.IntRange(min=0, max=UINT_MAX), required=False)
@node_options
@json_option("one line an event")
def read(log: str, start: int, stop: int | None, as_json: bool, **options: Any) -> None:
    """Print the events of LOG from START (0) up to, but not including, STOP (all there are).

    LOG is a member's alias or key. The node may run meanwhile.
    """
    config = take_config(options)
    if stop is not None and stop <= start:
        raise UsageError(f"the range [{start}, {stop}) is empty: STOP must be above START")
    trio.run(_read, config, log, start, stop, as_json)


@click.command(epilog="Example: hydra-sync follow --config bob.toml alice --from 100 --json")
@click.argument("log", metavar="LOG")
@click.option(
    "--from", "start", type=click.IntRange(min=0, max=UINT_MAX), default=0, show_default=True, help="First seq."
)
@node_options
@json_option("one line an event")
def follow(log: str, start: int, as_json: bool, **options: Any) -> None:
    """Print the events of LOG, and go on as they come, until interrupted."""
    config = take_config(options)
    try:
        trio.run(_follow, config, log, start, as_json)
    except* KeyboardInterrupt:
        pass


async def _read(config: Config, log: str, start: int, stop: int | None, as_json: bool) -> None:
    member = config.find(log)
    async with open_read_only(config) as store:
        held = store.log(member)
        end = held.tip.next_seq
        if stop is None and start >= end:
            click.echo(f"no events: {config.alias(member)}'s log ends at {end} here", err=True)
        await _print_events(config, store, held, SeqRange(start, max(start, end if stop is None else stop)), as_json)


async def _print_events(config: Config, store: Store, held: Log, seqs: SeqRange, as_json: bool) -> int:
    """Print events; returns how far it came. Raises `StoreDamagedError` where they are damaged, and `ForkedError`
    where the log is proven to be forked."""
    alias, done = config.alias(held.author), seqs.start
    try:
        async for event in Events(held, alias, seqs.start, seqs.stop, forked_at=partial(store.forked_at, held.author)):
            click.echo(json.dumps(event_json(event, alias)) if as_json else event_line(event))
            done = event.seq + 1
    except UnavailableError as error:
        if not any(hole.start <= done < hole.stop for hole in held.holes):
            raise
        advice = f"see all of it with: hydra-sync verify {repeat_options()}".rstrip()
        raise StoreDamagedError(f"{error}; {advice}") from error
    return done


async def _follow(config: Config, log: str, start: int, as_json: bool) -> None:
    member = config.find(log)
    async with open_read_only(config) as store:
        held = store.log(member)
        while True:
            if start < held.tip.next_seq:
                start = await _print_events(config, store, held, SeqRange(start, held.tip.next_seq), as_json)
            elif not await held.refresh():
                await trio.sleep(POLL_S)
