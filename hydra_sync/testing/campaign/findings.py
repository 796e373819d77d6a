"""Looks into what a campaign found: shrinks failing seeds, and writes setups, traces and diagrams. Does I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Final, cast

from hydra_sync.testing.campaign.campaign import variables
from hydra_sync.testing.campaign.pool import Answer, Call, call_all
from hydra_sync.testing.campaign.replay import write_setup
from hydra_sync.testing.campaign.shrink import RUNS_MAX, SECONDS_MAX
from hydra_sync.testing.campaign.tally import Tally, short_name
from hydra_sync.testing.campaign.verdicts import Verdict
from hydra_sync.testing.plan.scenario import Setup
from hydra_sync.testing.world.scheduler import Policy

__all__ = ["Finding", "explain_difference", "look_into", "worth_a_look"]

EACH: Final = 2  # seeds of one bug that are looked into
RECORD_S_MAX: Final = 300.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A failing seed, and what was made of it."""

    verdict: Verdict
    setup: Setup | None = None
    """The smallest that fails, or None if it was not shrunk (see ``trouble``)."""
    setup_file: Path | None = None
    policy: Policy = "random"
    runs: int = 0
    wall_s: float = 0.0
    finished: bool = True
    files: tuple[Path, ...] = ()
    """The trace, and the diagram."""
    trouble: str = ""


@dataclass(slots=True)
class _Desk:
    """Where the findings of one campaign are put together."""

    directory: Path
    found: dict[tuple[str, int], Finding] = field(default_factory=dict)

    def file(self, verdict: Verdict, ending: str) -> Path:
        return self.directory / f"{short_name(verdict.scenario)}-{verdict.seed}.{ending}"

    def take_shrunk(self, call: Call, answer: Answer) -> None:
        finding = self._of(call)
        if answer.error:
            finding = replace(finding, trouble=f"not shrunk: {answer.error}: {answer.message}")
        else:
            shrunk = cast("Mapping[str, object]", answer.value)
            setup = Setup.from_json(str(shrunk["setup"]))
            path = self.file(finding.verdict, "setup.json")
            write_setup(setup, path)
            finding = replace(
                finding,
                setup=setup,
                setup_file=path,
                policy=cast("Policy", shrunk["policy"]),
                runs=cast("int", shrunk["runs"]),
                wall_s=cast("float", shrunk["wall_s"]),
                finished=bool(shrunk["finished"]),
            )
        self._put(call, finding)

    def take_recorded(self, call: Call, answer: Answer) -> None:
        finding = self._of(call)
        if answer.error:
            trouble = f"{finding.trouble} not recorded: {answer.error}: {answer.message}".lstrip()
            finding = replace(finding, trouble=trouble)
        else:
            recorded = cast("Mapping[str, Sequence[str]]", answer.value)
            finding = replace(finding, files=tuple(map(Path, recorded["files"])))
        self._put(call, finding)

    def _of(self, call: Call) -> Finding:
        return self.found[_place(call)]

    def _put(self, call: Call, finding: Finding) -> None:
        self.found[_place(call)] = finding


def worth_a_look(tally: Tally) -> list[Verdict]:
    """The shortest runs of each bug, of those that came to an end by themselves."""
    return [verdict for bug in tally.bugs().values() for verdict in [one for one in bug if one.digest][:EACH]]


def look_into(
    verdicts: Sequence[Verdict],
    directory: Path,
    *,
    jobs: int = 1,
    shrink: bool = True,
    seconds_max: float = SECONDS_MAX,
    runs_max: int = RUNS_MAX,
    replay: Callable[[Finding], str] | None = None,
    on_news: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Shrink failing seeds, unless told not to, then write setup, trace and diagram of each into ``directory``.

    ``replay`` gives the command that runs a finding again, for its diagram to show.
    """
    directory.mkdir(parents=True, exist_ok=True)
    desk = _Desk(directory, {(verdict.scenario, verdict.seed): Finding(verdict) for verdict in verdicts})
    if shrink:
        on_news(f"shrinking {len(verdicts)} failing seeds")
        limits = {"runs_max": runs_max, "seconds_max": seconds_max}
        errand = "hydra_sync.testing.campaign.errands:shrink_seed"
        calls = [Call(errand, _names(verdict) | limits, 2 * seconds_max + RECORD_S_MAX) for verdict in verdicts]
        call_all(calls, jobs, desk.take_shrunk)
    on_news(f"recording {len(verdicts)} failing seeds")
    call_all([_recording(finding, desk, replay) for finding in desk.found.values()], jobs, desk.take_recorded)
    return list(desk.found.values())


def explain_difference(usual: Verdict, elsewhere: Verdict, directory: Path) -> str:
    """Run one seed in two environments once more, recorded, and say where the runs first differ."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for verdict, ending in ((usual, "usual.trace.jsonl"), (elsewhere, "elsewhere.trace.jsonl")):
        path = directory / f"{short_name(verdict.scenario)}-{verdict.seed}.{ending}"
        arguments = _names(verdict) | {"setup": None, "policy": "random", "trace": str(path)}
        call = Call(
            "hydra_sync.testing.campaign.errands:record_seed", arguments, RECORD_S_MAX, variables(verdict.environment)
        )
        answers: list[Answer] = []
        call_all([call], 1, lambda _, answer, answers=answers: answers.append(answer))  # type: ignore[misc]
        if answers[0].error:
            return f"it could not be recorded: {answers[0].error}: {answers[0].message}"
        paths.append(path)
    return _first_difference(*paths)


def _first_difference(one: Path, other: Path) -> str:
    with one.open(encoding="utf-8") as left, other.open(encoding="utf-8") as right:
        next(left), next(right)  # the headers, which have the digests
        for number, (mine, theirs) in enumerate(zip_longest(left, right, fillvalue="(the end)")):
            if mine != theirs:
                return (
                    f"they first differ in row {number}, {mine.strip()} against {theirs.strip()}; see {one} and {other}"
                )
    return f"all rows are the same, so it is the order in which tasks ran, or was not seen again; see {one} and {other}"


def _names(verdict: Verdict) -> dict[str, object]:
    return {"scenario": verdict.scenario, "seed": verdict.seed}


def _place(call: Call) -> tuple[str, int]:
    return str(call.arguments["scenario"]), cast("int", call.arguments["seed"])


def _recording(finding: Finding, desk: _Desk, replay: Callable[[Finding], str] | None) -> Call:
    arguments = _names(finding.verdict) | {
        "setup": finding.setup and finding.setup.to_json(),
        "policy": finding.policy,
        "trace": str(desk.file(finding.verdict, "trace.jsonl")),
        "html": str(desk.file(finding.verdict, "html")),
        "replay": replay and replay(finding),
    }
    return Call("hydra_sync.testing.campaign.errands:record_seed", arguments, RECORD_S_MAX)
