"""Crashes, lost disks, lying disks, restored backups, founding stores over lost disks, second processes. No I/O.

A loss is *noticed* where the store says so (made by ``recover``, or cut on opening), *unnoticed* where it looks like
an older day. Noticed losses may come at any time, in any number. Unnoticed ones are bounded by what can be survived:
while the author is short of something, at most q - 2 witnesses are in loss, so that one at least remembers; and a
witness forgets unnoticed only where nothing else is lost, and never where the author's disk may be.
``Bounds.beyond`` lifts both bounds.
"""

from __future__ import annotations

from collections.abc import Iterator

from simulations.model.chains import Chain, epoch_of, holds
from simulations.model.replicas import with_witness
from simulations.model.rules import Rules
from simulations.model.starting import forget_answers
from simulations.model.states import (
    NO_PROMISE,
    NO_TWIN,
    Act,
    Author,
    Bounds,
    Mode,
    Promised,
    State,
    Step,
    Twin,
    Witness,
)

__all__ = ["behind", "fault_steps"]


def fault_steps(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    """Everything that costs budget, but events and a byzantine author's bump."""
    yield from _author_faults(rules, bounds, state)
    yield from _witness_faults(rules, bounds, state)


def behind(witness: Witness) -> bool:
    """Whether it lacks something that it showed, and has nothing newer: an unnoticed loss not yet repaired."""
    return any(not holds(witness.chain, tip) and epoch_of(tip) >= epoch_of(witness.chain) for tip in witness.shown)


def _in_loss(witnesses: tuple[Witness, ...]) -> int:
    """How many witnesses have a loss, noticed or not, that is not yet repaired."""
    return sum(one.amnesiac or one.founding or behind(one) for one in witnesses)


def _author_faults(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    author, left = state.author, state.left
    alone = bounds.beyond or not any(behind(one) and not one.amnesiac for one in state.witnesses)
    if left.crashes:
        spent = state._replace(left=left._replace(crashes=left.crashes - 1))
        yield Step(Act.CRASH, 0, author.chain), _restarted(rules, spent, author)
    if left.wipes and alone:
        spent = state._replace(left=left._replace(wipes=left.wipes - 1))
        lost = author._replace(chain=(), mode=Mode.WIPED, founding=0)
        yield Step(Act.WIPE), _started(rules, spent, lost)
    if left.inits and alone and author.mode is not Mode.WIPED:
        spent = state._replace(left=left._replace(inits=left.inits - 1))
        lost = author._replace(chain=(), mode=Mode.STARTING, founding=state.starts + 1, short=False)
        yield Step(Act.INIT), _started(rules, spent, lost)
    if (
        left.lies
        and author.mode is not Mode.WIPED
        and (bounds.beyond or _in_loss(state.witnesses) <= bounds.majority - 2)
    ):
        spent = state._replace(left=left._replace(lies=left.lies - 1))
        for stop in range(len(author.chain)):
            short = author._replace(chain=author.chain[:stop], short=True)
            yield Step(Act.LIE, 0, short.chain), _restarted(rules, spent, short)
    if left.twins and author.mode is not Mode.WIPED and not author.founding and author.twin == NO_TWIN:
        spent = state._replace(left=left._replace(twins=left.twins - 1))
        asked = Promised(author.ballot, state.starts) if author.ballot else NO_PROMISE
        if author.mode is Mode.READY or author.ballot:
            second = author._replace(twin=Twin(author.chain, asked), short=True)
            yield Step(Act.TWIN), _restarted(rules, spent, second)


def _restarted(rules: Rules, state: State, author: Author) -> State:
    if author.mode is Mode.READY and not rules.restart_proves:
        return state._replace(author=author)
    return _started(rules, state, author._replace(mode=max(author.mode, Mode.STARTING)))


def _started(rules: Rules, state: State, author: Author) -> State:
    """A new start of the author: it knows only its disk."""
    return forget_answers(rules, state._replace(author=author._replace(ballot=0), starts=state.starts + 1))


def _witness_faults(rules: Rules, bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    left = state.left
    for who, witness in enumerate(state.witnesses, 1):
        rest = (*state.witnesses[: who - 1], *state.witnesses[who:])
        whole = bounds.beyond or not state.author.short or _in_loss(rest) < bounds.majority - 2
        others = bounds.beyond or not any(behind(one) and not one.amnesiac for one in rest)
        if left.witness_wipes and whole and others and not (witness.amnesiac and not witness.chain):
            unheard_of = witness.founding and not witness.known  # no epoch of its own log was ever granted
            after = _emptied(witness)._replace(amnesiac=rules.amnesia, founding=unheard_of)
            yield Step(Act.WITNESS_WIPE, who), _spent(state, "witness_wipes", who, after)
        if left.inits and whole and others and not (witness.founding and not witness.chain):
            after = _emptied(witness)._replace(amnesiac=False, founding=True)
            yield Step(Act.WITNESS_INIT, who), _spent(state, "inits", who, after)
        if left.cuts and whole and others and witness.chain:
            after = _left_with(witness, witness.chain[:-1])._replace(amnesiac=rules.amnesia and rules.cut_is_amnesia)
            yield Step(Act.CUT, who, after.chain), _spent(state, "cuts", who, after)
        if left.witness_lies and (bounds.beyond or (bounds.author_keeps_disk and _whole_without(state, who))):
            yield from _witness_lies(state, who)
        if left.restarts and not rules.promise_durable and witness.promised != NO_PROMISE:
            after = witness._replace(promised=NO_PROMISE)
            yield Step(Act.RESTART, who), _spent(state, "restarts", who, after)
        if left.power_cuts and witness.synced != witness.chain:
            after = _left_with(witness, witness.synced)
            yield Step(Act.POWER_CUT, who, witness.synced), _spent(state, "power_cuts", who, after)


def _witness_lies(state: State, who: int) -> Iterator[tuple[Step, State]]:
    """Back to any older day, its promise as well."""
    witness = state.witnesses[who - 1]
    for stop in range(len(witness.chain) + 1):
        after = _left_with(witness, witness.chain[:stop])._replace(promised=NO_PROMISE)
        if after != witness:
            yield Step(Act.WITNESS_LIE, who, after.chain), _spent(state, "witness_lies", who, after)


def _whole_without(state: State, who: int) -> bool:
    """Whether nothing else is lost or starting."""
    rest = (*state.witnesses[: who - 1], *state.witnesses[who:])
    return not _in_loss(rest) and state.author.mode is Mode.READY and not state.witnesses[who - 1].amnesiac


def _emptied(witness: Witness) -> Witness:
    return _left_with(witness, ())._replace(promised=NO_PROMISE, given=NO_PROMISE)


def _left_with(witness: Witness, chain: Chain) -> Witness:
    return witness._replace(chain=chain, synced=chain)


def _spent(state: State, budget: str, who: int, witness: Witness) -> State:
    left = state.left._replace(**{budget: getattr(state.left, budget) - 1})
    return with_witness(state, who, witness)._replace(left=left)
