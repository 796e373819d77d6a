"""Scenarios are found by the names that people write."""

from __future__ import annotations

import pytest

from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.loading import find_scenario, find_scenarios
from tests.testing.campaign.toys import SCENARIOS

HERE = "tests.testing.campaign.toys"


def test_a_module_gives_all_of_its_scenarios() -> None:
    """By full names, each of which finds its scenario again."""
    found = find_scenarios(HERE)
    assert found == {f"{HERE}:{name}": scenario for name, scenario in SCENARIOS.items()}
    assert find_scenario(f"{HERE}:fragile") is SCENARIOS["fragile"]


def test_a_variable_may_hold_several() -> None:
    """As our own list does."""
    assert len(find_scenarios(f"{HERE}:SCENARIOS")) == len(SCENARIOS)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("no.such.module:x", "no module"),
        (f"{HERE}.deeper:x", "no module"),
        (f"{HERE}:nothing", "name one of fragile"),
        (f"{HERE}:Toy", "no scenario"),
        ("json:x", "json has no scenarios: .*@simulate_world"),
        ("json", "json has no scenarios: .*@simulate_world"),
        ("tests/testing/campaign/toys.py:fragile", "tests.testing.campaign.toys"),
    ],
)
def test_what_is_not_there_is_told(spec: str, words: str) -> None:
    """With what to write instead."""
    with pytest.raises(UsageError, match=words):
        find_scenarios(spec)


def test_one_means_one() -> None:
    """Where only one can be run."""
    with pytest.raises(UsageError, match="choose one"):
        find_scenario(HERE)
