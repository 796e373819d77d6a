"""Our scenarios: their first seeds pass, replay identically, and hit what they are made for."""

from __future__ import annotations

from collections import Counter

import pytest

from hydra_sync.testing.plan.faults import FAULT_KINDS
from hydra_sync.testing.signals import registered
from hydra_sync.testing.simulate import Simulation
from simulations import scenarios

ALL = [
    (scenarios.swarm, 4),
    (scenarios.quiet, 2),
    (scenarios.damage, 4),
    (scenarios.hostile, 3),
    (scenarios.behind, 2),
    (scenarios.founding, 4),
    (scenarios.pair, 4),
]


@pytest.mark.parametrize(("scenario", "seeds"), ALL, ids=lambda value: getattr(value, "name", None))
def test_first_seeds_pass(scenario: Simulation, seeds: int) -> None:
    """Every registered signal is counted, be it 0."""
    signals: Counter[str] = Counter()
    for seed in range(seeds):
        outcome = scenario.run(seed)
        assert outcome.failure is None
        signals.update(outcome.signals)
    assert set(signals) == set(registered())


def test_our_scenarios_draw_every_kind_of_fault() -> None:
    """So a campaign over all of them fails if it never sees one; and each draws just what it says."""
    drawn: dict[str, set[str]] = {}
    for scenario, _ in ALL:
        plans = [scenario.draw(seed).plan for seed in range(200)]
        drawn[scenario.name] = {type(fault).__name__ for plan in plans for fault in plan}
        assert drawn[scenario.name] == set(scenario.fault_kinds)
    assert set.union(*drawn.values()) == set(FAULT_KINDS)


def test_same_seed_same_run() -> None:
    one, other = scenarios.swarm.run(5), scenarios.swarm.run(5)
    assert (one.digest, one.steps, one.effects) == (other.digest, other.steps, other.effects)


def test_recording_changes_nothing() -> None:
    plain, recorded = scenarios.damage.run(3), scenarios.damage.run(3, record=True)
    assert plain.digest == recorded.digest
    assert not plain.rows
    assert {"open", "append", "acknowledge", "deliver", "core"} <= {row.kind for row in recorded.rows}


def test_every_smaller_setup_is_a_setup() -> None:
    """A plan that names members who are not there any more is run without those faults."""
    setup = scenarios.swarm.draw(4)
    assert setup.nodes > 3
    smaller = type(setup)(nodes=3, seconds=2, operations=4, plan=setup.plan)
    assert scenarios.swarm.run(4, smaller).failure is None
