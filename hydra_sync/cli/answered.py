"""The four answers of a head, for people and for programs. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from hydra_sync.head import Answers, Fate, SeenTransaction, SnapshotAnswer

__all__ = ["answer_lines", "answers_json", "shown"]

SHOWN_MAX: Final = 20  # transactions that are not confirmed and not named one by one


def answers_json(answers: Answers) -> dict[str, object]:
    """The answers for programs."""
    return {
        "status": answers.status.value,
        "head_id": answers.head_id,
        "parties": list(answers.parties),
        "snapshot": None if answers.snapshot is None else _snapshot_json(answers.snapshot),
        "transactions": list(map(_transaction_json, answers.transactions)),
        "equivocations": [asdict(each) for each in answers.equivocations],
    }


def answer_lines(answers: Answers) -> Iterator[str]:
    """The answers for people."""
    yield f"status        {answers.status.value}"
    yield f"head          {shown(answers.head_id or 'none')}"
    for number, party in enumerate(answers.parties, 1):
        yield f"{'parties' if number == 1 else '':13} {number}. {shown(party)}"
    if answers.snapshot is not None:
        yield from _snapshot_lines(answers.snapshot, len(answers.parties))
    for each in answers.equivocations:
        yield f"equivocation  {shown(each.party)} signed two snapshots {each.number}: --json has both signatures"
    yield from _transaction_lines(answers.transactions)


def shown(text: str) -> str:
    """A text of unknown origin, such that it does nothing to a terminal.

    >>> shown("fine"), shown("\\x1b[2J")
    ('fine', "'\\\\x1b[2J'")
    """
    return text if text.isprintable() else ascii(text)


def _snapshot_json(snapshot: SnapshotAnswer) -> dict[str, object]:
    return {
        "number": snapshot.number,
        "version": snapshot.version,
        "transactions": list(snapshot.transactions),
        "outputs": snapshot.outputs,
        "utxo_hash": snapshot.utxo_hash,
        "signed_by": list(snapshot.signed_by),
        "unverified": snapshot.unverified,
    }


def _transaction_json(transaction: SeenTransaction) -> dict[str, object]:
    return {
        "id": transaction.id,
        "fate": transaction.fate.value,
        "why": transaction.why,
        "snapshot": transaction.snapshot,
    }


def _snapshot_lines(snapshot: SnapshotAnswer, parties: int) -> Iterator[str]:
    yield f"snapshot      number {snapshot.number}, version {snapshot.version}, {snapshot.outputs:,} unspent outputs"
    yield f"              confirms {len(snapshot.transactions):,} transactions; outputs' hash {snapshot.utxo_hash[:16]}"
    if snapshot.unverified:
        yield f"              signatures not checked, or not all of them: {shown(snapshot.unverified)}"
    elif snapshot.number:
        yield f"              signed by {len(snapshot.signed_by)} of {parties} parties: every signature holds"


def _transaction_lines(transactions: tuple[SeenTransaction, ...]) -> Iterator[str]:
    fates = Counter(transaction.fate for transaction in transactions)
    counts = ", ".join(f"{fates[fate]:,} {fate.value}" for fate in Fate if fates[fate])
    yield f"transactions  {len(transactions):,} seen" + (f": {counts}" if counts else "")
    open_ones = [transaction for transaction in transactions if transaction.fate is not Fate.CONFIRMED]
    for transaction in open_ones[:SHOWN_MAX]:
        where = "" if transaction.snapshot is None else f", snapshot {transaction.snapshot}"
        why = f": {shown(transaction.why)}" if transaction.why else ""
        yield f"              {shown(transaction.id)} {transaction.fate.value}{where}{why}"
    if len(open_ones) > SHOWN_MAX:
        yield f"              and {len(open_ones) - SHOWN_MAX:,} more; --json names all"
