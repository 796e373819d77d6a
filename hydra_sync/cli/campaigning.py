"""Runs simulated seeds for a command line, one or a whole campaign, and says what came of them. Does I/O.

``hydra-sync simulate`` and ``python -m simulations`` are two ways in.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from hydra_sync.cli.campaign_report import Pace, campaign_json, count, say, show_campaign, show_finding
from hydra_sync.cli.progress import long_progress, time_left
from hydra_sync.cli.wall_limit import run_within
from hydra_sync.testing.campaign.campaign import Campaign, run_campaign
from hydra_sync.testing.campaign.findings import Finding, explain_difference, look_into, worth_a_look
from hydra_sync.testing.campaign.loading import find_scenario
from hydra_sync.testing.campaign.replay import read_setup, write_setup, write_trace
from hydra_sync.testing.campaign.shrink import shrink
from hydra_sync.testing.campaign.tally import Tally, short_name
from hydra_sync.testing.campaign.verdicts import USUAL, Verdict, code_version
from hydra_sync.testing.places import place_of
from hydra_sync.testing.plan.scenario import Failure, Outcome, Scenario, Setup
from hydra_sync.testing.view import write_html
from hydra_sync.testing.view.exports import SHIVIZ_REGEX, perfetto_json, shiviz_log
from hydra_sync.testing.world.scheduler import Policy

__all__ = ["EXIT_FOUND", "SEEDS", "Replay", "Single", "run_many", "run_one"]

EXIT_FOUND: Final = 1  # a bug was found, as when a test fails

Replay = Callable[[str, int], Sequence[str]]
"""The words of the command that runs a seed of a scenario (``MODULE:SCENARIO``) once more."""


class _Seeds(click.ParamType[range]):
    name = "A:B"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        start, colon, stop = str(value).partition(":")
        if not start.isdecimal() or not stop.isdecimal() or not colon or int(start) >= int(stop):
            self.fail(f"{value!r} is no range of seeds: write 0:200 for the seeds 0 to 199", param, ctx)
        return range(int(start), int(stop))


SEEDS: Final = _Seeds()


@dataclass(frozen=True, slots=True)
class Single:
    """One seed to run, and what to write about it."""

    scenario: str
    seed: int
    setup_file: Path | None = None
    policy: Policy = "random"
    trace_file: Path | None = None
    html_file: Path | None = None
    perfetto_file: Path | None = None
    shiviz_file: Path | None = None
    shrink_to: Path | None = None
    timeout_s: float | None = None
    """Wall time that it may take, or None for any: a debugger needs that."""

    @property
    def record(self) -> bool:
        """Whether anything is to be made of what happens."""
        return any((self.trace_file, self.html_file, self.perfetto_file, self.shiviz_file))


def run_one(single: Single, replay: Replay, *, as_json: bool) -> int:
    """Run one seed and say what came of it; the exit code."""
    console = Console(stderr=as_json)
    scenario = find_scenario(single.scenario)
    setup = scenario.draw(single.seed) if single.setup_file is None else read_setup(single.setup_file)
    say(console, f"{scenario.name}, seed {single.seed}: {_setup_words(setup)}")
    began_s = time.perf_counter()
    try:
        outcome = _run(single, scenario, setup)
    except KeyboardInterrupt as error:
        say(console, f"interrupted {place_of(error)}".rstrip(), "yellow")
        raise
    wall_s = time.perf_counter() - began_s
    say(
        console,
        f"{outcome.virtual_s:.3f} virtual seconds in {wall_s:.2f} s, {outcome.steps:,} steps, "
        f"{f'digest {outcome.digest}' if outcome.digest else 'no digest'}",
    )
    words = _replay_words(replay, single.scenario, single.seed, single.setup_file, single.policy, single.timeout_s)
    _write_files(console, single, outcome, words)
    shrunk = _say_failure(console, single, scenario, outcome, words, replay)
    if as_json:
        verdict = Verdict.of(outcome, code_version(single.scenario), single.scenario, wall_s)
        extra = {"replay": words, "shrunk": shrunk}
        click.echo(json.dumps(json.loads(verdict.to_json()) | extra))
    return 0 if outcome.failure is None else EXIT_FOUND


def run_many(campaign: Campaign, replay: Replay, *, with_shrinking: bool, shrink_s_max: float, as_json: bool) -> int:
    """Run a campaign, look into what it finds, and say it; the exit code."""
    console = Console(stderr=as_json)
    began_s = time.perf_counter()
    pace = Pace()
    total = campaign.size
    with long_progress(total) as show_progress:

        def on_verdict(verdict: Verdict, tally: Tally) -> None:
            pace.add(verdict, time.perf_counter() - began_s)
            show_progress(tally.runs + tally.second_runs, _progress_words(tally, pace, total))
            if verdict.failure is not None and verdict.environment == USUAL:
                _say_failed(console, verdict, replay, campaign.timeout_s)

        try:
            tally = run_campaign(campaign, on_verdict)
        except KeyboardInterrupt:
            words = f"{count(pace.runs, 'new run')} in {pace.wall_s:.1f} s: {pace.words}"
            say(console, f"interrupted after {words}; they are in {campaign.results}", "yellow")
            say(console, "the same command goes on from there")
            raise
    directory = campaign.results.parent
    chosen = worth_a_look(tally)
    if chosen:
        what = "Shrinking" if with_shrinking else "Recording"
        say(console, f"{what} the {len(chosen)} shortest failing runs, at most two of each bug")
    findings = look_into(
        *(chosen, directory),
        jobs=campaign.jobs,
        shrink=with_shrinking,
        seconds_max=shrink_s_max,
        replay=partial(_finding_words, replay),
    )
    repeats = {finding.verdict.key: _finding_words(replay, finding) for finding in findings}
    for finding in findings:
        show_finding(console, finding, repeats[finding.verdict.key])
    differences = {one.key: explain_difference(one, other, directory) for one, other in tally.differing}
    for one, other in tally.differing:
        words = f"{short_name(one.scenario)} {one.seed} is not deterministic under {other.environment}: "
        say(console, words + differences[one.key], "red")
    show_campaign(console, campaign, tally, pace)
    if as_json:
        click.echo(json.dumps(campaign_json(campaign, tally, pace, findings, repeats, differences)))
    return EXIT_FOUND if tally.complaints else 0


# One seed


def _run(single: Single, scenario: Scenario, setup: Setup) -> Outcome:
    if single.timeout_s is None:
        return scenario.run(single.seed, setup, record=single.record, policy=single.policy)
    return run_within(single.timeout_s, scenario, single.seed, setup, record=single.record, policy=single.policy)


def _setup_words(setup: Setup) -> str:
    parts = ((setup.nodes, "node"), (setup.operations, "operation"), (len(setup.plan), "fault"))
    return ", ".join([*(count(number, what) for number, what in parts), f"{setup.seconds:g} s"])


def _write_files(console: Console, single: Single, outcome: Outcome, replay: str) -> None:
    if single.trace_file is not None:
        write_trace(outcome, single.trace_file, code_version(single.scenario))
        say(console, f"the trace, {len(outcome.rows):,} rows, is in {single.trace_file}")
    if single.html_file is not None:
        write_html(outcome, single.html_file, replay=replay)
        say(console, f"the diagram is in {single.html_file}: open it in a browser")
    if single.perfetto_file is not None:
        single.perfetto_file.write_text(perfetto_json(outcome), encoding="utf-8")
        say(console, f"the trace for Perfetto is in {single.perfetto_file}: open it at https://ui.perfetto.dev")
    if single.shiviz_file is not None:
        single.shiviz_file.write_text(shiviz_log(outcome), encoding="utf-8", errors="backslashreplace")
        say(console, f"the log for ShiViz is in {single.shiviz_file}; its parser is {SHIVIZ_REGEX}")


def _say_failure(
    console: Console, single: Single, scenario: Scenario, outcome: Outcome, words: str, replay: Replay
) -> str | None:
    """Say how it failed and how to see that again; shrink it if asked to, then the command for that."""
    failure = outcome.failure
    if failure is None:
        say(console, "It passes.", "green")
        return None
    where = f" on {failure.host}" if failure.host else ""
    say(console, f"{failure.invariant} failed at {failure.time_ns / 1e9:.6f} s{where}: {failure.message}", "red")
    say(console, f"again:  {words}")
    if single.shrink_to is None:
        return None
    if not outcome.digest:
        say(console, "not shrunk: it did not come to an end by itself", "yellow")
        return None
    shrunk = shrink(scenario, single.seed, outcome.setup, policy=single.policy)
    write_setup(shrunk.setup, single.shrink_to)
    again = _replay_words(replay, single.scenario, single.seed, single.shrink_to, shrunk.policy)
    say(console, f"shrunk in {shrunk.runs} runs to {_setup_words(shrunk.setup)}:  {again}")
    return again


def _replay_words(
    replay: Replay, scenario: str, seed: int, setup_file: Path | None, policy: Policy, timeout_s: float | None = None
) -> str:
    words = [*replay(scenario, seed)]
    if setup_file is not None:
        words += ["--setup", str(setup_file)]
    if policy == "fifo":
        words.append("--fifo")
    if timeout_s is not None:
        words += ["--timeout", f"{timeout_s:g}"]
    return shlex.join(words)


# Many seeds


def _say_failed(console: Console, verdict: Verdict, replay: Replay, timeout_s: float) -> None:
    failure = verdict.failure
    assert failure is not None
    name = f"{short_name(verdict.scenario)} {verdict.seed}"
    say(console, f"{name} failed {failure.invariant}: {_first_line(failure)}", "red")
    limit_s = timeout_s if failure.invariant == "TimedOut" else None  # or the same command would hang
    say(console, f"  again:  {_replay_words(replay, verdict.scenario, verdict.seed, None, 'random', limit_s)}")


def _first_line(failure: Failure) -> str:
    """What fits into a line; of what a process said before it died, that is the last one."""
    first, *others = failure.message.splitlines() or [""]
    if failure.invariant == "ProcessDied" and others:
        return f"{first.partition(' said: ')[0]} said at last: {others[-1]}"
    return first


def _finding_words(replay: Replay, finding: Finding) -> str:
    verdict = finding.verdict
    return _replay_words(replay, verdict.scenario, verdict.seed, finding.setup_file, finding.policy)


def _progress_words(tally: Tally, pace: Pace, total: int) -> str:
    done = tally.runs + tally.second_runs
    left = time_left((total - done) / pace.seeds_per_s) if pace.seeds_per_s else "starting"
    return f"{done:,} of {total:,} runs, {len(tally.failures):,} failed, {pace.words}, {left}"
