"""What clients ask of a head: done, or refused with the reason. No I/O."""

from __future__ import annotations

from hydra_sync.errors import FormatError
from hydra_sync.head.answers import Status
from hydra_sync.head.bounds import DROPPED_TOLD_MAX
from hydra_sync.head.commands import Asked, Close, Contest, Fanout, Init, NewTx, SideLoadSnapshot
from hydra_sync.head.drafting import Draft
from hydra_sync.head.events import LocalStateCleared, PostTx
from hydra_sync.head.hearing import may_be_better
from hydra_sync.head.judging import gone_for_good, reject_gone
from hydra_sync.head.ledger import Bad, Outputs, judged
from hydra_sync.head.messages import ReqTx
from hydra_sync.head.signing import advance, contest, posted, posted_past
from hydra_sync.head.snapshot import Snapshot, signed_by
from hydra_sync.head.state import Head, Standing, State
from hydra_sync.machine import RejectedError

__all__ = ["asked"]


def asked(draft: Draft, before: State, command: Asked) -> None:
    """Decide what a client asked for, ``before`` being the state before it did. Raises `RejectedError`."""
    match command:
        case Init():
            _init(draft, command)
        case NewTx():
            _new_transaction(draft, command)
        case SideLoadSnapshot():
            _side_load(draft, before, command)
        case Close():
            draft.happens(posted("Close", _head(draft.state, Status.OPEN)))
        case Contest():
            head = _head(draft.state, Status.CLOSED)
            if head.number <= draft.state.stage.closed_number:
                raise RejectedError(f"the head is closed with a snapshot no older than ours, {head.number}")
            draft.happens(posted("Contest", head))
        case Fanout():
            _fanout(draft)


def _head(state: State, *statuses: Status) -> Head:
    if state.stage.status not in statuses or state.current is None:
        when = ", ".join(status.value for status in statuses)
        raise RejectedError(f"the head is {state.stage.status.value}: this can be done while it is {when}")
    return state.current


def _fanout(draft: Draft) -> None:
    head = _head(draft.state, Status.FANOUT_POSSIBLE)
    closed = draft.state.stage.closed_number
    # What was confirmed too late to contest with is not what layer 1 pays out.
    past = next((past for past in head.past if past.content.number == closed), None)
    if past is None:
        raise RejectedError(
            f"the head is closed with snapshot {closed}, whose outputs are not here (ours is {head.number}): "
            "side-load that snapshot, or have another member fan out"
        )
    draft.happens(posted_past("Fanout", head, past))


def _init(draft: Draft, command: Init) -> None:
    if (status := draft.state.stage.status) not in (Status.IDLE, Status.FINAL):
        raise RejectedError(f"there is a head, and it is {status.value}")
    if draft.member not in command.parties:
        raise RejectedError("this node is none of the parties")
    draft.happens(PostTx("Init", b"", 0, 0, b"", command.parties, command.contestation_s))


def _new_transaction(draft: Draft, command: NewTx) -> None:
    head = _head(draft.state, Status.OPEN)
    on_their_way = head.own + head.outgoing
    if on_their_way >= draft.limits.own_unconfirmed_max:
        raise RejectedError(f"{on_their_way:,} transactions of this node are not confirmed yet: try again later")
    try:
        transaction = draft.ledger.read(command.transaction)
    except FormatError as error:
        raise RejectedError(f"the transaction is malformed: {error}") from error
    shown = draft.ledger.shown(transaction.id)
    if (fate := head.fates.get(transaction.id)) is not None:
        raise RejectedError(f"transaction {shown} was confirmed by snapshot {fate[1]}")
    pooled = head.pool.get(transaction.id)
    seen = pooled is not None and pooled.standing is not Standing.SHELVED
    if pooled is not None and seen and not may_be_better(pooled, draft.member, transaction):
        raise RejectedError(f"transaction {shown} was submitted already")
    verdict = judged(draft.ledger, head.local_outputs, transaction)
    why = verdict.why if isinstance(verdict, Bad) else verdict and gone_for_good(draft.ledger, head, transaction)
    why = why or draft.ledger.witnessed(transaction)
    if why is not None:
        raise RejectedError(f"transaction {shown} is not valid: {why}")
    draft.says(ReqTx(head.id, command.transaction))


def _side_load(draft: Draft, before: State, command: SideLoadSnapshot) -> None:
    head = _head(before, Status.OPEN, Status.CLOSED, Status.FANOUT_POSSIBLE)
    stage = before.stage
    if stage.status is Status.FANOUT_POSSIBLE and command.number != stage.closed_number:
        raise RejectedError(f"the head is closed with snapshot {stage.closed_number}: no other counts any more")
    if command.version != head.version:
        raise RejectedError(f"the snapshot is of version {command.version}, the head at {head.version}")
    if command.number < head.number:
        raise RejectedError(f"snapshot {command.number} is older than ours, {head.number}")
    try:
        outputs = Outputs.opening((ref, draft.ledger.read_output(data)) for ref, data in command.outputs)
    except FormatError as error:
        raise RejectedError(f"the snapshot's outputs are malformed: {error}") from error
    content = Snapshot(command.version, command.number, command.transactions, outputs.hash()).content
    if command.number == head.number and content != head.confirmed.snapshot.content:
        raise RejectedError(f"this is another snapshot {command.number} than ours")
    signers = signed_by(head.id, content, head.parties, command.signatures)
    if command.number > 0 and (signers != head.parties or len(command.signatures) != len(head.parties)):
        raise RejectedError(f"{len(signers)} of {len(head.parties)} parties have signed the snapshot")
    after = draft.head(head.id)
    dropped = sorted(  # told as far as they fit
        (pooled for pooled in after.pool.flat().values() if pooled.standing is Standing.SHELVED),
        key=lambda pooled: pooled.arrival,
    )[:DROPPED_TOLD_MAX]
    draft.happens(LocalStateCleared(head.id, command.number, tuple(pooled.transaction.id for pooled in dropped)))
    reject_gone(draft, head.id)
    contest(draft, head.id)
    advance(draft, head.id)
