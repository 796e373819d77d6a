"""A state as a CBOR value, and back: for checkpoints, and for the hash that tells equal states. No I/O.

Only what cannot be worked out again is written: the outputs after a round, and after all local transactions,
follow from the confirmed ones. Maps are written in the order of their keys, so that the same state has the same
form, however its maps came about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head import shapes
from hydra_sync.head.answers import Status
from hydra_sync.head.commands import Point
from hydra_sync.head.events import Equivocated, PostTx, content_of, parse_event
from hydra_sync.head.layered import Layered
from hydra_sync.head.ledger import Ledger, Outputs, Transaction, TxId
from hydra_sync.head.messages import parse_message
from hydra_sync.head.snapshot import Content, Snapshot
from hydra_sync.head.state import (
    Ack,
    Confirmed,
    Early,
    Head,
    Past,
    Pooled,
    Rejected,
    Request,
    Round,
    Stage,
    Standing,
    State,
)
from hydra_sync.identity import MemberKey

__all__ = ["Freezer"]

FORM: Final = 2
"""Of this form; another one has another number."""

BYTES_MAX: Final = 1 << 20
COUNT_MAX: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Freezer:
    """Freezes and thaws states of heads with one ledger."""

    ledger: Ledger

    def freeze(self, state: State) -> object:
        """The state as tuples, numbers, texts and byte strings."""
        return (
            FORM,
            self.ledger.name,
            _point(state.point),
            tuple(_stage(stage) for stage in state.stages),
            tuple(_head(head) for head in state.heads),
            state.over,
            tuple((early.author, early.head, early.content) for early in state.early),
            tuple(content_of(post) for post in state.posts),
            state.alarms,
        )

    def thaw(self, frozen: object) -> State:
        """The state. Raises `FormatError` if the value is none."""
        try:
            form, name, point, stages, heads, over, early, posts, alarms = shapes.fields(frozen, 9)
            if form != FORM or name != self.ledger.name:
                raise FormatError(f"a state of form {form} for the ledger {name}, not {FORM} for {self.ledger.name}")
            return State(
                tuple(_to_stage(each) for each in shapes.array(stages)),
                _to_point(point),
                tuple(self._to_head(each) for each in shapes.array(heads)),
                tuple(shapes.head_id(each) for each in shapes.array(over)),
                tuple(_to_early(each) for each in shapes.array(early)),
                tuple(_to_post(each) for each in shapes.array(posts)),
                shapes.number(alarms),
            )
        except (KeyError, ValueError) as error:
            raise FormatError(f"this is no state of a head: {error}") from error

    def _to_head(self, value: object) -> Head:
        what, confirmed, unspent, spent, fates, past, pool, progress = shapes.fields(value, 8)
        id_, parties, contestation_s, version = shapes.fields(what, 4)
        outputs = Outputs(
            Layered.of({ref: self.ledger.read_output(data) for ref, data in shapes.pairs(unspent)}),
            Layered.of({ref: TxId(by) for ref, by in shapes.pairs(spent)}),
        )
        arrivals, own, outgoing, local, wanted, rejected, requests, round_, acks, marks, twice = shapes.fields(
            progress, 11
        )
        promised, acked, requested, postponed = shapes.fields(marks, 4)
        pooled: dict[bytes, Pooled] = {
            each.transaction.id: each for each in (self._to_pooled(item) for item in shapes.array(pool))
        }
        known = {id_: each.transaction for id_, each in pooled.items()}
        local_ids = _to_ids(local)
        return Head(
            id=shapes.head_id(id_),
            parties=shapes.parties(parties),
            contestation_s=shapes.number(contestation_s),
            version=shapes.number(version),
            confirmed=_to_confirmed(confirmed),
            outputs=outputs,
            local_outputs=outputs.after(known[each] for each in local_ids),
            fates=_to_fates(fates),
            past=tuple(_to_past(each) for each in shapes.array(past)),
            pool=Layered.of(pooled),
            arrivals=shapes.number(arrivals),
            own=shapes.number(own),
            outgoing=shapes.number(outgoing),
            local=local_ids,
            wanted=_to_wanted(wanted),
            rejected=dict(_to_rejected(each) for each in shapes.array(rejected)),
            requests=tuple(_to_request(each) for each in shapes.array(requests)),
            round=_to_round(round_, outputs, known),
            acks=tuple(_to_ack(each) for each in shapes.array(acks)),
            promised=_to_promise(promised) if shapes.array(promised) else None,
            acked=shapes.number(acked),
            requested=shapes.number(requested),
            equivocations=tuple(_to_equivocation(each) for each in shapes.array(twice)),
            postponed=bool(shapes.number(postponed)),
        )

    def _to_pooled(self, value: object) -> Pooled:
        data, author, arrival, standing, copies = shapes.fields(value, 5)
        transaction = self.ledger.read(shapes.blob(data, BYTES_MAX))
        others = tuple(self._to_copy(each) for each in shapes.array(copies))
        return Pooled(transaction, shapes.party(author), shapes.number(arrival), Standing(standing), others)

    def _to_copy(self, value: object) -> tuple[MemberKey, Transaction]:
        author, data = shapes.fields(value, 2)
        return shapes.party(author), self.ledger.read(shapes.blob(data, BYTES_MAX))


def _head(head: Head) -> tuple[object, ...]:
    pool = sorted(head.pool.flat().values(), key=lambda pooled: pooled.arrival)
    round_ = head.round
    return (
        (head.id, head.parties, head.contestation_s, head.version),
        _confirmed(head.confirmed),
        head.outputs.pairs(),
        tuple(head.outputs.spent.sorted()),
        tuple((id_, *fate) for id_, fate in head.fates.sorted()),
        tuple((_content(past.content), past.signatures) for past in head.past),
        tuple(_pooled(each) for each in pool),
        (
            head.arrivals,
            head.own,
            head.outgoing,
            head.local,
            tuple(head.wanted.sorted()),
            tuple((id_, rejected.why, int(rejected.final)) for id_, rejected in head.rejected.items()),
            tuple((each.version, each.number, each.transactions, each.seen) for each in head.requests),
            () if round_ is None else _snapshot(round_.snapshot),
            tuple((ack.party, _content(ack.content), ack.signature) for ack in head.acks),
            (head.promised or (), head.acked, head.requested, int(head.postponed)),
            tuple(content_of(each) for each in head.equivocations),
        ),
    )


def _pooled(pooled: Pooled) -> tuple[object, ...]:
    copies = tuple((author, copy.data) for author, copy in pooled.copies)
    return (pooled.transaction.data, pooled.author, pooled.arrival, pooled.standing.value, copies)


def _point(point: Point) -> tuple[object, ...]:
    return (point.slot, point.block)


def _to_point(value: object) -> Point:
    slot, block = shapes.fields(value, 2)
    return Point(shapes.number(slot), shapes.blob(block, 64))


def _stage(stage: Stage) -> tuple[object, ...]:
    return (_point(stage.point), stage.status.value, stage.head or b"", stage.closed_number, stage.deadline_us)


def _to_stage(value: object) -> Stage:
    point, status, head, closed, deadline = shapes.fields(value, 5)
    named = shapes.blob(head, 64) or None
    return Stage(_to_point(point), Status(status), named, shapes.number(closed), shapes.number(deadline))


def _to_early(value: object) -> Early:
    author, head, content = shapes.fields(value, 3)
    return Early(shapes.party(author), shapes.head_id(head), parse_message(content).content())


def _snapshot(snapshot: Snapshot) -> tuple[object, ...]:
    return (snapshot.version, snapshot.number, snapshot.transactions, snapshot.utxo_hash)


def _to_snapshot(value: object) -> Snapshot:
    version, number, ids, utxo_hash = shapes.fields(value, 4)
    return Snapshot(shapes.number(version), shapes.number(number), _to_ids(ids), shapes.hash_(utxo_hash))


def _confirmed(confirmed: Confirmed) -> tuple[object, ...]:
    return (_snapshot(confirmed.snapshot), confirmed.signatures)


def _to_confirmed(value: object) -> Confirmed:
    snapshot, signatures = shapes.fields(value, 2)
    return Confirmed(_to_snapshot(snapshot), _to_signatures(signatures))


def _to_past(value: object) -> Past:
    content, signatures = shapes.fields(value, 2)
    return Past(_to_content(content), _to_signatures(signatures))


def _to_signatures(value: object) -> tuple[bytes, ...]:
    return tuple(shapes.signature(each) for each in shapes.array(value))


def _to_round(value: object, outputs: Outputs, known: dict[bytes, Transaction]) -> Round | None:
    if not shapes.array(value):
        return None
    snapshot = _to_snapshot(value)
    return Round(snapshot, snapshot.content, outputs.after(known[id_] for id_ in snapshot.transactions))


def _to_request(value: object) -> Request:
    version, number, ids, seen = shapes.fields(value, 4)
    return Request(shapes.number(version), shapes.number(number), _to_ids(ids), shapes.number(seen))


def _content(content: Content) -> tuple[object, ...]:
    return (content.version, content.number, content.utxo_hash, content.transactions_hash)


def _to_content(value: object) -> Content:
    version, number, utxo, transactions = shapes.fields(value, 4)
    return Content(shapes.number(version), shapes.number(number), shapes.hash_(utxo), shapes.hash_(transactions))


def _to_ack(value: object) -> Ack:
    party, content, signature = shapes.fields(value, 3)
    return Ack(shapes.party(party), _to_content(content), shapes.signature(signature))


def _to_promise(value: object) -> tuple[int, bytes]:
    number, digest = shapes.fields(value, 2)
    return shapes.number(number), shapes.hash_(digest)


def _to_ids(value: object) -> tuple[TxId, ...]:
    return tuple(TxId(each) for each in shapes.ids(value, COUNT_MAX))


def _to_fates(value: object) -> Layered[tuple[int, int]]:
    fates: dict[bytes, tuple[int, int]] = {}
    for item in shapes.array(value):
        id_, arrival, number = shapes.fields(item, 3)
        fates[shapes.transaction_id(id_)] = (shapes.number(arrival), shapes.number(number))
    return Layered.of(fates)


def _to_wanted(value: object) -> Layered[tuple[TxId, ...]]:
    wanted: dict[bytes, tuple[TxId, ...]] = {}
    for item in shapes.array(value):
        ref, ids = shapes.fields(item, 2)
        wanted[shapes.transaction_id(ref)] = _to_ids(ids)
    return Layered.of(wanted)


def _to_rejected(value: object) -> tuple[TxId, Rejected]:
    id_, why, final = shapes.fields(value, 3)
    return TxId(shapes.transaction_id(id_)), Rejected(shapes.text(why), bool(final))


def _to_equivocation(value: object) -> Equivocated:
    event = parse_event(value)
    if not isinstance(event, Equivocated):
        raise FormatError("this is no equivocation")
    return event


def _to_post(value: object) -> PostTx:
    post = parse_event(value)
    if not isinstance(post, PostTx):
        raise FormatError("this is nothing to be posted")
    return post
