"""A small explicit-state checker: breadth first, shortest counterexample, counted. Knows no protocol; no I/O.

Symmetry is the model's: it maps states that differ only in names to one (``canonical``). That is sound
where steps and properties do not care for those names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

__all__ = ["WEDGE", "Model", "Progress", "Result", "apply", "search"]

S = TypeVar("S", bound=Hashable)
T = TypeVar("T")


class Model(Protocol[S, T]):
    """What can be checked: states ``S``, which are hashable, and steps ``T`` between them, all pure."""

    def initial(self) -> S:
        """Where every run begins."""

    def steps(self, state: S) -> Iterable[tuple[T, S]]:
        """All that can happen next, always in the same order."""

    def canonical(self, state: S) -> S:
        """One representative of all states that differ only in names."""

    def broken(self, state: S) -> str | None:
        """The name of a property that this state breaks."""

    def helps(self, step: T) -> bool:
        """Whether this step needs no bad luck: what must stay possible is reached by such steps alone."""

    def settled(self, state: S) -> bool:
        """Whether all is well, which must stay possible."""

    def excused(self, state: S) -> bool:
        """Whether nobody promised that all can be well again from here."""


@dataclass(frozen=True, slots=True)
class Result(Generic[S, T]):
    """What a search found. It proves the properties only where it is ``complete`` and nothing is ``broken``."""

    broken: str | None  # a property, or WEDGE
    trace: tuple[tuple[T, S], ...]  # a shortest run to it, from the initial state
    states: int  # distinct, after symmetry
    transitions: int
    depth: int  # of the deepest state reached
    complete: bool  # no state within the model was left out


Progress: TypeAlias = Callable[[int, int], None]
"""Told now and then: states found, depth reached."""

WEDGE: Final = "WEDGE"
"""Broken where no run of steps that help leads from a state to a settled one."""


def search(
    model: Model[S, T], *, possible: bool = False, states_max: int = 10_000_000, progress: Progress | None = None
) -> Result[S, T]:
    """Search breadth first until a property breaks, all states are seen, or there are ``states_max`` of them.

    With ``possible``, a complete search in which nothing breaks goes on to look for a wedge.
    """
    first = model.canonical(model.initial())
    before: dict[S, S | None] = {first: None}
    helped: dict[S, list[S]] = {}
    waiting: deque[tuple[S, int]] = deque([(first, 0)])
    transitions = depth = 0

    def result(broken: str | None, last: S | None, *, complete: bool) -> Result[S, T]:
        trace = () if last is None else _trace(model, before, last)
        return Result(broken, trace, len(before), transitions, depth, complete)

    if (broken := model.broken(first)) is not None:
        return result(broken, first, complete=False)
    while waiting:
        state, depth = waiting.popleft()
        for step, after in model.steps(state):
            transitions += 1
            found = model.canonical(after)
            if possible and model.helps(step):
                helped.setdefault(found, []).append(state)
            if found in before:
                continue
            before[found] = state
            if (broken := model.broken(found)) is not None:
                return result(broken, found, complete=False)
            waiting.append((found, depth + 1))
        if progress is not None:
            progress(len(before), depth)
        if len(before) > states_max:
            return result(None, None, complete=False)
    wedge = _wedge(model, before, helped) if possible else None
    return result(None if wedge is None else WEDGE, wedge, complete=True)


def _wedge(model: Model[S, T], before: dict[S, S | None], helped: dict[S, list[S]]) -> S | None:
    """The first state found from which no state is settled that can be reached by steps that help."""
    free = {state for state in before if model.settled(state)}
    spreading = list(free)
    while spreading:
        for state in helped.get(spreading.pop(), ()):
            if state not in free:
                free.add(state)
                spreading.append(state)
    return next((state for state in before if state not in free and not model.excused(state)), None)


def apply(model: Model[S, T], state: S, step: T) -> S:
    """The state after this step. Raises `ValueError` if it cannot happen now."""
    for one, after in model.steps(state):
        if one == step:
            return after
    raise ValueError(f"{step} cannot happen in this state")


def _trace(model: Model[S, T], before: dict[S, S | None], last: S) -> tuple[tuple[T, S], ...]:
    """The run to ``last`` with the names it had on the way, which the canonical states have lost."""
    path = [last]
    while (earlier := before[path[-1]]) is not None:
        path.append(earlier)
    path.reverse()
    state, trace = model.initial(), []
    for wanted in path[1:]:
        step, state = next(one for one in model.steps(state) if model.canonical(one[1]) == wanted)
        trace.append((step, state))
    return tuple(trace)
