"""``hydra-sync head``: a Hydra head on a node. Reads stores and writes chain files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import trio

from hydra_sync.cli.answered import answer_lines, answers_json
from hydra_sync.cli.head_demo import demo
from hydra_sync.cli.head_run import run
from hydra_sync.cli.head_values import side_load_json
from hydra_sync.cli.machines import LEDGERS, history_of, machine_name, stop_of
from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.config import Config
from hydra_sync.errors import UsageError
from hydra_sync.head import HeadMachine
from hydra_sync.head.simple_tx import simple_ref
from hydra_sync.head.state import State
from hydra_sync.mainchain import FileChain
from hydra_sync.node import open_read_only, replicas
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.runtime import Folded, fold

__all__ = ["head"]


@click.group()
def head() -> None:
    """A Hydra head: off-chain payments that all members sign, decided from events in this node's log."""


@head.command(epilog="Example: hydra-sync head show --config alice.toml --of bob --at 120")
@click.option("--of", "of", metavar="MEMBER", help="The head as this member's log has it.  [default: this node's own]")
@click.option("--at", "at", metavar="POSITION", help="As it was before this seq of that log, or EPOCH/SEQ.")
@node_options
@json_option("the four answers")
def show(of: str | None, at: str | None, as_json: bool, **options: Any) -> None:
    """The four answers: the parties, the last snapshot that all signed, the transactions seen, the status.

    Rebuilt from the logs in the node's store, beside a running node or without; signatures are checked again.
    """
    config = take_config(options)
    folded, machine, stop = trio.run(_fold, config, of, at)
    answers = machine.answers(folded.progress.state)
    if as_json:
        click.echo(json.dumps(answers_json(answers) | {"of": of or config.me.alias, "next_seq": stop}))
        return
    click.echo(f"{of or config.me.alias}'s head, from {folded.records:,} records before seq {stop}")
    for line in answer_lines(answers):
        click.echo(line)


@head.command(epilog="Example: hydra-sync head snapshot --config alice.toml > snapshot.json")
@click.option("--of", "of", metavar="MEMBER", help="As this member's log has it.  [default: this node's own]")
@click.option("--at", "at", metavar="POSITION", help="As it was before this seq of that log, or EPOCH/SEQ.")
@node_options
def snapshot(of: str | None, at: str | None, **options: Any) -> None:
    """The last snapshot that all signed, as the command that side-loads it: one line of JSON.

    Give it to the standard input of: hydra-sync head run --stdin
    """
    folded, _, _ = trio.run(_fold, take_config(options), of, at)
    current = folded.progress.state.current
    if current is None:
        raise UsageError("there is no head yet, and so no snapshot; open one with Init")
    click.echo(json.dumps(side_load_json(current)))


async def _fold(config: Config, of: str | None, at: str | None) -> tuple[Folded[State], HeadMachine, int]:
    member = config.find(of) if of else config.key.member
    async with open_read_only(config) as store:
        stop = await stop_of(store, config, member, at)
        name = await machine_name(store, config, member) or ""
        if name.removeprefix("head/") not in LEDGERS:
            raise UsageError(f"{config.alias(member)}'s log here holds no head: start one with: hydra-sync head run")
        machine = HeadMachine(member, LEDGERS[name.removeprefix("head/")]())
        return await fold(machine, history_of(store, config, member, stop), replicas(store, config)), machine, stop


@head.group()
def chain() -> None:
    """The development chain: layer 1 in a file, for demonstrations and tests."""


@chain.command(epilog="Example: hydra-sync head chain init chain.jsonl --simple 1 --simple 2")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--simple", "numbers", type=click.IntRange(min=0), multiple=True, help="An output of the simple ledger.")
@click.option(
    "--output", "outputs", metavar="NAME=CBOR", multiple=True, help="An output of the conway ledger, in hexadecimal."
)
def init(path: Path, numbers: Sequence[int], outputs: Sequence[str]) -> None:
    """Begin a chain in the file PATH, with the outputs that a head on it opens with."""
    pairs = [(bytes(simple_ref(number)), b"") for number in numbers]
    try:
        pairs += [
            (bytes.fromhex(name), bytes.fromhex(data)) for name, _, data in (one.partition("=") for one in outputs)
        ]
    except ValueError as error:
        raise UsageError(f"an output is NAME=CBOR, both in hexadecimal: {error}") from error
    FileChain.create(path, pairs)
    click.echo(f"began a development chain in {path}: a head opens with {len(pairs)} outputs")


@chain.command(epilog="Example: hydra-sync head chain rollback chain.jsonl 1")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("count", type=click.IntRange(min=1))
def rollback(path: Path, count: int) -> None:
    """Take back the last COUNT blocks: heads that follow the chain see them undone."""
    line = FileChain(path, wall_clock_us).roll_back(count)
    click.echo(f"the chain ends at slot {line.point.slot} again")


head.add_command(run)
head.add_command(demo)
