"""Each property sees what it is named for, and nothing else."""

from __future__ import annotations

import pytest

from simulations.model import Batch, Bounds, Budget, Chain, Mode, Recovery, Rules, State
from simulations.model.properties import PROPERTIES, beyond_help, settled, stable

A, B = Batch(0, 0), Batch(0, 1)
E1, E1B, E2 = Batch(1, 0, opens=True), Batch(1, 1, opens=True), Batch(2, 0, opens=True)
FIVE = Bounds(5)


def showing(*shown: Chain, nodes: int = 5, author: Chain = (A,)) -> State:
    state = Recovery(Rules(), Bounds(nodes)).initial()
    witnesses = list(state.witnesses)
    for at, chain in enumerate(shown):
        witnesses[at] = witnesses[at]._replace(chain=chain, synced=chain, shown=(chain,) if chain else ())
    return state._replace(author=state.author._replace(chain=author), witnesses=tuple(witnesses))


def broken(state: State, bounds: Bounds = FIVE) -> list[str]:
    return [name for name, breaks in PROPERTIES.items() if breaks(Rules(), bounds, state)]


def test_stable_needs_a_majority() -> None:
    """In a network of five, the author and two others."""
    assert stable(Rules(), FIVE, showing((A,))) == ()
    assert stable(Rules(), FIVE, showing((A,), (A, B))) == (((A,), 0),)


def test_tips_of_mixed_epochs_do_not_add_up() -> None:
    """Unless that rule is left out."""
    state = showing((A,), (A, E1))
    assert stable(Rules(), FIVE, state) == ()
    assert stable(Rules().without("one_epoch_stability"), FIVE, state) == (((A,), 0),)


def test_newer_tips_make_older_batches_stable() -> None:
    """Epoch is that of the tips, not of the batch."""
    assert stable(Rules(), FIVE, showing((A, E1), (A, E1))) == (((A, E1), 1),)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("FORK", showing((A,), author=(B,))),
        ("EPOCH", showing((A, E1), author=(E1B,))),
        ("LOST", showing((A,), (A,), author=(E1,))),
        ("LOST", showing((A,), (A,), (E1,))),
        ("AGREE", showing((A,), (A,), (E1,), (E1,), author=(E1,))),
    ],
)
def test_broken_properties_are_seen(name: str, state: State) -> None:
    """Each in a state made for it."""
    assert name in broken(state)


def test_other_epochs_are_no_fork() -> None:
    """Two branches of two epochs are an orphan and what replaced it."""
    assert broken(showing((A,), author=(E1,))) == []


def test_settled_looks_only_at_who_is_there() -> None:
    """All replicas hold and count, and the author may append."""
    state = showing((A,), (A,), nodes=4)
    assert not settled(Bounds(4), state)
    assert settled(Bounds(4, away=1), state)
    starting = state._replace(author=state.author._replace(mode=Mode.STARTING))
    assert not settled(Bounds(4, away=1), starting)


def test_what_only_an_operator_can_help() -> None:
    """A lost author's disk and a lost witness's are too much for three."""
    state = showing(nodes=3, author=())
    forgot = state.witnesses[0]._replace(amnesiac=True)
    both = state._replace(author=state.author._replace(mode=Mode.WIPED), witnesses=(forgot, *state.witnesses[1:]))
    assert beyond_help(Rules(), Bounds(3), both)
    assert not beyond_help(Rules(), Bounds(3), both._replace(author=state.author._replace(mode=Mode.STARTING)))
    assert beyond_help(Rules(), Bounds(3, Budget(bumps=1)), state)
