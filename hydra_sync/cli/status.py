"""``hydra-sync status``: what a store holds, beside a running node or without. Does I/O."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import click
import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydra_sync.cli.live import read_live
from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.config import Config
from hydra_sync.disk import lock_holder
from hydra_sync.errors import UnavailableError
from hydra_sync.identity import MemberKey
from hydra_sync.node import open_read_only
from hydra_sync.node.checkpoints import differences, origin
from hydra_sync.store import Store, first_event

__all__ = ["status"]


@click.command(epilog="Example: hydra-sync status --config bob.toml")
@node_options
@json_option("the status")
def status(as_json: bool, **options: Any) -> None:
    """Show what the node's store holds of each member's log, and whether the node runs."""
    config = take_config(options)
    found = trio.run(_status, config)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(config, found)


async def _status(config: Config) -> dict[str, Any]:
    async with open_read_only(config) as store:
        logs = []
        for member in config.members:
            log = store.log(member.key)
            logs.append(
                {
                    "alias": member.alias,
                    "key": member.key.hex(),
                    "me": member.key == config.key.member,
                    "epoch": log.tip.epoch,
                    "first_seq": log.first_seq,
                    "next_seq": log.tip.next_seq,
                    "hash": log.tip.hash.hex(),
                    "holes": [[hole.start, hole.stop] for hole in log.holes],
                    **_worth(store, member.key, config),
                }
            )
        live = read_live(config)
        if live is not None:
            for fields, told in zip(logs, live.status["members"], strict=True):
                fields.update({name: told["log"][name] for name in ("state", "why", "target", "stable", "promised")})
        return {
            "network": config.network,
            "network_id": config.network_id.hex(),
            "node_id": config.me.alias,
            "persistence_dir": str(config.persistence_dir.absolute()),
            "store_id": store.manifest.store_id.hex(),
            "restart": config.restart,
            "held_by": lock_holder(config.persistence_dir / "LOCK"),
            "warnings": await _warnings(store, config) if live is None else live.status["warnings"],
            "logs": logs,
            "live": None if live is None else live.status,
            "explain": [] if live is None else live.words,
        }


async def _warnings(store: Store, config: Config) -> tuple[str, ...]:
    origins = {}
    for member in config.keys:
        with suppress(UnavailableError):
            if (event := (await first_event(store.log(member)))[0]) is not None:
                origins[member] = origin(event)
    return (*differences(config, store.checkpoint, origins), *store.warnings(config.alias))


def _worth(store: Store, member: MemberKey, config: Config) -> dict[str, Any]:
    """What the store itself says of the state of a log; only a running node knows how far it is stable."""
    standing = store.standing(member)
    founding = store.manifest.founding and config.restart == "prove"
    state = "amnesiac" if standing.amnesiac else "founding" if founding else "ok"
    if store.forked_at(member) is not None:
        state = "forked"
    return {"state": state, "why": standing.why, "target": None, "stable": None, "promised": standing.promised}


def _show(config: Config, found: dict[str, Any]) -> None:
    console = Console()
    for line in (
        f"{found['node_id']} in network {found['network']} ({found['network_id'][:16]})",
        f"store {found['persistence_dir']}",
        f"held by {found['held_by'] or 'nobody: the node does not run'}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    table = Table()
    for column in ("log", "events", "stable", "state", "last batch", "damaged"):
        table.add_column(column)
    for log in found["logs"]:
        holes = ", ".join(f"[{start}, {stop})" for start, stop in log["holes"])
        name = f"{log['alias']} (this node)" if log["me"] else log["alias"]
        last = log["hash"][:16] if log["next_seq"] else "-"
        seqs = Text(f"[{log['first_seq']}, {log['next_seq']})")
        stable = "-" if log["stable"] is None else str(log["stable"])
        state = Text(log["state"], "" if log["state"] == "ok" else "yellow")
        table.add_row(Text(name), seqs, stable, state, last, Text(holes or "none"))
    console.print(table)
    for warning in found["warnings"]:
        console.print(f"note: {warning}", style="yellow", markup=False, soft_wrap=True)
    for line in found["explain"]:
        if line not in found["warnings"]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if config.restart == "trust-disk" and found["live"] is None:
        trust = "note: restart = trust-disk: that this node never signs two histories rests on its disk"
        console.print(trust, highlight=False, soft_wrap=True)
