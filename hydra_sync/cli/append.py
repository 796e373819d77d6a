"""``hydra-sync append``: values into the own log of a node that does not run. Does I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import trio

from hydra_sync.cli.options import json_option, node_options, repeat_options, take_config
from hydra_sync.cli.own_store import open_to_append
from hydra_sync.cli.values import input_format_option, parse_event
from hydra_sync.config import Config
from hydra_sync.disk import lock_holder
from hydra_sync.errors import StoreLockedError, UsageError
from hydra_sync.ranges import SeqRange

__all__ = ["append"]


@click.command(epilog="Example: hydra-sync append --config alice.toml --format json '{\"pay\": 5}'")
@click.argument("values", nargs=-1, required=True, metavar="VALUE...")
@input_format_option
@node_options
@json_option("the seqs")
def append(values: Sequence[str], input_format: str, as_json: bool, **options: Any) -> None:
    """Append VALUEs to the node's own log, durably, while the node does not run.

    Only with restart = "trust-disk": else the other members have to grant each start of the node before it
    appends, and that takes a running node.
    """
    config = take_config(options)
    if config.restart != "trust-disk":
        raise UsageError(
            f'restart = "{config.restart}": {config.me.alias} appends only when the other members have granted its '
            "start, and for that its node has to run. Start it with: "
            f"hydra-sync run --stdin {repeat_options()}".rstrip()
            + ", and write to its standard input"
        )
    events = [parse_event(value, input_format) for value in values]
    try:
        seqs = trio.run(_append, config, events)
    except StoreLockedError as error:
        holder = lock_holder(config.persistence_dir / "LOCK") or "another process"
        raise StoreLockedError(
            f"the store in {config.persistence_dir} is in use by {holder}: stop that first. To append to a running "
            "node, start it with: hydra-sync run --stdin, and write to its standard input"
        ) from error
    if as_json:
        click.echo(json.dumps({"first_seq": seqs.start, "last_seq": seqs.stop - 1}))
    else:
        noun = "1 event" if seqs.count == 1 else f"{seqs.count} events"
        click.echo(f"appended {noun} to {config.me.alias}'s log, durable: {seqs}")


async def _append(config: Config, events: Sequence[bytes]) -> SeqRange:
    async with open_to_append(config, "append") as store:
        return await store.author.append(events)
