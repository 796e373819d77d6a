"""What the demonstration shows: each node's logs, and what happened. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hydra_sync.demo.verdict import Finding, Verdict

__all__ = ["Picture", "verdict_lines", "verdict_table"]

LINES_SHOWN: Final = 12  # with the table above, a terminal of 24 lines is full
BAR_WIDTHS: Final = range(6, 24)
OTHER_WIDTH: Final = 51  # all of the table but its three bars

_LIVE, _MISSED, _OPEN = "green", "bold yellow", "bright_black"
_STATES: Final = {
    "runs": "green",
    "killed": "bold red",
    "stopped": "yellow",
    "lost": "bold red",
    "recovers": "bold yellow",
}


@dataclass(slots=True)
class Picture:
    """The state of the story, ready to be drawn."""

    names: Sequence[str]
    totals: dict[str, int]
    """Events that each log will have in the end, with those that have begun its epochs so far."""
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    """Next seq, by node and log."""
    missed: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    """Ranges that a node got from others after it had been away, by node and log."""
    states: dict[str, str] = field(default_factory=dict)
    lines: list[Text] = field(default_factory=list)
    finished: bool = False
    """The whole story is shown, not only its last lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = (options.max_width - OTHER_WIDTH) // len(self.names)
        width = min(max(room, BAR_WIDTHS.start), BAR_WIDTHS.stop)
        table = Table(title="events of each log, durable at each node", title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("node")
        table.add_column("state", min_width=7)
        for log in self.names:
            table.add_column(f"{log}'s log")
        for node in self.names:
            cells = (self._cell(node, log, width) for log in self.names)
            state = self.states.get(node, "")
            table.add_row(node, Text(state, _STATES.get(state, "")), *cells)
        yield table
        yield Text.assemble(
            (" ━━", _LIVE), " as they came  ", ("━━", _MISSED), " missed while away, got from others after the return"
        )
        shown = self.lines if self.finished else self.lines[-LINES_SHOWN:]
        lines = (Text.assemble(line, no_wrap=True, overflow="ellipsis") for line in shown)
        height = None if self.finished else LINES_SHOWN + 2
        yield Panel(Group(*lines), title="what happens", title_align="left", height=height, box=box.HORIZONTALS)

    def _cell(self, node: str, log: str, width: int) -> Text:
        held, total = self.held.get((node, log), 0), max(self.totals[log], 1)
        cell = Text(no_wrap=True)
        for place in range(width):
            first, last = place * total // width, max((place + 1) * total // width - 1, 0)
            missed = any(start <= last and first < stop for start, stop in self.missed.get((node, log), ()))
            cell.append("━", _OPEN if last >= held else _MISSED if missed else _LIVE)
        return cell.append(f" {held:>4}", "bold" if held >= total else "")


def verdict_table(verdict: Verdict, names: Sequence[str]) -> Table:
    """The tips in the stores: a row a log, a column a node."""
    table = Table(
        title="what the stores hold: events and hash of the last batch", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("log")
    for node in names:
        table.add_column(f"at {node}")
    table.add_column("same bytes")
    for log in names:
        row = {finding.node: finding for finding in verdict.findings if finding.log == log}
        same = len({finding.fingerprint for finding in row.values()}) == 1
        cells = [_tip(row[node]) for node in names]
        table.add_row(log, *cells, Text("yes", "green") if same else Text("NO", "bold red"))
    return table


def verdict_lines(verdict: Verdict) -> list[Text]:
    """What is wrong, store by store; then the verdict in one line."""
    lines = [Text(f"{f.node}'s store, {f.log}'s log: {_wrong(f)}", "red") for f in verdict.findings if not f.good]
    counts = (
        (sum(finding.lost for finding in verdict.findings), "lost"),
        (sum(finding.duplicated for finding in verdict.findings), "duplicated"),
        (sum(finding.out_of_order for finding in verdict.findings), "out of order"),
        (sum(finding.foreign for finding in verdict.findings), "foreign"),
        (sum(finding.damage is not None for finding in verdict.findings), "damaged"),
    )
    parts = [Text(f"{count} {what}", "red" if count else "green") for count, what in counts]
    parts.append(Text("bytes identical", "green") if verdict.identical else Text("bytes DIFFER", "bold red"))
    return [*lines, Text(" · ").join(parts)]


def _tip(finding: Finding) -> Text:
    return Text(f"{finding.events:>4}  {finding.tip_hash[:8]}", "" if finding.good else "bold red")


def _wrong(finding: Finding) -> str:
    if finding.damage:
        return finding.damage
    return (
        f"{finding.lost} lost, {finding.duplicated} duplicated, {finding.out_of_order} out of order, "
        f"{finding.foreign} foreign"
    )
