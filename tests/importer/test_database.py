"""hydra.db: read without a trace, whatever state it was left in."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hydra_sync.importer import import_directory
from tests.importer.histories import DDL, SEEN, V2_2, history, lines, write_database

WHOLE = lines(V2_2, history(V2_2))


def files(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes and time of change."""
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


def crashed(directory: Path, checkpointed: int) -> Path:
    """A database whose node was killed: the first rows are in the file, the others only in its WAL."""
    living = directory.with_name("living")
    living.mkdir()
    directory.mkdir()
    with closing(sqlite3.connect(living / "hydra.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(DDL)
        connection.execute("PRAGMA user_version = 1")
        insert = "INSERT INTO events (event_id, event_data) VALUES (?, ?)"
        connection.executemany(insert, list(enumerate(WHOLE))[:checkpointed])
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.executemany(insert, list(enumerate(WHOLE))[checkpointed:])
        connection.commit()
        for name in ("hydra.db", "hydra.db-wal"):
            shutil.copyfile(living / name, directory / name)
    return directory


def test_rows_in_the_wal_are_read_and_nothing_is_changed(tmp_path: Path) -> None:
    """A node that was killed leaves its last events in the WAL alone: all are read, no byte moves, no file is added."""
    directory = crashed(tmp_path / "node", checkpointed=10)
    before = files(directory)
    assert set(before) == {"hydra.db", "hydra.db-wal"}
    imported = import_directory(directory)
    assert imported.problems == []
    assert imported.records == len(WHOLE)
    assert imported.answers is not None
    assert imported.answers.transactions == SEEN
    assert files(directory) == before
    (directory / "hydra.db-wal").unlink()  # they really were there alone
    assert import_directory(directory).records == 10


def test_a_journal_is_rolled_back_in_a_copy(tmp_path: Path) -> None:
    """A writer that was killed in a transaction, without a WAL: what it had not committed is not there."""
    path = write_database(tmp_path / "living.db", WHOLE)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE events SET event_data = zeroblob(9000)")
        (tmp_path / "node").mkdir()
        for suffix in ("", "-journal"):
            shutil.copyfile(f"{path}{suffix}", tmp_path / "node" / f"hydra.db{suffix}")
    before = files(tmp_path / "node")
    assert set(before) == {"hydra.db", "hydra.db-journal"}
    assert import_directory(tmp_path / "node").records == len(WHOLE)
    assert files(tmp_path / "node") == before


def test_half_a_transaction(tmp_path: Path) -> None:
    """The same without its journal: pages that do not fit together have an end, and are told."""
    path = write_database(tmp_path / "living.db", WHOLE)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE events SET event_data = zeroblob(9000)")
        (tmp_path / "node").mkdir()
        shutil.copyfile(path, tmp_path / "node" / "hydra.db")
    assert not import_directory(tmp_path / "node").is_sound


def test_a_table_of_another_form(tmp_path: Path) -> None:
    """Ids that are no numbers, or no column of that name: told."""
    for columns in ("event_id TEXT, event_data BLOB", "event_id, event_data", "id INTEGER, data BLOB"):
        path = tmp_path / "hydra.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"CREATE TABLE events ({columns})")
            connection.execute("INSERT INTO events VALUES ('x', x'00')")
            connection.execute("PRAGMA user_version = 1")
        imported = import_directory(tmp_path)
        assert (imported.records, imported.damage) == (0, 1)


def test_a_closed_database_is_read_and_nothing_is_changed(tmp_path: Path) -> None:
    """In WAL mode, without a WAL, in a directory where nothing may be written."""
    write_database(tmp_path / "node" / "hydra.db", WHOLE)
    before = files(tmp_path)
    (tmp_path / "node").chmod(0o555)
    try:
        imported = import_directory(tmp_path / "node")
    finally:
        (tmp_path / "node").chmod(0o755)
    assert imported.records == len(WHOLE)
    assert files(tmp_path) == before
    assert not list((tmp_path / "node").glob("*-*"))


@pytest.mark.parametrize("version", [0, 3, 77])
def test_a_schema_of_another_version(version: int, tmp_path: Path) -> None:
    """It is not guessed at: told, and what else is in the directory is read."""
    write_database(tmp_path / "hydra.db", WHOLE, version=version)
    imported = import_directory(tmp_path)
    assert [problem.position.file for problem in imported.problems] == ["hydra.db"]
    assert f"version {version}" in imported.problems[0].reason
    assert (imported.records, imported.is_sound) == (0, False)


def test_versions_decide_what_rows_are(tmp_path: Path) -> None:
    """JSON in a database that says CBOR is damage, row by row."""
    write_database(tmp_path / "hydra.db", WHOLE[:3], version=2)
    imported = import_directory(tmp_path)
    assert [problem.position.row for problem in imported.problems] == [0, 1, 2]


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\x00", b"no database" * 100])
def test_no_database(data: bytes, tmp_path: Path) -> None:
    """A file of that name that is none."""
    (tmp_path / "hydra.db").write_bytes(data)
    imported = import_directory(tmp_path)
    assert len(imported.problems) == 1
    assert not imported.is_sound


def test_no_events_in_it(tmp_path: Path) -> None:
    """A database without the table, or with a view of that name, which might do anything."""
    for statement in ("CREATE TABLE other (x)", "CREATE VIEW events AS SELECT 1 AS event_id, x'00' AS event_data"):
        path = tmp_path / "hydra.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)
            connection.execute("PRAGMA user_version = 1")
        assert "no table of events" in import_directory(tmp_path).problems[0].reason


def test_damaged_rows(tmp_path: Path) -> None:
    """Rows that hold no JSON, no bytes, or another event than they say: told by their id, the others are read."""
    path = write_database(tmp_path / "hydra.db", WHOLE)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET event_data = ? WHERE event_id = 3", (b"{oops",))
        connection.execute("UPDATE events SET event_data = 17 WHERE event_id = 4")
        connection.execute("UPDATE events SET event_data = ? WHERE event_id = 5", (WHOLE[0],))
    imported = import_directory(tmp_path)
    assert [problem.position.row for problem in imported.problems[:3]] == [3, 4, 5]
    assert imported.records == len(WHOLE) - 2


def test_damaged_pages(tmp_path: Path) -> None:
    """A page of zeros in the middle of the file: the range of events is told, those before and after are read."""
    events = lines(V2_2, [{"tag": "PeerConnected", "peer": {"hostname": "x" * 400, "port": n}} for n in range(400)])
    path = write_database(tmp_path / "hydra.db", events)
    data = bytearray(path.read_bytes())
    at = data.index(b'"eventId":200,')
    start = at // 4096 * 4096
    data[start : start + 4096] = bytes(4096)
    path.write_bytes(data)
    imported = import_directory(tmp_path)
    assert len(imported.problems) == 1
    assert "not readable" in imported.problems[0].reason
    assert 380 <= imported.records < 400
    last = len(events) - 1
    assert str(last) not in imported.problems[0].reason
