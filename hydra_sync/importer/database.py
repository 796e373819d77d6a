"""Records that are rows of ``hydra.db``. Does I/O: reads only, and writes nothing beside the file.

``HN/Events/SQLiteBased.hs``: a table ``events(event_id INTEGER NOT NULL PRIMARY KEY, event_data BLOB NOT NULL)``,
and ``PRAGMA user_version``, by which 1 (every release since 2.1) means JSON and 2 (master) CBOR. hydra-node keeps
it in WAL mode. SQLite cannot read a WAL without making a ``-shm`` file beside it, nor a database that a crash left
with a journal without rolling it back, so such a database is copied to a temporary directory first; one that stands
alone is opened as immutable.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from hydra_sync.importer.sources import Form, Found, Position, Problem, Progress, Raw

__all__ = ["Database"]

FORMS: Final = {1: Form.JSON, 2: Form.CBOR}
ROWS: Final = "SELECT event_id, event_data FROM events WHERE event_id >= ? ORDER BY event_id"
ROW_AFTER: Final = "SELECT event_id FROM events WHERE event_id >= ? ORDER BY event_id LIMIT 1"
COMPANIONS: Final = ("-wal", "-journal")
COPIES_MAX: Final = 5  # what is written to without a pause is taken as it is: SQLite checks the frames of a WAL
UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)  # the second where SQLite quotes a damaged schema
ID_MIN: Final = -(1 << 63)


class Database:
    """One database; `opened` keeps the copy, where one is needed, from being made twice."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._copy: Path | None = None

    @property
    def size(self) -> int:
        return self._path.stat().st_size

    @contextmanager
    def opened(self) -> Iterator[None]:
        if not any(self._companions()):
            yield
            return
        with tempfile.TemporaryDirectory(prefix="hydra-sync-import-") as directory:
            self._copy = self._copy_to(Path(directory))
            try:
                yield
            finally:
                self._copy = None

    def _companions(self) -> list[Path]:
        """The files beside the database that hold a part of it."""
        paths = [self._path.with_name(self._path.name + suffix) for suffix in COMPANIONS]
        return [path for path in paths if path.is_file() and path.stat().st_size]

    def _copy_to(self, directory: Path) -> Path:
        """A copy of all of it; where somebody writes to it meanwhile it is made again, so that its parts fit."""
        copy = directory / self._path.name
        for _ in range(COPIES_MAX):
            files = [self._path, *self._companions()]
            before = list(map(_state, files))
            for path in directory.iterdir():
                path.unlink()
            for path in files:
                shutil.copyfile(path, directory / path.name)
            if list(map(_state, [self._path, *self._companions()])) == before:
                break
        return copy

    def read(self, progress: Progress) -> Iterator[Found]:
        try:
            with self._ready(), closing(self._connect()) as connection:
                yield from self._read(connection, progress)
        except UNREADABLE as error:
            yield Problem(Position(self.name), f"SQLite cannot read it: {error}")

    @contextmanager
    def _ready(self) -> Iterator[None]:
        if self._copy is not None:
            yield
            return
        with self.opened():
            yield

    def _connect(self) -> sqlite3.Connection:
        if self._copy is not None:
            return sqlite3.connect(self._copy)
        return sqlite3.connect(f"file:{quote(os.fsencode(self._path.absolute()))}?mode=ro&immutable=1", uri=True)

    def _read(self, connection: sqlite3.Connection, progress: Progress) -> Iterator[Found]:
        connection.text_factory = bytes
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA trusted_schema = 0")
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in FORMS:
            known = f"this release knows versions {' and '.join(map(str, FORMS))}"
            yield Problem(Position(self.name), f"its schema has version {version} (PRAGMA user_version); {known}")
            return
        if (
            connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events' AND type = 'table'").fetchone()
            is None
        ):
            yield Problem(Position(self.name), "it has no table of events")
            return
        yield from self._rows(connection, FORMS[version], progress)

    def _rows(self, connection: sqlite3.Connection, form: Form, progress: Progress) -> Iterator[Found]:
        start: int | None = ID_MIN
        done = 0
        while start is not None:
            bad = start
            try:
                for row_id, data in connection.execute(ROWS, (start,)):
                    _check_order(row_id, bad)
                    done += len(data) if isinstance(data, bytes) else 0
                    progress(done)
                    yield self._row(row_id, data, form)
                    bad = row_id + 1
                start = None
            except UNREADABLE as error:
                start = _next_readable(connection, bad)
                until = "the last" if start is None else f"{start - 1}"
                first = "the first" if bad == ID_MIN else str(bad)
                yield Problem(Position(self.name), f"events from {first} to {until} are not readable: {error}")

    def _row(self, row_id: int, data: object, form: Form) -> Found:
        position = Position(self.name, row=row_id)
        return Raw(position, form, data) if isinstance(data, bytes) else Problem(position, "it holds no bytes")


def _state(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return path.name, stat.st_size, stat.st_mtime_ns


def _next_readable(connection: sqlite3.Connection, bad: int) -> int | None:
    """The first event after ``bad`` that can be read again, found in ever larger steps; None if there is none."""
    low, step = max(bad, -1), 1
    while low + step < -ID_MIN:
        readable, row_id = _try(connection, low + step)
        if readable:
            return _bisect(connection, low, low + step, row_id)
        step *= 2
    return None


def _bisect(connection: sqlite3.Connection, low: int, high: int, best: int | None) -> int | None:
    """What is first from the lowest place on that can be read: ``low`` cannot, ``high`` can, and gives ``best``."""
    while high - low > 1:
        middle = (low + high) // 2
        readable, row_id = _try(connection, middle)
        if readable:
            high, best = middle, row_id
        else:
            low = middle
    return best


def _try(connection: sqlite3.Connection, start: int) -> tuple[bool, int | None]:
    """Whether the next event from ``start`` on can be found, and its id if there is one."""
    try:
        row = connection.execute(ROW_AFTER, (start,)).fetchone()
        if row is None:
            return True, None
        _check_order(row[0], start)
    except UNREADABLE:
        return False, None
    return True, row[0]


def _check_order(row_id: object, start: int) -> None:
    """In a damaged tree SQLite may find rows that were not asked for, and so again and again."""
    if not isinstance(row_id, int) or row_id < start:
        raise sqlite3.DatabaseError("its events are not in the order of their ids")
