"""What is heard from members: what has no place, and what is kept of the rest. No I/O.

Logs of different members have no mutual order. A signature may be heard before its snapshot was requested, a
request before the transactions that it names, all of it before the head opened here: it waits, and nothing
that waits is ever lost for having waited too long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head.bounds import AHEAD, EARLY_MAX
from hydra_sync.head.layered import Layered
from hydra_sync.head.ledger import Ledger, Transaction
from hydra_sync.head.messages import AckSn, Message, ReqSn, ReqTx, Signing
from hydra_sync.head.snapshot import leader
from hydra_sync.head.state import Early, Head, Pooled, Request, Standing, State
from hydra_sync.identity import MemberKey

__all__ = ["NOTHING_NEW", "Hearing", "may_be_better"]

NOTHING_NEW: Final = "nothing new"
"""The objection to what was heard before, or does not matter any more: no reason for an event."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """The rules, for one member and one ledger."""

    ledger: Ledger
    member: MemberKey

    def objection(self, state: State, author: MemberKey, message: Message) -> str | None:
        """Why a message changes nothing; none if it is to be kept."""
        head = state.head(message.head)
        if head is None or state.waits(head.id):
            return _early_objection(state, author, message)
        return self.late_objection(head, author, message)

    def late_objection(self, head: Head, author: MemberKey, message: Message) -> str | None:
        """The same for a message whose turn has come."""
        if author not in head.parties:
            return "its author is no party of the head"
        match message:
            case ReqTx():
                return self._transaction_objection(head, author, message)
            case ReqSn():
                return _request_objection(head, author, message)
            case Signing():
                return None if author == self.member else NOTHING_NEW
            case AckSn():
                return _place_objection(head, message.signed.version, message.signed.number)

    def heard(self, state: State, author: MemberKey, message: Message) -> State:
        """The state with what is to be kept of the message."""
        if not state.waits(message.head):
            return self.heard_late(state, author, message)
        if self.objection(state, author, message) is not None:
            return state
        return replace(state, early=(*state.early, Early(author, message.head, message.content())))

    def heard_late(self, state: State, author: MemberKey, message: Message) -> State:
        """The same for a message whose turn has come."""
        head = state.head(message.head)
        assert head is not None, "a head that is over takes what waits for it along"
        back = int(author == self.member and isinstance(message, ReqTx) and head.outgoing > 0)
        if self.late_objection(head, author, message) is not None:
            return state.with_head(replace(head, outgoing=head.outgoing - 1)) if back else state
        if isinstance(message, ReqTx):
            return state.with_head(self._pooled(head, author, self.ledger.read(message.transaction), back))
        if isinstance(message, ReqSn):
            return state.with_head(_requested(head, message))
        return state  # a signature is kept when it has been checked

    def _transaction_objection(self, head: Head, author: MemberKey, message: ReqTx) -> str | None:
        try:
            transaction = self.ledger.read(message.transaction)
        except FormatError as error:
            return f"the transaction is malformed: {error}"
        if transaction.id in head.fates:
            return NOTHING_NEW
        pooled = head.pool.get(transaction.id)
        if pooled is None or pooled.standing is Standing.SHELVED or may_be_better(pooled, author, transaction):
            return None
        return NOTHING_NEW

    def _pooled(self, head: Head, author: MemberKey, transaction: Transaction, back: int) -> Head:
        pooled = Pooled(transaction, author, head.arrivals, Standing.WAITING)
        if (before := head.pool.get(transaction.id)) is not None:
            # What came first stays: its witnesses were checked, those of this copy not yet.
            better = may_be_better(before, author, transaction)
            copies = (*before.copies, (author, transaction)) if better else before.copies
            if before.standing is Standing.WAITING:
                kept = head.pool.changed({transaction.id: replace(before, copies=copies)})
                return replace(head, pool=kept, outgoing=head.outgoing - back)
            pooled = replace(pooled, transaction=before.transaction, copies=copies)
        pool = head.pool.changed({transaction.id: pooled})
        rejected = head.rejected
        if transaction.id in rejected:
            rejected = {id_: rejection for id_, rejection in rejected.items() if id_ != transaction.id}
        return replace(
            head,
            pool=pool,
            arrivals=head.arrivals + 1,
            own=head.own + (author == self.member),
            outgoing=head.outgoing - back,
            rejected=rejected,
            requests=tuple([_seen(pool, request) for request in head.requests]),
        )


def may_be_better(pooled: Pooled, author: MemberKey, copy: Transaction) -> bool:
    """Whether a copy has witnesses that one which was not applied yet may lack."""
    if pooled.standing is Standing.APPLIED or copy.signers <= pooled.transaction.signers:
        return False
    return author != pooled.author and all(author != each for each, _ in pooled.copies)


def _early_objection(state: State, author: MemberKey, message: Message) -> str | None:
    if message.head in state.over:
        return f"head {message.head.hex()} is over"
    if _waiting(state, author) >= EARLY_MAX:
        return f"head {message.head.hex()} has not opened here, and {EARLY_MAX:,} messages of its author wait already"
    return None


def _waiting(state: State, author: MemberKey) -> int:
    """How many messages of this author wait."""
    return sum(1 for early in state.early if early.author == author)


def _place_objection(head: Head, version: int, number: int) -> str | None:
    if version != head.version:
        return f"it is of version {version}, the head is at {head.version}"
    if number > head.number + AHEAD:
        return f"snapshot {number} is too far ahead of {head.number}: nobody can have come so far without us"
    return None


def _request_objection(head: Head, author: MemberKey, message: ReqSn) -> str | None:
    if message.number <= head.number:
        return NOTHING_NEW
    if (why := _place_objection(head, message.version, message.number)) is not None:
        return why
    if leader(head.parties, message.number) != author:
        return f"its author does not lead snapshot {message.number}"
    if not message.transactions:
        return "a snapshot confirms something"
    if (before := head.request(message.number)) is not None:
        same = before.transactions == message.transactions
        return NOTHING_NEW if same else f"snapshot {message.number} was requested already, with other transactions"
    return None


def _requested(head: Head, message: ReqSn) -> Head:
    request = Request(message.version, message.number, message.transactions, 0)
    return replace(head, requests=(*head.requests, _seen(head.pool, request)))


def _seen(pool: Layered[Pooled], request: Request) -> Request:
    """The request with its mark moved over what is in the pool: each name is looked up once, not with each event."""
    seen = request.seen
    while seen < len(request.transactions) and request.transactions[seen] in pool:
        seen += 1
    return request if seen == request.seen else replace(request, seen=seen)
