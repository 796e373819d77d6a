"""What the demonstration shows: each node's logs, and what happened last. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hydra_sync.demo.verdict import Finding, Verdict

__all__ = ["Picture", "verdict_table"]

LINES_SHOWN: Final = 12
BAR_WIDTH: Final = 14


@dataclass(slots=True)
class Picture:
    """The state of the story, ready to be drawn."""

    names: Sequence[str]
    totals: Mapping[str, int]
    """Events that each log will have in the end."""
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    """Next seq, by node and log."""
    states: dict[str, str] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_SHOWN))

    def __rich__(self) -> RenderableType:
        table = Table(expand=False, title="events of each log, durable at each node")
        table.add_column("node")
        table.add_column("state")
        for log in self.names:
            table.add_column(f"{log}'s log", justify="right")
        for node in self.names:
            table.add_row(node, _state(self.states.get(node, "")), *(self._cell(node, log) for log in self.names))
        story = Text("\n".join(self.lines))
        return Group(table, Panel(story, title="what happens", height=LINES_SHOWN + 2))

    def _cell(self, node: str, log: str) -> RenderableType:
        count = self.held.get((node, log), 0)
        bar = Table.grid(padding=(0, 1))
        total = max(self.totals[log], 1)
        bar.add_row(ProgressBar(total=total, completed=count, width=BAR_WIDTH), f"{count:>4}/{self.totals[log]}")
        return bar


def verdict_table(verdict: Verdict, names: Sequence[str]) -> Table:
    """The stores' contents as a table: a row a log, a column a node."""
    table = Table(title="what the stores hold")
    table.add_column("log")
    for node in names:
        table.add_column(f"at {node}")
    table.add_column("same bytes")
    for log in names:
        row = {finding.node: finding for finding in verdict.findings if finding.log == log}
        same = len({finding.fingerprint for finding in row.values()}) == 1
        cells = [_finding(row[node]) for node in names]
        table.add_row(log, *cells, "[green]yes[/]" if same else "[red]NO[/]")
    return table


def _state(state: str) -> Text:
    colour = {"runs": "green", "killed": "bold red", "stopped": "yellow"}.get(state, "cyan")
    return Text(state, style=colour)


def _finding(finding: Finding) -> str:
    if finding.damage:
        return f"[red]{escape(finding.damage)}[/]"
    if finding.good:
        return f"{finding.events} events"
    wrong = f"{finding.lost} lost, {finding.duplicated} duplicated, {finding.out_of_order} out of order"
    return f"[red]{finding.events} events: {wrong}[/]"
