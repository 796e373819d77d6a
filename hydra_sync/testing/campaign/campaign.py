"""Runs many seeds of some scenarios, on all cores or a cluster, and keeps the verdicts. Does I/O.

What is in the file already, of the same code, is not run again: a campaign that was killed goes on
where it was. Some seeds are run twice, the second time in a process with another hash seed and
allocator: if that makes a difference, replays are not to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from hydra_sync.testing.campaign.loading import find_scenario
from hydra_sync.testing.campaign.on_dask import call_all_on_dask
from hydra_sync.testing.campaign.pool import Answer, Call, call_all
from hydra_sync.testing.campaign.tally import Tally
from hydra_sync.testing.campaign.verdicts import USUAL, Verdict, VerdictFile, code_version
from hydra_sync.testing.plan.scenario import Failure

__all__ = ["Campaign", "run_campaign"]

CHECK_EVERY: Final = 100
TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Campaign:
    """What to run. One seed in ``check_every`` is run in two environments, or none if that is 0."""

    scenarios: tuple[str, ...]
    """As ``MODULE:SCENARIO``."""
    seeds: range
    results: Path
    """A JSONL file; it may hold the results of other campaigns, too."""
    jobs: int = 1
    timeout_s: float = TIMEOUT_S
    """Wall time that one seed may take."""
    check_every: int = CHECK_EVERY
    scheduler: str | None = None
    """The address of a Dask scheduler, or ``local``."""
    strict: bool = False

    @property
    def size(self) -> int:
        """How many runs that is, second ones included."""
        return sum(1 for _ in self.runs())

    def runs(self) -> Iterator[tuple[str, int, str]]:
        """Scenario, seed and environment of every run: each seed of all scenarios before the next seed."""
        for seed in self.seeds:
            for scenario in self.scenarios:
                yield scenario, seed, USUAL
                if self.check_every and (seed - self.seeds.start) % self.check_every == 0:
                    yield scenario, seed, other_environment(seed)


def other_environment(seed: int) -> str:
    """As a shell has it in front of a command."""
    return f"PYTHONHASHSEED={1 + seed % 4_000_000_000} PYTHONMALLOC=malloc"


def variables(environment: str) -> dict[str, str]:
    """An environment as a mapping.

    >>> variables(other_environment(6))
    {'PYTHONHASHSEED': '7', 'PYTHONMALLOC': 'malloc'}
    """
    return {} if environment == USUAL else dict(word.split("=") for word in environment.split())


def run_campaign(campaign: Campaign, on_verdict: Callable[[Verdict, Tally], None] | None = None) -> Tally:
    """Run what has not been run yet; the tally over all that the campaign is to run.

    ``on_verdict`` gets each new verdict, and the tally so far.
    """
    kept = VerdictFile(campaign.results)
    tally = Tally(strict=campaign.strict, drawn={scenario: _drawn(scenario) for scenario in campaign.scenarios})
    code = cache(code_version)  # now that modules are looked for where scenarios are
    codes = {scenario: code(scenario.partition(":")[0]) for scenario in campaign.scenarios}
    calls: list[Call] = []
    for scenario, seed, environment in campaign.runs():
        verdict = kept.verdicts.get((codes[scenario], scenario, seed, environment))
        if verdict is not None:
            tally.add(verdict)
        else:
            calls.append(_call(scenario, seed, environment, campaign.timeout_s))

    def take(call: Call, answer: Answer) -> None:
        verdict = _verdict(call, answer, codes)
        kept.append(verdict)
        tally.add(verdict)
        if on_verdict is not None:
            on_verdict(verdict, tally)

    if campaign.scheduler is not None:
        call_all_on_dask(calls, campaign.scheduler, campaign.jobs, take)
    else:
        call_all(calls, campaign.jobs, take)
    return tally


def _drawn(scenario: str) -> tuple[str, ...]:
    """The kinds of fault that a scenario says it may draw, if it does say so."""
    return tuple(getattr(find_scenario(scenario), "fault_kinds", ()))


def _call(scenario: str, seed: int, environment: str, timeout_s: float) -> Call:
    arguments = {"scenario": scenario, "seed": seed, "environment": environment}
    return Call("hydra_sync.testing.campaign.errands:run_seed", arguments, timeout_s, variables(environment))


def _verdict(call: Call, answer: Answer, codes: dict[str, str]) -> Verdict:
    """The verdict that came back, or one that says why none did."""
    if isinstance(answer.value, str):
        return Verdict.from_json(answer.value)
    scenario, seed = str(call.arguments["scenario"]), call.arguments["seed"]
    assert isinstance(seed, int)
    failure = Failure(answer.error, answer.message, 0)
    return Verdict(codes[scenario], scenario, seed, str(call.arguments["environment"]), failure=failure)
