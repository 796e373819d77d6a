"""What ``hydra-sync verify`` found, for people and for programs. Writes to standard output."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.node.explaining import explain_fork
from hydra_sync.store import Finding, VerifyReport

__all__ = ["Checked", "checked_json", "show"]


@dataclass(slots=True)
class Checked:
    """The reports on a store's logs, or on one file."""

    path: Path
    network: NetworkId
    is_store: bool
    logs: list[tuple[MemberKey, str, VerifyReport]] = field(default_factory=list)
    strangers: list[Finding] = field(default_factory=list)
    """Logs of nobody."""
    forked: dict[MemberKey, int] = field(default_factory=dict)
    """From which seq on a log is proven to be forked; what is here of it may be sound all the same."""

    def add(self, author: MemberKey, alias: str, report: VerifyReport) -> None:
        self.logs.append((author, alias, report))

    @property
    def good(self) -> bool:
        """Whether every byte is what its author signed. Torn tails are no damage."""
        return not self.strangers and all(report.is_sound for _, _, report in self.logs)


def checked_json(checked: Checked) -> dict[str, object]:
    """The reports for programs."""
    return {
        "good": checked.good,
        "path": str(checked.path),
        "network_id": checked.network.hex(),
        "logs": [
            {
                "log": alias,
                "key": author.hex(),
                "sound": report.is_sound,
                "first_seq": report.first_seq,
                "next_seq": report.tip.next_seq,
                "hash": report.tip.hash.hex(),
                "events": report.events,
                "records": report.records,
                "bytes": report.size,
                "signatures": report.signatures,
                "forked_at": checked.forked.get(author),
                "damage": [_finding_json(finding) for finding in report.damage],
                "torn": [_finding_json(finding) for finding in report.remarks],
            }
            for author, alias, report in checked.logs
        ],
        "strangers": [_finding_json(finding) for finding in checked.strangers],
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "start": finding.range.start,
        "stop": finding.range.stop,
        "file": str(finding.file),
        "offset": finding.offset,
        "reason": finding.reason,
    }


def show(checked: Checked) -> None:
    """The reports for people, and what to do next."""
    console = Console()
    _say(console, f"{checked.path}, network {checked.network.hex()[:16]}")
    console.print(_table(checked))
    for finding in checked.strangers:
        _say(console, f"{finding.file}: {finding.reason}; move it away", "red")
    for author, alias, report in checked.logs:
        if (forked_at := checked.forked.get(author)) is not None:
            _say(console, explain_fork(f"{alias}'s", author.hex(), forked_at), "red")
        for finding in report.damage:
            _say(console, f"damaged: {_where(alias, finding)}", "red")
        for finding in report.remarks:
            _say(console, f"torn tail: {_where(alias, finding)}; no harm, the node cuts it when it starts", "yellow")
    if checked.good:
        _say(console, "Good: every event is there, unchanged and signed by its author.", "green")
    else:
        _say(console, _advice(checked))


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style), soft_wrap=True)


def _table(checked: Checked) -> Table:
    table = Table()
    table.add_column("log")
    for column in ("events", "records", "bytes", "signatures"):
        table.add_column(column, justify="right")
    table.add_column("result")
    for _, alias, report in checked.logs:
        result = Text("sound", "green") if report.is_sound else Text("DAMAGED", "bold red")
        span = f"[{report.first_seq}, {max(report.first_seq, report.tip.next_seq)})"
        table.add_row(
            Text(alias), Text(span), f"{report.records:,}", f"{report.size:,}", f"{report.signatures:,}", result
        )
    return table


def _where(alias: str, finding: Finding) -> str:
    seqs = finding.range
    events = f"events {seqs}" if seqs.count else f"from seq {seqs.start} on"
    return f"{alias}, {events}, {finding.file}, byte {finding.offset}: {finding.reason}"


def _advice(checked: Checked) -> str:
    if not checked.is_store:
        return (
            "Do not trust this file. If nothing in it verifies, check that --log and the network are right; "
            "if some does, fetch it again, from another member."
        )
    return (
        "A node serves what is sound and never serves the damage. To have the events again, stop the node, and: "
        "hydra-sync recover, which keeps the damaged log aside and fetches it anew. Some of them, from a member that "
        "has them: hydra-sync fetch LOG START STOP --from MEMBER --output FILE"
    )
