"""The same history, in the dialect of every release and in every kind of file, has the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydra_sync.head import Answers, Status
from hydra_sync.importer import import_directory
from tests.importer.histories import (
    DIALECTS,
    HEAD,
    PARTIES,
    SEEN,
    V1_3,
    Dialect,
    history,
    lines,
    write_database,
    write_lines,
)

UNVERIFIED = {
    "0.12": "before snapshots had versions",
    "0.16": "before snapshots had versions",
    "1.3": "",
    "2.0": "",
    "2.1": "",
    "2.2": "KZG commitment",
    "master": "KZG commitment",
}


def check(answers: Answers | None, dialect: Dialect) -> None:
    """These are the answers of `history`."""
    assert answers is not None
    assert (answers.status, answers.head_id, answers.parties) == (Status.OPEN, HEAD, PARTIES)
    assert answers.transactions == SEEN
    snapshot = answers.snapshot
    assert snapshot is not None
    version = 1 if dialect.opens_at_once else 0
    assert (snapshot.number, snapshot.version, snapshot.outputs) == (1, version, 3)
    assert snapshot.transactions == ("10", "11")
    why = UNVERIFIED[dialect.name]
    assert why in snapshot.unverified
    assert bool(snapshot.unverified) == bool(why)
    assert snapshot.signed_by == (() if why else PARTIES)


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_lines_of_every_release(dialect: Dialect, tmp_path: Path) -> None:
    """Peers, snapshot, seen transactions (those in flight, too) and status, and a local ledger of three outputs."""
    write_lines(tmp_path / "state", lines(dialect, history(dialect)))
    imported = import_directory(tmp_path)
    assert imported.problems == []
    assert imported.records == len(history(dialect))
    assert imported.local_outputs == 3
    check(imported.answers, dialect)


@pytest.mark.parametrize("dialect", [dialect for dialect in DIALECTS if dialect.has_id], ids=str)
def test_rows_of_every_release(dialect: Dialect, tmp_path: Path) -> None:
    """The same out of a database: migrated events keep the dialect that they were written in."""
    write_database(tmp_path / "hydra.db", lines(dialect, history(dialect)))
    imported = import_directory(tmp_path)
    assert imported.problems == []
    check(imported.answers, dialect)


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_every_event_is_needed(dialect: Dialect, tmp_path: Path) -> None:
    """Each transaction's fate hangs on its own events: a history cut anywhere never knows more than the whole."""
    events = history(dialect)
    known = {transaction.id for transaction in SEEN}
    last = 0
    for length in range(len(events)):
        write_lines(tmp_path / "state", lines(dialect, events[:length]))
        answers = import_directory(tmp_path).answers
        assert answers is not None
        seen = {transaction.id for transaction in answers.transactions}
        assert seen <= known
        assert len(seen) >= last
        last = len(seen)


@pytest.mark.parametrize("field", ["utxo", "number", "version", "headId"])
def test_a_signature_covers_the_snapshot(field: str, tmp_path: Path) -> None:
    """One other field, and nobody has signed it."""
    other = {"utxo": [3, 4, 55], "number": 9, "version": 4, "headId": "cc" * 16}
    events = history(V1_3)
    for event in events:
        if event["tag"] == "SnapshotConfirmed":
            event["snapshot"] = {**event["snapshot"], field: other[field]}  # type: ignore[dict-item]
    write_lines(tmp_path / "state", lines(V1_3, events))
    answers = import_directory(tmp_path).answers
    assert answers is not None
    assert answers.snapshot is not None
    assert answers.snapshot.signed_by == ()
    assert "no valid signature" in answers.snapshot.unverified
