"""How records change what a head knows: a pure fold, in which nothing is checked twice. No I/O.

What was decided was checked when it was decided. So a replay verifies no signature and judges no transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hydra_sync.errors import FormatError
from hydra_sync.head.bounds import CONFIRMED_REMEMBERED, EQUIVOCATIONS_MAX, POSTS_MAX, REJECTED_MAX
from hydra_sync.head.commands import Observed, RolledBack, SideLoadSnapshot, parse_command
from hydra_sync.head.events import (
    Equivocated,
    Event,
    HeardEarly,
    PartySigned,
    Postponed,
    PostTx,
    SnapshotConfirmed,
    SnapshotRefused,
    SnapshotRequested,
    TxApplied,
    TxRejected,
    TxWaiting,
    parse_event,
)
from hydra_sync.head.hearing import Hearing
from hydra_sync.head.layered import Layered
from hydra_sync.head.ledger import UNNAMED, Output, Outputs, Transaction, TxId
from hydra_sync.head.mainchain import followed
from hydra_sync.head.messages import AckSn, Message, ReqSn, ReqTx, Signing, is_message, parse_message
from hydra_sync.head.snapshot import Content, Snapshot
from hydra_sync.head.state import Ack, Confirmed, Head, Past, Pooled, Rejected, Request, Round, Standing, State
from hydra_sync.machine import Alarm, Command, Decided, Heard, Record

__all__ = ["Fold"]


@dataclass(frozen=True, slots=True)
class Fold:
    """The fold over the records of one member's log."""

    hearing: Hearing

    def evolve(self, state: State, record: Record) -> State:
        """The state after the record. Raises `FormatError` for a decision that no head has made."""
        match record:
            case Decided(content):
                if is_message(content):
                    return _said(state, parse_message(content))
                return self.happened(state, parse_event(content))
            case Heard(place, content):
                try:
                    return self.hearing.heard(state, place.log, parse_message(content))
                except FormatError:
                    return state
            case Command(content):
                return self._commanded(state, content)
            case Alarm() if state.unfinished:
                heads = tuple(replace(head, postponed=False) for head in state.heads)
                return replace(state, heads=heads, alarms=state.alarms + 1)
            case _:
                return state

    def happened(self, state: State, event: Event) -> State:
        """The state after an event that was decided."""
        match event:
            case HeardEarly(head):
                return self._heard_early(state, head)
            case PostTx():
                return replace(state, posts=(*state.posts, event)[-POSTS_MAX:])
            case (
                Equivocated()
                | Postponed()
                | TxApplied()
                | TxWaiting()
                | TxRejected()
                | PartySigned()
                | SnapshotRequested()
                | SnapshotRefused()
            ) | SnapshotConfirmed():
                head_ = state.head(event.head)
                return state if head_ is None else state.with_head(self._changed(head_, event))
            case _:
                return state  # for clients, or for layer 1

    def _changed(self, head: Head, event: Event) -> Head:
        match event:
            case Equivocated():
                return replace(head, equivocations=(*head.equivocations, event)[-EQUIVOCATIONS_MAX:])
            case Postponed():
                return replace(head, postponed=True)
            case TxApplied():
                return _applied(head, event.transaction)
            case TxWaiting():
                return _waiting(head, event.transaction)
            case TxRejected():
                return self._rejected(head, event)
            case PartySigned():
                content = Content(event.version, event.number, *event.signed[:2])
                return replace(head, acks=(*head.acks, Ack(event.party, content, event.signed[2])))
            case SnapshotRequested():
                return self._round(head, event)
            case SnapshotRefused():
                return replace(head, requests=tuple(each for each in head.requests if each.number != event.number))
            case SnapshotConfirmed():
                return self._confirmed(head)
            case _:
                return head

    def _commanded(self, state: State, content: object) -> State:
        try:
            command = parse_command(content)
        except FormatError:
            return state
        if isinstance(command, Observed):
            after = followed(self.hearing.ledger, self.hearing.member, state, command)
            if isinstance(after, str):
                return state
            # Layer 1 has moved: what was to be posted before has been answered, or has no place any more.
            return after if isinstance(command.fact, RolledBack) else replace(after, posts=())
        if isinstance(command, SideLoadSnapshot) and state.current is not None:
            return state.with_head(self.side_loaded(state.current, command))
        return state

    def _heard_early(self, state: State, head: bytes) -> State:
        place = next((place for place, each in enumerate(state.early) if each.head == head), None)
        if place is None:
            return state
        early = state.early[place]
        state = replace(state, early=state.early[:place] + state.early[place + 1 :])
        return self.hearing.heard_late(state, early.author, parse_message(early.content))

    def _rejected(self, head: Head, event: TxRejected) -> Head:
        pooled = head.pool.get(event.transaction)
        if pooled is None:
            return head
        rejected = {**head.rejected, event.transaction: Rejected(event.why, bool(event.final))}
        if len(rejected) > REJECTED_MAX:
            del rejected[next(iter(rejected))]
        head = _unwanted(head, pooled.transaction)
        own = head.own - self._own((pooled,))
        if pooled.copies and not event.final:
            (author, copy), *rest = pooled.copies
            another = Pooled(copy, author, pooled.arrival, Standing.WAITING, tuple(rest))
            pool = head.pool.changed({event.transaction: another})
            return replace(head, pool=pool, own=own + self._own((another,)))
        pool = head.pool.changed({}, (event.transaction,))
        requests = head.requests
        if not event.final:  # another copy of it may be right: what names it waits for that
            requests = tuple(_unseen(request, event.transaction) for request in requests)
        return replace(head, pool=pool, own=own, rejected=rejected, requests=requests)

    def _confirmed(self, head: Head) -> Head:
        round_ = head.round
        assert round_ is not None, "a snapshot is confirmed in its round"
        content = round_.content
        by_party = {ack.party: ack.signature for ack in head.acks if ack.content == content}
        confirmed = Confirmed(round_.snapshot, tuple(by_party[party] for party in head.parties))
        return self._after(head, confirmed, round_.outputs)

    def _after(self, head: Head, confirmed: Confirmed, outputs: Outputs) -> Head:
        """The head with that snapshot confirmed; the local ledger stays, but for what is confirmed."""
        snapshot = confirmed.snapshot
        ids = snapshot.transactions
        gone = [pooled for id_ in ids if (pooled := head.pool.get(id_)) is not None]
        arrivals = {pooled.transaction.id: pooled.arrival for pooled in gone}
        fates: dict[bytes, tuple[int, int]] = {id_: (arrivals.get(id_, head.arrivals), snapshot.number) for id_ in ids}
        named = frozenset(ids)
        for pooled in gone:
            if pooled.standing is Standing.WAITING:
                head = _unwanted(head, pooled.transaction)
        return replace(
            head,
            confirmed=confirmed,
            past=(*head.past, Past(snapshot.content, confirmed.signatures))[-CONFIRMED_REMEMBERED:],
            outputs=outputs,
            fates=head.fates.changed(fates),
            pool=head.pool.changed({}, ids),
            own=head.own - self._own(gone),
            local=tuple(id_ for id_ in head.local if id_ not in named),
            requests=tuple(each for each in head.requests if each.number > snapshot.number),
            round=None if head.round and head.round.snapshot.number <= snapshot.number else head.round,
            acks=tuple(ack for ack in head.acks if ack.content.number > snapshot.number),
        )

    def _round(self, head: Head, event: SnapshotRequested) -> Head:
        request = head.request(event.number)
        transactions = head.transactions(request.transactions) if request else None
        assert request is not None, "a round begins with a request"
        assert transactions is not None, "and with all of its transactions"
        outputs = head.outputs.after(transactions)
        snapshot = Snapshot(event.version, event.number, request.transactions, outputs.hash())
        head = replace(head, round=Round(snapshot, snapshot.content, outputs))
        return head if all_applied(head, request.transactions) else self._rebased(head, outputs, event)

    def _rebased(self, head: Head, outputs: Outputs, event: SnapshotRequested) -> Head:
        """The head whose local ledger begins with the transactions of the round."""
        assert head.round is not None
        ids = head.round.snapshot.transactions
        dropped = picked(head.local, event.dropped)
        out = frozenset((*ids, *dropped))
        rest = tuple(id_ for id_ in head.local if id_ not in out)
        changes: dict[bytes, Pooled] = {}
        own = head.own
        for id_ in ids:
            if (pooled := head.pool.get(id_)) is not None and pooled.standing is not Standing.APPLIED:
                head = _unwanted(head, pooled.transaction)
                own += pooled.standing is Standing.SHELVED and pooled.author == self.hearing.member
                changes[id_] = replace(pooled, standing=Standing.APPLIED)
        for id_ in dropped:  # all that wait are judged next
            if (pooled := head.pool.get(id_)) is not None:
                changes[id_] = replace(pooled, standing=Standing.WAITING)
        head = replace(head, pool=head.pool.changed(changes), own=own, local=(*ids, *rest))
        return replace(head, local_outputs=outputs.after(head.transactions(rest) or ()))

    def side_loaded(self, head: Head, command: SideLoadSnapshot) -> Head:
        """The head with a snapshot that was brought by hand, and no transaction applied but those in flight."""
        if command.number > head.number:
            outputs = self._given(head, command)
            snapshot = Snapshot(command.version, command.number, command.transactions, outputs.hash())
            head = self._after(head, Confirmed(snapshot, command.signatures), outputs)
        in_flight = head.round.snapshot.transactions if head.round else ()
        standing = dict.fromkeys(in_flight, Standing.APPLIED)
        pool = {
            id_: replace(pooled, standing=standing.get(TxId(id_), Standing.SHELVED))
            for id_, pooled in head.pool.flat().items()
        }
        own = self._own(pooled for pooled in pool.values())
        local_outputs = head.round.outputs if head.round else head.outputs
        return replace(
            head, pool=Layered.of(pool), own=own, local=in_flight, local_outputs=local_outputs, wanted=Layered()
        )

    def _given(self, head: Head, command: SideLoadSnapshot) -> Outputs:
        unspent: dict[bytes, Output] = {ref: self.hearing.ledger.read_output(data) for ref, data in command.outputs}
        spent = {ref: UNNAMED for ref in head.outputs.unspent if ref not in unspent}
        for id_ in command.transactions:
            if (pooled := head.pool.get(id_)) is not None:
                spent.update(dict.fromkeys(pooled.transaction.inputs, id_))
        return Outputs(Layered.of(unspent), head.outputs.spent.changed(spent))

    def _own(self, pooled: Iterable[Pooled]) -> int:
        member = self.hearing.member
        return sum(1 for each in pooled if each.author == member and each.standing is not Standing.SHELVED)


def _said(state: State, message: Message) -> State:
    """The state after this node decided to tell something."""
    head = state.head(message.head)
    if head is None:
        return state
    match message:
        case ReqTx():
            head = replace(head, outgoing=head.outgoing + 1)
        case ReqSn():
            head = replace(head, requested=message.number)
        case Signing():
            head = replace(head, promised=(message.number, message.digest))
        case AckSn():
            head = replace(head, acked=message.signed.number)
    return state.with_head(head)


def _unseen(request: Request, id_: TxId) -> Request:
    """The request with its mark no further than this transaction."""
    if id_ not in request.transactions[: request.seen]:
        return request
    return replace(request, seen=request.transactions.index(id_))


def _applied(head: Head, id_: TxId) -> Head:
    pooled = head.pool.get(id_)
    if pooled is None:
        return head
    head = _unwanted(head, pooled.transaction)
    return replace(
        head,
        pool=head.pool.changed({id_: replace(pooled, standing=Standing.APPLIED)}),
        local=(*head.local, id_),
        local_outputs=head.local_outputs.after((pooled.transaction,)),
    )


def _waiting(head: Head, id_: TxId) -> Head:
    pooled = head.pool.get(id_)
    if pooled is None:
        return head
    return replace(head, wanted=head.wanted.changed(_wanted(head, (pooled.transaction,))))


def _wanted(head: Head, transactions: Iterable[Transaction]) -> dict[bytes, tuple[TxId, ...]]:
    wanted: dict[bytes, tuple[TxId, ...]] = {}
    for transaction in transactions:
        for ref in transaction.inputs:
            waiting = wanted.get(ref) or head.wanted.get(ref) or ()
            if transaction.id not in waiting:
                wanted[ref] = (*waiting, transaction.id)
    return wanted


def _unwanted(head: Head, transaction: Transaction) -> Head:
    if not head.wanted.size:
        return head
    left: dict[bytes, tuple[TxId, ...]] = {}
    gone: list[bytes] = []
    for ref in transaction.inputs:
        waiting = head.wanted.get(ref) or ()
        if transaction.id in waiting:
            rest = tuple(id_ for id_ in waiting if id_ != transaction.id)
            if rest:
                left[ref] = rest
            else:
                gone.append(ref)
    return replace(head, wanted=head.wanted.changed(left, gone)) if left or gone else head


def all_applied(head: Head, ids: Sequence[TxId]) -> bool:
    """Whether the local ledger holds them all. It is then what it would be, had they been applied first."""
    return all((pooled := head.pool.get(id_)) and pooled.standing is Standing.APPLIED for id_ in ids)


def marked(ids: Sequence[TxId], chosen: frozenset[TxId]) -> bytes:
    """Which of the ids are chosen, one bit each; no more bytes than that takes.

    >>> marked([TxId(b"a"), TxId(b"b"), TxId(b"c")], frozenset([TxId(b"b")])).hex()
    '02'
    """
    bits = bytearray((len(ids) + 7) // 8)
    for place, id_ in enumerate(ids):
        if id_ in chosen:
            bits[place // 8] |= 1 << place % 8
    return bytes(bits.rstrip(b"\0"))


def picked(ids: Sequence[TxId], bits: bytes) -> tuple[TxId, ...]:
    """The ids that are `marked`.

    >>> picked([TxId(b"a"), TxId(b"b"), TxId(b"c")], b"\x05")
    (b'a', b'c')
    """
    return tuple(id_ for place, id_ in enumerate(ids[: 8 * len(bits)]) if bits[place // 8] >> place % 8 & 1)
