"""``hydra-sync replay``: what a machine's log leads to, and whether it would decide the same again. Does I/O."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import trio

from hydra_sync.cli.exits import EXIT_DAMAGED
from hydra_sync.cli.machines import find_machine, history_of, machine_name, stop_of
from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.cli.progress import progress_bar
from hydra_sync.config import Config
from hydra_sync.errors import UsageError
from hydra_sync.machine import state_hash
from hydra_sync.node import open_read_only, replicas
from hydra_sync.runtime import Replayed, fold, replay_check

__all__ = ["replay"]


@click.command(epilog="Example: hydra-sync replay --config alice.toml --check")
@click.argument("log", metavar="[LOG]", required=False)
@click.option("--check", is_flag=True, help="Decide again on every recorded input, and compare what was decided.")
@click.option("--at", "at", metavar="POSITION", help="Up to, but not including, this seq, or EPOCH/SEQ.")
@node_options
@json_option("what came of it")
def replay(log: str | None, check: bool, at: str | None, as_json: bool, **options: Any) -> None:
    """Rebuild the state of the machine that wrote LOG, this node's own by default, from the logs alone.

    The hash tells equal states, on whatever node they were rebuilt. With --check, which takes the member's key
    for a head, exits with 3 if the machine decides otherwise than it did.
    """
    config = take_config(options)
    fields = trio.run(_replay, config, log, at, check)
    if as_json:
        click.echo(json.dumps(fields))
    else:
        click.echo(f"machine {fields['machine']}, {fields['log']}'s log before seq {fields['next_seq']}")
        click.echo(f"state hash {fields['state_hash']}")
        if check and fields["difference"] is None:
            counts = f"{fields['inputs']:,} inputs lead to the same {fields['decided']:,} events again"
            click.echo(f"Good: {counts}, and {fields['checkpoints']:,} checkpoints hold the state that they should.")
        elif check:
            click.echo(f"DIFFERS at {fields['difference']}")
    if check and fields["difference"] is not None:
        sys.exit(EXIT_DAMAGED)


async def _replay(config: Config, log: str | None, at: str | None, check: bool) -> dict[str, Any]:
    member = config.find(log) if log else config.key.member
    async with open_read_only(config) as store:
        stop = await stop_of(store, config, member, at)
        name = await machine_name(store, config, member)
        if name is None:
            raise UsageError(f"no machine has written into {config.alias(member)}'s log, as far as it is here")
        machine = find_machine(name, config, member)
        own, contents = history_of(store, config, member, stop), replicas(store, config)
        fields: dict[str, Any] = {"machine": name, "log": config.alias(member), "next_seq": stop}
        if not check:
            progress = (await fold(machine, own, contents)).progress
            return fields | {"state_hash": state_hash(machine.freeze(progress.state)).hex()}
        if name.startswith("head/") and member != config.key.member:
            raise UsageError(
                f"only {config.alias(member)} has the key that its head decides with: check there, or leave out --check"
            )
        with progress_bar("deciding again", stop) as told:
            replayed: Replayed[object] = await replay_check(machine, own, contents, told)
        difference = replayed.difference
        return fields | {
            "state_hash": state_hash(machine.freeze(replayed.progress.state)).hex(),
            "inputs": replayed.inputs,
            "decided": replayed.decided,
            "checkpoints": replayed.checkpoints,
            "difference": None
            if difference is None
            else f"seq {difference.seq}: recorded {difference.recorded!r:.500}, now {difference.decided!r:.500}",
        }
