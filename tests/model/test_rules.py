"""All rules together hold in every search; without any single one that is needed, the others do not suffice."""

from __future__ import annotations

import pytest

from simulations.model import Bounds, Budget, Recovery, Rules, search
from simulations.model.command import GUARANTEES, describe
from simulations.model.necessary import NEEDED, SMALL, Need
from simulations.model.properties import PROPERTIES

FULL_STATES_MAX = 5_000  # what a test may take; ``check --large`` has the rest


def test_every_rule_is_in_the_table() -> None:
    """A new rule comes with the bounds that show what it is for."""
    assert list(NEEDED) == Rules.names()


@pytest.mark.parametrize("bounds", SMALL, ids=describe)
def test_all_rules_hold(bounds: Bounds) -> None:
    """Nothing breaks and nothing is wedged, and no state within the bounds was left out."""
    result = search(Recovery(Rules(), bounds), possible=True)
    assert (result.broken, result.complete) == (None, True)


@pytest.mark.parametrize(("rule", "need"), NEEDED.items(), ids=list(NEEDED))
def test_rule_is_needed(rule: str, need: Need) -> None:
    """Without it something breaks, in bounds in which all rules hold."""
    without = search(Recovery(Rules().without(rule), need.bounds, GUARANTEES), possible=True)
    assert without.broken == need.broken
    full = search(Recovery(Rules(), need.bounds), possible=True, states_max=FULL_STATES_MAX)
    assert full.broken is None
    assert full.complete or need.bounds.nodes > 3


@pytest.mark.parametrize("rule", ["promise_once", "promise_durable"])
def test_promise_is_given_once(rule: str) -> None:
    """Behind what breaks without a promise stands a ballot that was promised to two starts."""
    bounds = NEEDED["promise_durable"].bounds
    starts_twice = Bounds(2, bounds.budget._replace(wipes=2))
    result = search(Recovery(Rules().without(rule), starts_twice, ("TWICE",)))
    assert result.broken == "TWICE"


def test_more_loss_than_can_be_survived_is_not_survived() -> None:
    """The bounds on faults are there for a reason: beyond them no rule can help, for nobody has the event any more."""
    survivable = Bounds(3, Budget(events=1, lies=1, witness_wipes=1))
    assert search(Recovery(Rules(), survivable)).broken is None
    beyond = Bounds(3, survivable.budget, beyond=True)
    assert search(Recovery(Rules(), beyond)).broken == "LOST"


@pytest.mark.parametrize("loss", ["wipes", "lies"])
def test_backup_of_a_witness_and_a_lost_author(loss: str) -> None:
    """A witness that forgot its promise unnoticed makes an orphan stable, even long after the author recovered."""
    budget = Budget(events=1, witness_lies=1)._replace(**{loss: 1})
    assert search(Recovery(Rules(), Bounds(3, budget))).broken is None
    assert search(Recovery(Rules(), Bounds(3, budget, beyond=True))).broken == "LOST"


def test_names_of_rules_are_checked() -> None:
    """A rule that does not exist cannot be left out by mistake."""
    with pytest.raises(ValueError, match="no rule 'amnesai'"):
        Rules().without("amnesai")


def test_properties_are_watched_by_default() -> None:
    """Nothing is left out unless it is asked for."""
    assert Recovery(Rules(), Bounds()).watched == tuple(PROPERTIES)
