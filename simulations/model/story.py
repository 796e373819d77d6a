"""Counterexamples as stories: every step a sentence, and the state at the end. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simulations.model.chains import show
from simulations.model.states import NO_PROMISE, NO_TWIN, Act, Mode, State, Step, Witness

__all__ = ["MEANINGS", "NAMES", "name_of", "tell", "tell_state", "tell_step"]

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan")
"""Alice is the author."""

MEANINGS: Final = {
    "FORK": "alice, who is correct, signed two batches with one (epoch, seq)",
    "EPOCH": "alice, who is correct, opened one epoch twice",
    "AGREE": "two histories are stable that contradict each other",
    "LOST": "a stable event is missing on a later branch",
    "TWICE": "a witness promised one ballot to two starts",
    "WEDGE": "without further faults, and with everybody there, alice can never append again or a replica never count",
}


def name_of(who: int) -> str:
    """Whom the place stands for."""
    return NAMES[who]


def tell(trace: tuple[tuple[Step, State], ...]) -> Iterator[str]:
    """The run as numbered sentences, then who has what at its end."""
    for number, (step, _) in enumerate(trace, 1):
        yield f"{number:>3}. {tell_step(step)}"
    if trace:
        yield from (f"     {line}" for line in tell_state(trace[-1][1]))


def tell_step(step: Step) -> str:
    """One sentence.

    >>> tell_step(Step(Act.PROMISE, 2, (), 3))
    'carol promises, persists it, and answers: ballot 3, tip []'
    """
    act, who, chain = step.act, name_of(step.who), show(step.chain)
    sentence = act.value.replace("the author's", "alice's").replace("the author", "alice")
    if step.who or act is Act.RECOGNISED:
        sentence = f"{who} {sentence}"
    match act:
        case Act.PREPARE:
            return f"{sentence}: ballot {step.number}"
        case Act.PROMISE | Act.TWIN_PROMISE:
            return f"{sentence}: ballot {step.number}, tip {chain}"
        case Act.REFUSE | Act.CLIMB:
            return f"{sentence} ({step.number})"
        case Act.RECOGNISED if step.number:
            return f"{sentence}, by {name_of(step.number)}"
        case Act.CAUGHT_UP:
            return f"{sentence} with {chain}, taking over ballot {step.number}"
        case Act.APPEND | Act.TWIN_APPEND | Act.TWIN_COMMIT | Act.FETCH | Act.COMMIT | Act.BUMP | Act.KILL:
            return f"{sentence}: {chain}"
        case Act.LIE | Act.CUT | Act.WITNESS_LIE | Act.POWER_CUT:
            return f"{sentence}: {chain} is left"
        case _:
            return sentence


def tell_state(state: State) -> Iterator[str]:
    """Who has what."""
    author = state.author
    doing = {Mode.READY: "may append", Mode.STARTING: "is starting", Mode.WIPED: "knows that its disk was lost"}
    line = f"alice has {show(author.chain)} and {doing[author.mode]}"
    if author.founding:
        line += ", its store founding"
    yield line + (f", trying ballot {author.ballot}" if author.ballot else "")
    if author.twin != NO_TWIN:
        starting = f", trying ballot {author.twin.asked.ballot}" if author.twin.asked.ballot else ""
        yield f"an older process with her key has {show(author.twin.chain)}{starting}"
    for who, witness in enumerate(state.witnesses, 1):
        yield f"{name_of(who)} has {', '.join(_facts(witness))}"
    for chain in state.relayed:
        yield f"still under way: {show(chain)}"


def _facts(witness: Witness) -> Iterator[str]:
    yield show(witness.chain)
    if witness.synced != witness.chain:
        yield f"synced only {show(witness.synced)}"
    if witness.promised != NO_PROMISE:
        yield f"promised {witness.promised.ballot} to start {witness.promised.start}"
    if witness.amnesiac:
        yield "amnesiac"
    if witness.founding:
        yield "founding"
    if witness.shown:
        yield f"and showed {' '.join(map(show, witness.shown))}"
