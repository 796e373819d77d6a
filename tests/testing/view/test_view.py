"""The page: all that people need is in it, nothing is loaded, and no row can break out of it."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hydra_sync.testing import Row
from hydra_sync.testing.plan.faults import At, Cut
from hydra_sync.testing.plan.scenario import Failure
from hydra_sync.testing.view import ROWS_MAX, html_page, write_html
from tests.testing.view.runs import HOSTILE, failing_run, long_run, outcome_of, rows_of


class Page(HTMLParser):
    """The elements of a page, in order, the text outside of scripts, and the content of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.text += data

    @property
    def run(self) -> dict[str, Any]:
        run: dict[str, Any] = json.loads(self.scripts[0])
        return run


def test_the_page_tells_what_failed_and_how_to_run_it_again() -> None:
    """Scenario, seed, invariant, message, command, setup, plan and digest are there without any program."""
    outcome = failing_run()
    text = Page(html_page(outcome)).text
    assert outcome.failure is not None
    for part in (
        *("failed", "replicated-toy", "seed 1", "S1", outcome.failure.message, outcome.digest),
        *("python -m simulations run replicated-toy --seed 1", "4 nodes, 4 s of trouble, 60 operations, 4 faults"),
        *("at 940 ms: cut carol → alice, for 700 ms", "before sync 22 of bob: crash bob, down 400 ms"),
    ):
        assert part in " ".join(text.split()), part


def test_the_command_can_be_another() -> None:
    """A pytest line, or one with a shrunk setup."""
    assert "pytest &lt;here&gt; --sim-seed 3" in html_page(outcome_of([]), replay="pytest <here> --sim-seed 3")


def test_every_row_and_host_is_in_the_page() -> None:
    """With its cause, its data and the row that failed."""
    outcome = failing_run()
    run = Page(html_page(outcome)).run
    assert set(run["hosts"]) == {"", "alice", "bob", "carol", "dave"}
    assert len(run["rows"]) == run["total"] == len(outcome.rows)
    for row, (n, time_ns, host, life, kind, cause, data) in zip(outcome.rows, run["rows"], strict=True):
        there = Row(n, time_ns, run["hosts"][host], life, run["kinds"][kind], cause, tuple(data))
        assert there == row
    assert run["failure"]["host"] == "bob"
    assert outcome.rows[run["failure"]["row"]].kind == "fail"
    assert {band[0] for band in run["bands"]} >= {"down", "paused", "cut", "shape"}


def test_nothing_is_loaded() -> None:
    """No address of anything, no element that fetches, and a policy that forbids it."""
    text = html_page(failing_run())
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|\bfetch\(|XMLHttpRequest|import\(", text)
    assert not {tag for tag, _ in page.elements} & {"link", "img", "iframe", "object", "embed", "base", "video"}
    assert not [attrs for _, attrs in page.elements if {"src", "href", "srcset", "action"} & attrs.keys()]
    (policy,) = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_no_text_of_a_run_becomes_markup() -> None:
    """Whatever hosts, kinds, data, failures and scenarios are called."""
    rows = rows_of((0, HOSTILE, HOSTILE, -1, (HOSTILE, 1)), (1, "a", "cut", -1, (HOSTILE,)))
    plan = (Cut(At(0), HOSTILE, "b"),)
    outcome = outcome_of(rows, Failure(HOSTILE, HOSTILE, 1, HOSTILE), plan, scenario=HOSTILE)
    calm = outcome_of(
        rows_of((0, "a", "b", -1, ("c", 1)), (1, "a", "cut", -1, ("b",))), Failure("S", "m", 1, "a"), plan
    )
    page, calm_page = Page(html_page(outcome, replay=HOSTILE)), Page(html_page(calm))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in calm_page.elements]
    assert page.run["rows"][0][6][0] == page.run["hosts"][0] == HOSTILE
    assert HOSTILE in unescape(page.text)


def test_lone_surrogates_and_huge_numbers_survive(tmp_path: Path) -> None:
    """What a browser cannot hold exactly comes as text."""
    write_html(
        outcome_of(rows_of((0, "a", "x", -1, ("\ud800", 1 << 60))), Failure("S", "\ud800", 0)), tmp_path / "a.html"
    )
    assert Page((tmp_path / "a.html").read_text("utf-8")).run["rows"][0][6] == ["\ud800", str(1 << 60)]


def test_of_a_very_long_run_the_rows_round_the_failure_are_kept() -> None:
    """The bands are still those of the whole run."""
    outcome = long_run(ROWS_MAX + 20_000)
    run = Page(html_page(outcome)).run
    assert len(run["rows"]) == ROWS_MAX
    assert run["total"] == len(outcome.rows)
    numbers = [row[0] for row in run["rows"]]
    assert numbers[0] < run["failure"]["row"] < numbers[-1]
    assert abs(run["failure"]["row"] - sum((numbers[0], numbers[-1])) // 2) < 2


@pytest.mark.parametrize("failure", [None, Failure("Crash", "early", 0)])
def test_a_run_without_rows_is_a_page_too(failure: Failure | None) -> None:
    """It was not recorded; the page says what is known."""
    page = Page(html_page(outcome_of([], failure)))
    assert page.run["rows"] == []
    assert ("passed" if failure is None else "early") in page.text
