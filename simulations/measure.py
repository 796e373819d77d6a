"""``python -m simulations measure``: figures of the protocol under many conditions, as a table and a plot. Does I/O."""

from __future__ import annotations

import csv
import importlib
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final, cast

import click

from hydra_sync.cli.campaigning import SEEDS
from hydra_sync.cli.options import TIME_S_MAX, FiniteRange
from hydra_sync.cli.progress import long_progress, time_left
from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.on_dask import call_all_on_dask
from hydra_sync.testing.campaign.pool import Answer, Call, call_all
from simulations.conditions import (
    SWEPT,
    TOPOLOGIES,
    Conditions,
    grid,
    parse_sweep,
    parse_values,
    read_latencies,
    read_topology,
)
from simulations.measuring import RESYNC_S_MAX, Measurement
from simulations.plot import SUFFIXES, plot

__all__ = ["measure"]

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_OUTPUT: Final = click.Path(path_type=Path, dir_okay=False, writable=True)
COLUMNS: Final = (*Conditions().row(), "seed", *(item.name for item in fields(Measurement)), "error")


@click.command(
    epilog="Example: python -m simulations measure --sweep loss=0:0.3:0.05 --nodes 3,10 --out loss.csv --plot loss.svg"
)
@click.option(
    "--sweep",
    "sweeps",
    metavar="NAME=START:STOP:STEP",
    multiple=True,
    help=f"What to vary, repeatable; NAME=A,B,C for a list. NAME is one of {', '.join(SWEPT)}.",
)
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="What not to vary; repeat for each.")
@click.option("--nodes", metavar="N,N,...|START:STOP:STEP", default="3", show_default=True, help="Numbers of nodes.")
@click.option("--seeds", type=SEEDS, default="0:5", show_default=True, help="Seeds for each of the conditions.")
@click.option(
    "--topology", metavar="NAME|FILE", default="full", help=f"{', '.join(TOPOLOGIES)}, or a file of links, as 0 1."
)
@click.option("--latency-matrix", metavar="FILE.csv", type=_FILE, help="Milliseconds, a row for each place, from.")
@click.option("--out", metavar="FILE.csv", type=_OUTPUT, required=True, help="The table: one row a seed.")
@click.option("--plot", "plot_file", metavar="FILE.svg|png|pdf", type=_OUTPUT, help="Draw it over the first --sweep.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes; one a core.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=FiniteRange(0, TIME_S_MAX, min_open=True),
    default=3600.0,
    show_default=True,
    help="Wall time a seed.",
)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, or `local`.")
def measure(
    sweeps: Sequence[str],
    settings: Sequence[str],
    nodes: str,
    seeds: range,
    topology: str,
    latency_matrix: Path | None,
    out: Path,
    plot_file: Path | None,
    jobs: int,
    timeout_s: float,
    scheduler: str | None,
) -> None:
    """Measure time to resync, bytes, messages and delivery latency: one row a seed.

    Real nodes in a simulated network; times are virtual, so the machine at hand does not matter. One
    node loses its power halfway through the writing, and comes back behind its end.

    Work grows with more than the square of the nodes. As it comes, a row takes one core about 0.2 s with
    3 nodes, 3 s with 10, 15 s with 20, 3 min and 250 MB with 50, and by reckoning 20 min and 1 GB with 100:
    for large networks, take fewer --seeds, --set events=10, or a --scheduler. Rows are in the table as soon
    as they are there.
    """
    _need_directory("--out", out)
    if plot_file is not None:
        _need_plot(plot_file)
    parsed = [parse_sweep(text) for text in sweeps]
    _need_once([text.partition("=")[0] for text in (*sweeps, *settings)])
    cells = list(grid(_set(settings, topology, latency_matrix), parse_values("nodes", nodes), parsed))
    calls = [_call(cell, seed, timeout_s) for cell in cells for seed in seeds]
    began_s = time.perf_counter()
    rows = _run(calls, out, jobs, scheduler)
    failed = [row for row in rows if row["error"]]
    click.echo(f"{len(rows)} rows in {time.perf_counter() - began_s:.1f} s, {len(failed)} failed; they are in {out}")
    if plot_file is not None:
        plot(rows, parsed[0][0] if parsed else "nodes", plot_file)
        click.echo(f"the plot is in {plot_file}")
    if failed:
        click.echo(f"the first that failed: {failed[0]['error']}")
        click.echo(f"  again:  {_again(failed[0], latency_matrix, out)}")
        raise SystemExit(1)


def _need_once(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is given more than once: one --sweep or one --set says what it is")


def _set(settings: Sequence[str], topology: str, latency_matrix: Path | None) -> dict[str, object]:
    """What not to vary, by the names of `Conditions`."""
    given: dict[str, object] = {}
    for name, values in map(parse_sweep, settings):
        if len(values) > 1:
            raise UsageError(f"--set {name} takes one value: use --sweep for several")
        given[name] = values[0]
    given["topology"] = topology
    if topology not in TOPOLOGIES:
        given["edges"] = read_topology(Path(topology))
    if latency_matrix is not None:
        given["latencies_ms"] = read_latencies(latency_matrix)
    return given


def _call(conditions: Conditions, seed: int, timeout_s: float) -> Call:
    arguments = {"conditions": asdict(conditions), "seed": seed}
    return Call("simulations.measuring:measure_once", arguments, timeout_s)


def _run(calls: Sequence[Call], out: Path, jobs: int, scheduler: str | None) -> list[dict[str, object]]:
    """Make the measurements, and write each row when it is there; the rows in order."""
    rows: dict[int, dict[str, object]] = {}
    places = {id(call): place for place, call in enumerate(calls)}
    work = sum(map(_work, calls))
    done, began_s = 0.0, time.perf_counter()
    with out.open("w", encoding="utf-8", newline="") as file, long_progress(work) as show_progress:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()

        def take(call: Call, answer: Answer) -> None:
            row = rows[places[id(call)]] = _row(call, answer)
            table.writerow(row)
            file.flush()
            nonlocal done
            done += _work(call)
            left = time_left((work - done) * (time.perf_counter() - began_s) / done)
            show_progress(done, f"{len(rows):,} of {len(calls):,} rows, {left}")

        if scheduler is not None:
            call_all_on_dask(calls, scheduler, jobs, take, chunk_max=1)
        else:
            call_all(calls, jobs, take)
        ordered = [rows[place] for place in range(len(calls))]
        file.seek(0)
        file.truncate()
        table.writeheader()
        table.writerows(ordered)
    return ordered


def _work(call: Call) -> float:
    """How much work a measurement is, more or less, as a share of all.

    Everybody tells everybody of everything, and each looks through what more of the others have said.
    """
    conditions = Conditions.from_fields(cast("dict[str, object]", call.arguments["conditions"]))
    return float(conditions.nodes**2.5 * conditions.writers * conditions.events)


def _row(call: Call, answer: Answer) -> dict[str, object]:
    conditions = Conditions.from_fields(cast("dict[str, object]", call.arguments["conditions"]))
    measured = answer.value if isinstance(answer.value, dict) else {}
    error = f"{answer.error} {answer.message}".strip()
    if not error and measured.get("resync_s") is None:
        error = f"no resync within {RESYNC_S_MAX:g} virtual seconds"
    return conditions.row() | {"seed": call.arguments["seed"], "error": error} | measured


def _again(row: Mapping[str, object], latency_matrix: Path | None, out: Path) -> str:
    """The command that measures one row again, into a table of its own."""
    nodes, seed = int(str(row["nodes"])), int(str(row["seed"]))
    (usual,) = grid({}, [nodes], [])
    words = ["--nodes", str(nodes), "--seeds", f"{seed}:{seed + 1}"]
    for name in SWEPT:
        if row[name] != usual.row()[name]:
            words += ["--set", f"{name}={row[name]}"]
    if row["topology"] != usual.topology:
        words += ["--topology", str(row["topology"])]
    if latency_matrix is not None:
        words += ["--latency-matrix", str(latency_matrix)]
    return shlex.join(["python", "-m", "simulations", "measure", *words, "--out", str(out.with_suffix(".again.csv"))])


def _need_directory(option: str, path: Path) -> None:
    if not path.exists() and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise UsageError(f"{option} {path} cannot be written: {path.parent} is no directory to write to")


def _need_plot(path: Path) -> None:
    """Find out what would keep a plot from being drawn: that comes last, after much work."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path} cannot be drawn: its suffix has to be {' or '.join(SUFFIXES)}")
    _need_directory("--plot", path)
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise UsageError(
            "matplotlib is not installed: pip install 'hydra-sync[measure]', or leave --plot out"
        ) from error
