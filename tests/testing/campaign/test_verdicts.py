"""Results of runs are kept, merged, and believed only as far as they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.tally import PLANS_ENOUGH, RUNS_ENOUGH, Tally
from hydra_sync.testing.campaign.verdicts import Verdict, VerdictFile, code_version
from hydra_sync.testing.plan.scenario import Failure

ONE = Verdict(
    *("v1", "m:s", 4, "usual", "abc", 10, 2.5, 0.1),
    kinds=("Crash", "Rot"),
    effects={"fault.Crash": 2, "host.crash": 3},
    signals={"seen": 1, "unseen": 0},
    failure=Failure("S1", 'lost "it"\n', 5, "n0"),
)
ELSEWHERE = "PYTHONHASHSEED=1 PYTHONMALLOC=malloc"


def test_a_verdict_is_a_line() -> None:
    """And the same again when read."""
    assert "\n" not in ONE.to_json()
    assert Verdict.from_json(ONE.to_json()) == ONE


def test_verdicts_are_merged_by_code_scenario_and_seed(tmp_path: Path) -> None:
    """The last one of each counts; other code is other results."""
    file = VerdictFile(tmp_path / "new" / "results.jsonl")
    later = replace(ONE, digest="later")
    for verdict in (ONE, replace(ONE, seed=5), replace(ONE, code="v2"), later):
        file.append(verdict)
    assert VerdictFile(file.path).verdicts == file.verdicts
    assert len(file.verdicts) == 3
    assert file.verdicts[ONE.key] == later


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    """A campaign that was killed has lost its last verdict, and nothing else."""
    path = tmp_path / "results.jsonl"
    path.write_text(ONE.to_json() + "\n" + ONE.to_json()[:40])
    file = VerdictFile(path)
    file.append(replace(ONE, seed=5))
    assert [seed for _, _, seed, _ in VerdictFile(path).verdicts] == [4, 5]


GOOD_LINE = ONE.to_json().encode()


@pytest.mark.parametrize(
    "line",
    [
        *(b"{}", b"[]", b"3", b"no JSON", b'{"a": 1}', b'"\xff"'),
        GOOD_LINE.replace(b'"steps": 10', b'"steps": "x"'),
        GOOD_LINE.replace(b'"virtual_s": 2.5', b'"virtual_s": NaN'),
        GOOD_LINE.replace(b'"seen": 1', b'"seen": "often"'),
        GOOD_LINE.replace(b'"time_ns": 5', b'"time_ns": null'),
        GOOD_LINE.replace(b'["Crash", "Rot"]', b'"Crash"'),
    ],
)
def test_another_file_is_refused(tmp_path: Path, line: bytes) -> None:
    """Before anything is appended to it."""
    assert line != GOOD_LINE
    path = tmp_path / "diary.txt"
    path.write_bytes(GOOD_LINE + b"\n" + line + b"\n")
    with pytest.raises(UsageError, match=r"line 2 of .*diary.txt .*remove that line, or give another --out"):
        VerdictFile(path)


def test_the_version_changes_with_the_scenarios_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of yesterday's results is not taken for today's."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "some_scenarios.py").write_text("x = 1")
    before = code_version("some_scenarios:a")
    assert code_version("some_scenarios:b") == before != code_version("tests.testing.campaign.toys:a")
    (tmp_path / "some_scenarios.py").write_text("x = 2")
    assert code_version("some_scenarios:a") != before


def tally_of(*verdicts: Verdict, strict: bool = False, drawn: Mapping[str, Sequence[str]] | None = None) -> Tally:
    tally = Tally(strict=strict, drawn=drawn or {})
    for verdict in verdicts:
        tally.add(verdict)
    return tally


GOOD = replace(ONE, failure=None, kinds=("Crash",))


def test_a_good_campaign_has_no_complaints() -> None:
    """Everything is added up."""
    tally = tally_of(GOOD, replace(GOOD, seed=5))
    assert tally.complaints == []
    assert (tally.runs, tally.virtual_s, tally.effects, tally.bit) == (
        *(2, 5.0, {"fault.Crash": 4, "host.crash": 6}, {"Crash": 2}),
    )


def seeds_with(count: int, *kinds: str) -> list[Verdict]:
    return [replace(GOOD, seed=seed, kinds=kinds) for seed in range(count)]


def test_a_fault_without_teeth_fails_the_campaign() -> None:
    """By name, if it was tried often enough to tell; a few tries are a remark."""
    seeds = seeds_with(PLANS_ENOUGH, "Crash", "Rot")
    assert tally_of(*seeds).complaints == [f"Rot was in {PLANS_ENOUGH} plans and never had an effect"]
    few = tally_of(*seeds[:-1])
    assert few.complaints == []
    assert "Rot had no effect" in few.remarks[-1]
    assert tally_of(seeds[0], strict=True).toothless == ["Rot"]
    bitten = replace(seeds[0], effects={"fault.Rot": 1, "disk.rot": 1, **GOOD.effects})
    assert tally_of(bitten, *seeds[1:]).complaints == []


def test_no_kind_hides_behind_another() -> None:
    """A partition that never happens is told, though cuts stop the same links."""
    effects = {"fault.Cut": 1, "link.cut": 9, "fault.Pause": 1}
    seeds = [replace(one, effects=effects) for one in seeds_with(PLANS_ENOUGH, "Cut", "Partition", "Pause")]
    assert tally_of(*seeds).toothless == ["Partition", "Pause"]


def test_a_fault_that_was_in_no_plan_fails_the_campaign() -> None:
    """Unless so few runs might have had it that this is chance, or the scenarios exclude it."""
    drawn = {"m:s": ("Crash", "Wipe"), "m:other": ("Clog",)}
    many, few = seeds_with(RUNS_ENOUGH, "Crash"), seeds_with(RUNS_ENOUGH - 1, "Crash")
    assert tally_of(*many, drawn=drawn).complaints == [f"Wipe was in none of {RUNS_ENOUGH} plans"]
    assert tally_of(*few, drawn=drawn).complaints == []
    assert tally_of(*few, drawn=drawn).remarks[-1] == "in no plan yet: Wipe"
    assert tally_of(*few[:1], drawn=drawn, strict=True).missing == {"Wipe": 1}
    assert len(tally_of(*few[:1], drawn=drawn, strict=True).complaints) == 2
    assert tally_of(*many, replace(many[0], seed=99, kinds=("Wipe",)), drawn=drawn).missing == {}
    assert tally_of(*many, drawn={"m:s": ("Crash",)}).complaints == []


def test_a_signal_that_was_never_hit_is_told() -> None:
    """And fails a strict campaign."""
    assert tally_of(GOOD).remarks == ["signals that were never hit: 'unseen'"]
    assert tally_of(GOOD, strict=True).complaints == ["the signal 'unseen' was never hit"]
    assert tally_of(GOOD, replace(GOOD, seed=5, signals={"unseen": 2})).unhit == []


@pytest.mark.parametrize("turned", [False, True])
def test_a_seed_that_runs_differently_elsewhere_fails_the_campaign(turned: bool) -> None:
    """In whichever order the two come in; the second run counts for nothing else."""
    pair = [GOOD, replace(GOOD, environment=ELSEWHERE, digest="other")]
    tally = tally_of(*(reversed(pair) if turned else pair))
    assert (tally.runs, tally.checked, tally.differing) == (1, 1, [(GOOD, pair[1])])
    assert "s 4" in tally.complaints[0]
    assert tally_of(GOOD, replace(GOOD, environment=ELSEWHERE)).complaints == []
    killed = replace(GOOD, environment=ELSEWHERE, digest="", failure=Failure("TimedOut", "", 0))
    assert tally_of(GOOD, killed).complaints == []


def test_bugs_come_with_their_shortest_run_first() -> None:
    """By scenario and invariant: the fastest is the one to look at."""
    other = replace(ONE, seed=1, failure=Failure("S2", "", 0))
    long, short = replace(ONE, seed=7, steps=99), replace(ONE, seed=8, steps=9)
    bugs = tally_of(long, short, other).bugs()
    assert [one.seed for one in bugs["m:s", "S1"]] == [8, 7]
    assert list(bugs) == [("m:s", "S1"), ("m:s", "S2")]


def test_code_that_changes_meanwhile_is_no_verdict() -> None:
    """Half of the seeds would be about another program."""
    assert "code" in tally_of(GOOD, replace(GOOD, seed=9, code="v2")).complaints[0]


def test_scenarios_of_several_modules_are_several_programs() -> None:
    """Each of its own version, and none of them changed."""
    assert not tally_of(GOOD, replace(GOOD, scenario="other:s", code="v2")).complaints
