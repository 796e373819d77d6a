"""``hydra-sync demo``: three real nodes, a kill and a resync, live on the terminal. Does I/O."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from hydra_sync.cli.demo_home import demo_home
from hydra_sync.cli.exits import EXIT_DAMAGED
from hydra_sync.cli.options import FiniteRange, json_option
from hydra_sync.demo.picture import Picture, verdict_lines, verdict_table
from hydra_sync.demo.story import NAMES, Outcome, tell_story
from hydra_sync.demo.transactions import generate, read_dataset
from hydra_sync.errors import UsageError
from hydra_sync.tasks import open_tasks

__all__ = ["demo"]

REFRESH_S: Final = 0.1
PICTURE_WIDTH: Final = 96


@click.command(epilog="Example: hydra-sync demo --count 100 --dir ./demo-stores")
@click.option("--count", type=click.IntRange(min=6), default=200, show_default=True, help="Transactions a node.")
@click.option(
    "--rate", type=FiniteRange(min=1), default=100.0, show_default=True, help="Transactions a second, a node."
)
@click.option(
    "--transactions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A dataset file of hydra-node's benchmark with three clients, instead of generated transactions.",
)
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Keep keys and stores here.")
@click.option("--picture", "picture_file", type=click.Path(path_type=Path, dir_okay=False), hidden=True)
@json_option("the outcome")
def demo(
    count: int,
    rate: float,
    transactions: Path | None,
    directory: Path | None,
    picture_file: Path | None,
    as_json: bool,
) -> None:
    """See a crashed node get its missing events back: three processes, real TCP, TLS and disks.

    carol is killed while all three append, and comes back; then alice is killed when her last event has
    reached only bob; then carol's disk is lost, and bob's. The verdict is read from the stores on disk.
    """
    submitted = _submitted(count, transactions)
    console = Console(stderr=as_json)
    with demo_home(directory) as home:
        picture, outcome = _watch(console, home, submitted, rate)
    console.print(_verdict(outcome))
    if directory is not None:
        advice = f"the stores are in {directory}; look at one with: hydra-sync status --config {directory}/bob.toml"
        console.print(Text(advice), soft_wrap=True)
    if picture_file is not None:
        _draw(picture_file, picture, outcome)
    if as_json:
        click.echo(json.dumps(_outcome_json(outcome)))
    if not outcome.good:
        sys.exit(EXIT_DAMAGED)


def _submitted(count: int, dataset: Path | None) -> Mapping[str, Sequence[bytes]]:
    if dataset is None:
        return {name: generate(name, count) for name in NAMES}
    clients = read_dataset(dataset)
    if len(clients) != len(NAMES) or min(map(len, clients)) < 6:
        raise UsageError(f"{dataset} does not have {len(NAMES)} clients with transactions: take 3-nodes.json")
    return dict(zip(NAMES, clients, strict=True))


def _watch(
    console: Console, home: Path, submitted: Mapping[str, Sequence[bytes]], rate: float
) -> tuple[Picture, Outcome]:
    picture = Picture(NAMES, {name: len(transactions) for name, transactions in submitted.items()})
    live = Live(picture, console=console, auto_refresh=False) if console.is_terminal else None

    def say(line: str, style: str) -> None:
        picture.lines.append(Text(line, style))
        if live is None:
            console.print(picture.lines[-1], soft_wrap=True)

    async def story() -> Outcome:
        async with open_tasks() as nursery:
            if live is not None:
                nursery.start_soon(_refresh, live)
            outcome = await tell_story(home, submitted, rate=rate, picture=picture, say=say)
            nursery.cancel_scope.cancel()
        picture.finished = True
        return outcome

    with live or nullcontext():
        return picture, trio.run(story)


async def _refresh(live: Live) -> None:
    while True:
        live.refresh()
        await trio.sleep(REFRESH_S)


def _verdict(outcome: Outcome) -> RenderableType:
    """The end of the screen: tips on every node, what is wrong, the verdict."""
    total = sum(outcome.acknowledged.values())
    if outcome.good:
        words = Text.assemble(
            ("Good. ", "bold green"),
            f"{total} events were acknowledged, and all of them are on all three disks.",
        )
    else:
        words = Text.assemble(("Wrong. ", "bold red"), "The stores do not hold what was acknowledged; see above.")
    problems = [Text(problem, "red") for problem in outcome.problems]
    return Group(verdict_table(outcome.verdict, NAMES), *problems, *verdict_lines(outcome.verdict), words)


def _draw(file: Path, picture: Picture, outcome: Outcome) -> None:
    """The whole screen as an SVG picture."""
    console = Console(record=True, width=PICTURE_WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text("$ hydra-sync demo", "bold"))
    console.print(picture)
    console.print(_verdict(outcome))
    console.save_svg(str(file), title="hydra-sync demo", unique_id="hydra-sync-demo")


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    return {"good": outcome.good, "identical": outcome.verdict.identical} | asdict(outcome)
