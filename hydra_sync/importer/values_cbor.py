"""The types that hydra-node's CBOR events are made of: ids, times, outputs, snapshots, the states of a head. No I/O.

Read from ``HeadLogic/State.hs``, ``Node/State.hs``, ``hydra-tx`` and ``API/ServerOutput.hs`` of cardano-scaling/hydra
(master, 2026-08), and from the bytes of its ``golden/StateEvent.cbor``.

What comes out is the JSON of the same value, but for outputs: of a transaction output only its own CBOR is given (as
``{"cborHex": ...}``), because its JSON, addresses and all, is nothing that an answer needs.
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

__all__ = [
    "CHAIN",
    "DECOMMIT_INVALID",
    "DEPOSIT",
    "HEAD_ID",
    "HEAD_SEED",
    "HOST",
    "INVALID",
    "MODE",
    "NODE",
    "NUMBER",
    "PARAMETERS",
    "PARTY",
    "PERIOD",
    "POINT",
    "PROTOCOL",
    "SIGNATURE",
    "SIGNATURES",
    "SLOT",
    "SNAPSHOT",
    "UTXO",
    "VERSION",
    "octets",
    "integer",
    "seconds",
    "text",
    "time",
    "transaction",
]

PICOSECONDS: Final = 10**12
DAY_S: Final = 86_400


def integer(cbor: CborReader) -> Json:
    return cbor.integer()


def text(cbor: CborReader) -> Json:
    return cbor.text()


def boolean(cbor: CborReader) -> Json:
    return cbor.boolean()


def octets(cbor: CborReader) -> str:
    return cbor.byte_string().hex()


def seconds(cbor: CborReader) -> Json:
    whole, rest = divmod(number := cbor.integer(), PICOSECONDS)
    return whole if not rest else Decimal(number) / PICOSECONDS


def time(cbor: CborReader) -> Json:
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


def output_reference(cbor: CborReader) -> str:
    if cbor.expect(ARRAY) != 2:
        raise cbor.fail("an output's reference is a list of a transaction's id and an index")
    return f"{octets(cbor)}#{cbor.integer()}"


def output(cbor: CborReader) -> Json:
    return {"cborHex": cbor.slice().hex()}


def transaction(cbor: CborReader) -> Json:
    data = cbor.byte_string()
    fields: dict[str, Json] = {"cborHex": data.hex(), "description": "", "txId": cardano_transaction_id(data)}
    return fields | {"type": "Tx ConwayEra"}


def party_key(cbor: CborReader) -> str:
    key = PARTY(cbor)
    assert isinstance(key, dict)
    return str(key["vkey"])


HEAD_ID = named("UnsafeHeadId", octets)
HEAD_SEED = named("UnsafeHeadSeed", octets)
NUMBER = named("UnsafeSnapshotNumber", integer)
VERSION = named("UnsafeSnapshotVersion", integer)
SLOT = named("ChainSlot", integer)
PERIOD = named("UnsafeContestationPeriod", integer)
PROTOCOL = named("ProtocolVersion", integer)
SIGNATURE = named("HydraSignature", octets)
PARTY = product("Party", [("vkey", octets)])
HOST = product("Host", [("hostname", text), ("port", integer)])
INVALID = product("ValidationError", [("reason", text)])
UTXO = keyed(output_reference, output)
SIGNATURES = product("HydraMultiSignature", [("multiSignature", listed(SIGNATURE))])
POINT = choice("chain point", {"ChainPointAtGenesis": [], "ChainPoint": [("slot", integer), ("blockHash", octets)]})
CHAIN = product("ChainStateAt", [("spendableUTxO", UTXO), ("recordedAt", maybe(POINT))])
PARAMETERS = product(
    "HeadParameters",
    [
        ("contestationPeriod", PERIOD),
        ("depositPeriod", named("DepositPeriod", seconds)),
        ("parties", listed(PARTY)),
    ],
)
SNAPSHOT = product(
    "Snapshot",
    [
        ("headId", HEAD_ID),
        ("version", VERSION),
        ("number", NUMBER),
        ("confirmed", listed(transaction)),
        ("utxo", UTXO),
        ("utxoToCommit", maybe(UTXO)),
        ("utxoToDecommit", maybe(UTXO)),
    ],
)
CONFIRMED = choice(
    "confirmed snapshot",
    {
        "InitialSnapshot": [("headId", HEAD_ID)],
        "ConfirmedSnapshot": [("snapshot", SNAPSHOT), ("signatures", SIGNATURES)],
    },
)
SEEN = choice(
    "seen snapshot",
    {
        "NoSeenSnapshot": [],
        "LastSeenSnapshot": [("lastSeen", NUMBER)],
        "RequestedSnapshot": [("lastSeen", NUMBER), ("requested", NUMBER)],
        "SeenSnapshot": [("snapshot", SNAPSHOT), ("signatories", keyed(party_key, SIGNATURE))],
    },
)
MODE = choice("fanout mode", {"AutoDrain": [], "DistributingSelection": [("contents", UTXO)], "AwaitingSelection": []})
STATUS = choice("deposit status", {"Inactive": [], "Active": [], "Expired": []})


def status(cbor: CborReader) -> Json:
    found = STATUS(cbor)
    assert isinstance(found, dict)
    return found["tag"]


DEPOSIT = product(
    "Deposit",
    [("headId", HEAD_ID), ("deposited", UTXO), ("created", time), ("deadline", time), ("status", status)],
)
TRACKED = product("TrackedDeposit", [("deposit", DEPOSIT), ("recordedAt", SLOT), ("consumedAt", maybe(SLOT))])
COORDINATED = product(
    "CoordinatedHeadState",
    [
        ("localUTxO", UTXO),
        ("localTxs", listed(transaction)),
        ("allTxs", keyed(octets, transaction)),
        ("confirmedSnapshot", CONFIRMED),
        ("seenSnapshot", SEEN),
        ("currentDepositTxId", maybe(octets)),
        ("decommitTx", maybe(transaction)),
        ("version", VERSION),
    ],
    name_optional=True,
)
OPEN: Fields = [
    ("parameters", PARAMETERS),
    ("coordinatedHeadState", COORDINATED),
    ("chainState", CHAIN),
    ("headId", HEAD_ID),
    ("headSeed", HEAD_SEED),
]
CLOSED: Fields = [
    ("parameters", PARAMETERS),
    ("confirmedSnapshot", CONFIRMED),
    ("contestationDeadline", time),
    ("readyToFanoutSent", boolean),
    ("chainState", CHAIN),
    ("headId", HEAD_ID),
    ("headSeed", HEAD_SEED),
    ("version", VERSION),
]
FANNING: Fields = [
    *(field for field in CLOSED if field[0] != "readyToFanoutSent"),
    ("remainingOutputs", UTXO),
    ("distributedOutputs", UTXO),
    ("mode", MODE),
]
HEAD = choice(
    "head state",
    {
        "Idle": [("contents", product("IdleState", [("chainState", CHAIN)], name_optional=True))],
        "Open": [("contents", product("OpenState", OPEN, name_optional=True))],
        "Closed": [("contents", product("ClosedState", CLOSED, name_optional=True))],
        "FanoutProgress": [("contents", product("PartialFanoutState", FANNING, name_optional=True))],
    },
)
POINT_TIME = product("ChainPointTime", [("currentSlot", SLOT), ("currentChainTime", time), ("drift", seconds)])
NODE_1: Fields = [("headState", HEAD), ("pendingDeposits", keyed(octets, DEPOSIT)), ("chainPointTime", POINT_TIME)]
NODE_2: Fields = [("headState", HEAD), ("deposits", keyed(octets, TRACKED)), ("chainPointTime", POINT_TIME)]
NODE = choice(
    "node state",
    {"NodeInSync": NODE_1, "NodeCatchingUp": NODE_1, "NodeInSync2": NODE_2, "NodeCatchingUp2": NODE_2},
)
DECOMMIT_INVALID = choice(
    "reason against a decommit",
    {
        "DecommitTxInvalid": [("localUTxO", UTXO), ("validationError", INVALID)],
        "DecommitAlreadyInFlight": [("otherDecommitTxId", octets)],
    },
)
