"""``hydra-sync head demo``: three heads pay, each is killed once, nothing is lost. Does I/O."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click
import trio
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydra_sync.cli.demo_home import demo_home
from hydra_sync.cli.exits import EXIT_DAMAGED
from hydra_sync.cli.options import json_option
from hydra_sync.cli.progress import progress_bar
from hydra_sync.config import load_config
from hydra_sync.demo.head_story import Told, tell_head_story
from hydra_sync.demo.head_verdict import Figures, HeadVerdict, figures, judge_head
from hydra_sync.demo.wallets import Wallets, generate, read_wallets

__all__ = ["demo"]


@click.command(epilog="Example: hydra-sync head demo --transactions 3-nodes.json")
@click.option("--count", type=click.IntRange(min=10), default=100, show_default=True, help="Transactions a client.")
@click.option(
    "--transactions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A dataset file of hydra-node's benchmark with three clients, instead of generated transactions.",
)
@click.option("--no-kills", is_flag=True, help="Kill nobody: for the figures.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Keep keys and stores here.")
@json_option("the outcome")
def demo(count: int, transactions: Path | None, no_kills: bool, directory: Path | None, as_json: bool) -> None:
    """See a Hydra head survive: three processes, real signed transactions, real TCP, TLS and disks.

    Three clients pay through three nodes; each node is killed once, at a random moment while transactions of its
    client are not confirmed, and comes back with the answers that it had. Double spends and bad witnesses are
    rejected, with the reason. In the end every transaction is in a snapshot that all three signed. The verdict is
    read from the stores, and compared with a second fold that shares no code with the first.
    """
    wallets = read_wallets(transactions) if transactions else generate(count)
    console = Console(stderr=as_json)
    with demo_home(directory) as home:
        told = _watch(console, home, wallets, kills=not no_kills)
        configs = {name: load_config(home / f"{name}.toml") for name in told.nodes}
        verdict = trio.run(judge_head, configs, told, wallets)
    measured = figures(told)
    _show(console, verdict, measured)
    if directory is not None:
        advice = f"the stores are in {directory}; look at one with: hydra-sync head show --config {directory}/bob.toml"
        console.print(Text(advice), soft_wrap=True)
    if as_json:
        outcome = {"good": verdict.good, "figures": asdict(measured), "verdict": asdict(verdict)}
        click.echo(json.dumps(outcome | {"rejected": told.rejected}))
    if not verdict.good:
        sys.exit(EXIT_DAMAGED)


def _watch(console: Console, home: Path, wallets: Wallets, *, kills: bool) -> Told:
    began = time.monotonic()

    def say(line: str, style: str) -> None:
        console.print(Text(f"{time.monotonic() - began:5.1f} s  {line}", style), soft_wrap=True)

    async def story() -> Told:
        return await tell_head_story(home, wallets, kills=kills, say=say, progress=progress)

    with progress_bar("transactions confirmed", sum(map(len, wallets.transactions))) as progress:
        return trio.run(story)


def _show(console: Console, verdict: HeadVerdict, measured: Figures) -> None:
    if verdict.kills:
        console.print(_kills(verdict))
    for problem in verdict.problems:
        console.print(Text(problem, "red"), soft_wrap=True)
    fifty, most, nearly_all = (f"{seconds:.2f} s" for seconds in measured.latency_s)
    rates = f"{measured.throughput:,.0f}/s, {measured.throughput_up:,.0f}/s while all three ran"
    lines = [
        f"{measured.confirmed:,} transactions, {measured.snapshots} snapshots, {measured.seconds:.1f} s: {rates}",
        f"from submission to confirmation: p50 {fifty}, p95 {most}, p99 {nearly_all}",
        f"outputs' hash, on all nodes and from the transactions alone: {verdict.folded_hash[:16]}",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    if verdict.good:
        console.print(
            Text.assemble(
                ("Good. ", "bold green"),
                f"{measured.confirmed:,} transactions were submitted; all are in snapshots that all three signed.",
            ),
            soft_wrap=True,
        )
    else:
        console.print(Text.assemble(("Wrong. ", "bold red"), "The stores do not hold what they should; see above."))


def _kills(verdict: HeadVerdict) -> Table:
    table = Table(title="the four answers at each kill", title_justify="left", box=box.SIMPLE_HEAD)
    for column in (
        "node",
        "status",
        "last snapshot",
        "transactions seen",
        "not confirmed",
        "a second fold, and the head that came back",
    ):
        table.add_column(column)
    for kill in verdict.kills:
        same = Text("the same", "green") if kill.problem is None else Text(kill.problem, "bold red")
        table.add_row(kill.node, kill.status, str(kill.snapshot), str(kill.seen), str(kill.unconfirmed), same)
    return table
