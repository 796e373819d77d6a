"""How a snapshot comes about: requested by its leader, signed by all, confirmed. No I/O.

A round goes on as far as the state allows, after every event. There is no timer and nothing to repeat: what a
member said is in its log, and whoever was down hears it later.
"""

from __future__ import annotations

from hydra_sync.head.answers import Status
from hydra_sync.head.bounds import AHEAD
from hydra_sync.head.drafting import Draft
from hydra_sync.head.events import (
    BadSignature,
    Equivocated,
    Evidence,
    PartySigned,
    PostTx,
    SnapshotConfirmed,
    SnapshotRefused,
    SnapshotRequested,
    reason,
)
from hydra_sync.head.evolving import all_applied, marked
from hydra_sync.head.judging import judge_waiting, reject_gone
from hydra_sync.head.ledger import Bad, Missing, Transaction, Trial, TxId
from hydra_sync.head.messages import AckSn, ReqSn, Signing
from hydra_sync.head.snapshot import Content, holds, leader
from hydra_sync.head.state import Head, Past, Request
from hydra_sync.identity import MemberKey

__all__ = ["acknowledged", "advance", "contest", "posted", "posted_past", "signs"]


def advance(draft: Draft, head_id: bytes) -> None:
    """Do all that can be done now: confirm, begin a round, request the next snapshot."""
    while _confirms(draft, head_id) or _begins(draft, head_id):
        pass
    _leads(draft, head_id)


def signs(draft: Draft, message: Signing) -> None:
    """This node's own decision to sign is stable: sign, once."""
    head = draft.head(message.head)
    if head.promised != (message.number, message.digest) or head.acked >= message.number or head.round is None:
        return
    content = head.round.content
    if content.digest(head.id) == message.digest:
        draft.says(AckSn(head.id, content, draft.key.sign(content.signable(head.id))))


def acknowledged(draft: Draft, party: MemberKey, ack: AckSn) -> None:
    """A party sent a signature: check it now, whoever else has to sign."""
    head = draft.head(ack.head)
    signed = ack.signed
    known = _known(head, party, signed.number)
    if any(content == signed for content, _ in known):
        return
    if signed.number <= head.number and not known:
        return  # of a snapshot long confirmed
    evidence = _evidence(signed, ack.signature)
    place = (head.id, signed.version, signed.number, party)
    if not holds(party, signed.signable(head.id), ack.signature):
        draft.happens(BadSignature(*place, evidence))
        return
    if known:
        draft.happens(Equivocated(*place, _evidence(*known[0]), evidence))
    awaited = head.round is not None and head.round.content == signed
    if signed.number > head.number and (awaited or len(known) < 2):
        draft.happens(PartySigned(*place, evidence))


def contest(draft: Draft, head_id: bytes) -> None:
    """The head is closed with an older snapshot than this node's: have the newer one posted."""
    stage = draft.state.stage
    head = draft.state.current
    if head is None or head.id != head_id or stage.status is not Status.CLOSED:
        return
    if head.number > stage.closed_number:
        draft.happens(posted("Contest", head))


def posted(kind: str, head: Head) -> PostTx:
    """The event that has the confirmed snapshot posted to layer 1."""
    return posted_past(kind, head, Past(head.confirmed.snapshot.content, head.confirmed.signatures))


def posted_past(kind: str, head: Head, past: Past) -> PostTx:
    """The event that has a snapshot posted to layer 1, the last one or one before."""
    content = past.content
    return PostTx(kind, head.id, content.version, content.number, content.utxo_hash, past.signatures, 0)


def _confirms(draft: Draft, head_id: bytes) -> bool:
    head = draft.head(head_id)
    if head.round is None or draft.state.is_over(head_id):
        return False
    content = head.round.content
    signed = {ack.party for ack in head.acks if ack.content == content}
    if len(signed) < len(head.parties):
        return False
    draft.happens(SnapshotConfirmed(head_id, content.version, content.number))
    reject_gone(draft, head_id)
    contest(draft, head_id)
    return True


def _begins(draft: Draft, head_id: bytes) -> bool:
    head = draft.head(head_id)
    request = head.request(head.number + 1)
    if request is None or head.round is not None or not draft.is_open(head_id):
        return False
    if request.seen < len(request.transactions):
        return False  # it waits for transactions, for as long as it takes
    transactions = head.transactions(request.transactions)
    why = "it names a transaction that was rejected" if transactions is None else _wrong(draft, head, transactions)
    if transactions is None or why is not None:
        draft.happens(SnapshotRefused(head_id, request.version, request.number, reason(why or "")))
        return True
    subset = all_applied(head, request.transactions)
    dropped = b"" if subset else _dropped(draft, head, request, transactions)
    draft.happens(SnapshotRequested(head_id, request.version, request.number, dropped))
    if not subset:
        judge_waiting(draft, head_id)
    _promises(draft, head_id)
    return True


def _wrong(draft: Draft, head: Head, transactions: list[Transaction]) -> str | None:
    """Why these do not apply to the confirmed outputs, in their order."""
    trial = Trial(draft.ledger, head.outputs)
    for transaction in transactions:
        match trial.add(transaction):
            case Bad(why):
                return why
            case Missing():
                return f"transaction {draft.ledger.shown(transaction.id)} does not apply to the confirmed outputs"
    return None


def _dropped(draft: Draft, head: Head, request: Request, transactions: list[Transaction]) -> bytes:
    """Which of the local transactions do not apply after those of the request."""
    trial = Trial(draft.ledger, head.outputs.after(transactions))
    requested = frozenset(request.transactions)
    dropped: list[TxId] = []
    for id_ in head.local:
        pooled = head.pool.get(id_)
        if id_ not in requested and pooled is not None and trial.add(pooled.transaction) is not None:
            dropped.append(id_)
    return marked(head.local, frozenset(dropped))


def _promises(draft: Draft, head_id: bytes) -> None:
    """Decide to sign the round's snapshot, unless this node ever decided to sign another in its place."""
    head = draft.head(head_id)
    assert head.round is not None
    content = head.round.content
    digest = content.digest(head_id)
    if head.promised is None or head.promised[0] < content.number:
        draft.says(Signing(head_id, content.version, content.number, digest))
    elif head.promised != (content.number, digest):
        draft.ignores(draft.member, f"another snapshot {content.number} was to be signed: this one never is")


def _leads(draft: Draft, head_id: bytes) -> None:
    head = draft.head(head_id)
    number = head.number + 1
    if not draft.is_open(head_id) or head.round is not None or not head.local:
        return
    if head.requested >= number or leader(head.parties, number) != draft.member:
        return
    ids = head.local[: draft.limits.snapshot_transactions_max]
    draft.says(ReqSn(head_id, head.version, number, ids))


def _known(head: Head, party: MemberKey, number: int) -> list[tuple[Content, bytes]]:
    """What the party signed in this place, as far as it is remembered."""
    known = [(ack.content, ack.signature) for ack in head.acks if ack.party == party and ack.content.number == number]
    place = head.parties.index(party)
    known += [  # nobody signs the first
        (past.content, past.signatures[place])
        for past in head.past
        if past.content.number == number and past.signatures
    ]
    return known


def _evidence(content: Content, signature: bytes) -> Evidence:
    return content.utxo_hash, content.transactions_hash, signature


assert AHEAD == 2
