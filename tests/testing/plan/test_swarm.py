"""Swarms draw the same for ever, and never more damage than can be survived."""

from __future__ import annotations

from typing import Any

import pytest

from hydra_sync.errors import UsageError
from hydra_sync.testing import simulate_world
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.atlas import DAMAGE, atlas, victim
from hydra_sync.testing.plan.faults import FAULT_KINDS, On, plan_from_json, plan_to_json
from hydra_sync.testing.plan.swarm import DAMAGING, KINDS, SURVIVABLE, Swarm, kind_of

EVERYTHING = Swarm.default().also(*DAMAGING)


def test_swarms_draw_every_kind_of_fault() -> None:
    kinds = {type(fault).__name__ for seed in range(200) for fault in EVERYTHING.draw(seed).plan}
    assert kinds == set(FAULT_KINDS)


def test_a_seed_enables_some_kinds_and_not_others() -> None:
    for seed in range(20):
        on = {kind_of(fault) for fault in EVERYTHING.draw(seed).plan}
        assert on < set(KINDS)


def test_half_of_the_faults_and_more_are_armed_at_operations() -> None:
    crashes = [fault for seed in range(100) for fault in Swarm().only("crash", "torn").draw(seed).plan]
    assert sum(isinstance(fault.when, On) for fault in crashes) * 2 > len(crashes)


def test_leaving_out_a_kind_changes_no_other() -> None:
    without = Swarm(kinds=tuple(kind for kind in SURVIVABLE if kind != "crash"))
    for seed in range(20):
        rest = [fault for fault in Swarm.default().draw(seed).plan if kind_of(fault) != "crash"]
        assert list(without.draw(seed).plan) == rest


def test_plans_travel_as_json() -> None:
    for seed in range(50):
        plan = EVERYTHING.draw(seed).plan
        assert plan_from_json(plan_to_json(plan)) == plan


def test_a_minority_is_damaged_at_most() -> None:
    """And a part of what the atlas let through is as harmless."""
    for seed in range(100):
        setup = EVERYTHING.only(*DAMAGING).draw(seed)
        victims = {victim(fault) for fault in setup.plan if isinstance(fault, DAMAGE)}
        assert len(victims) <= (setup.nodes - 1) // 2
        assert atlas(setup.plan[::2], nodes=setup.nodes) == setup.plan[::2]


def test_what_is_no_damage_stays_in_the_plan() -> None:
    plan = (f.Crash(f.At(0), "n0"), f.DiskError(f.At(0), "n1"), f.Wipe(f.At(0), "n2"))
    assert atlas(plan, nodes=3, damaged_max=0) == plan[:2]


def test_unknown_kinds_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="no kind of fault 'gremlin'"):
        Swarm(kinds=("gremlin",))


@pytest.mark.parametrize("fixed", [{"seconds": 2.5}, {"nodes": 1e9}, {"operations": "many"}, {"nodes": 1_000_000}])
def test_setups_are_drawn_in_whole_numbers(fixed: dict[str, Any]) -> None:
    """As a decorator is told, too, when it is given something else."""
    (name,) = fixed
    with pytest.raises(UsageError, match=f"a simulation has whole {name}, .* not {next(iter(fixed.values()))!r}"):
        simulate_world(**fixed)
