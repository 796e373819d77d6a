"""The life of a head on layer 1: which facts may follow one another, and what a rollback takes back. No I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head.answers import Status
from hydra_sync.head.bounds import STAGES_MAX
from hydra_sync.head.commands import (
    Fact,
    FannedOut,
    HeadClosed,
    HeadContested,
    HeadOpened,
    Observed,
    Point,
    ReadyToFanout,
    RolledBack,
)
from hydra_sync.head.layered import Layered
from hydra_sync.head.ledger import Ledger, Outputs
from hydra_sync.head.snapshot import Snapshot
from hydra_sync.head.state import BEGINNING, Confirmed, Head, Past, Stage, State
from hydra_sync.identity import MemberKey

__all__ = ["followed"]

FOLLOWS: Final[dict[tuple[Status, type[Fact]], Status]] = {
    (Status.IDLE, HeadOpened): Status.OPEN,
    (Status.OPEN, HeadClosed): Status.CLOSED,
    (Status.CLOSED, HeadContested): Status.CLOSED,
    (Status.CLOSED, ReadyToFanout): Status.FANOUT_POSSIBLE,
    (Status.CLOSED, FannedOut): Status.FINAL,  # another party was told of the deadline sooner
    (Status.FANOUT_POSSIBLE, FannedOut): Status.FINAL,
    (Status.FINAL, HeadOpened): Status.OPEN,
}
"""Every transition; a pair that is not here is out of place."""


def followed(ledger: Ledger, member: MemberKey, state: State, observed: Observed) -> State | str:
    """The state after what was observed, or why it has no place there."""
    point, fact = observed.point, observed.fact
    if isinstance(fact, RolledBack):
        return _rolled_back(state, point)
    stage = state.stage
    status = FOLLOWS.get((stage.status, type(fact)))
    if status is None:
        return f"{type(fact).__name__} has no place in a head that is {stage.status.value}"
    if point.slot < state.point.slot:
        return f"slot {point.slot} was passed: a rollback is observed first"
    if isinstance(fact, HeadOpened):
        return _opened(ledger, member, state, point, fact)
    if fact.head != stage.head:
        return f"head {fact.head.hex()} is not the one that is {stage.status.value}"
    if isinstance(fact, HeadContested) and fact.number <= stage.closed_number:
        return f"snapshot {fact.number} contests nothing: the head is closed with {stage.closed_number}"
    after = replace(stage, point=point, status=status)
    if isinstance(fact, (HeadClosed, HeadContested)):
        after = replace(after, closed_number=fact.number, deadline_us=fact.deadline_us)
    return _at(state, after)


def _at(state: State, stage: Stage) -> State:
    stages = (*state.stages, stage)
    return replace(state, stages=stages[-STAGES_MAX:], point=stage.point)


def _rolled_back(state: State, point: Point) -> State | str:
    if point.slot > state.point.slot:
        return f"slot {point.slot} was not reached: nothing is rolled back to it"
    if point == state.point:  # followers of layer 1 begin with a rollback to where they left off
        return f"nothing was observed after slot {point.slot}"
    kept = tuple(stage for stage in state.stages if stage.point.slot < point.slot or stage.point == point)
    return replace(state, stages=kept or (BEGINNING,), point=point)


def _opened(ledger: Ledger, member: MemberKey, state: State, point: Point, fact: HeadOpened) -> State | str:
    if member not in fact.parties:
        return f"head {fact.head.hex()} is not ours"
    if fact.head in state.over or (state.stage.status is Status.FINAL and state.stage.head == fact.head):
        return f"head {fact.head.hex()} is over"
    stage = Stage(point, Status.OPEN, fact.head)
    if (known := state.head(fact.head)) is not None:
        if (known.parties, known.contestation_s) != (fact.parties, fact.contestation_s):
            return f"head {fact.head.hex()} opened before, with other parameters"
        return _at(state, stage)
    try:
        outputs = Outputs.opening((ref, ledger.read_output(data)) for ref, data in fact.outputs)
    except FormatError as error:
        return f"the outputs of head {fact.head.hex()} cannot be read: {error}"
    heads = (*state.heads, _fresh(fact, outputs))
    over = (*state.over, *(head.id for head in heads[:-2]))
    early = tuple(each for each in state.early if each.head not in over)
    return _at(replace(state, heads=heads[-2:], over=over, early=early), stage)


def _fresh(fact: HeadOpened, outputs: Outputs) -> Head:
    confirmed = Confirmed(Snapshot(0, 0, (), outputs.hash()), ())
    past = (Past(confirmed.snapshot.content, ()),)
    return Head(fact.head, fact.parties, fact.contestation_s, 0, confirmed, outputs, outputs, Layered(), past)
