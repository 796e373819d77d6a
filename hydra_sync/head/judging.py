"""What becomes of transactions: applied to the local ledger, waiting, or rejected. No I/O.

A transaction that is wrong in itself is rejected at once, and so is one whose input a *confirmed* snapshot
spent. Every other one waits, however long: its parent may stand in a log that is heard later, and what it
conflicts with locally may lose. So whatever the leader applied, each member can still sign; with hydra-node's
time to live, members that saw two conflicting transactions in different order are stuck
(cardano-scaling/hydra, #1773, #1858).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hydra_sync.head.drafting import Draft
from hydra_sync.head.events import TxApplied, TxRejected, TxWaiting, reason
from hydra_sync.head.ledger import Bad, Ledger, Transaction, TxId, judged
from hydra_sync.head.state import Head, Standing

__all__ = ["brought", "gone_for_good", "judge", "judge_waiting", "reject_gone", "why_waiting"]


def brought(draft: Draft, head_id: bytes, transaction: TxId) -> None:
    """A transaction was brought by a member and is in the pool: check its witnesses, and judge it."""
    while (pooled := draft.head(head_id).pool.get(transaction)) is not None:
        # This node checked its own before it told the others.
        why = None if pooled.author == draft.member else draft.ledger.witnessed(pooled.transaction)
        if why is None:
            judge(draft, head_id, (transaction,))
            return
        draft.happens(TxRejected(head_id, transaction, reason(why), 0))


def judge(draft: Draft, head_id: bytes, first: Iterable[TxId]) -> None:
    """Judge transactions that wait, and those in turn whose lot depends on them."""
    queue = deque(first)
    while queue:
        if draft.is_full:
            draft.postpones(head_id)
            return
        head = draft.head(head_id)
        pooled = head.pool.get(queue.popleft())
        if pooled is None or pooled.standing is not Standing.WAITING:
            continue
        transaction = pooled.transaction
        verdict = judged(draft.ledger, head.local_outputs, transaction)
        if verdict is None:
            draft.happens(TxApplied(head_id, transaction.id))
        elif isinstance(verdict, Bad):
            draft.happens(TxRejected(head_id, transaction.id, reason(verdict.why), 0))
            brought(draft, head_id, transaction.id)  # a copy of it, if another member sent one
        elif (why := gone_for_good(draft.ledger, head, transaction)) is not None:
            draft.happens(TxRejected(head_id, transaction.id, reason(why), 1))
        else:
            if transaction.id not in (head.wanted.get(transaction.inputs[0]) or ()):
                why = why_waiting(draft.ledger, head, transaction)
                draft.happens(TxWaiting(head_id, transaction.id, reason(why)))
            continue
        for ref, _ in transaction.outputs:
            queue.extend(head.wanted.get(ref) or ())


def judge_waiting(draft: Draft, head_id: bytes) -> None:
    """Judge all that wait: what another transaction held may be free."""
    head = draft.head(head_id)
    if head.pool.size > len(head.local):
        judge(draft, head_id, [id_ for id_, standing in _not_applied(head) if standing is Standing.WAITING])


def reject_gone(draft: Draft, head_id: bytes) -> None:
    """A snapshot was confirmed: reject what cannot be applied any more."""
    head = draft.head(head_id)
    if head.pool.size <= len(head.local):
        return
    for id_, _ in _not_applied(head):
        if draft.is_full:
            draft.postpones(head_id)
            return
        head = draft.head(head_id)
        pooled = head.pool.get(id_)
        if pooled is None:
            continue  # it went with one before it
        why = gone_for_good(draft.ledger, head, pooled.transaction)
        if why is not None:
            draft.happens(TxRejected(head_id, id_, reason(why), 1))
            for ref, _ in pooled.transaction.outputs:
                judge(draft, head_id, draft.head(head_id).wanted.get(ref) or ())


def gone_for_good(ledger: Ledger, head: Head, transaction: Transaction) -> str | None:
    """Why what is confirmed rules a transaction out, for ever; none if it does not."""
    for ref in transaction.inputs:
        if ref in head.outputs.unspent:
            continue
        if (by := head.outputs.spent.get(ref)) is not None:
            whom = f"transaction {ledger.shown(by)}" if by else "a snapshot that was side-loaded"
            return f"its input {ref.hex()} was spent by {whom}, which is confirmed"
        maker = ledger.maker(ref)
        if maker is not None and maker in head.fates:
            return f"its input {ref.hex()} is no output of transaction {ledger.shown(maker)}"
        if maker is not None and (rejected := head.rejection(maker)) is not None and rejected.final:
            return f"its input {ref.hex()} is of transaction {ledger.shown(maker)}, which was rejected"
    for ref, _ in transaction.outputs:
        if ref in head.outputs.unspent or ref in head.outputs.spent:
            return f"its output {ref.hex()} was there before"
    return None


def _not_applied(head: Head) -> list[tuple[TxId, Standing]]:
    left = [pooled for pooled in head.pool.flat().values() if pooled.standing is not Standing.APPLIED]
    left.sort(key=lambda pooled: pooled.arrival)
    return [(pooled.transaction.id, pooled.standing) for pooled in left]


def why_waiting(ledger: Ledger, head: Head, transaction: Transaction) -> str:
    """Which of its inputs is not there, or who has taken it."""
    for ref in transaction.inputs:
        if ref in head.local_outputs.unspent:
            continue
        if (by := head.local_outputs.spent.get(ref)) is None:
            return f"its input {ref.hex()} is not there"
        return f"its input {ref.hex()} is taken by transaction {ledger.shown(by)}, which is not confirmed"
    return "one of its outputs is there already, made by another transaction"
