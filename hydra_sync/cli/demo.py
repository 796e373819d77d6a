"""``hydra-sync demo``: three real nodes, a kill and a resync, live on the terminal. Does I/O."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from hydra_sync.cli.options import json_option
from hydra_sync.demo.picture import Picture, verdict_table
from hydra_sync.demo.story import NAMES, Outcome, tell_story
from hydra_sync.demo.transactions import generate, read_dataset
from hydra_sync.errors import UsageError

__all__ = ["demo"]

EXIT_WRONG: Final = 3


@click.command(epilog="Example: hydra-sync demo --count 100 --dir ./demo-stores")
@click.option("--count", type=click.IntRange(min=6), default=200, show_default=True, help="Transactions a node.")
@click.option(
    "--rate", type=click.FloatRange(min=1), default=100.0, show_default=True, help="Transactions a second, a node."
)
@click.option(
    "--transactions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A dataset file of hydra-node's benchmark with three clients, instead of generated transactions.",
)
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Keep keys and stores here.")
@json_option("the outcome")
def demo(count: int, rate: float, transactions: Path | None, directory: Path | None, as_json: bool) -> None:
    """See a crashed node get its missing events back: three processes, real TCP, TLS and disks.

    carol is killed while all three append, and comes back; then alice is killed for good when her last
    event has reached only bob. The verdict is read from the stores on disk.
    """
    submitted = _submitted(count, transactions)
    console = Console(stderr=as_json)
    with ExitStack() as stack:
        if directory is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydra-sync-demo-")))
        elif directory.exists() and any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty: name a new directory with --dir")
        else:
            home = directory
        outcome = _watch(console, home, submitted, rate)
    _report(console, outcome, directory, as_json)
    if not outcome.good:
        sys.exit(EXIT_WRONG)


def _submitted(count: int, dataset: Path | None) -> Mapping[str, Sequence[bytes]]:
    if dataset is None:
        return {name: generate(name, count) for name in NAMES}
    clients = read_dataset(dataset)
    if len(clients) != len(NAMES) or min(map(len, clients)) < 6:
        raise UsageError(f"{dataset} does not have {len(NAMES)} clients with transactions: take 3-nodes.json")
    return dict(zip(NAMES, clients, strict=True))


def _watch(console: Console, home: Path, submitted: Mapping[str, Sequence[bytes]], rate: float) -> Outcome:
    picture = Picture(NAMES, {name: len(transactions) for name, transactions in submitted.items()})

    def say(line: str) -> None:
        picture.lines.append(line)
        if not console.is_terminal:
            console.print(line)

    async def story() -> Outcome:
        return await tell_story(home, submitted, rate=rate, picture=picture, say=say)

    if not console.is_terminal:
        return trio.run(story)
    with Live(picture, console=console, refresh_per_second=10):
        return trio.run(story)


def _report(console: Console, outcome: Outcome, directory: Path | None, as_json: bool) -> None:
    console.print(verdict_table(outcome.verdict, NAMES))
    for problem in outcome.problems:
        console.print(Text(problem, style="red"))
    total = sum(outcome.acknowledged.values())
    if outcome.good:
        console.print(
            f"[bold green]Good.[/] {total} events acknowledged, 0 lost, 0 duplicated, 0 out of order; "
            f"identical bytes on three nodes, read from their disks. {outcome.seconds:.1f} s."
        )
    else:
        console.print("[bold red]Wrong.[/] The stores do not hold what was acknowledged; see above.")
    if directory is not None:
        console.print(
            f"The stores are in {directory}; look at one with: hydra-sync status --config {directory}/bob.toml"
        )
    if as_json:
        click.echo(json.dumps({"good": outcome.good, "identical": outcome.verdict.identical} | asdict(outcome)))
