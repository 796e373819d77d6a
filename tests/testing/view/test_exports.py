"""Exports: what Perfetto and ShiViz ask of their input."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

from hydra_sync.testing.view.exports import SHIVIZ_REGEX, perfetto_json, shiviz_log
from tests.testing.view.runs import HOSTILE, failing_run, outcome_of, rows_of


def events_of(text: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(text)["traceEvents"]
    return events


def test_every_event_is_of_a_known_form() -> None:
    """Phase, name, process and track for all; a length for slices, an identity for flows."""
    for event in events_of(perfetto_json(failing_run())):
        assert {"ph", "name", "pid", "tid"} <= event.keys() or event["ph"] == "C"
        assert event["ph"] in {"M", "X", "s", "f", "i", "C"}
        assert event["ph"] == "M" or event["ts"] >= 0
        assert event["ph"] != "X" or event["dur"] >= 0
        assert (event["ph"] in {"s", "f"}) == ("id" in event)


def test_every_host_is_a_process_and_every_row_a_slice() -> None:
    """And slices of one track never overlap, or flows would lead astray."""
    outcome = failing_run()
    events = events_of(perfetto_json(outcome))
    names = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert sorted(names) == ["alice", "bob", "carol", "dave", "scenario"]
    slices = [event for event in events if event.get("cat") == "row"]
    assert len(slices) == len(outcome.rows)
    free: dict[tuple[int, int], float] = defaultdict(float)
    for event in slices:
        assert event["ts"] >= free[event["pid"], event["tid"]] - 1e-6
        free[event["pid"], event["tid"]] = event["ts"] + event["dur"]


def test_flows_lead_from_causes_to_effects() -> None:
    """Each starts once and ends once, inside of the slices of its rows."""
    outcome = failing_run()
    events = events_of(perfetto_json(outcome))
    slices = {(event["pid"], event["ts"]): event["args"]["row"] for event in events if event.get("cat") == "row"}
    starts = {event["id"]: slices[event["pid"], event["ts"]] for event in events if event["ph"] == "s"}
    ends = {event["id"]: slices[event["pid"], event["ts"]] for event in events if event["ph"] == "f"}
    wanted = {row.n: row.cause for row in outcome.rows if row.cause >= 0}
    assert len(wanted) > 100
    assert {ends[number]: start for number, start in starts.items()} == wanted


def test_trouble_progress_and_failure_are_in_the_export() -> None:
    """Bands as slices of their own tracks, seqs as counters, the failure as a global instant."""
    events = events_of(perfetto_json(failing_run()))
    bands = {event["cat"] for event in events if event["ph"] == "X"} - {"row"}
    assert bands >= {"down", "paused", "cut", "shape"}
    assert any(event["ph"] == "C" and event["name"] == "seq alice" for event in events)
    (failure,) = [event for event in events if event["ph"] == "i"]
    assert failure["s"] == "g"
    assert failure["name"].startswith("S1: bob acknowledged")


def parse(log: str) -> list[tuple[str, dict[str, int], str]]:
    regex = re.compile(SHIVIZ_REGEX.replace("(?<", "(?P<"))
    matches = [regex.fullmatch(line) for line in log.splitlines()]
    return [(match["host"], json.loads(match["clock"]), match["event"]) for match in matches if match]


def test_every_line_is_read_by_the_expression() -> None:
    """One line a row of a host."""
    outcome = failing_run()
    assert len(parse(shiviz_log(outcome))) == sum(row.host != "" for row in outcome.rows)


def test_clocks_are_vector_clocks() -> None:
    """A host's own entry grows by one each time, nothing ever shrinks, and an effect knows its cause."""
    before: dict[str, dict[str, int]] = {}
    clocks = []
    for host, clock, _ in parse(shiviz_log(failing_run())):
        last = before.get(host, {})
        assert clock[host] == last.get(host, 0) + 1
        assert all(clock[name] >= count for name, count in last.items())
        before[host] = clock
        clocks.append(clock)
    rows = [row for row in failing_run().rows if row.host]
    index = {row.n: at for at, row in enumerate(rows)}
    for row, clock in zip(rows, clocks, strict=True):
        if row.cause in index:
            cause = rows[index[row.cause]]
            assert clock[cause.host] >= clocks[index[row.cause]][cause.host]


def test_a_small_log_to_the_letter() -> None:
    """The format is ShiViz's, not ours."""
    rows = rows_of(
        (1_500_000_000, "a", "send", -1, (1, 5)),
        (1_500_000_001, "b", "note", -1, ()),
        (2_000_000_000, "b", "receive", 0, (1,)),
    )
    assert shiviz_log(outcome_of(rows)) == (
        '1.500000000 a {"a": 1} send 1 5\n1.500000001 b {"b": 1} note\n2.000000000 b {"b": 2, "a": 1} receive 1\n'
    )


def test_hostile_text_stays_on_its_line() -> None:
    """Names and data may hold spaces, braces and ends of lines."""
    rows = rows_of((0, "a {b}\n", "x\ny", -1, (HOSTILE, "} {")), (1, HOSTILE, "z", 0, ()))
    assert [event.split()[0] for _, _, event in parse(shiviz_log(outcome_of(rows)))] == ["x", "z"]
    assert len(events_of(perfetto_json(outcome_of(rows)))) > 4
