"""Makes a failing run as small as it can while it fails in the same way. Reads the wall clock, no other I/O.

First fewer faults, then fewer nodes, fewer operations, less time, softer faults, again until nothing
helps; at last the plain first-in-first-out schedule, which shows whether the order of tasks matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.smaller import ddmin, fewer_nodes, fewer_operations, less_time, softer_plans
from hydra_sync.testing.plan.scenario import Outcome, Scenario, Setup
from hydra_sync.testing.world.scheduler import Policy

__all__ = ["NotReplayedError", "Shrunk", "shrink"]

RUNS_MAX: Final = 500
SECONDS_MAX: Final = 120.0
REPLAYS: Final = 2  # of everything that is accepted


class NotReplayedError(AssertionError):
    """The same seed, setup and schedule gave two different runs: find out why before anything else."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest failing run that was found."""

    outcome: Outcome
    policy: Policy
    """``fifo`` if it fails without any special order of tasks."""
    runs: int
    wall_s: float
    finished: bool
    """False if the budget was used up before the search was."""

    @property
    def setup(self) -> Setup:
        return self.outcome.setup


def shrink(
    scenario: Scenario,
    seed: int,
    setup: Setup | None = None,
    *,
    policy: Policy = "random",
    runs_max: int = RUNS_MAX,
    seconds_max: float = SECONDS_MAX,
    progress: Callable[[Setup, int], None] | None = None,
) -> Shrunk:
    """The smallest run of this seed that fails the same invariant as ``setup`` (or the seed's own) does.

    ``progress`` gets the smallest setup so far and the number of runs, after each run. Raises
    `UsageError` if the seed does not fail, `NotReplayedError` if a failure is not replayed.
    """
    search = _Search(scenario, seed, policy, runs_max, seconds_max, progress)
    search.begin(setup if setup is not None else scenario.draw(seed))
    try:
        while _round(search):
            pass
        finished = True
    except _BudgetUsedUpError:
        finished = False
    search.try_fifo()
    return Shrunk(search.best, search.policy, search.runs, search.elapsed_s, finished)


def _round(search: _Search) -> bool:
    """Try everything once, from the smallest so far; whether anything helped."""
    before = search.setup
    ddmin(before.plan, lambda plan: search.accepts(replace(search.setup, plan=plan)))
    search.descend(fewer_nodes)
    search.descend(fewer_operations)
    search.descend(less_time)
    search.descend(lambda setup: (replace(setup, plan=plan) for plan in softer_plans(setup.plan)))
    return search.setup != before


class _BudgetUsedUpError(Exception):
    """Stop here, with what there is."""


class _Search:
    """The smallest failing outcome so far, and what it takes to accept a smaller one."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        policy: Policy,
        runs_max: int,
        seconds_max: float,
        progress: Callable[[Setup, int], None] | None,
    ) -> None:
        self.policy: Policy = policy
        self.runs = 0
        self.best: Outcome
        self._scenario = scenario
        self._seed = seed
        self._runs_max = runs_max
        self._seconds_max = seconds_max
        self._progress = progress
        self._began_s = time.monotonic()
        self._known: set[Setup] = set()

    @property
    def setup(self) -> Setup:
        return self.best.setup

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def begin(self, setup: Setup) -> None:
        """Run what is to be made smaller, and make sure that it can be replayed."""
        first = self._run(setup, self.policy)
        if first.failure is None:
            raise UsageError(f"seed {self._seed} of {self._scenario.name} does not fail, there is nothing to shrink")
        self.best = first
        self._known.add(setup)
        self._replay(first, self.policy)

    def accepts(self, setup: Setup) -> bool:
        """Whether ``setup`` fails in the same way; then it is the smallest so far."""
        if setup in self._known:
            return setup == self.setup
        if self.runs >= self._runs_max or self.elapsed_s >= self._seconds_max:
            raise _BudgetUsedUpError
        self._known.add(setup)
        return self._accepts(setup, self.policy)

    def descend(self, smaller: Callable[[Setup], Iterable[Setup]]) -> None:
        """Go on with the first candidate that is accepted, until none is."""
        while any(self.accepts(candidate) for candidate in smaller(self.setup)):
            pass

    def try_fifo(self) -> None:
        """Prefer the plain schedule, if it fails too: that is worth a run beyond any budget."""
        if self.policy != "fifo" and self._accepts(self.setup, "fifo"):
            self.policy = "fifo"

    def _accepts(self, setup: Setup, policy: Policy) -> bool:
        outcome = self._run(setup, policy)
        assert self.best.failure is not None
        if outcome.failure is None or outcome.failure.invariant != self.best.failure.invariant:
            return False
        self._replay(outcome, policy)
        self.best = outcome
        return True

    def _replay(self, outcome: Outcome, policy: Policy) -> None:
        for _ in range(REPLAYS):
            again = self._run(outcome.setup, policy)
            if (again.digest, again.failure) != (outcome.digest, outcome.failure):
                raise NotReplayedError(
                    f"seed {self._seed} of {self._scenario.name} ran in two ways with one setup (digests "
                    f"{outcome.digest} and {again.digest}): {outcome.setup.to_json()}"
                )

    def _run(self, setup: Setup, policy: Policy) -> Outcome:
        self.runs += 1
        # The setup that we gave is what the outcome is filed under, whatever the scenario made of it.
        outcome = replace(self._scenario.run(self._seed, setup, policy=policy), setup=setup)
        if self._progress is not None:
            self._progress(self.best.setup if self.runs > 1 else setup, self.runs)
        return outcome
