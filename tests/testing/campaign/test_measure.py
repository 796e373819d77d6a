"""Measurements: one row a seed, under the conditions that were asked for, the same every time."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hydra_sync.cli import progress
from hydra_sync.errors import UsageError
from hydra_sync.limits import EVENT_BYTES_MAX
from hydra_sync.testing import MS
from hydra_sync.testing.campaign.pool import Answer, Call
from simulations import measure as measure_module
from simulations.conditions import Conditions, grid, parse_sweep, read_latencies, read_topology
from simulations.measure import measure as command
from simulations.measuring import measure, measure_once
from simulations.plot import plot

SMALL = Conditions(nodes=3, writers=1, events=6)


def test_a_measurement_is_replayed() -> None:
    """Everybody gets everything, also who was away; and the same seed measures the same."""
    one = measure(SMALL, 1)
    assert one == measure(SMALL, 1)
    assert one != measure(SMALL, 2)
    assert one.resync_s is not None
    assert 0 < one.resync_s < 5
    assert one.deliveries == 3 * 2 + 3
    assert 0 < one.resync_bytes < one.bytes
    assert one.delivery_ms_p50 is not None
    assert 10 <= one.delivery_ms_p50 < 40


def test_distance_shows_in_the_latency() -> None:
    """By a matrix of places, in the order of which nodes are put."""
    far = Conditions(nodes=3, writers=1, events=6, latencies_ms=((1.0, 200.0), (200.0, 1.0)))
    assert far.shape(0, 1).latency_ns == far.shape(3, 2).latency_ns == 200 * MS
    assert far.shape(0, 2).latency_ns == MS
    slowest = measure(far, 1).delivery_ms_max
    assert slowest is not None
    assert slowest > 200


def test_who_is_not_linked_gets_it_from_others() -> None:
    """In a line, the ends have no link with each other."""
    (line,) = grid({"writers": 1, "events": 4, "topology": "line"}, [3], [])
    assert not line.linked(0, 2)
    assert measure(line, 1).resync_s is not None


def test_a_table_has_one_row_a_seed(tmp_path: Path) -> None:
    """In the order of the conditions, whoever was first; a plot is drawn if matplotlib is there."""
    out, picture = tmp_path / "results.csv", tmp_path / "results.svg"
    words = ["--sweep", "loss=0:0.1:0.1", "--nodes", "2,3", "--seeds", "0:2", "--set", "events=4", "--out", str(out)]
    done = CliRunner().invoke(command, [*words, "--jobs", "2"])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["nodes"], row["loss"], row["seed"]) for row in rows] == [
        (nodes, loss, seed) for nodes in "23" for loss in ("0.0", "0.1") for seed in "01"
    ]
    assert all(float(row["resync_s"]) > 0 and int(row["bytes"]) > 0 and not row["error"] for row in rows)
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'hydra-sync[measure]'")
    plot([{**row, "nodes": int(row["nodes"])} for row in rows], "loss", picture)
    assert "time to resync" in picture.read_text() or "<svg" in picture.read_text()


def test_who_waits_is_told_how_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is no terminal to draw on; more nodes count for more of the time that is left."""
    monkeypatch.setattr(progress, "NEWS_S", 0)
    words = ["--nodes", "2,4", "--seeds", "0:1", "--set", "events=4", "--jobs", "1", "--out", str(tmp_path / "x.csv")]
    done = CliRunner().invoke(command, words)
    assert re.findall(r"\d of 2 rows, about \d+ s left", done.output)
    small, large = (measure_module._call(Conditions(nodes=nodes), 0, 60) for nodes in (2, 4))
    assert measure_module._work(large) > 4 * measure_module._work(small)


def test_files_say_who_is_linked_and_how_far_apart(tmp_path: Path) -> None:
    """Both are written by hand, so mistakes are told with their line."""
    edges, matrix = tmp_path / "edges", tmp_path / "matrix.csv"
    edges.write_text("# a comment\n0 1\n1,2\n")
    assert read_topology(edges) == ((0, 1), (1, 2))
    matrix.write_text("0,80\n80,0\n")
    assert read_latencies(matrix) == ((0.0, 80.0), (80.0, 0.0))
    edges.write_text("0 1 2\n")
    with pytest.raises(UsageError, match="line 1"):
        read_topology(edges)
    for wrong in ("0,1\n", "", "a\n", "-1\n", "nan\n", "0,inf\n1,0\n"):
        matrix.write_text(wrong)
        with pytest.raises(UsageError, match=r"matrix\.csv"):
            read_latencies(matrix)
    with pytest.raises(UsageError, match="cannot be read"):
        read_topology(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text", ["", "loss", "loss=", "loss=a", "loss=0:1", "loss=1:0:0.1", "loss=0:1:0", "nodes=3", "loss=0:0.1,0.2"]
)
def test_a_sweep_is_a_name_and_its_values(text: str) -> None:
    """Anything else is told with what to write."""
    with pytest.raises(UsageError):
        parse_sweep(text)


def test_sweeps_multiply() -> None:
    """Every combination, and whole numbers stay whole."""
    cells = list(grid({}, [3, 5], [parse_sweep("events=2,4"), parse_sweep("loss=0:0.2:0.1")]))
    assert len(cells) == 2 * 2 * 3
    assert {type(cell.events) for cell in cells} == {int}


@pytest.mark.parametrize(
    "text",
    [
        *("loss=1,2", "loss=nan", "loss=nan:1:0.1", "loss=snan", "latency_ms=inf", "jitter_ms=1e999", "down_s=-1"),
        *("rate=0", "rate=1:2:1e-9999999", "mbit_s=0", "events=0", "events=1.5", "events=1:2:0.5", "writers=0"),
        "event_bytes=100000000",
    ],
)
def test_a_condition_has_a_range(text: str) -> None:
    """Whatever is outside of it is told with its name, its value and the range."""
    name = text.partition("=")[0]
    with pytest.raises(UsageError, match=rf"{name}.* is a (whole )?number from [\d.,]+ to [\d.,]+$"):
        parse_sweep(text)


@pytest.mark.parametrize(
    "words", ["--sweep loss=0,0.1 --sweep loss=0.2", "--sweep loss=0,0.1 --set loss=0.2", "--set rate=1 --set rate=2"]
)
def test_a_condition_is_given_once(words: str, tmp_path: Path) -> None:
    """Of two values for one of them, one would be left out without a word."""
    result = CliRunner().invoke(command, [*words.split(), "--out", str(tmp_path / "table.csv")])
    assert isinstance(result.exception, UsageError)
    assert "is given more than once" in str(result.exception)


def test_a_matrix_is_text(tmp_path: Path) -> None:
    """Whatever else it is, it is named."""
    (tmp_path / "matrix.csv").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"matrix\.csv cannot be read"):
        read_latencies(tmp_path / "matrix.csv")


def test_one_node_does_not_write() -> None:
    """As many write as the table says: whoever asks for more than there are beside the one that is away is told."""
    assert [cell.writers for cell in grid({}, [2, 3, 9], [])] == [1, 2, 3]
    assert [cell.writers for cell in grid({}, [3], [parse_sweep("writers=1,2")])] == [1, 2]
    for nodes, sweep in ([2], "writers=1:9:4"), ([5, 3], "writers=4"):
        with pytest.raises(
            UsageError, match=rf"writers cannot be \d of {nodes[-1]} nodes: .*from 1 to {nodes[-1] - 1}"
        ):
            list(grid({}, nodes, [parse_sweep(sweep)]))


def test_a_topology_connects_all(tmp_path: Path) -> None:
    """Nobody could ever resync who is linked with nobody: nothing is run."""
    links, out = tmp_path / "links", tmp_path / "out.csv"
    links.write_text("3 2\n2 1\n0 1\n")
    settings = {"topology": str(links), "edges": read_topology(links)}
    assert len(list(grid(settings, [4], []))) == 1
    done = CliRunner().invoke(command, ["--nodes", "5", "--topology", str(links), "--out", str(out)])
    assert isinstance(done.exception, UsageError)
    assert "does not connect all 5 nodes: 0 cannot reach 4" in str(done.exception)
    assert not out.exists()


def test_a_row_without_resync_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so in the table and on the terminal, with the command that measures it again, and only it."""
    measured = measure(SMALL, 1)

    def answer_all(calls: Sequence[Call], _: int, take: Callable[[Call, Answer], None]) -> None:
        for call, resync_s in zip(calls, (0.5, None), strict=True):
            take(call, Answer(asdict(replace(measured, resync_s=resync_s))))

    monkeypatch.setattr(measure_module, "call_all", answer_all)
    out = tmp_path / "out.csv"
    words = ["--seeds", "3:4", "--sweep", "loss=0,0.9", "--set", "writers=1", "--topology", "line", "--out", str(out)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 1
    good, bad = csv.DictReader(out.read_text().splitlines())
    assert (good["resync_s"], good["error"]) == ("0.5", "")
    assert (bad["resync_s"], bad["error"]) == ("", "no resync within 600 virtual seconds")
    assert "1 failed" in done.output
    assert bad["error"] in done.output
    _, _, again = done.output.partition("again:  python -m simulations measure ")
    assert shlex.split(again) == [
        *("--nodes", "3", "--seeds", "3:4", "--set", "loss=0.9", "--set", "writers=1", "--topology", "line"),
        *("--out", str(tmp_path / "out.again.csv")),
    ]


def test_what_went_wrong_in_a_node_is_told_without_its_groups() -> None:
    """A table has no room for the groups of the nurseries that it came through."""
    with pytest.raises(UsageError, match="an event has at most"):
        measure_once(asdict(replace(SMALL, event_bytes=EVENT_BYTES_MAX)), 0)


@pytest.mark.parametrize("name", ["p.xyz", "p", "nowhere/p.png"])
def test_a_plot_can_be_drawn_before_anything_is_measured(name: str, tmp_path: Path) -> None:
    """It is drawn last: a wrong suffix or directory would cost all the measuring."""
    out, picture = tmp_path / "out.csv", tmp_path / name
    done = CliRunner().invoke(command, ["--seeds", "0:1", "--out", str(out), "--plot", str(picture)])
    assert isinstance(done.exception, UsageError)
    assert f"--plot {picture}" in str(done.exception)
    assert not out.exists()


def test_a_table_has_a_directory(tmp_path: Path) -> None:
    """Where there is none is told as wrong use, as everything else about an option is."""
    done = CliRunner().invoke(command, ["--seeds", "0:1", "--out", str(tmp_path / "nowhere" / "out.csv")])
    assert isinstance(done.exception, UsageError)
    assert "--out" in str(done.exception)
