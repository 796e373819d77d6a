"""Traces for other people's tools: Perfetto, for long runs, and ShiViz, for vector clocks. No I/O.

Both show what `hydra_sync.testing.view` shows, with fewer of its words and more of their own means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from hydra_sync.testing.plan.scenario import Outcome
from hydra_sync.testing.view.bands import Band, find_bands
from hydra_sync.testing.view.progress import progress_of
from hydra_sync.testing.world.clock import US
from hydra_sync.testing.world.trace import Row

__all__ = ["SHIVIZ_REGEX", "perfetto_json", "shiviz_log"]

SHIVIZ_REGEX: Final = r"(?<date>\d+\.\d+) (?<host>\S+) (?<clock>\{[^{}]*\}) (?<event>.*)"
"""What to put into ShiViz's field for the log parsing regular expression."""

_SCENARIO: Final = "scenario"  # stands for the host of rows that belong to none
_SLICE_NS: Final = 1000  # how long an event looks that takes no time
_EVENTS, _STATES = 1, 2  # tracks of every host

Event = dict[str, object]


def perfetto_json(outcome: Outcome) -> str:
    """The trace in Chrome's trace event format, for https://ui.perfetto.dev: a process a host, flows for causes.

    A row is a slice of at most a microsecond; rows of one host at one moment stand a nanosecond apart,
    because a flow leads to a slice.
    """
    rows = outcome.rows
    pids = {host: pid for pid, host in enumerate(dict.fromkeys(_host(row) for row in rows), 1)}
    slices = _slices(rows)
    end_ns = max((start_ns + length_ns for start_ns, length_ns in slices.values()), default=0)
    events: list[Event] = []
    for host, pid in pids.items():
        events += _names(host, pid)
    for row in rows:
        events += _row_events(row, pids[_host(row)], slices)
    causes = {row.n: row for row in rows}
    for row in rows:
        cause = causes.get(row.cause)
        if cause is not None:
            events += _flow(cause, row, pids, slices)
    for track, band in _tracks(find_bands(rows)):
        name = f"link to {band.other}" if band.other else "state"
        events.append(_named_track(name, pids[band.host], track))
        events.append(_band_event(band, pids[band.host], track, end_ns))
    if outcome.failure is not None:
        words = f"{outcome.failure.invariant}: {outcome.failure.message}"
        pid = pids.get(outcome.failure.host or _SCENARIO, 0)
        time_us = outcome.failure.time_ns / US
        events.append({"ph": "i", "s": "g", "name": words, "ts": time_us, "pid": pid, "tid": _EVENTS})
    other = {"scenario": outcome.scenario, "seed": outcome.seed, "digest": outcome.digest}
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns", "otherData": other})


def shiviz_log(outcome: Outcome) -> str:
    """The trace as a log for https://bestchai.bitbucket.io/shiviz/, an event a line, with its vector clock.

    A clock counts the events of each host, and takes over that of the cause: so an order between two
    events means that one may have led to the other. Rows of the scenario itself are left out, as it
    sees everything at once. The parser is `SHIVIZ_REGEX`.
    """
    lines, clocks, seen = [], dict[str, dict[str, int]](), dict[int, dict[str, int]]()
    for row in outcome.rows:
        if not row.host:
            continue
        clock = dict(clocks.get(row.host, {}))
        for host, count in seen.get(row.cause, {}).items():
            clock[host] = max(clock.get(host, 0), count)
        clock[row.host] = clock.get(row.host, 0) + 1
        clocks[row.host] = seen[row.n] = clock
        names = {_shiviz_name(host): count for host, count in clock.items()}
        when = f"{row.time_ns // 10**9}.{row.time_ns % 10**9:09}"
        lines.append(f"{when} {_shiviz_name(row.host)} {json.dumps(names)} {_one_line(row)}\n")
    return "".join(lines)


def _host(row: Row) -> str:
    return row.host or _SCENARIO


def _names(host: str, pid: int) -> Iterator[Event]:
    yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": host}}
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
    yield _named_track("events", pid, _EVENTS)


def _named_track(name: str, pid: int, track: int) -> Event:
    return {"ph": "M", "name": "thread_name", "pid": pid, "tid": track, "args": {"name": name}}


def _slices(rows: Sequence[Row]) -> dict[int, tuple[int, int]]:
    """Start and length of every row, such that those of a host do not overlap."""
    slices: dict[int, tuple[int, int]] = {}
    free: dict[str, int] = {}
    following: dict[str, int] = {}  # when the next row of a host is, going backwards
    gaps: dict[int, int] = {}
    for row in reversed(rows):
        gaps[row.n] = following.get(row.host, row.time_ns + _SLICE_NS) - row.time_ns
        following[row.host] = row.time_ns
    for row in rows:
        start_ns = max(row.time_ns, free.get(row.host, 0))
        length_ns = max(1, min(_SLICE_NS, gaps[row.n] - (start_ns - row.time_ns)))
        slices[row.n] = start_ns, length_ns
        free[row.host] = start_ns + length_ns
    return slices


def _row_events(row: Row, pid: int, slices: dict[int, tuple[int, int]]) -> Iterator[Event]:
    start_ns, length_ns = slices[row.n]
    where: Event = {"ts": start_ns / US, "pid": pid, "tid": _EVENTS}
    args = {"row": row.n, "incarnation": row.incarnation, "data": list(row.data)}
    yield {"ph": "X", "name": row.kind, "cat": "row", "dur": length_ns / US, "args": args, **where}
    for log, seq in progress_of(row):
        yield {"ph": "C", "name": f"seq {log}", "args": {"seq": seq}, **where}


def _flow(cause: Row, row: Row, pids: dict[str, int], slices: dict[int, tuple[int, int]]) -> Iterator[Event]:
    for phase, end in (("s", cause), ("f", row)):
        start_ns, _ = slices[end.n]
        event: Event = {"ph": phase, "id": row.n, "name": "cause", "cat": "cause", "tid": _EVENTS}
        event |= {"ts": start_ns / US, "pid": pids[_host(end)]}
        yield event | ({"bp": "e"} if phase == "f" else {})


def _tracks(bands: Sequence[Band]) -> Iterator[tuple[int, Band]]:
    """Each band with the track that it is drawn on: one for the host itself, and one for every link."""
    links: dict[tuple[str, str, str], int] = {}
    for band in bands:
        if band.other:
            yield _STATES + 1 + links.setdefault((band.host, band.other, band.kind), len(links)), band
        else:
            yield _STATES, band


def _band_event(band: Band, pid: int, track: int, end_ns: int) -> Event:
    stop_ns = end_ns if band.stop_ns is None else band.stop_ns
    event: Event = {"ph": "X", "name": band.label, "cat": band.kind, "pid": pid, "tid": track}
    return event | {"ts": band.start_ns / US, "dur": max(0, stop_ns - band.start_ns) / US, "args": {}}


def _shiviz_name(host: str) -> str:
    return "".join("_" if char.isspace() or char in "{}" else char for char in host)


def _one_line(row: Row) -> str:
    return " ".join(" ".join(map(str, (row.kind, *row.data))).split())
