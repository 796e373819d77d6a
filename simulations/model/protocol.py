"""The model of one log under given rules and bounds: initial state, steps, and what must hold. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulations.model import checker
from simulations.model.chains import Chain, holds, longest
from simulations.model.faults import fault_steps
from simulations.model.properties import PROPERTIES, beyond_help, settled
from simulations.model.replicas import replica_steps
from simulations.model.rules import Rules
from simulations.model.starting import author_steps
from simulations.model.states import NO_PROMISE, NO_TWIN, Act, Author, Bounds, Mode, State, Step, Witness

__all__ = ["Recovery"]

KEEPS_ALL = frozenset(
    {Act.APPEND, Act.TWIN_APPEND, Act.PREPARE, Act.PROMISE, Act.TWIN_PROMISE, Act.REFUSE, Act.CLIMB, Act.FOUNDED}
)


@dataclass(frozen=True)
class Recovery:
    """One author's log and its witnesses, for the checker, and as an oracle beside the product.

    >>> model = Recovery(Rules(), Bounds(nodes=2))
    >>> [step.act.name for step, _ in model.steps(model.initial())]
    ['APPEND']
    """

    rules: Rules
    bounds: Bounds
    watched: tuple[str, ...] = tuple(PROPERTIES)

    def initial(self) -> State:
        """All empty: n founding stores, or a network that was founded before anything was appended."""
        founding = self.bounds.founding
        mode = Mode.STARTING if founding else Mode.READY
        author = Author((), mode, int(founding), 0, short=False, twin=NO_TWIN)
        witness = Witness((), (), NO_PROMISE, False, founding, not founding, (), (), NO_PROMISE)
        return State(author, (witness,) * (self.bounds.nodes - 1), (), int(founding), self.bounds.budget)

    def steps(self, state: State) -> Iterator[tuple[Step, State]]:
        """All that can happen in ``state``, each with what comes of it. Witnesses keep their places."""
        for steps in (author_steps, replica_steps, fault_steps):
            for step, after in steps(self.rules, self.bounds, state):
                if self.bounds.relayed and step.act not in KEEPS_ALL:
                    yield step, _with_relayed(state, after)
                else:
                    yield step, after

    def apply(self, state: State, step: Step) -> State:
        """The state after this step. Raises `ValueError` if it cannot happen now."""
        return checker.apply(self, state, step)

    def canonical(self, state: State) -> State:
        """Witnesses in one order: rules and properties treat them all alike, but for who is away."""
        there, away = state.witnesses[: self.bounds.present], state.witnesses[self.bounds.present :]
        return state._replace(witnesses=(*sorted(there), *sorted(away)))

    def broken(self, state: State) -> str | None:
        """The first of the watched properties that this state breaks."""
        for name in self.watched:
            if PROPERTIES[name](self.rules, self.bounds, state):
                return name
        return None

    def helps(self, step: Step) -> bool:
        """Whether it is no fault, and nobody's who is away."""
        return not step.act.is_fault and step.who <= self.bounds.present

    def settled(self, state: State) -> bool:
        """Whether the author may append, and every replica that is there counts and holds its log."""
        return settled(self.bounds, state)

    def excused(self, state: State) -> bool:
        """Whether only an operator's word helps."""
        return beyond_help(self.rules, self.bounds, state)


def _held(state: State) -> list[Chain]:
    return [state.author.chain, state.author.twin.chain, *(one.chain for one in state.witnesses)]


def _with_relayed(before: State, after: State) -> State:
    """``after``, where batches that no node holds any more stay under way."""
    now = _held(after)
    under_way = [chain for chain in {*_held(before), *before.relayed} if not any(holds(other, chain) for other in now)]
    relayed = longest(under_way) if under_way else ()
    return after if relayed == before.relayed else after._replace(relayed=relayed)
