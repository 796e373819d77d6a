"""``hydra-sync init``: a new, empty store for a new network. Does I/O."""

from __future__ import annotations

import json
from typing import Any

import click
import trio

from hydra_sync.cli.options import json_option, node_options, repeat_options, take_config
from hydra_sync.node import create_store

__all__ = ["init"]


@click.command(epilog="Example: hydra-sync init --config alice.toml")
@node_options
@json_option("what was made")
def init(as_json: bool, **options: Any) -> None:
    """Make the store of a node that starts a new network.

    A node that lost its disk is not new: its log must be recovered from the other members, or it
    would sign a second history.
    """
    config = take_config(options)
    trio.run(create_store, config)
    made = {
        "persistence_dir": str(config.persistence_dir.absolute()),
        "network_id": config.network_id.hex(),
        "key": config.key.member.hex(),
    }
    if as_json:
        click.echo(json.dumps(made))
    else:
        click.echo(f"made a store for {config.me.alias} in {made['persistence_dir']}")
        click.echo(f"network {config.network} is {made['network_id']}")
        click.echo(f"start the node with: hydra-sync run {repeat_options()}".rstrip())
