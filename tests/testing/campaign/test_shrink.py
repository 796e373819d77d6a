"""A failing run is made small, and stays the same failure, every time it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.errors import UsageError
from hydra_sync.testing import SECOND, Policy, Stream
from hydra_sync.testing.campaign.shrink import NotReplayedError, shrink
from hydra_sync.testing.campaign.smaller import ddmin, fewer_nodes, fewer_operations, less_time, softer
from hydra_sync.testing.plan.faults import At, Crash, Fault, On, Partition, Pause, Rot
from hydra_sync.testing.plan.scenario import Failure, Outcome, Setup
from tests.testing.campaign.toys import SCENARIOS, many_faults

FRAGILE = SCENARIOS["fragile"]


@dataclass
class Rule:
    """A scenario without a world: a rule says which setup breaks which invariant."""

    breaks: Callable[[Setup, Policy], str | None]
    setup: Setup
    name: str = "rule"
    runs: int = 0
    digests: Callable[[int], str] = lambda run: "same"

    def draw(self, seed: int) -> Setup:
        return self.setup

    def run(self, seed: int, setup: Setup | None = None, *, record: bool = False, policy: Policy = "random") -> Outcome:
        self.runs += 1
        used = setup or self.setup
        broken = self.breaks(used, policy)
        failure = Failure(broken, "", 0) if broken else None
        return Outcome(self.name, seed, used, self.digests(self.runs), 1, 1.0, failure)


def crash(number: int) -> Fault:
    return Crash(At(number * SECOND), f"n{number % 5}")


BIG = Setup(nodes=5, seconds=60, operations=100, plan=tuple(crash(number) for number in range(12)))


def test_a_dozen_faults_become_three() -> None:
    """What is left of a real run fails in the same way, on one node, and replays to the last byte."""
    seed = next(seed for seed in range(60) if FRAGILE.run(seed).failure)
    shrunk = shrink(FRAGILE, seed)
    assert shrunk.finished
    assert shrunk.setup.nodes == 1
    assert sorted(type(fault).__name__ for fault in shrunk.setup.plan) == ["Crash", "Crash", "Pause"]
    assert shrunk.policy == "fifo"
    setup = Setup.from_json(shrunk.setup.to_json())
    again = [FRAGILE.run(seed, setup, policy=shrunk.policy) for _ in range(2)]
    assert {(one.digest, one.failure) for one in again} == {(shrunk.outcome.digest, shrunk.outcome.failure)}


def test_only_the_same_invariant_counts() -> None:
    """A smaller setup that breaks something else is another bug, and not what was asked for."""

    def breaks(setup: Setup, policy: Policy) -> str:
        return "S1" if crash(3) in setup.plan and setup.operations >= 10 else "S2"

    shrunk = shrink(Rule(breaks, BIG), 1)
    assert shrunk.outcome.failure == Failure("S1", "", 0)
    assert shrunk.setup.operations == 10
    assert shrunk.setup.plan == (crash(3),)


def test_numbers_go_as_low_as_they_can() -> None:
    """Nodes, operations, seconds and the faults' own numbers; nodes that faults name are renumbered."""

    def breaks(setup: Setup, policy: Policy) -> str | None:
        long = [fault for fault in setup.plan if isinstance(fault, Pause) and fault.for_ns >= SECOND // 2]
        return "L1" if long and setup.seconds >= 7 else None

    plan = (*BIG.plan, Pause(On("n4", "sync", nth=9), "n4", for_ns=3 * SECOND))
    shrunk = shrink(Rule(breaks, replace(BIG, plan=plan)), 1).setup
    assert (shrunk.nodes, shrunk.operations) == (1, 0)
    assert 7 <= shrunk.seconds < 7.5
    (fault,) = shrunk.plan
    assert fault == Pause(On("n0", "sync", nth=1), "n0", for_ns=fault.for_ns)  # type: ignore[attr-defined]
    assert SECOND // 2 <= fault.for_ns < 0.53 * SECOND


def test_a_special_order_of_tasks_is_kept_where_it_is_needed() -> None:
    """First in, first out is the simplest schedule only if it fails."""
    assert shrink(Rule(lambda setup, policy: "S1" if policy == "random" else None, BIG), 1).policy == "random"
    assert shrink(Rule(lambda setup, policy: "S1", BIG), 1).policy == "fifo"


@pytest.mark.parametrize("limits", [{"runs_max": 12}, {"seconds_max": 0.0}])
def test_a_budget_ends_the_search(limits: dict[str, int]) -> None:
    """With the smallest so far, which fails."""
    rule = Rule(lambda setup, policy: "S1" if {crash(1), crash(7)} <= set(setup.plan) else None, BIG)
    shrunk = shrink(rule, 1, **limits)  # type: ignore[arg-type]
    assert not shrunk.finished
    assert shrunk.outcome.failure is not None
    assert shrunk.runs == rule.runs <= 12 + 3 + 3  # a replay of the last, and the plain schedule


def test_what_is_not_replayed_is_not_shrunk() -> None:
    """It is said at once: nothing can be trusted then."""
    rule = Rule(lambda setup, policy: "S1", BIG, digests=str)
    with pytest.raises(NotReplayedError, match="two ways"):
        shrink(rule, 1)
    assert rule.runs == 2


def test_a_passing_seed_cannot_be_shrunk() -> None:
    """The caller has the wrong one."""
    with pytest.raises(UsageError, match="does not fail"):
        shrink(Rule(lambda setup, policy: None, BIG), 1)


def test_progress_is_told_after_each_run() -> None:
    """The smallest so far, and how many runs it took."""
    heard: list[tuple[int, int]] = []
    shrunk = shrink(
        Rule(lambda setup, policy: "S1" if setup.plan else None, BIG),
        1,
        progress=lambda best, runs: heard.append((len(best.plan), runs)),
    )
    assert [runs for _, runs in heard] == list(range(1, shrunk.runs + 1))
    assert heard[0][0] == 12
    assert heard[-1][0] == 1


@given(st.integers(0, 30), st.lists(st.sets(st.integers(0, 29), min_size=1, max_size=3), min_size=1, max_size=4))
def test_nothing_can_be_left_out_of_what_ddmin_gives(size: int, causes: list[set[int]]) -> None:
    """Whatever combinations make it fail: the rest fails, and without any one item does not."""

    def fails(part: tuple[int, ...]) -> bool:
        return any(cause <= set(part) for cause in causes)

    items = tuple(range(size))
    if fails(items):
        rest = ddmin(items, fails)
        assert fails(rest)
        assert not any(fails(rest[:i] + rest[i + 1 :]) for i in range(len(rest)))


@pytest.mark.parametrize("seed", range(5))
def test_every_candidate_is_a_setup_and_smaller(seed: int) -> None:
    """So that the search ends, and what it finds can be written down."""
    setup = Setup(5, 3.0, 20, (*many_faults(Stream(seed, "plan"), 5), Rot(On("n3", "write", nth=4), "n3")))
    for candidate in (*fewer_nodes(setup), *fewer_operations(setup), *less_time(setup)):
        assert Setup.from_json(candidate.to_json()) == candidate
        assert (candidate.nodes, candidate.seconds, candidate.operations) < (5, 3.0, 20)
    for fault in setup.plan:
        others = list(softer(fault))
        assert fault not in others
        assert {type(other) for other in others} <= {type(fault)}


def test_nodes_that_are_gone_are_named_no_more() -> None:
    """A plan for fewer nodes leaves out what happens to the others, or lets it happen to those who stay."""
    plan = (Crash(At(1), "n4"), Partition(At(1), (("n0", "n3"), ("n1",), ("n4",))), Crash(At(1), "n0"))
    first, renamed, *_ = (setup.plan for setup in fewer_nodes(Setup(5, 1, 1, plan)) if setup.nodes == 3)
    assert first == (Partition(At(1), (("n0",), ("n1",))), Crash(At(1), "n0"))
    assert renamed == (Partition(At(1), (("n0", "n2"), ("n1",))), Crash(At(1), "n0"))
