"""What happened, row by row, and one digest over all of it. No I/O.

Two runs are the same if their digests are: rows hold the hashes of every message and of every
byte that became durable; when tasks ran, and in which order, goes into the digest between them.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

__all__ = ["CHECKPOINT_ROWS", "Data", "Row", "Trace", "content_hash"]

Data = tuple[str | int, ...]

CHECKPOINT_ROWS: Final = 1000  # the first divergence of two runs is bisected to so many rows
_MARSHAL_VERSION: Final = 0  # later ones say which objects are the same ones, which differs from run to run


class Row(NamedTuple):
    """One thing that happened; ``cause`` is the number of the row that brought it about, or -1."""

    n: int
    time_ns: int
    host: str
    incarnation: int
    kind: str
    cause: int
    data: Data


def content_hash(data: bytes | bytearray | memoryview) -> str:
    """What stands for ``data`` in a row."""
    return blake2b(data, digest_size=8).hexdigest()


class Watch(Protocol):
    """What a trace needs of a clock."""

    @property
    def now_ns(self) -> int:
        """Since the beginning."""


class Trace:
    """Takes rows and scheduling decisions in, gives their digest; keeps the rows only if asked to."""

    def __init__(self, clock: Watch, *, record: bool = False) -> None:
        self.count = 0
        self.rows: list[Row] = []
        self.checkpoints: list[str] = []
        self._clock = clock
        self._record = record
        self._hash = blake2b(digest_size=16)
        self._unhashed: list[list[int] | tuple[str | int | Data, ...]] = []
        self._closed = False

    def row(self, kind: str, host: str = "", incarnation: int = 0, data: Data = (), cause: int = -1) -> int:
        """Add a row and return its number, to be the cause of others; -1 once the trace is closed."""
        if self._closed:
            return -1
        n, time_ns = self.count, self._clock.now_ns
        self.count = n + 1
        self._unhashed.append((time_ns, host, incarnation, kind, cause, data))
        if self._record:
            self.rows.append(Row(n, time_ns, host, incarnation, kind, cause, data))
        if self.count % CHECKPOINT_ROWS == 0:
            self.checkpoints.append(self.digest)
        return n

    def decided(self, order: list[int]) -> None:
        """Let the digest cover when a batch of tasks runs, and in which order. The list is ours from now on."""
        if not self._closed:
            order.append(self._clock.now_ns)
            self._unhashed.append(order)

    @property
    def digest(self) -> str:
        """Of everything so far."""
        self._hash_all()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Take nothing more: the verdict is in, what follows is tidying up."""
        self._hash_all()
        self._closed = True

    def json_lines(self) -> Iterator[str]:
        """The recorded rows as JSON, one array a line."""
        for row in self.rows:
            yield json.dumps(row)

    def _hash_all(self) -> None:
        if self._unhashed and not self._closed:
            # This old form is a plain walk over text and integers, alike on every Python.
            self._hash.update(marshal.dumps(self._unhashed, _MARSHAL_VERSION))
            self._unhashed.clear()
