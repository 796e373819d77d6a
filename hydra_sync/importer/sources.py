"""What the files of a persistence directory hold before anybody understands it: bytes, and where they stood. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

__all__ = ["Form", "Found", "Position", "Problem", "Progress", "Raw", "Source"]

Progress: TypeAlias = Callable[[int], None]
"""Told how many bytes of a file are done."""


class Form(Enum):
    """What the bytes of a record are."""

    JSON = "json"
    CBOR = "cbor"
    OUTPUT = "output"
    """JSON, but of what clients were told (``server-output``)."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where something stands: a line of a text file and its offset, or a row of a database."""

    file: str
    line: int | None = None
    offset: int | None = None
    row: int | None = None

    def __str__(self) -> str:
        """For people.

        >>> str(Position("state", line=3, offset=812)), str(Position("hydra.db", row=7))
        ('state, line 3, byte 812', 'hydra.db, event 7')
        """
        parts = [self.file]
        parts += [] if self.line is None else [f"line {self.line}"]
        parts += [] if self.row is None else [f"event {self.row}"]
        parts += [] if self.offset is None else [f"byte {self.offset}"]
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Raw:
    """One record's bytes; ``unterminated`` if the file ends before its line does."""

    position: Position
    form: Form
    data: bytes
    unterminated: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, or not be believed; the rest was read all the same."""

    position: Position
    reason: str
    harmless: bool = False
    """A record that was half written when the node stopped: it never counted."""


Found: TypeAlias = Raw | Problem


class Source(Protocol):
    """One file of records."""

    @property
    def name(self) -> str:
        """The file, relative to the persistence directory."""

    @property
    def size(self) -> int:
        """In bytes."""

    def opened(self) -> AbstractContextManager[None]:
        """Keep open what takes long to open, for as long as the block lasts."""

    def read(self, progress: Progress) -> Iterator[Found]:
        """Its records, in order."""
