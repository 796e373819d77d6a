"""What a campaign found, for people and for programs. Does I/O: writes to a console."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydra_sync.testing.campaign.campaign import Campaign
from hydra_sync.testing.campaign.findings import Finding
from hydra_sync.testing.campaign.tally import Tally, count, short_name
from hydra_sync.testing.campaign.verdicts import Key, Verdict
from hydra_sync.testing.view.words import fault_in_words

__all__ = ["Pace", "count", "campaign_json", "say", "show_campaign", "show_finding"]

SEEDS_SHOWN_MAX: Final = 8


@dataclass(slots=True)
class Pace:
    """How fast it went, over all processes; what was known before is not in it."""

    runs: int = 0
    virtual_s: float = 0.0
    wall_s: float = 0.0

    def add(self, verdict: Verdict, wall_s: float) -> None:
        """One more run, and the time since the beginning."""
        self.runs += 1
        self.virtual_s += verdict.virtual_s
        self.wall_s = wall_s

    @property
    def seeds_per_s(self) -> float:
        return self.runs / self.wall_s if self.wall_s else 0.0

    @property
    def virtual_s_per_s(self) -> float:
        return self.virtual_s / self.wall_s if self.wall_s else 0.0

    @property
    def words(self) -> str:
        return f"{self.seeds_per_s:.1f} seeds/s, {self.virtual_s_per_s:,.0f} virtual seconds per wall second"


def say(console: Console, line: str, style: str = "") -> None:
    """One line, as it is, however long; what the terminal cannot write is escaped."""
    text = line.encode(console.encoding, "backslashreplace").decode(console.encoding)
    console.print(Text(text, style=style), soft_wrap=True)


def show_finding(console: Console, finding: Finding, again: str) -> None:
    """One failing seed, shrunk."""
    verdict, setup = finding.verdict, finding.setup
    name = f"{short_name(verdict.scenario)} {verdict.seed}"
    if finding.trouble:
        say(console, f"{name}: {finding.trouble}", "yellow")
    if setup is not None:
        order = "even if tasks run first in, first out" if finding.policy == "fifo" else "in a special order of tasks"
        so_far = "" if finding.finished else ", not yet to the end"
        say(
            console,
            f"{name}: shrunk in {finding.runs} runs, {finding.wall_s:.1f} s{so_far}, to {count(setup.nodes, 'node')}, "
            f"{setup.seconds:g} s, {count(setup.operations, 'operation')}; it fails {order}, with the faults:",
        )
        for fault in setup.plan:
            say(console, f"    {fault_in_words(fault)}")
    say(console, f"  again:  {again}")
    for path in finding.files:
        say(console, f"  see     {path}")


def show_campaign(console: Console, campaign: Campaign, tally: Tally, pace: Pace) -> None:
    """All of it, and the verdict."""
    console.print(_scenarios(tally))
    if tally.planned:
        console.print(_faults(tally))
    if tally.signals:
        console.print(_signals(tally))
    known = tally.runs + tally.second_runs - pace.runs
    before = f" ({known:,} more were known)" if known else ""
    say(console, f"{count(pace.runs, 'run')} in {pace.wall_s:.1f} s{before}: {pace.words}")
    say(
        console,
        f"{count(tally.checked, 'seed')} compared with a run under another hash seed and allocator: "
        f"{len(tally.differing)} differ; all results are in {campaign.results}",
    )
    for line in tally.remarks:
        say(console, f"note: {line}", "yellow")
    for line in tally.complaints:
        say(console, f"FAILED: {line}", "bold red")
    if not tally.complaints:
        say(console, "Good: every seed passes.", "green")


def campaign_json(
    campaign: Campaign,
    tally: Tally,
    pace: Pace,
    findings: Sequence[Finding],
    repeats: Mapping[Key, str],
    differences: Mapping[Key, str],
) -> dict[str, object]:
    """The same for programs."""
    return {
        "good": not tally.complaints,
        "complaints": tally.complaints,
        "remarks": tally.remarks,
        "code": sorted(set().union(*tally.codes.values())),
        "scenarios": list(campaign.scenarios),
        "seeds": [campaign.seeds.start, campaign.seeds.stop],
        "runs": tally.runs,
        "new_runs": pace.runs,
        "wall_s": round(pace.wall_s, 3),
        "seeds_per_s": round(pace.seeds_per_s, 3),
        "virtual_s_per_wall_s": round(pace.virtual_s_per_s, 3),
        "virtual_s": round(tally.virtual_s, 6),
        "steps": tally.steps,
        "checked": tally.checked,
        "differing": [
            {"scenario": one.scenario, "seed": one.seed, "environment": other.environment, "how": differences[one.key]}
            for one, other in tally.differing
        ],
        "planned": dict(sorted(tally.planned.items())),
        "bit": {kind: tally.bit[kind] for kind in sorted(tally.planned)},
        "toothless": tally.toothless,
        "missing": tally.missing,
        "effects": dict(sorted(tally.effects.items())),
        "signals": dict(sorted(tally.signals.items())),
        "unhit": tally.unhit,
        "failures": [
            {"scenario": one.scenario, "seed": one.seed, "digest": one.digest, **asdict(one.failure)}
            for one in tally.failures
            if one.failure is not None
        ],
        "findings": [_finding_json(finding, repeats[finding.verdict.key]) for finding in findings],
        "results": str(campaign.results),
    }


def _finding_json(finding: Finding, again: str) -> dict[str, object]:
    return {
        "scenario": finding.verdict.scenario,
        "seed": finding.verdict.seed,
        "replay": again,
        "setup": finding.setup and json.loads(finding.setup.to_json()),
        "setup_file": finding.setup_file and str(finding.setup_file),
        "policy": finding.policy,
        "runs": finding.runs,
        "finished": finding.finished,
        "files": [str(path) for path in finding.files],
        "trouble": finding.trouble,
    }


def _scenarios(tally: Tally) -> Table:
    table = Table("scenario", title="Scenarios", title_justify="left")
    for column in ("seeds", "failed"):
        table.add_column(column, justify="right")
    table.add_column("invariants that failed, with seeds")
    bugs = tally.bugs()
    for scenario, runs in sorted(tally.seeds_of.items()):
        lines = []
        for (where, invariant), failures in bugs.items():
            if where == scenario:
                seeds = [str(failure.seed) for failure in failures[:SEEDS_SHOWN_MAX]]
                lines.append(f"{invariant}: {', '.join(seeds)}{', ...' * (len(failures) > SEEDS_SHOWN_MAX)}")
        failed = sum(failure.scenario == scenario for failure in tally.failures)
        style = "bold red" if failed else "green"
        table.add_row(Text(short_name(scenario)), f"{runs:,}", Text(f"{failed:,}", style), Text("\n".join(lines)))
    return table


def _signals(tally: Tally) -> Table:
    table = Table("signal", title="Coverage signals", title_justify="left")
    table.add_column("hits", justify="right")
    for name, hits in sorted(tally.signals.items()):
        table.add_row(Text(name), Text(f"{hits:,}", "" if hits else "bold red"))
    return table


def _faults(tally: Tally) -> Table:
    table = Table("kind of fault", title="Faults", title_justify="left")
    for column in ("in plans", "with effect"):
        table.add_column(column, justify="right")
    for kind, plans in sorted(tally.planned.items()):
        style = "" if tally.bit[kind] else "bold red"
        table.add_row(kind, f"{plans:,}", Text(f"{tally.bit[kind]:,}", style))
    return table
