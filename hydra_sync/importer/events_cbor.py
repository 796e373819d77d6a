"""The CBOR of a StateEvent: every constructor's fields, in hydra-node's order. No I/O.

Read from ``HeadLogic/Outcome.hs``, ``HeadLogic/State.hs``, ``Node/State.hs`` and ``API/ServerOutput.hs`` of
cardano-scaling/hydra (master, 2026-08), and from the bytes of its ``golden/StateEvent.cbor``. It is the form of
``hydra.db`` with ``user_version`` 2, which no release has written so far.

What comes out is the JSON of the same event, but for outputs: of a transaction output only its own CBOR is given
(as ``{"cborHex": ...}``), because its JSON, addresses and all, is nothing that an answer needs.
"""

from __future__ import annotations

import calendar
import datetime
from decimal import Decimal
from typing import Final

from hydra_sync.importer.cbor import ARRAY, CborReader
from hydra_sync.importer.codecs import Fields, choice, keyed, listed, maybe, named, product
from hydra_sync.importer.fields import Json
from hydra_sync.importer.ledger import cardano_transaction_id

__all__ = ["CONSTRUCTORS", "read_state_event", "read_state_events"]

PICOSECONDS: Final = 10**12
DAY_S: Final = 86_400


def _integer(cbor: CborReader) -> Json:
    return cbor.integer()


def _text(cbor: CborReader) -> Json:
    return cbor.text()


def _boolean(cbor: CborReader) -> Json:
    return cbor.boolean()


def _hex(cbor: CborReader) -> str:
    return cbor.byte_string().hex()


def _seconds(cbor: CborReader) -> Json:
    whole, rest = divmod(number := cbor.integer(), PICOSECONDS)
    return whole if not rest else Decimal(number) / PICOSECONDS


def _time(cbor: CborReader) -> Json:
    if cbor.expect(ARRAY) != 3:
        raise cbor.fail("a time is a list of year, day of the year and picoseconds")
    year, day, picoseconds = cbor.integer(), cbor.integer(), cbor.integer()
    is_day = 1 <= year <= 9999 and 1 <= day <= 365 + calendar.isleap(year)
    if not (is_day and 0 <= picoseconds < (DAY_S + 1) * PICOSECONDS):
        raise cbor.fail(f"no time: year {year}, day {day}, {picoseconds} ps")
    date = datetime.date(year, 1, 1) + datetime.timedelta(days=day - 1)
    seconds, rest = divmod(picoseconds, PICOSECONDS)
    minutes = min(seconds // 60, 24 * 60 - 1)  # a leap second is the 60th of the last minute
    fraction = f".{rest:012d}".rstrip("0") if rest else ""
    return f"{date}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds - 60 * minutes:02d}{fraction}Z"


def _output_reference(cbor: CborReader) -> str:
    if cbor.expect(ARRAY) != 2:
        raise cbor.fail("an output's reference is a list of a transaction's id and an index")
    return f"{_hex(cbor)}#{cbor.integer()}"


def _output(cbor: CborReader) -> Json:
    return {"cborHex": cbor.slice().hex()}


def _transaction(cbor: CborReader) -> Json:
    data = cbor.byte_string()
    fields: dict[str, Json] = {"cborHex": data.hex(), "description": "", "txId": cardano_transaction_id(data)}
    return fields | {"type": "Tx ConwayEra"}


def _party_key(cbor: CborReader) -> str:
    key = _PARTY(cbor)
    assert isinstance(key, dict)
    return str(key["vkey"])


_HEAD_ID = named("UnsafeHeadId", _hex)
_HEAD_SEED = named("UnsafeHeadSeed", _hex)
_NUMBER = named("UnsafeSnapshotNumber", _integer)
_VERSION = named("UnsafeSnapshotVersion", _integer)
_SLOT = named("ChainSlot", _integer)
_PERIOD = named("UnsafeContestationPeriod", _integer)
_PROTOCOL = named("ProtocolVersion", _integer)
_SIGNATURE = named("HydraSignature", _hex)
_PARTY = product("Party", [("vkey", _hex)])
_HOST = product("Host", [("hostname", _text), ("port", _integer)])
_INVALID = product("ValidationError", [("reason", _text)])
_UTXO = keyed(_output_reference, _output)
_SIGNATURES = product("HydraMultiSignature", [("multiSignature", listed(_SIGNATURE))])
_POINT = choice("chain point", {"ChainPointAtGenesis": [], "ChainPoint": [("slot", _integer), ("blockHash", _hex)]})
_CHAIN = product("ChainStateAt", [("spendableUTxO", _UTXO), ("recordedAt", maybe(_POINT))])
_PARAMETERS = product(
    "HeadParameters",
    [
        ("contestationPeriod", _PERIOD),
        ("depositPeriod", named("DepositPeriod", _seconds)),
        ("parties", listed(_PARTY)),
    ],
)
_SNAPSHOT = product(
    "Snapshot",
    [
        ("headId", _HEAD_ID),
        ("version", _VERSION),
        ("number", _NUMBER),
        ("confirmed", listed(_transaction)),
        ("utxo", _UTXO),
        ("utxoToCommit", maybe(_UTXO)),
        ("utxoToDecommit", maybe(_UTXO)),
    ],
)
_CONFIRMED = choice(
    "confirmed snapshot",
    {
        "InitialSnapshot": [("headId", _HEAD_ID)],
        "ConfirmedSnapshot": [("snapshot", _SNAPSHOT), ("signatures", _SIGNATURES)],
    },
)
_SEEN = choice(
    "seen snapshot",
    {
        "NoSeenSnapshot": [],
        "LastSeenSnapshot": [("lastSeen", _NUMBER)],
        "RequestedSnapshot": [("lastSeen", _NUMBER), ("requested", _NUMBER)],
        "SeenSnapshot": [("snapshot", _SNAPSHOT), ("signatories", keyed(_party_key, _SIGNATURE))],
    },
)
_MODE = choice(
    "fanout mode", {"AutoDrain": [], "DistributingSelection": [("contents", _UTXO)], "AwaitingSelection": []}
)
_STATUS = choice("deposit status", {"Inactive": [], "Active": [], "Expired": []})


def _status(cbor: CborReader) -> Json:
    found = _STATUS(cbor)
    assert isinstance(found, dict)
    return found["tag"]


_DEPOSIT = product(
    "Deposit",
    [("headId", _HEAD_ID), ("deposited", _UTXO), ("created", _time), ("deadline", _time), ("status", _status)],
)
_TRACKED = product("TrackedDeposit", [("deposit", _DEPOSIT), ("recordedAt", _SLOT), ("consumedAt", maybe(_SLOT))])
_COORDINATED = product(
    "CoordinatedHeadState",
    [
        ("localUTxO", _UTXO),
        ("localTxs", listed(_transaction)),
        ("allTxs", keyed(_hex, _transaction)),
        ("confirmedSnapshot", _CONFIRMED),
        ("seenSnapshot", _SEEN),
        ("currentDepositTxId", maybe(_hex)),
        ("decommitTx", maybe(_transaction)),
        ("version", _VERSION),
    ],
    name_optional=True,
)
_OPEN: Fields = [
    ("parameters", _PARAMETERS),
    ("coordinatedHeadState", _COORDINATED),
    ("chainState", _CHAIN),
    ("headId", _HEAD_ID),
    ("headSeed", _HEAD_SEED),
]
_CLOSED: Fields = [
    ("parameters", _PARAMETERS),
    ("confirmedSnapshot", _CONFIRMED),
    ("contestationDeadline", _time),
    ("readyToFanoutSent", _boolean),
    ("chainState", _CHAIN),
    ("headId", _HEAD_ID),
    ("headSeed", _HEAD_SEED),
    ("version", _VERSION),
]
_FANNING: Fields = [
    *(field for field in _CLOSED if field[0] != "readyToFanoutSent"),
    ("remainingOutputs", _UTXO),
    ("distributedOutputs", _UTXO),
    ("mode", _MODE),
]
_HEAD = choice(
    "head state",
    {
        "Idle": [("contents", product("IdleState", [("chainState", _CHAIN)], name_optional=True))],
        "Open": [("contents", product("OpenState", _OPEN, name_optional=True))],
        "Closed": [("contents", product("ClosedState", _CLOSED, name_optional=True))],
        "FanoutProgress": [("contents", product("PartialFanoutState", _FANNING, name_optional=True))],
    },
)
_POINT_TIME = product("ChainPointTime", [("currentSlot", _SLOT), ("currentChainTime", _time), ("drift", _seconds)])
_NODE_1: Fields = [("headState", _HEAD), ("pendingDeposits", keyed(_hex, _DEPOSIT)), ("chainPointTime", _POINT_TIME)]
_NODE_2: Fields = [("headState", _HEAD), ("deposits", keyed(_hex, _TRACKED)), ("chainPointTime", _POINT_TIME)]
_NODE = choice(
    "node state",
    {"NodeInSync": _NODE_1, "NodeCatchingUp": _NODE_1, "NodeInSync2": _NODE_2, "NodeCatchingUp2": _NODE_2},
)
_DECOMMIT_INVALID = choice(
    "reason against a decommit",
    {
        "DecommitTxInvalid": [("localUTxO", _UTXO), ("validationError", _INVALID)],
        "DecommitAlreadyInFlight": [("otherDecommitTxId", _hex)],
    },
)
_SYNC: Fields = [("chainSlot", _SLOT), ("chainTime", _time), ("drift", _seconds)]
_DEADLINE: Fields = [("contestationDeadline", _time)]

CONSTRUCTORS: Final[dict[str, Fields]] = {
    "NetworkConnected": [],
    "NetworkDisconnected": [],
    "PeerConnected": [("peer", _HOST)],
    "PeerDisconnected": [("peer", _HOST)],
    "NetworkVersionMismatch": [("ourVersion", _PROTOCOL), ("theirVersion", maybe(_PROTOCOL))],
    "NetworkClusterIDMismatch": [("clusterPeers", _text), ("misconfiguredPeers", _text)],
    "HeadOpened": [
        ("parameters", _PARAMETERS),
        ("chainState", _CHAIN),
        ("headId", _HEAD_ID),
        ("headSeed", _HEAD_SEED),
        ("parties", listed(_PARTY)),
    ],
    "TransactionReceived": [("tx", _transaction)],
    "TransactionAppliedToLocalUTxO": [("headId", _HEAD_ID), ("tx", _transaction)],
    "SnapshotRequestDecided": [("snapshotNumber", _NUMBER)],
    "SnapshotRequested": [
        ("requestedSnapshot", _SNAPSHOT),
        ("newLocalTxs", listed(_transaction)),
        ("newCurrentDepositTxId", maybe(_hex)),
    ],
    "PartySignedSnapshot": [("snapshotNumber", _NUMBER), ("party", _PARTY), ("signature", _SIGNATURE)],
    "SnapshotConfirmed": [("headId", _HEAD_ID), ("snapshot", maybe(_SNAPSHOT)), ("signatures", _SIGNATURES)],
    "DepositRecorded": [
        ("chainState", _CHAIN),
        ("headId", _HEAD_ID),
        ("depositTxId", _hex),
        ("deposited", _UTXO),
        ("created", _time),
        ("deadline", _time),
    ],
    "DepositActivated": [("depositTxId", _hex), ("chainTime", _time), ("deposit", _DEPOSIT)],
    "DepositExpired": [("depositTxId", _hex), ("chainTime", _time), ("deposit", _DEPOSIT)],
    "DepositRecovered": [("chainState", _CHAIN), ("headId", _HEAD_ID), ("depositTxId", _hex), ("recovered", _UTXO)],
    "CommitApproved": [("headId", _HEAD_ID), ("utxoToCommit", _UTXO)],
    "CommitFinalized": [
        ("chainState", _CHAIN),
        ("headId", _HEAD_ID),
        ("newVersion", _VERSION),
        ("depositTxId", _hex),
    ],
    "DecommitRecorded": [("headId", _HEAD_ID), ("decommitTx", _transaction)],
    "DecommitApproved": [("headId", _HEAD_ID), ("decommitTxId", _hex), ("utxoToDecommit", _UTXO)],
    "DecommitInvalid": [
        ("headId", _HEAD_ID),
        ("decommitTx", _transaction),
        ("decommitInvalidReason", _DECOMMIT_INVALID),
    ],
    "DecommitFinalized": [
        ("chainState", _CHAIN),
        ("headId", _HEAD_ID),
        ("distributedUTxO", _UTXO),
        ("newVersion", _VERSION),
    ],
    "HeadClosed": [("headId", _HEAD_ID), ("snapshotNumber", _NUMBER), ("chainState", _CHAIN), *_DEADLINE],
    "HeadContested": [("headId", _HEAD_ID), ("chainState", _CHAIN), *_DEADLINE, ("snapshotNumber", _NUMBER)],
    "HeadIsReadyToFanout": [("headId", _HEAD_ID)],
    "HeadFanoutInitiated": [("headId", _HEAD_ID), ("remainingOutputs", _UTXO)],
    "HeadPartialFanoutSelected": [("headId", _HEAD_ID), ("remainingOutputs", _UTXO), ("selection", _UTXO)],
    "HeadFanoutReverted": [("headId", _HEAD_ID)],
    "HeadFannedOut": [("headId", _HEAD_ID), ("finalizedOutputs", _UTXO), ("chainState", _CHAIN)],
    "HeadPartialFannedOut": [
        ("headId", _HEAD_ID),
        ("distributedOutputs", _UTXO),
        ("remainingOutputs", _UTXO),
        ("chainState", _CHAIN),
        ("mode", _MODE),
    ],
    "ChainRolledBack": [("chainState", _CHAIN)],
    "TickObserved": [("chainPoint", _POINT), ("chainTime", _time)],
    "IgnoredHeadInitializing": [
        ("headId", _HEAD_ID),
        ("contestationPeriod", _PERIOD),
        ("parties", listed(_PARTY)),
        ("participants", listed(named("UnsafeOnChainId", _hex))),
    ],
    "TxInvalid": [("headId", _HEAD_ID), ("utxo", _UTXO), ("transaction", _transaction), ("validationError", _INVALID)],
    "LocalStateCleared": [("headId", _HEAD_ID), ("snapshotNumber", _NUMBER)],
    "Checkpoint": [("state", _NODE)],
    "NodeUnsynced": _SYNC,
    "NodeSynced": _SYNC,
}

_EVENT = product(
    "StateEvent",
    [("eventId", _integer), ("stateChanged", choice("event", CONSTRUCTORS)), ("time", _time)],
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
