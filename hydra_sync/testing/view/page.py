"""Puts the page together: a header that is plain HTML, the rows as data, and the program that draws them.

The program and its style are files beside this one; all of it goes into one file that loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from hydra_sync.testing.plan.scenario import Failure, Outcome
from hydra_sync.testing.view.bands import find_bands
from hydra_sync.testing.view.progress import progress_of
from hydra_sync.testing.view.words import fault_in_words, setup_in_words
from hydra_sync.testing.world.clock import SECOND
from hydra_sync.testing.world.trace import Row

__all__ = ["ROWS_MAX", "failure_row", "html_page", "write_html"]

ROWS_MAX: Final = 50_000  # about 5 MB, and every browser still scrolls smoothly
_EXACT_MAX: Final = 1 << 53  # larger integers lose digits in a browser
_PARTS: Final = ("model.js", "diagram.js", "overview.js", "page.js")


def write_html(outcome: Outcome, path: Path, *, replay: str | None = None) -> None:
    """Write the picture of a recorded run. ``replay`` is the command that runs it again, if not the usual one.

    Of a run with more rows than `ROWS_MAX` only those nearest to the failure, or to the end, are drawn.
    """
    path.write_text(html_page(outcome, replay=replay), encoding="utf-8", errors="backslashreplace")


def html_page(outcome: Outcome, *, replay: str | None = None) -> str:
    """The page as text; see `write_html`."""
    if replay is None:
        replay = f"python -m simulations run {outcome.scenario} --seed {outcome.seed}"
    parts = files(__package__)
    return Template(_read("page.html")).substitute(
        title=escape(f"{outcome.scenario}, seed {outcome.seed}"),
        scenario=escape(outcome.scenario),
        seed=outcome.seed,
        verdict="failed" if outcome.failure else "passed",
        failure=_failure_html(outcome.failure),
        setup=escape(setup_in_words(outcome.setup)),
        plan="\n".join(f"<li>{escape(fault_in_words(fault))}</li>" for fault in outcome.setup.plan),
        replay=escape(replay),
        size=f"{len(outcome.rows):,} rows, {outcome.steps:,} steps of tasks, {outcome.virtual_s:.6g} virtual seconds",
        counts=escape(_counts(outcome.effects) or "none"),
        signals=escape(_counts(outcome.signals) or "none"),
        digest=escape(outcome.digest),
        style=_read("style.css"),
        run=_run_json(outcome),
        program="\n".join(parts.joinpath(name).read_text("utf-8") for name in _PARTS),
    )


def failure_row(outcome: Outcome) -> int | None:
    """The number of the row at which the run failed; None if it did not, or was not recorded."""
    failure = outcome.failure
    if failure is None or not outcome.rows:
        return None
    last = max((row.n for row in outcome.rows if row.time_ns <= failure.time_ns), default=outcome.rows[0].n)
    return next((row.n for row in reversed(outcome.rows) if row.kind == "fail"), last)


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _failure_html(failure: Failure | None) -> str:
    if failure is None:
        return "Nothing went wrong."
    where = f" on {failure.host}" if failure.host else ""
    when = f"at {failure.time_ns / SECOND:.9f} s{where}"
    return f"<b>{escape(failure.invariant)}</b> {escape(failure.message)} <small>{escape(when)}</small>"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _run_json(outcome: Outcome) -> str:
    """What the program draws, safe inside a script element: hosts and kinds by number, to be short."""
    at = failure_row(outcome)
    rows = _nearest(outcome.rows, at)
    hosts = list(dict.fromkeys(row.host for row in outcome.rows))
    kinds = list(dict.fromkeys(row.kind for row in rows))
    host_number = {host: number for number, host in enumerate(hosts)}
    kind_number = {kind: number for number, kind in enumerate(kinds)}
    failure = outcome.failure
    data = {
        "hosts": hosts,
        "kinds": kinds,
        "rows": [
            (row.n, row.time_ns, host_number[row.host], row.incarnation, kind_number[row.kind], row.cause, _exact(row))
            for row in rows
        ],
        "total": len(outcome.rows),
        "bands": [astuple(band) for band in find_bands(outcome.rows)],
        "progress": [(row.n, log, min(seq, _EXACT_MAX)) for row in rows for log, seq in progress_of(row)],
        "connections": _connections(outcome.rows),
        "failure": None
        if failure is None
        else {"row": at, "host": failure.host, "words": f"{failure.invariant}: {failure.message}"},
    }
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _nearest(rows: tuple[Row, ...], at: int | None) -> tuple[Row, ...]:
    if len(rows) <= ROWS_MAX:
        return rows
    centre = len(rows) if at is None else next(index for index, row in enumerate(rows) if row.n >= at)
    first = min(max(0, centre - ROWS_MAX // 2), len(rows) - ROWS_MAX)
    return rows[first : first + ROWS_MAX]


def _exact(row: Row) -> list[str | int]:
    return [str(value) if isinstance(value, int) and abs(value) > _EXACT_MAX else value for value in row.data]


def _connections(rows: tuple[Row, ...]) -> dict[int, tuple[str, str]]:
    """Who dialed whom, by the number of the connection; the end that accepted has it with a minus."""
    return {
        row.data[0]: (row.host, str(row.data[1]))
        for row in rows
        if row.kind == "dialed" and len(row.data) == 3 and isinstance(row.data[0], int)
    }
