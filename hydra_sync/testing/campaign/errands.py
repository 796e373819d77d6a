"""What a campaign has other processes do: run a seed, shrink it, record it. Does I/O: loads scenarios, writes files."""

from __future__ import annotations

import functools
import time
from dataclasses import asdict
from pathlib import Path

from hydra_sync.testing.campaign.loading import find_scenario
from hydra_sync.testing.campaign.replay import write_trace
from hydra_sync.testing.campaign.shrink import shrink
from hydra_sync.testing.campaign.verdicts import USUAL, Verdict, code_version
from hydra_sync.testing.plan.scenario import Scenario, Setup
from hydra_sync.testing.view import write_html
from hydra_sync.testing.world.scheduler import Policy

__all__ = ["record_seed", "run_seed", "shrink_seed"]

_scenario = functools.cache(find_scenario)
_code = functools.cache(code_version)  # by module: to look for its imports takes longer than most runs


def run_seed(scenario: str, seed: int, environment: str = USUAL) -> str:
    """The verdict on one seed, as JSON."""
    found, code = _find(scenario)
    began_s = time.perf_counter()
    outcome = found.run(seed)
    return Verdict.of(outcome, code, scenario, time.perf_counter() - began_s, environment).to_json()


def shrink_seed(scenario: str, seed: int, runs_max: int, seconds_max: float) -> dict[str, object]:
    """The smallest run of a failing seed: its setup as JSON, and how it was found."""
    shrunk = shrink(_find(scenario)[0], seed, runs_max=runs_max, seconds_max=seconds_max)
    assert shrunk.outcome.failure is not None
    return {
        "setup": shrunk.setup.to_json(),
        "policy": shrunk.policy,
        "runs": shrunk.runs,
        "wall_s": round(shrunk.wall_s, 3),
        "finished": shrunk.finished,
        "failure": asdict(shrunk.outcome.failure),
        "digest": shrunk.outcome.digest,
    }


def record_seed(
    scenario: str,
    seed: int,
    setup: str | None,
    policy: Policy,
    trace: str,
    html: str | None = None,
    replay: str | None = None,
) -> dict[str, object]:
    """Run once more, write the trace and, if ``html`` says where, the diagram; the digest, and what was written.

    ``replay`` is the command that the diagram shows.
    """
    found, code = _find(scenario)
    outcome = found.run(seed, None if setup is None else Setup.from_json(setup), record=True, policy=policy)
    write_trace(outcome, Path(trace), code)
    if html is not None:
        write_html(outcome, Path(html), replay=replay)
    return {"digest": outcome.digest, "files": [trace, *([html] if html is not None else [])]}


def _find(scenario: str) -> tuple[Scenario, str]:
    """A scenario and the version of its code, which is taken before the code is."""
    code = _code(scenario.partition(":")[0])
    return _scenario(scenario), code
