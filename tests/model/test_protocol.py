"""The model can stand as an oracle: pure, explicit, the same for all witnesses, and true to its own invariants."""

from __future__ import annotations

import random

import pytest

from simulations.model import Act, Bounds, Budget, Mode, Recovery, Rules, State, Step
from simulations.model.chains import epoch_of
from simulations.model.replicas import with_witness

EVERYTHING = Budget(*(1,) * len(Budget._fields))
BOUNDS = [Bounds(nodes, EVERYTHING, founding=founding) for nodes in (2, 3, 5) for founding in (False, True)]


def walk(model: Recovery, seed: int, length: int = 60) -> list[tuple[Step, State]]:
    chance, state, run = random.Random(seed), model.initial(), []
    for _ in range(length):
        choices = list(model.steps(state))
        if not choices:
            break
        step, state = chance.choice(choices)
        run.append((step, state))
    return run


@pytest.mark.parametrize("bounds", BOUNDS)
def test_apply_follows_steps(bounds: Bounds) -> None:
    """What ``steps`` offers is what ``apply`` does, each step means one thing, and both are pure."""
    model = Recovery(Rules(), bounds)
    for seed in range(5):
        state = model.initial()
        for step, after in walk(model, seed):
            offered = list(model.steps(state))
            assert offered == list(model.steps(state))
            assert len({one for one, _ in offered}) == len(offered)
            assert model.apply(state, step) == after
            state = after


@pytest.mark.parametrize("bounds", BOUNDS)
def test_witnesses_are_alike(bounds: Bounds) -> None:
    """Renaming them renames what can follow, and nothing else: the symmetry that the checker uses is there."""
    model = Recovery(Rules(), bounds)
    for _, state in walk(model, 1):
        mirrored = state._replace(witnesses=state.witnesses[::-1])
        assert model.canonical(mirrored) == model.canonical(state)
        assert model.broken(mirrored) == model.broken(state)
        after = {model.canonical(one) for _, one in model.steps(state)}
        assert after == {model.canonical(one) for _, one in model.steps(mirrored)}


@pytest.mark.parametrize("bounds", BOUNDS)
def test_invariants_of_a_replica(bounds: Bounds) -> None:
    """What is synced is what is believed, a promise only rises but by loss, and the silent show nothing new."""
    losses = {Act.WITNESS_WIPE, Act.WITNESS_INIT, Act.WITNESS_LIE}
    model = Recovery(Rules(), bounds)
    for seed in range(20):
        before = model.initial()
        for step, state in walk(model, seed):
            for old, new in zip(before.witnesses, state.witnesses, strict=True):
                assert new.synced == new.chain
                assert new.promised.ballot >= old.promised.ballot or step.act in losses
                if old.amnesiac and new.amnesiac:
                    assert new.shown == old.shown
            before = state


def test_epoch_only_rises_for_an_author_that_may_append() -> None:
    """From one granted start to the next, its epoch rises, whatever happened to its disk in between."""
    model = Recovery(Rules(), Bounds(3, Budget(events=3, crashes=2, wipes=2)))
    for seed in range(50):
        last = 0
        for step, state in walk(model, seed):
            if step.act is Act.COMMIT:
                assert state.author.mode is Mode.READY
                assert epoch_of(state.author.chain) > last
                last = epoch_of(state.author.chain)


def test_networks_have_two_to_nine_nodes() -> None:
    """n = 1 has no witnesses: there is nothing to prove."""
    with pytest.raises(ValueError, match="2 to 9"):
        Bounds(1)


def test_places_count_from_one() -> None:
    """Place 0 is the author's."""
    state = Recovery(Rules(), Bounds(3)).initial()
    changed = state.witnesses[1]._replace(amnesiac=True)
    assert with_witness(state, 2, changed).witnesses == (state.witnesses[0], changed)
