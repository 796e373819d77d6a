"""The four answers of a head's state; signatures are verified anew, whatever was verified before. No I/O."""

from __future__ import annotations

from hydra_sync.head.answers import Answers, Equivocation, Fate, SeenTransaction, SnapshotAnswer
from hydra_sync.head.events import Equivocated
from hydra_sync.head.judging import why_waiting
from hydra_sync.head.ledger import Ledger, TxId
from hydra_sync.head.snapshot import signed_by
from hydra_sync.head.state import Head, Pooled, Standing, State

__all__ = ["answers_of"]


def answers_of(ledger: Ledger, state: State) -> Answers:
    """Who the peers are, the last snapshot, the transactions seen, the status; of the last head after its end."""
    head = state.current
    if head is None:
        return Answers(state.stage.status, None, (), None, ())
    return Answers(
        state.stage.status,
        head.id.hex(),
        tuple(party.hex() for party in head.parties),
        _snapshot(ledger, head),
        _transactions(ledger, head),
        tuple(map(_equivocation, head.equivocations)),
    )


def _snapshot(ledger: Ledger, head: Head) -> SnapshotAnswer:
    snapshot = head.confirmed.snapshot
    signers = signed_by(head.id, snapshot.content, head.parties, head.confirmed.signatures)
    return SnapshotAnswer(
        snapshot.number,
        snapshot.version,
        tuple(ledger.shown(id_) for id_ in snapshot.transactions),
        head.outputs.unspent.size,
        snapshot.utxo_hash.hex(),
        tuple(party.hex() for party in signers),
    )


def _equivocation(event: Equivocated) -> Equivocation:
    first, second = (
        (outputs.hex(), transactions.hex(), signature.hex())
        for outputs, transactions, signature in (event.first, event.second)
    )
    return Equivocation(event.party.hex(), event.version, event.number, first, second)


def _transactions(ledger: Ledger, head: Head) -> tuple[SeenTransaction, ...]:
    seen: list[tuple[int, SeenTransaction]] = [
        (arrival, SeenTransaction(ledger.shown(TxId(id_)), Fate.CONFIRMED, snapshot=number))
        for id_, (arrival, number) in head.fates.sorted()
    ]
    in_flight = frozenset(head.round.snapshot.transactions if head.round else ())
    seen += [
        (pooled.arrival, _unconfirmed(ledger, head, pooled, pooled.transaction.id in in_flight))
        for pooled in head.pool.flat().values()
    ]
    seen.sort(key=lambda item: item[0])
    rejected = [
        SeenTransaction(ledger.shown(id_), Fate.REJECTED, rejection.why) for id_, rejection in head.rejected.items()
    ]
    return (*(each for _, each in seen), *rejected)


def _unconfirmed(ledger: Ledger, head: Head, pooled: Pooled, in_flight: bool) -> SeenTransaction:
    shown = ledger.shown(pooled.transaction.id)
    if in_flight and head.round is not None:
        return SeenTransaction(shown, Fate.IN_FLIGHT, snapshot=head.round.snapshot.number)
    if pooled.standing is Standing.APPLIED:
        return SeenTransaction(shown, Fate.APPLIED)
    if pooled.standing is Standing.SHELVED:
        return SeenTransaction(shown, Fate.WAITING, "it was dropped by a side-loaded snapshot: submit it again")
    return SeenTransaction(shown, Fate.WAITING, why_waiting(ledger, head, pooled.transaction))
