"""The command line says what was searched, what broke, and exits accordingly."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from simulations.model.command import model


def run(*arguments: str) -> Result:
    return CliRunner().invoke(model, arguments)


def test_rules_hold_within_given_bounds() -> None:
    """One line a search, and success."""
    result = run("check", "--nodes", "3", "--bounds", "events=1,wipes=1")
    assert result.exit_code == 0
    assert result.output.startswith("n=3 events=1,wipes=1: holds (40 states, ")


def test_counterexample_is_told_and_fails() -> None:
    """In words."""
    result = run("check", "--nodes", "2", "--bounds", "events=1,wipes=1", "--without", "promise_fences")
    assert result.exit_code == 1
    assert "LOST: a stable event is missing on a later branch" in result.output
    assert "6. bob takes over batches: [0.a]" in result.output


def test_search_that_gave_up_fails() -> None:
    """It proves nothing."""
    result = run("check", "--bounds", "events=2,wipes=1", "--states-max", "20")
    assert result.exit_code == 1
    assert "NOT COMPLETE" in result.output


def test_findings_for_machines() -> None:
    """One object for each search."""
    result = run("check", "--nodes", "2", "--bounds", "wipes=2", "--without", "promise_once", "--json")
    found = json.loads(result.output)
    assert (found["broken"], found["nodes"], found["without"]) == ("FORK", 2, ["promise_once"])
    assert len(found["story"]) > 8


def test_suite_by_size() -> None:
    """Without bounds, the suite for this many nodes."""
    result = run("check", "--nodes", "5")
    assert result.exit_code == 0
    assert [line.partition(" ")[0] for line in result.output.splitlines()] == ["n=5", "n=5"]


def test_bounds_that_mean_nothing_are_refused() -> None:
    """With the names there are."""
    result = run("check", "--bounds", "meteors=1")
    assert result.exit_code == 2
    assert "witness_wipes" in result.output
    assert run("check", "--founding").exit_code == 2


def test_table_shows_what_breaks() -> None:
    """A row for each rule that is asked for, as expected."""
    result = run("table", "--rule", "promise_once", "--rule", "amnesia_ends_below_promise")
    assert result.exit_code == 0
    assert [line.split()[:3] for line in result.output.splitlines()[1:]] == [
        ["promise_once", "FORK", "8"],
        ["amnesia_ends_below_promise", "WEDGE", "7"],
    ]
