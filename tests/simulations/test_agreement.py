"""The stories of agreement end well, and without any rule of recovery one of them does not."""

from __future__ import annotations

import pytest

from hydra_sync.testing.campaign.loading import find_scenarios
from simulations.agreement import STORIES
from simulations.rules import RULES

CAUGHT = {
    "promise": (1, "S6"),
    "durable_promise": (1, "S6"),
    "ballot_as_epoch": (2, "S2"),
    "one_epoch_stability": (0, "S10"),
    "amnesia": (0, "S10"),
    "no_receipts_of_amnesiacs": (10, "S6"),
    "rewriting": (12, "S6"),
}
"""By rule, the first seed of its story in which an invariant of safety fails without it."""


@pytest.mark.parametrize("name", STORIES)
def test_first_seeds_pass(name: str) -> None:
    for seed in range(2):
        assert STORIES[name].run(seed).failure is None


def test_campaigns_find_all_stories() -> None:
    assert {name.rpartition(":")[2] for name in find_scenarios("simulations.agreement")} == set(STORIES)


@pytest.mark.parametrize("rule", RULES)
def test_the_product_without_a_rule_is_caught(rule: str) -> None:
    """In the same way when replayed; the product with the rule passes."""
    seed, invariant = CAUGHT[rule]
    mutant = RULES[rule]
    outcome = mutant.run(seed)
    assert outcome.failure is not None
    assert outcome.failure.invariant == invariant
    again = mutant.run(seed)
    assert (again.failure, again.digest) == (outcome.failure, outcome.digest)
    assert mutant.scenario.run(seed).failure is None
