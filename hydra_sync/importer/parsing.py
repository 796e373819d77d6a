"""The changes in hydra-node's events, out of the records of every release. No I/O.

Read from ``HeadLogic/Outcome.hs`` of cardano-scaling/hydra at its release tags. Where a field was renamed, moved
or left out, the release is named beside it. Everything else a node recorded (peers, ticks, refusals) is known by
name, so that it is not taken for damage, and changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hydra_sync.importer.changes import (
    Aborted,
    Applied,
    Change,
    Checkpoint,
    Cleared,
    Closed,
    CommitFinalized,
    DecommitFinalized,
    DecommitRecorded,
    DepositChanged,
    FannedOut,
    FanoutBegun,
    FanoutReverted,
    Initialized,
    Invalid,
    Opened,
    ReadyToFanout,
    Received,
    SnapshotConfirmed,
    SnapshotDecided,
    SnapshotRequested,
)
from hydra_sync.importer.fields import (
    JsonObject,
    RecordError,
    as_object,
    hexadecimal,
    items,
    natural,
    optional,
    text,
    value,
)
from hydra_sync.importer.ledger import Outputs, parse_outputs, parse_transaction, parse_transaction_id
from hydra_sync.importer.snapshots import parse_parties, parse_signatures, parse_snapshot
from hydra_sync.importer.states import parse_state

__all__ = ["parse_change"]


def parse_change(found: JsonObject) -> Change | None:
    """What an event changes, if anything. Raises `RecordError` for a damaged event, or one that is not known."""
    tag = text(found, "tag")
    if tag in _UNCHANGING:
        return None
    if tag not in _PARSERS:
        raise RecordError(f"no known event: {tag[:80]!r}")
    return _PARSERS[tag](found)


def _head(fields: JsonObject) -> str | None:
    return optional(fields, hexadecimal, "headId")  # many events had none until 0.13


def _local(fields: JsonObject) -> Outputs | None:
    return parse_outputs(fields["newLocalUTxO"]) if "newLocalUTxO" in fields else None


def _parties(fields: JsonObject) -> tuple[str, ...]:
    return parse_parties(items(as_object(value(fields, "parameters"), "parameters"), "parties"))


def _opened(fields: JsonObject) -> Opened:
    initial = parse_outputs(fields["initialUTxO"]) if "initialUTxO" in fields else None
    if initial is None and "parameters" not in fields:
        raise RecordError("a head opens with parameters (since 2.0) or with initialUTxO (before), and here is neither")
    return Opened(_head(fields), _parties(fields) if "parameters" in fields else None, initial)


def _applied(fields: JsonObject) -> Applied:
    return Applied(_head(fields), parse_transaction(value(fields, "tx")), _local(fields))


def _invalid(fields: JsonObject) -> Invalid:
    why = as_object(value(fields, "validationError"), "a validation error")
    return Invalid(_head(fields), parse_transaction(value(fields, "transaction")), text(why, "reason"))


def _requested(fields: JsonObject) -> SnapshotRequested:
    snapshot = parse_snapshot(value(fields, "requestedSnapshot", "snapshot"))  # renamed with 2.1
    requested = snapshot.transactions
    if "requestedTxIds" in fields:  # until 2.0
        requested = tuple(map(parse_transaction_id, items(fields, "requestedTxIds")))
    transactions = tuple(map(parse_transaction, items(fields, "newLocalTxs")))
    return SnapshotRequested(snapshot, requested, transactions, _local(fields))


def _signed(fields: JsonObject) -> None:
    hexadecimal(as_object(value(fields, "party"), "a party"), "vkey")
    hexadecimal(fields, "signature")


def _confirmed(fields: JsonObject) -> SnapshotConfirmed:
    snapshot = parse_snapshot(fields["snapshot"]) if fields.get("snapshot") is not None else None
    return SnapshotConfirmed(_head(fields), snapshot, parse_signatures(value(fields, "signatures")))


def _deposited(fields: JsonObject) -> DepositChanged:
    outputs = parse_outputs(value(fields, "deposited", "utxoToCommit"))
    return DepositChanged(parse_transaction_id(value(fields, "depositTxId", "pendingDeposit")), outputs)


def _deposit(fields: JsonObject) -> DepositChanged:
    outputs = parse_outputs(value(as_object(value(fields, "deposit"), "a deposit"), "deposited"))
    return DepositChanged(parse_transaction_id(value(fields, "depositTxId")), outputs)


def _recovered(fields: JsonObject) -> DepositChanged:
    return DepositChanged(parse_transaction_id(value(fields, "depositTxId", "recoveredTxId")), None)


def _commit_finalized(fields: JsonObject) -> CommitFinalized:
    deposit = optional(fields, value, "depositTxId", "theDeposit")
    found = None if deposit is None else parse_transaction_id(deposit)
    return CommitFinalized(_head(fields), natural(fields, "newVersion"), found)


def _decommit(fields: JsonObject) -> DecommitRecorded:
    return DecommitRecorded(_head(fields), parse_transaction(value(fields, "decommitTx")), _local(fields))


_PARSERS: Final[Mapping[str, Callable[[JsonObject], Change | None]]] = {
    "HeadInitialized": lambda fields: Initialized(_head(fields), _parties(fields)),
    "HeadOpened": _opened,
    "HeadAborted": lambda fields: Aborted(_head(fields)),
    "TransactionReceived": lambda fields: Received(parse_transaction(value(fields, "tx"))),
    "TransactionAppliedToLocalUTxO": _applied,
    "TxInvalid": _invalid,
    "SnapshotRequestDecided": lambda fields: SnapshotDecided(natural(fields, "snapshotNumber")),
    "SnapshotRequested": _requested,
    "PartySignedSnapshot": _signed,
    "SnapshotConfirmed": _confirmed,
    "LocalStateCleared": lambda fields: Cleared(_head(fields), natural(fields, "snapshotNumber")),
    "CommitRecorded": _deposited,  # what DepositRecorded was called until 0.21
    "DepositRecorded": _deposited,
    "DepositActivated": _deposit,
    "DepositExpired": _deposit,
    "CommitRecovered": _recovered,  # what DepositRecovered was called until 0.21
    "DepositRecovered": _recovered,
    "CommitFinalized": _commit_finalized,
    "DecommitRecorded": _decommit,
    "DecommitFinalized": lambda fields: DecommitFinalized(_head(fields), optional(fields, natural, "newVersion")),
    "HeadClosed": lambda fields: Closed(_head(fields)),
    "HeadIsReadyToFanout": lambda fields: ReadyToFanout(_head(fields)),
    "HeadFanoutInitiated": lambda fields: FanoutBegun(_head(fields)),
    "HeadPartialFanoutSelected": lambda fields: FanoutBegun(_head(fields)),
    "HeadPartialFannedOut": lambda fields: FanoutBegun(_head(fields)),
    "HeadFanoutReverted": lambda fields: FanoutReverted(_head(fields)),
    "HeadFannedOut": lambda fields: FannedOut(_head(fields)),
    "Checkpoint": lambda fields: Checkpoint(parse_state(as_object(value(fields, "state"), "a state"))),
}

_UNCHANGING: Final = frozenset(
    {
        "ChainRolledBack",
        "CommitApproved",
        "CommittedUTxO",
        "DecommitApproved",
        "DecommitInvalid",
        "HeadContested",
        "IgnoredHeadInitializing",
        "NetworkBroadcastResumed",
        "NetworkBroadcastStalled",
        "NetworkClusterIDMismatch",
        "NetworkConnected",
        "NetworkDisconnected",
        "NetworkVersionMismatch",
        "NodeSynced",
        "NodeUnsynced",
        "PeerConnected",
        "PeerDisconnected",
        "TickObserved",
    }
)
