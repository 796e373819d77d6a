"""``hydra-sync chaos-proxy``: what it prints and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hydra_sync.cli.chaos_proxy import chaos_proxy
from hydra_sync.errors import UsageError
from hydra_sync.testing import MS
from hydra_sync.testing.plan.faults import At, Cut, Fault, On, Reset, plan_to_json

PAIR = ("--listen", "127.0.0.1:0", "--target", "127.0.0.1:1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(chaos_proxy, arguments, standalone_mode=False)


def write_plan(directory: Path, *plan: Fault) -> str:
    path = directory / "plan.json"
    path.write_text(plan_to_json(plan))
    return str(path)


def test_json_lines_tell_what_happens(tmp_path: Path) -> None:
    """Where it listens, each fault when it comes, and the effects at the end."""
    plan = write_plan(tmp_path, Cut(At(20 * MS), "client", "server", for_ns=30 * MS), Reset(At(0), "client", "server"))
    result = run(*PAIR, "--plan", plan, "--json", "--for", "0.3")
    assert result.exception is None
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert [line["kind"] for line in lines] == ["listen", "cut", "fault", "heal", "effects"]
    assert (lines[0]["from"], lines[0]["to"], lines[0]["connect"]) == ("client", "server", "127.0.0.1:1")
    assert lines[0]["address"].startswith("127.0.0.1:")
    assert lines[1]["time_s"] == pytest.approx(0.02, abs=0.1)
    assert lines[3]["time_s"] - lines[1]["time_s"] >= 0.029


def test_without_json_it_is_for_people() -> None:
    """A line a thing."""
    result = run("--route", "a>b=127.0.0.1:0->127.0.0.1:1", "--for", "0.05")
    assert "listen   a>b address=127.0.0.1:" in result.output
    assert result.output.endswith("effects: none\n")


def test_several_pairs_are_numbered() -> None:
    """client1 and server1, and so on."""
    result = run(*PAIR, *PAIR, "--for", "0.05")
    assert "client1>server1" in result.output
    assert "client2>server2" in result.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "needs a route"),
        (("--listen", "127.0.0.1:0"), "each needs the other"),
        (("--route", "nonsense"), "is no route"),
        (("--listen", "nonsense", "--target", "127.0.0.1:1"), "is no address"),
    ],
)
def test_wrong_use_is_explained(arguments: tuple[str, ...], why: str) -> None:
    """As a `UsageError`, which the command line prints without a traceback."""
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert why in str(result.exception)


@pytest.mark.parametrize("option", ["--latency", "--jitter", "--loss", "--cut-every", "--reset-every", "--for"])
@pytest.mark.parametrize("number", ["nan", "inf", "1e300"])
def test_numbers_can_be_counted_with(option: str, number: str) -> None:
    """Or are refused by the name of the option."""
    result = run(*PAIR, option, number)
    assert isinstance(result.exception, click.BadParameter)


def test_a_plan_that_waits_for_operations_is_refused(tmp_path: Path) -> None:
    """With what to write instead."""
    result = run(*PAIR, "--plan", write_plan(tmp_path, Cut(On("client", "send"), "client", "server")))
    assert isinstance(result.exception, UsageError)
    assert "give it a time" in str(result.exception)


def test_a_plan_is_text(tmp_path: Path) -> None:
    """And anything else no plan."""
    (tmp_path / "plan.json").write_bytes(b"[\xff]")
    result = run(*PAIR, "--plan", str(tmp_path / "plan.json"))
    assert isinstance(result.exception, UsageError)
    assert "a fault plan is a JSON array" in str(result.exception)
