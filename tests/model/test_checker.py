"""The checker visits every state once, finds the shortest bug, and tells a wedge from a search that was cut short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from simulations.model.checker import apply, search

Jugs = tuple[int, int]


@dataclass(frozen=True)
class Puzzle:
    """Jugs of three and five litres. Everybody knows: 16 states, and six steps to four litres."""

    wanted: int | None = None

    def initial(self) -> Jugs:
        return (0, 0)

    def steps(self, state: Jugs) -> Iterator[tuple[str, Jugs]]:
        small, large = state
        yield "fill small", (3, large)
        yield "fill large", (small, 5)
        yield "empty small", (0, large)
        yield "empty large", (small, 0)
        to_large, to_small = min(small, 5 - large), min(large, 3 - small)
        yield "pour into large", (small - to_large, large + to_large)
        yield "pour into small", (small + to_small, large - to_small)

    def canonical(self, state: Jugs) -> Jugs:
        return state

    def broken(self, state: Jugs) -> str | None:
        return "WANTED" if self.wanted in state else None

    def helps(self, step: str) -> bool:
        return True

    def settled(self, state: Jugs) -> bool:
        return state == (0, 0)

    def excused(self, state: Jugs) -> bool:
        return False


@dataclass(frozen=True)
class Tokens:
    """Tokens that climb alike to step 3, whence bad luck throws them into a pit (4)."""

    count: int
    pit: bool = False
    pardoned: bool = False

    def initial(self) -> tuple[int, ...]:
        return (0,) * self.count

    def steps(self, state: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
        for at, height in enumerate(state):
            if height < 3:
                yield f"climb {at}", (*state[:at], height + 1, *state[at + 1 :])
            elif height == 3 and self.pit:
                yield f"fall {at}", (*state[:at], 4, *state[at + 1 :])

    def canonical(self, state: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(state))

    def broken(self, state: tuple[int, ...]) -> str | None:
        return None

    def helps(self, step: str) -> bool:
        return not step.startswith("fall")

    def settled(self, state: tuple[int, ...]) -> bool:
        return set(state) == {3}

    def excused(self, state: tuple[int, ...]) -> bool:
        return self.pardoned


def test_every_state_is_counted_once() -> None:
    """The number of states is the one that can be worked out by hand."""
    result = search(Puzzle())
    assert (result.states, result.transitions, result.complete, result.broken) == (16, 96, True, None)


def test_bug_is_found_by_a_shortest_run() -> None:
    """Its trace is a run of the model, and no shorter one exists."""
    model = Puzzle(wanted=4)
    result = search(model)
    assert (result.broken, result.complete, len(result.trace)) == ("WANTED", False, 6)
    state = model.initial()
    for step, after in result.trace:
        state = apply(model, state, step)
        assert state == after
    assert 4 in state


def test_broken_from_the_beginning() -> None:
    """The initial state is looked at, too."""
    assert search(Puzzle(wanted=0)).trace == ()
    assert search(Puzzle(wanted=0)).broken == "WANTED"


def test_symmetry_merges_states_that_differ_in_names() -> None:
    """Four tokens at heights 0 to 3: 35 multisets instead of 256 places."""
    assert search(Tokens(4)).states == 35


def test_trace_keeps_its_names_under_symmetry() -> None:
    """Every step of a trace can really follow the one before, whatever the canonical order made of the names."""
    model = Tokens(3, pit=True)
    result = search(model, possible=True)
    state = model.initial()
    for step, after in result.trace:
        state = apply(model, state, step)
        assert state == after
    assert sorted(state) == [0, 0, 4]


def test_wedge_is_found_unless_excused() -> None:
    """Only steps that help count as a way out; a pit that is excused is no wedge."""
    assert search(Tokens(2), possible=True).broken is None
    assert search(Tokens(2, pit=True), possible=True).broken == "WEDGE"
    assert search(Tokens(2, pit=True), possible=False).broken is None
    assert search(Tokens(2, pit=True, pardoned=True), possible=True).broken is None


def test_search_that_was_cut_short_says_so() -> None:
    """It claims neither completeness nor a wedge."""
    result = search(Tokens(4, pit=True), possible=True, states_max=10)
    assert (result.complete, result.broken) == (False, None)


def test_progress_is_told() -> None:
    """States only grow, depth never falls."""
    seen: list[tuple[int, int]] = []
    search(Puzzle(), progress=lambda states, depth: seen.append((states, depth)))
    assert seen == sorted(seen)
    assert seen[-1][0] == 16


def test_step_that_cannot_happen_is_refused() -> None:
    """An oracle does not invent states."""
    with pytest.raises(ValueError, match="cannot happen"):
        apply(Puzzle(), (0, 0), "drink")
