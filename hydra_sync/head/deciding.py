"""What follows from each input: the one place where a head's rules are chosen. No I/O."""

from __future__ import annotations

from hydra_sync.errors import FormatError
from hydra_sync.head.asked import asked
from hydra_sync.head.bounds import COMMAND_BYTES_MAX, EARLY_PIECE_MAX, HeadLimits
from hydra_sync.head.commands import HeadOpened, Observed, parse_command
from hydra_sync.head.drafting import Draft, bytes_of
from hydra_sync.head.events import Followed, HeardEarly, MemberForked
from hydra_sync.head.evolving import Fold
from hydra_sync.head.hearing import NOTHING_NEW
from hydra_sync.head.judging import brought, judge_waiting, reject_gone
from hydra_sync.head.mainchain import followed
from hydra_sync.head.messages import AckSn, Message, ReqTx, Signing, parse_message
from hydra_sync.head.signing import acknowledged, advance, contest, signs
from hydra_sync.head.state import State
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.machine import Alarm, Command, Forked, Heard, Input, RejectedError

__all__ = ["decided"]


def decided(fold: Fold, key: SigningKey, limits: HeadLimits, state: State, cause: Input) -> Draft:
    """The events that follow from an input. Raises `RejectedError` for commands only."""
    draft = Draft(fold, key, limits, fold.evolve(state, cause))
    match cause:
        case Command(content):
            _commanded(draft, state, content)
        case Heard(place, content):
            try:
                message = parse_message(content)
            except FormatError as error:
                draft.ignores(place.log, str(error))
            else:
                _heard(draft, state, place.log, message)
        case Forked(log, seq):
            draft.happens(MemberForked(log, seq))
        case Alarm():
            for head in state.unfinished:
                _goes_on(draft, state, head)
    return draft


def _goes_on(draft: Draft, before: State, head_id: bytes) -> None:
    """Do more of what was too much for one input: first what was begun, then what was said next."""
    head = before.head(head_id)
    if head is not None and head.postponed:
        reject_gone(draft, head_id)
        judge_waiting(draft, head_id)
        advance(draft, head_id)
    _heard_early(draft, head_id)


def _commanded(draft: Draft, before: State, content: object) -> None:
    if (size := bytes_of(content)) > COMMAND_BYTES_MAX:
        raise RejectedError(f"the command has about {size:,} bytes: {COMMAND_BYTES_MAX:,} at most")
    try:
        command = parse_command(content)
    except FormatError as error:
        raise RejectedError(str(error)) from error
    if isinstance(command, Observed):
        _observed(draft, before, command)
    else:
        asked(draft, before, command)


def _observed(draft: Draft, before: State, observed: Observed) -> None:
    why = followed(draft.ledger, draft.member, before, observed)
    if isinstance(why, str):
        raise RejectedError(why)
    stage = draft.state.stage
    fact = type(observed.fact).__name__
    draft.happens(Followed(fact, stage.head or b"", stage.status.value, observed.point.slot, observed.point.block))
    head = draft.state.current
    if head is None:
        return
    if isinstance(observed.fact, HeadOpened):
        _heard_early(draft, head.id)
    contest(draft, head.id)
    advance(draft, head.id)


def _heard_early(draft: Draft, head_id: bytes) -> None:
    """Hear what members said of this head before it opened here."""
    for _ in range(EARLY_PIECE_MAX):
        early = next((each for each in draft.state.early if each.head == head_id), None)
        if early is None or draft.is_full:
            return  # an alarm goes on with what is left
        head = draft.head(head_id)
        message = parse_message(early.content)
        objection = draft.fold.hearing.late_objection(head, early.author, message)
        draft.happens(HeardEarly(head_id))
        _follows(draft, early.author, message, objection)


def _heard(draft: Draft, before: State, author: MemberKey, message: Message) -> None:
    """Follow from a message that the state has taken in since ``before``."""
    objection = draft.fold.hearing.objection(before, author, message)
    if objection is not None or not before.waits(message.head):
        _follows(draft, author, message, objection)


def _follows(draft: Draft, author: MemberKey, message: Message, objection: str | None) -> None:
    """Follow from a message that the state has taken in, unless there was an objection."""
    if objection is not None:
        if objection != NOTHING_NEW:
            draft.ignores(author, objection)
        return
    match message:
        case ReqTx(head, transaction):
            brought(draft, head, draft.ledger.read(transaction).id)
        case Signing():
            signs(draft, message)
        case AckSn():
            acknowledged(draft, author, message)
    advance(draft, message.head)
