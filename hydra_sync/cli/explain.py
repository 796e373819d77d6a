"""``hydra-sync explain``: in words, what a node is doing, why it waits, and how to go on. Does I/O: reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import trio

from hydra_sync.cli.live import read_live
from hydra_sync.cli.options import json_option, node_options, repeat_options, take_config
from hydra_sync.config import Config
from hydra_sync.disk import lock_holder
from hydra_sync.epoch import answers_needed
from hydra_sync.node import open_read_only
from hydra_sync.node.explaining import explain_fork
from hydra_sync.store import Store, own_log_forked
from hydra_sync.store.layout import LOCK

__all__ = ["explain"]


@click.command(epilog="Example: hydra-sync explain --config carol.toml")
@node_options
@json_option("the same, and the status it is drawn from,")
def explain(as_json: bool, **options: Any) -> None:
    """Say what the node is doing and why it waits: for whom, for how much, and how to go on without.

    Beside a running node it is what that node says of itself; else what can be seen in its store.
    """
    config = take_config(options)
    again = repeat_options()
    words, status = trio.run(_explain, config, again)
    if as_json:
        click.echo(json.dumps({"running": status is not None, "explain": words, "status": status}))
    else:
        for line in words:
            click.echo(line)


async def _explain(config: Config, again: str) -> tuple[list[str], dict[str, Any] | None]:
    async with open_read_only(config) as store:
        if live := read_live(config):
            return list(live.words), live.status
        return list(_from_store(config, store, again)), None


def _from_store(config: Config, store: Store, again: str) -> Iterator[str]:
    holder = lock_holder(config.persistence_dir / LOCK)
    yield f"the store is held by {holder}, which says no more" if holder else "the node does not run"
    yield from store.warnings(config.alias)
    me = config.key.member
    own, standing = store.log(me), store.standing(me)
    others = [member.alias for member in config.members if member.key != me]
    if (own_fork := store.forked_at(me)) is not None:
        yield own_log_forked(own_fork)
    elif config.restart == "trust-disk" and not standing.amnesiac:
        yield f"its own log reaches {own.tip.next_seq}; it will append in epoch {own.tip.epoch}, trusting its disk"
    else:
        founding = store.manifest.founding and own.tip.next_seq == 0
        needed = len(others) if founding else answers_needed(len(config.members))
        whom = f"all of {', '.join(others)}" if needed == len(others) else f"{needed} of {', '.join(others)}"
        first = "the first epoch" if founding else f"an epoch above {own.tip.epoch}"
        yield f"its own log reaches {own.tip.next_seq}; when it starts it asks for {first} of it, and needs {whom}"
    if standing.without:
        given_up = ", ".join(map(config.alias, standing.without))
        yield f"the operator gave up the disks of {given_up}: they are not waited for"
    for member in config.members:
        if (forked_at := store.forked_at(member.key)) is not None:
            yield explain_fork("its own" if member.key == me else f"{member.alias}'s", member.key.hex(), forked_at)
        elif member.key != me:
            promised = store.standing(member.key).promised
            more = f"; epoch {promised} of it is promised" if promised > store.log(member.key).tip.epoch else ""
            yield f"{member.alias}'s log reaches {store.log(member.key).tip.next_seq}{more}"
    if holder is None:
        yield f"start it with: hydra-sync run {again}".rstrip()
