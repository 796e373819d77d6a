"""A coherent history of a Cardano head in the CBOR of master, encoded once more here, by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cbor2

from hydra_sync.head import Fate, Status
from hydra_sync.importer import import_directory
from tests.importer.histories import HEAD, PARTIES, write_database

DEPOSIT = bytes(32)


def put(*parts: object) -> bytes:
    """Logical elements one behind another; bytes that are wrapped in a list are there already."""
    return b"".join(part[0] if isinstance(part, list) else cbor2.dumps(part) for part in parts)


def listed(*parts: bytes) -> list[bytes]:
    return [b"\x9f" + b"".join(parts) + b"\xff"]


HEAD_ID = [put("UnsafeHeadId", bytes.fromhex(HEAD))]
VKEYS = listed(*(put("Party", bytes.fromhex(party)) for party in PARTIES))
CHAIN = [put("ChainStateAt", {}, [put([b"\x81"], "ChainPoint", 12, bytes(32))])]
TIME = (2026, 45, 123 * 10**12)
NOTHING: list[bytes] = [b"\x80"]


def transaction(inputs: Sequence[tuple[bytes, int]], outputs: int) -> tuple[str, bytes]:
    """A Conway transaction with as much of a body as matters, and its id."""
    out = [bytes.fromhex("60") + bytes(28), 1_000_000]
    body = cbor2.dumps({0: cbor2.CBORTag(258, [list(item) for item in inputs]), 1: [out] * outputs, 2: 0})
    return hashlib.blake2b(body, digest_size=32).hexdigest(), b"\x84" + body + cbor2.dumps({}) + b"\xf5\xf6"


FIRST_ID, FIRST = transaction([(DEPOSIT, 0)], 3)
SECOND_ID, SECOND = transaction([(bytes.fromhex(FIRST_ID), 1)], 1)
THIRD_ID, THIRD = transaction([(bytes.fromhex(FIRST_ID), 2)], 2)


def utxo(*names: tuple[str, int]) -> list[bytes]:
    output = [cbor2.dumps([bytes(29), [5, {bytes(28): {b"t": 1}}]])]
    return [bytes([0xA0 + len(names)]) + b"".join(put((bytes.fromhex(tx), index), output) for tx, index in names)]


def snapshot(number: int, confirmed: bytes, outputs: list[bytes]) -> list[bytes]:
    version = [put("UnsafeSnapshotVersion", 1, "UnsafeSnapshotNumber", number)]
    return [put("Snapshot", HEAD_ID, version, listed(put(confirmed)), outputs, NOTHING, NOTHING)]


def rows() -> list[bytes]:
    left = utxo((FIRST_ID, 0), (FIRST_ID, 1), (FIRST_ID, 2))
    after = utxo((FIRST_ID, 0), (SECOND_ID, 0), (FIRST_ID, 2))
    parameters = [put("HeadParameters", "UnsafeContestationPeriod", 60, "DepositPeriod", 3600 * 10**12, VKEYS)]
    signatures = [put("HydraMultiSignature", listed(*(put("HydraSignature", bytes(64)) for _ in PARTIES)))]
    deposited = [put(DEPOSIT, utxo((DEPOSIT.hex(), 0)), TIME, TIME)]
    changes = [
        put("PeerConnected", "Host", "10.0.0.1", 5001),
        put("HeadOpened", parameters, CHAIN, HEAD_ID, "UnsafeHeadSeed", bytes(16), VKEYS),
        put("DepositRecorded", CHAIN, HEAD_ID, deposited),
        put("CommitFinalized", CHAIN, HEAD_ID, "UnsafeSnapshotVersion", 1, DEPOSIT),
        put("TransactionReceived", FIRST),
        put("TransactionAppliedToLocalUTxO", HEAD_ID, FIRST),
        put("SnapshotRequested", snapshot(1, FIRST, left), NOTHING, NOTHING),
        put("PartySignedSnapshot", "UnsafeSnapshotNumber", 1, "Party", bytes.fromhex(PARTIES[0]))
        + put("HydraSignature", bytes(64)),
        put("SnapshotConfirmed", HEAD_ID, NOTHING, signatures),
        put("TransactionReceived", SECOND),
        put("TransactionAppliedToLocalUTxO", HEAD_ID, SECOND),
        put("SnapshotRequested", snapshot(2, SECOND, after), NOTHING, NOTHING),
        put("TransactionReceived", THIRD),
        put("TransactionAppliedToLocalUTxO", HEAD_ID, THIRD),
    ]
    return [put("StateEvent", event_id, [change], TIME) for event_id, change in enumerate(changes)]


def test_a_history_in_cbor(tmp_path: Path) -> None:
    """Ids, inputs and outputs are computed from the transactions' own bytes; what cannot be checked says why."""
    write_database(tmp_path / "hydra.db", rows(), version=2)
    imported = import_directory(tmp_path)
    assert imported.problems == []
    found = imported.answers
    assert found is not None
    assert (found.status, found.head_id, found.parties) == (Status.OPEN, HEAD, PARTIES)
    assert [(transaction.id, transaction.fate) for transaction in found.transactions] == [
        (FIRST_ID, Fate.CONFIRMED),
        (SECOND_ID, Fate.IN_FLIGHT),
        (THIRD_ID, Fate.APPLIED),
    ]
    assert imported.local_outputs == 4  # one of the first, one of the second, two of the third
    assert found.snapshot is not None
    assert (found.snapshot.number, found.snapshot.outputs, found.snapshot.signed_by) == (1, 3, ())
    assert "KZG" in found.snapshot.unverified


def test_each_byte_of_a_row_matters(tmp_path: Path) -> None:
    """One byte less, or one more, in any row: that row is told, the others are read."""
    for index in range(len(rows())):
        for bad in (rows()[index][:-1], rows()[index] + b"\x00"):
            (tmp_path / "hydra.db").unlink(missing_ok=True)
            changed = rows()
            changed[index] = bad
            write_database(tmp_path / "hydra.db", changed, version=2)
            imported = import_directory(tmp_path)
            assert imported.problems[0].position.row == index
            assert imported.records == len(changed) - 1
