"""What must never happen, as named predicates over states, and what must stay possible. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import combinations
from types import MappingProxyType
from typing import Final

from simulations.model.chains import Chain, common, conflict, epoch_of, holds
from simulations.model.rules import Rules
from simulations.model.starting import TWICE, knows
from simulations.model.states import Bounds, Mode, State

__all__ = ["PROPERTIES", "Property", "beyond_help", "settled", "stable"]

Property = Callable[[Rules, Bounds, State], bool]
"""Whether the state breaks it."""


def stable(rules: Rules, bounds: Bounds, state: State) -> tuple[tuple[Chain, int], ...]:
    """The longest stable histories, each with the epoch of the tips that make it stable.

    All receipts ever given count, for they may reach the ones who count at any later time.
    """
    shown = tuple(sorted(one.shown for one in state.witnesses))
    return _stable(shown, bounds.majority - 1, rules.one_epoch_stability)


@lru_cache(maxsize=1 << 18)
def _stable(shown: tuple[tuple[Chain, ...], ...], needed: int, one_epoch: bool) -> tuple[tuple[Chain, int], ...]:
    found: set[tuple[Chain, int]] = set()
    for some in combinations(shown, needed):
        agreed: set[tuple[Chain, int]] = {(tip, epoch_of(tip)) for tip in some[0]}
        for tips in some[1:]:
            agreed = {
                (common(history, tip), min(epoch, epoch_of(tip)))
                for history, epoch in agreed
                for tip in tips
                if epoch == epoch_of(tip) or not one_epoch
            }
        found |= {(history, epoch) for history, epoch in agreed if history}
    return tuple(sorted(found))


def fork(rules: Rules, bounds: Bounds, state: State) -> bool:
    """The author signed two batches with one (epoch, seq)."""
    return _conflict(state) == "FORK"


def epoch_twice(rules: Rules, bounds: Bounds, state: State) -> bool:
    """The author opened one epoch twice."""
    return _conflict(state) == "EPOCH"


def _conflict(state: State) -> str | None:
    chains = {state.author.chain, state.author.twin.chain, *state.relayed}
    for witness in state.witnesses:
        chains.add(witness.chain)
        chains.update(witness.shown)
    for left, right in combinations(sorted(chains), 2):
        if (found := conflict(left, right)) is not None:
            return found
    return None


def disagreement(rules: Rules, bounds: Bounds, state: State) -> bool:
    """Two stable histories contradict each other."""
    histories = [history for history, _ in stable(rules, bounds, state)]
    return any(not holds(other, one) and not holds(one, other) for one, other in combinations(histories, 2))


def loss(rules: Rules, bounds: Bounds, state: State) -> bool:
    """A stable event is missing where the author goes on, or on a branch of a later epoch that a witness took."""
    histories = stable(rules, bounds, state)
    if not histories:
        return False
    goes_on = state.author.mode is Mode.READY and not bounds.budget.bumps
    if goes_on and any(not holds(state.author.chain, history) for history, _ in histories):
        return True
    return any(
        epoch_of(one.chain) > epoch and not holds(one.chain, history)
        for one in state.witnesses
        for history, epoch in histories
    )


def promised_twice(rules: Rules, bounds: Bounds, state: State) -> bool:
    """A witness's store promised one ballot to two starts."""
    return any(one.given == TWICE for one in state.witnesses)


PROPERTIES: Final[Mapping[str, Property]] = MappingProxyType(
    {
        "FORK": fork,
        "EPOCH": epoch_twice,
        "AGREE": disagreement,
        "LOST": loss,
        "TWICE": promised_twice,
    }
)
"""By name, in the order they are checked."""


def settled(bounds: Bounds, state: State) -> bool:
    """Whether all is well: the author may append, and every replica that is not away counts and holds its log."""
    author = state.author
    return author.mode is Mode.READY and all(
        one.chain == author.chain and not one.amnesiac and not one.founding for one in state.witnesses[: bounds.present]
    )


def beyond_help(rules: Rules, bounds: Bounds, state: State) -> bool:
    """Whether the start must wait for who is away or, if nobody is, for an operator's word.

    A start can finish where R others are there that remember. One that has its disk makes those remember that have
    forgotten, but only so many that R do, and who is away and has not forgotten counts among these. A founding
    one needs all. An author that broke its own log has nothing to ask for.
    """
    author, there = state.author, state.witnesses[: bounds.present]
    remember = sum(not one.amnesiac and not (one.founding and one.known) for one in there)
    if bounds.budget.bumps:
        return True
    if author.mode is Mode.WIPED:
        return remember < bounds.answers
    if author.founding:
        return bounds.away > 0 or (any(knows(one, author) for one in there) and remember < bounds.answers)
    if author.mode is Mode.STARTING:
        reminded = sum(one.amnesiac for one in there)
        if rules.amnesia_awaits_proof:
            forgetful = sum(one.amnesiac for one in state.witnesses)
            reminded = max(0, min(reminded, forgetful - (bounds.majority - 2)))
        return remember + reminded < bounds.answers
    return False
