"""The CBOR of a StateEvent: every constructor's fields, in hydra-node's order. No I/O.

Read from ``HeadLogic/Outcome.hs`` of cardano-scaling/hydra (master, 2026-08). It is the form of ``hydra.db`` with
``user_version`` 2, which no release has written so far.
"""

from __future__ import annotations

from typing import Final

from hydra_sync.importer.cbor import CborReader
from hydra_sync.importer.codecs import Fields, choice, listed, maybe, named, product
from hydra_sync.importer.fields import Json
from hydra_sync.importer.values_cbor import (
    CHAIN,
    DECOMMIT_INVALID,
    DEPOSIT,
    HEAD_ID,
    HEAD_SEED,
    HOST,
    INVALID,
    MODE,
    NODE,
    NUMBER,
    PARAMETERS,
    PARTY,
    PERIOD,
    POINT,
    PROTOCOL,
    SIGNATURE,
    SIGNATURES,
    SLOT,
    SNAPSHOT,
    UTXO,
    VERSION,
    integer,
    octets,
    seconds,
    text,
    time,
    transaction,
)

__all__ = ["CONSTRUCTORS", "read_state_event", "read_state_events"]

_SYNC: Fields = [("chainSlot", SLOT), ("chainTime", time), ("drift", seconds)]
_DEADLINE: Fields = [("contestationDeadline", time)]

CONSTRUCTORS: Final[dict[str, Fields]] = {
    "NetworkConnected": [],
    "NetworkDisconnected": [],
    "PeerConnected": [("peer", HOST)],
    "PeerDisconnected": [("peer", HOST)],
    "NetworkVersionMismatch": [("ourVersion", PROTOCOL), ("theirVersion", maybe(PROTOCOL))],
    "NetworkClusterIDMismatch": [("clusterPeers", text), ("misconfiguredPeers", text)],
    "HeadOpened": [
        ("parameters", PARAMETERS),
        ("chainState", CHAIN),
        ("headId", HEAD_ID),
        ("headSeed", HEAD_SEED),
        ("parties", listed(PARTY)),
    ],
    "TransactionReceived": [("tx", transaction)],
    "TransactionAppliedToLocalUTxO": [("headId", HEAD_ID), ("tx", transaction)],
    "SnapshotRequestDecided": [("snapshotNumber", NUMBER)],
    "SnapshotRequested": [
        ("requestedSnapshot", SNAPSHOT),
        ("newLocalTxs", listed(transaction)),
        ("newCurrentDepositTxId", maybe(octets)),
    ],
    "PartySignedSnapshot": [("snapshotNumber", NUMBER), ("party", PARTY), ("signature", SIGNATURE)],
    "SnapshotConfirmed": [("headId", HEAD_ID), ("snapshot", maybe(SNAPSHOT)), ("signatures", SIGNATURES)],
    "DepositRecorded": [
        ("chainState", CHAIN),
        ("headId", HEAD_ID),
        ("depositTxId", octets),
        ("deposited", UTXO),
        ("created", time),
        ("deadline", time),
    ],
    "DepositActivated": [("depositTxId", octets), ("chainTime", time), ("deposit", DEPOSIT)],
    "DepositExpired": [("depositTxId", octets), ("chainTime", time), ("deposit", DEPOSIT)],
    "DepositRecovered": [("chainState", CHAIN), ("headId", HEAD_ID), ("depositTxId", octets), ("recovered", UTXO)],
    "CommitApproved": [("headId", HEAD_ID), ("utxoToCommit", UTXO)],
    "CommitFinalized": [
        ("chainState", CHAIN),
        ("headId", HEAD_ID),
        ("newVersion", VERSION),
        ("depositTxId", octets),
    ],
    "DecommitRecorded": [("headId", HEAD_ID), ("decommitTx", transaction)],
    "DecommitApproved": [("headId", HEAD_ID), ("decommitTxId", octets), ("utxoToDecommit", UTXO)],
    "DecommitInvalid": [
        ("headId", HEAD_ID),
        ("decommitTx", transaction),
        ("decommitInvalidReason", DECOMMIT_INVALID),
    ],
    "DecommitFinalized": [
        ("chainState", CHAIN),
        ("headId", HEAD_ID),
        ("distributedUTxO", UTXO),
        ("newVersion", VERSION),
    ],
    "HeadClosed": [("headId", HEAD_ID), ("snapshotNumber", NUMBER), ("chainState", CHAIN), *_DEADLINE],
    "HeadContested": [("headId", HEAD_ID), ("chainState", CHAIN), *_DEADLINE, ("snapshotNumber", NUMBER)],
    "HeadIsReadyToFanout": [("headId", HEAD_ID)],
    "HeadFanoutInitiated": [("headId", HEAD_ID), ("remainingOutputs", UTXO)],
    "HeadPartialFanoutSelected": [("headId", HEAD_ID), ("remainingOutputs", UTXO), ("selection", UTXO)],
    "HeadFanoutReverted": [("headId", HEAD_ID)],
    "HeadFannedOut": [("headId", HEAD_ID), ("finalizedOutputs", UTXO), ("chainState", CHAIN)],
    "HeadPartialFannedOut": [
        ("headId", HEAD_ID),
        ("distributedOutputs", UTXO),
        ("remainingOutputs", UTXO),
        ("chainState", CHAIN),
        ("mode", MODE),
    ],
    "ChainRolledBack": [("chainState", CHAIN)],
    "TickObserved": [("chainPoint", POINT), ("chainTime", time)],
    "IgnoredHeadInitializing": [
        ("headId", HEAD_ID),
        ("contestationPeriod", PERIOD),
        ("parties", listed(PARTY)),
        ("participants", listed(named("UnsafeOnChainId", octets))),
    ],
    "TxInvalid": [("headId", HEAD_ID), ("utxo", UTXO), ("transaction", transaction), ("validationError", INVALID)],
    "LocalStateCleared": [("headId", HEAD_ID), ("snapshotNumber", NUMBER)],
    "Checkpoint": [("state", NODE)],
    "NodeUnsynced": _SYNC,
    "NodeSynced": _SYNC,
}

_EVENT = product(
    "StateEvent",
    [("eventId", integer), ("stateChanged", choice("event", CONSTRUCTORS)), ("time", time)],
)


def read_state_event(data: bytes) -> Json:
    """The event that ``data`` is, every byte of it, as its JSON. Raises `RecordError`."""
    cbor = CborReader(data)
    event = _EVENT(cbor)
    if not cbor.at_end:
        raise cbor.fail("the event ends before its bytes do")
    return event


def read_state_events(data: bytes) -> list[Json]:
    """The events of a list of them, as hydra-node's sample file has it. Raises `RecordError`."""
    cbor = CborReader(data)
    events = listed(_EVENT)(cbor)
    if not cbor.at_end:
        raise cbor.fail("the list ends before its bytes do")
    assert isinstance(events, list)
    return events
