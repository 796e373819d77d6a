"""What a history of changes comes to: the four answers. No I/O.

This is hydra-node's own fold (``aggregateNodeState``, ``applyEvent`` in ``HeadLogic.hs``) as far as the answers
need it, traps included:

* an event that names another head than the present one is ignored; one that names none applies;
* transactions leave ``allTxs`` when a snapshot is *requested*: until it is confirmed they are in it alone;
* ``SnapshotConfirmed`` without a snapshot confirms the one that was requested last;
* what was not confirmed when a head is closed is lost to it;
* after the end of a head hydra-node forgets it. Here the last one is remembered.
"""

from __future__ import annotations

from functools import singledispatchmethod
from typing import Final

from hydra_sync.head import Answers, Fate, SeenTransaction, SnapshotAnswer, Status
from hydra_sync.importer import changes
from hydra_sync.importer.changes import Change
from hydra_sync.importer.ledger import Outputs, Transaction, apply_to, utxo_hash
from hydra_sync.importer.signing import signed_by
from hydra_sync.importer.snapshots import Confirmed, Snapshot, initial
from hydra_sync.importer.states import HeadImage

__all__ = ["HeadFold"]

ENDED: Final = (Status.IDLE, Status.FINAL, Status.ABORTED)
CLOSED: Final = (Status.CLOSED, Status.FANOUT_POSSIBLE, Status.FANNING_OUT)
ONLY_OPEN: Final = (
    changes.Received,
    changes.Applied,
    changes.Invalid,
    changes.SnapshotDecided,
    changes.SnapshotRequested,
    changes.SnapshotConfirmed,
    changes.Cleared,
    changes.DecommitRecorded,
    changes.DecommitFinalized,
    changes.Closed,
)
NOT_CONFIRMED: Final = "the head was closed before a snapshot confirmed it"
FORGOTTEN: Final = "the node forgot it: submit it again"
CLEARED: Final = "the node dropped it when it took over snapshot {}: submit it again"


class HeadFold:
    """A head, as far as its changes have come; `apply` them in order."""

    def __init__(self) -> None:
        self.status = Status.IDLE
        self.ignored = 0
        """Events of other heads."""
        self._deposits: dict[str, Outputs] = {}
        self._old_form: bool | None = None
        self._begin(None, ())

    def apply(self, change: Change) -> str:
        """Go on by one change. Returns why hydra-node itself could not, empty if it could."""
        head_id = getattr(change, "head_id", None)
        if self.status not in ENDED and None not in (head_id, self._head_id) and head_id != self._head_id:
            self.ignored += 1
            return ""
        if self.status is not Status.OPEN and isinstance(change, ONLY_OPEN):
            return ""
        return self._step(change)

    @property
    def local_outputs(self) -> int | None:
        """How many outputs the local ledger has; None if there is none, or a transaction did not tell."""
        return len(self._local) if self.status is Status.OPEN and self._local_known else None

    def answers(self) -> Answers:
        """The four answers, as things stand."""
        snapshot = None if self._confirmed is None else self._snapshot_answer(self._confirmed)
        flying = frozenset(self._flying())
        transactions = tuple(self._seen_transaction(tx_id, flying) for tx_id in self._seen)
        return Answers(self.status, self._head_id, self._parties, snapshot, transactions)

    @singledispatchmethod
    def _step(self, change: Change) -> str:
        raise AssertionError(f"no step for {change}")

    # Beginnings and ends

    def _begin(self, head_id: str | None, parties: tuple[str, ...]) -> None:
        self._head_id = head_id
        self._parties = parties
        self._confirmed: Confirmed | None = None
        self._version = 0
        self._seen: dict[str, None] = {}
        self._confirmed_in: dict[str, int] = {}
        self._rejected: dict[str, str] = {}
        self._reset((), (), None, frozenset())

    def _reset(
        self, waiting: tuple[str, ...], applied: tuple[str, ...], in_flight: Snapshot | None, local: Outputs
    ) -> None:
        self._waiting = dict.fromkeys(waiting)
        self._applied = dict.fromkeys(applied)
        self._in_flight = in_flight
        self._local = set(local)
        self._local_known = True

    @_step.register
    def _initialized(self, change: changes.Initialized) -> str:
        self.status = Status.INITIAL
        self._begin(change.head_id, change.parties)
        return ""

    @_step.register
    def _opened(self, change: changes.Opened) -> str:
        if change.parties is not None:
            self._begin(change.head_id, change.parties)
        elif self.status is Status.INITIAL:
            self._begin(self._head_id, self._parties)
        else:
            return "a head opens that was not announced before, and is ignored: its HeadInitialized is missing"
        opening = change.initial or frozenset()
        self.status = Status.OPEN
        self._confirmed = initial(self._head_id, opening)
        self._local = set(opening)
        return ""

    @_step.register
    def _aborted(self, _: changes.Aborted) -> str:
        self.status = Status.ABORTED
        return ""

    @_step.register
    def _closed(self, _: changes.Closed) -> str:
        self._drop(NOT_CONFIRMED)
        self.status = Status.CLOSED
        return ""

    @_step.register
    def _ready(self, _: changes.ReadyToFanout) -> str:
        if self.status is Status.CLOSED:
            self.status = Status.FANOUT_POSSIBLE
        return ""

    @_step.register
    def _fanout_begun(self, _: changes.FanoutBegun) -> str:
        if self.status in CLOSED:
            self.status = Status.FANNING_OUT
        return ""

    @_step.register
    def _fanout_reverted(self, _: changes.FanoutReverted) -> str:
        if self.status is Status.FANNING_OUT:
            self.status = Status.FANOUT_POSSIBLE
        return ""

    @_step.register
    def _fanned_out(self, _: changes.FannedOut) -> str:
        if self.status in CLOSED:
            self.status = Status.FINAL
        return ""

    # Transactions

    @_step.register
    def _received(self, change: changes.Received) -> str:
        self._see(change.transaction.id)
        self._waiting[change.transaction.id] = None
        self._rejected.pop(change.transaction.id, None)
        return ""

    @_step.register
    def _transaction_applied(self, change: changes.Applied) -> str:
        self._see(change.transaction.id)
        self._applied[change.transaction.id] = None
        self._old_form = change.local is not None
        self._go_local(change.local, change.transaction)
        return ""

    @_step.register
    def _invalid(self, change: changes.Invalid) -> str:
        self._see(change.transaction.id)
        self._waiting.pop(change.transaction.id, None)
        self._rejected[change.transaction.id] = change.why
        return ""

    # Snapshots

    @_step.register
    def _decided(self, _: changes.SnapshotDecided) -> str:
        self._in_flight = None
        return ""

    @_step.register
    def _requested(self, change: changes.SnapshotRequested) -> str:
        self._old_form = change.local is not None
        self._in_flight = change.snapshot
        for tx_id in change.requested:
            self._waiting.pop(tx_id, None)
        for tx_id in (*change.snapshot.transactions, *(transaction.id for transaction in change.transactions)):
            self._see(tx_id)
        self._applied = dict.fromkeys(transaction.id for transaction in change.transactions)
        self._local = set(self._settled(change.snapshot))
        self._local_known = True
        if change.local is not None:
            self._local = set(change.local)
            return ""
        for transaction in change.transactions:
            self._go_local(None, transaction)
        return ""

    @_step.register
    def _snapshot_confirmed(self, change: changes.SnapshotConfirmed) -> str:
        snapshot = change.snapshot or self._in_flight
        if snapshot is None:
            return "a snapshot is confirmed that nobody requested: hydra-node stops here"
        self._confirmed = Confirmed(snapshot, change.signatures)
        self._in_flight = None
        self._count_confirmed(snapshot)
        return ""

    @_step.register
    def _cleared(self, change: changes.Cleared) -> str:
        assert self._confirmed is not None
        self._drop(CLEARED.format(change.number))
        self._local = set(self._settled(self._confirmed.snapshot))
        self._local_known = True
        return ""

    # What comes from, and goes to, the main chain

    @_step.register
    def _deposit_changed(self, change: changes.DepositChanged) -> str:
        if change.outputs is None:
            self._deposits.pop(change.id, None)
        else:
            self._deposits[change.id] = change.outputs
        return ""

    @_step.register
    def _commit_finalized(self, change: changes.CommitFinalized) -> str:
        deposited = self._deposits.pop(change.deposit, frozenset()) if change.deposit is not None else frozenset()
        if self.status is Status.OPEN:
            self._version = change.version
            self._local |= deposited
        return ""

    @_step.register
    def _decommit_recorded(self, change: changes.DecommitRecorded) -> str:
        self._go_local(change.local, change.transaction)
        if change.local is None:
            self._local -= change.transaction.adds or frozenset()
        return ""

    @_step.register
    def _decommit_finalized(self, change: changes.DecommitFinalized) -> str:
        self._version = self._version if change.version is None else change.version
        return ""

    @_step.register
    def _checkpoint(self, change: changes.Checkpoint) -> str:
        image = change.image
        self._deposits = dict(image.deposits)
        if image.status is Status.IDLE:
            if self.status not in ENDED:
                self.status = Status.IDLE
                self._begin(None, ())
            return ""
        self._take_over(image)
        return ""

    def _take_over(self, image: HeadImage) -> None:
        """Everything is as the checkpoint says; what it does not tell, former fates, stays if the head is the same."""
        if image.head_id != self._head_id:
            self._begin(image.head_id, image.parties)
        if image.status in CLOSED:
            self._drop(NOT_CONFIRMED)
        self.status, self._head_id, self._parties = image.status, image.head_id, image.parties
        self._confirmed, self._version = image.confirmed, image.version
        self._reset(image.all_transactions, image.local_transactions, image.in_flight, image.local)
        flying = () if image.in_flight is None else image.in_flight.transactions
        known = {**self._confirmed_in, **self._rejected}
        self._seen = {tx_id: None for tx_id in self._seen if tx_id in known}
        for tx_id in (*flying, *image.local_transactions, *image.all_transactions):
            self._see(tx_id)
        if image.confirmed is not None:
            self._count_confirmed(image.confirmed.snapshot)

    # Parts

    def _see(self, tx_id: str) -> None:
        self._seen.setdefault(tx_id)

    def _drop(self, why: str) -> None:
        for tx_id in (*self._waiting, *self._applied, *self._flying()):
            self._rejected[tx_id] = why
        self._reset((), (), None, frozenset())

    def _count_confirmed(self, snapshot: Snapshot) -> None:
        for tx_id in snapshot.transactions:
            self._see(tx_id)
            self._confirmed_in[tx_id] = snapshot.number

    def _settled(self, snapshot: Snapshot) -> Outputs:
        """With the deposit of a snapshot that the main chain has taken in since."""
        if snapshot.version is not None and self._version > snapshot.version:
            return snapshot.utxo | snapshot.to_commit
        return snapshot.utxo

    def _go_local(self, local: Outputs | None, transaction: Transaction) -> None:
        if local is not None:
            self._local, self._local_known = set(local), True
        elif not apply_to(self._local, transaction):
            self._local_known = False

    # Answers

    def _snapshot_answer(self, confirmed: Confirmed) -> SnapshotAnswer:
        snapshot = confirmed.snapshot
        signers, unverified = signed_by(confirmed, self._parties, old_form=self._old_form)
        return SnapshotAnswer(
            number=snapshot.number,
            version=snapshot.version or 0,
            transactions=snapshot.transactions,
            outputs=len(snapshot.utxo),
            utxo_hash=utxo_hash(snapshot.utxo),
            signed_by=signers,
            unverified=unverified,
        )

    def _seen_transaction(self, tx_id: str, flying: frozenset[str]) -> SeenTransaction:
        if tx_id in self._confirmed_in:
            return SeenTransaction(tx_id, Fate.CONFIRMED, snapshot=self._confirmed_in[tx_id])
        if self._in_flight is not None and tx_id in flying:
            return SeenTransaction(tx_id, Fate.IN_FLIGHT, snapshot=self._in_flight.number)
        if tx_id in self._applied:
            return SeenTransaction(tx_id, Fate.APPLIED)
        if tx_id in self._waiting:
            return SeenTransaction(tx_id, Fate.WAITING)
        return SeenTransaction(tx_id, Fate.REJECTED, self._rejected.get(tx_id, FORGOTTEN))

    def _flying(self) -> tuple[str, ...]:
        return () if self._in_flight is None else self._in_flight.transactions
