"""A coherent history of one head, in the dialect of every release, with the answers that it has to give.

No real persistence directory was to be had: the forms are those of hydra-node's sample files and of its source at the
release tags, the content is our own. The transactions are those of hydra-node's ``SimpleTx`` ledger, with numbers for
outputs. `write_database` has the literal schema of ``HN/Events/SQLiteBased.hs``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cbor2

from hydra_sync.head import Fate, SeenTransaction
from hydra_sync.identity import SigningKey

HEAD = "aa" * 16
OTHER_HEAD = "bb" * 16
KEYS = (SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32))
PARTIES = tuple(key.member.hex() for key in KEYS)
VKEYS = [{"vkey": party} for party in PARTIES]
CHAIN = {"slot": 1}
TIME = "2026-01-02T03:04:05.678901234567Z"
SEEN = (
    SeenTransaction("10", Fate.CONFIRMED, snapshot=1),
    SeenTransaction("11", Fate.CONFIRMED, snapshot=1),
    SeenTransaction("12", Fate.IN_FLIGHT, snapshot=2),
    SeenTransaction("13", Fate.APPLIED),
    SeenTransaction("14", Fate.WAITING),
    SeenTransaction("15", Fate.REJECTED, "cannot apply transaction"),
)
DDL = "CREATE TABLE IF NOT EXISTS events (event_id INTEGER NOT NULL PRIMARY KEY, event_data BLOB NOT NULL)"

Event = dict[str, object]


@dataclass(frozen=True)
class Dialect:
    """What differs between releases."""

    name: str
    has_id: bool = True
    has_time: bool = True
    opens_at_once: bool = True
    """2.0 and later: no HeadInitialized, funds come by deposit."""
    tells_local: bool = False
    """Until 2.1: newLocalUTxO is in the events."""
    tells_snapshot: bool = False
    """Until 2.0: the whole snapshot is in each event about it."""
    has_version: bool = True
    has_accumulator: bool = False

    def __str__(self) -> str:
        return self.name


DIALECTS = (
    Dialect("0.12", False, False, opens_at_once=False, tells_local=True, tells_snapshot=True, has_version=False),
    Dialect("0.16", True, False, opens_at_once=False, tells_local=True, tells_snapshot=True, has_version=False),
    Dialect("1.3", opens_at_once=False, tells_local=True, tells_snapshot=True),
    Dialect("2.0", tells_local=True, tells_snapshot=True),
    Dialect("2.1", tells_local=True),
    Dialect("2.2"),
    Dialect("master", has_accumulator=True),
)
V1_3, V2_2 = DIALECTS[2], DIALECTS[5]


def tx(tx_id: int, inputs: Sequence[int], outputs: Sequence[int]) -> Event:
    return {"id": tx_id, "inputs": list(inputs), "outputs": list(outputs)}


TX10, TX11, TX12 = tx(10, [1], [4]), tx(11, [2], [5]), tx(12, [4], [6])
TX13, TX14, TX15 = tx(13, [5], [7]), tx(14, [99], [8]), tx(15, [77], [9])


def snapshot(dialect: Dialect, number: int, confirmed: Sequence[Event], utxo: Sequence[int]) -> Event:
    if not dialect.has_version:
        old = {"headId": HEAD, "snapshotNumber": number, "confirmedTransactions": list(confirmed), "utxo": list(utxo)}
        return dict(old)
    fields: Event = {"headId": HEAD, "version": 1 if dialect.opens_at_once else 0, "number": number}
    fields |= {"confirmed": list(confirmed), "utxo": list(utxo), "utxoToCommit": None, "utxoToDecommit": None}
    return fields | ({"accumulator": "cc" * 32} if dialect.has_accumulator else {})


def sign(of: Event) -> list[str]:
    """What the parties sign until 2.1, written down once more, from the source of hydra-node."""
    hashes = [b"".join(cbor2.dumps(output) for output in of["utxo"]), b"", b""]  # type: ignore[attr-defined]
    parts = [bytes.fromhex(HEAD), of.get("version", 0), of.get("number", of.get("snapshotNumber")), *hashes]
    message = b"".join(cbor2.dumps(part) for part in parts)
    return [key.sign(message).hex() for key in KEYS]


def opening(dialect: Dialect, head: str = HEAD) -> list[Event]:
    """A head opens with the outputs 1, 2 and 3."""
    parameters = {"contestationPeriod": 60, "parties": VKEYS}
    if not dialect.opens_at_once:
        announced = {"parameters": parameters, "chainState": CHAIN, "headId": head, "headSeed": "00", "parties": VKEYS}
        committed = {"headId": head, "party": VKEYS[0], "committedUTxO": [1, 2, 3], "chainState": CHAIN}
        return [
            {"tag": "HeadInitialized", **announced},
            {"tag": "CommittedUTxO", **committed},
            {"tag": "HeadOpened", "headId": head, "chainState": CHAIN, "initialUTxO": [1, 2, 3]},
        ]
    opened = {"parameters": parameters, "chainState": CHAIN, "headId": head, "headSeed": "00", "parties": VKEYS}
    deposit = {"headId": head, "depositTxId": 50, "deposited": [1, 2, 3], "created": TIME, "deadline": TIME}
    final = {"headId": head, "newVersion": 1, "depositTxId": 50, "chainState": CHAIN}
    return [
        {"tag": "HeadOpened", **opened},
        {"tag": "DepositRecorded", "chainState": CHAIN, **deposit},
        {"tag": "CommitFinalized", **final},
    ]


def received(*transactions: Event) -> list[Event]:
    return [{"tag": "TransactionReceived", "tx": transaction} for transaction in transactions]


def applied(dialect: Dialect, transaction: Event, local: Sequence[int]) -> list[Event]:
    told: Event = {"newLocalUTxO": list(local)} if dialect.tells_local else {}
    return [{"tag": "TransactionAppliedToLocalUTxO", "headId": HEAD, "tx": transaction, **told}]


def requested(dialect: Dialect, of: Event, left: Sequence[Event], local: Sequence[int]) -> list[Event]:
    fields: Event = {"tag": "SnapshotRequested", "newLocalTxs": list(left), "newCurrentDepositTxId": None}
    fields |= {"newLocalUTxO": list(local)} if dialect.tells_local else {}
    confirmed = of.get("confirmed", of.get("confirmedTransactions"))
    if dialect.tells_snapshot:
        ids = [transaction["id"] for transaction in confirmed]  # type: ignore[attr-defined]
        return [fields | {"snapshot": of, "requestedTxIds": ids}]
    return [fields | {"requestedSnapshot": of}]


def signed(dialect: Dialect, of: Event, index: int) -> list[Event]:
    what: Event = {"snapshot": of} if dialect.tells_snapshot else {"snapshotNumber": of["number"]}
    return [{"tag": "PartySignedSnapshot", "party": VKEYS[index], "signature": sign(of)[index], **what}]


def confirmed(dialect: Dialect, of: Event) -> list[Event]:
    signatures = {"multiSignature": sign(of)}
    what = of if dialect.tells_snapshot else None
    return [{"tag": "SnapshotConfirmed", "headId": HEAD, "snapshot": what, "signatures": signatures}]


def history(dialect: Dialect) -> list[Event]:
    """Snapshot 1 is confirmed, 2 is being signed; the answers are `SEEN` and an open head of `PARTIES`."""
    first = snapshot(dialect, 1, [TX10, TX11], [3, 4, 5])
    second = snapshot(dialect, 2, [TX12], [3, 5, 6])
    return [
        {"tag": "PeerConnected", "peer": {"hostname": "bob", "port": 5001}},
        *opening(dialect),
        {"tag": "TickObserved", "chainPoint": 7, "chainTime": TIME},
        *received(TX10, TX11),
        *applied(dialect, TX10, [2, 3, 4]),
        *applied(dialect, TX11, [3, 4, 5]),
        {"tag": "SnapshotRequestDecided", "snapshotNumber": 1},
        *requested(dialect, first, [], [3, 4, 5]),
        *signed(dialect, first, 0),
        *signed(dialect, first, 1),
        *confirmed(dialect, first),
        *received(TX12),
        *applied(dialect, TX12, [3, 5, 6]),
        *requested(dialect, second, [], [3, 5, 6]),
        *signed(dialect, second, 0),
        *received(TX13),
        *applied(dialect, TX13, [3, 6, 7]),
        *received(TX14, TX15),
        invalid(TX15),
    ]


def invalid(transaction: Event) -> Event:
    why = {"reason": "cannot apply transaction"}
    return {"tag": "TxInvalid", "headId": HEAD, "utxo": [], "transaction": transaction, "validationError": why}


def lines(dialect: Dialect, events: Sequence[Mapping[str, object]], first_id: int = 0) -> list[bytes]:
    """The events as that release writes them."""
    found = []
    for event_id, event in enumerate(events, first_id):
        fields: Event = {"eventId": event_id, "stateChanged": event} if dialect.has_id else dict(event)
        fields = fields | ({"time": TIME} if dialect.has_time else {})
        found.append(json.dumps(fields, separators=(",", ":")).encode())
    return found


def write_lines(path: Path, records: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(record + b"\n" for record in records))
    return path


def write_database(path: Path, records: Sequence[bytes], *, version: int = 1, first_id: int = 0) -> Path:
    """A closed database, all of it in one file, as a node leaves it that was stopped cleanly."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(DDL)
        connection.execute(f"PRAGMA user_version = {version}")
        insert = "INSERT INTO events (event_id, event_data) VALUES (?, ?)"
        connection.executemany(insert, enumerate(records, first_id))
    return path
