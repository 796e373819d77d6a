"""A whole persistence directory as one stream of records, each once, and of what is wrong with it. Does I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from hydra_sync.importer.fields import RecordError
from hydra_sync.importer.layout import find_sources, server_output
from hydra_sync.importer.records import NotJsonError, Record, parse_record, resume_after
from hydra_sync.importer.sources import Form, Position, Problem, Progress, Raw, Source

__all__ = ["Directory", "Item", "open_directory"]

PEEK_MAX: Final = 100  # records that are looked at to find out where a file begins
BEFORE_ALL: Final = -1  # where a file without event ids belongs: no release with ids wrote it

Item: TypeAlias = Record | Problem


@dataclass(slots=True)
class Directory:
    """The files of a directory, the oldest first."""

    path: Path
    sources: Sequence[Source]
    duplicates: int = 0
    """Events that stood in a second file as well, as they do after a migration."""

    @property
    def size(self) -> int:
        return sum(source.size for source in self.sources)

    def read(self, progress: Progress) -> Iterator[Item]:
        """Every record of every file, each once, in order; and what is wrong, where it is."""
        before = 0
        order = _Order(self)
        for source in self.sources:
            order.begin_file()
            for item in _records(source, _after(before, progress)):
                yield from order.check(item)
            before += source.size


@dataclass(slots=True)
class _Order:
    """Event ids rise by one; a checkpoint has the id of the event before it, and makes up for all that is missing."""

    directory: Directory
    last_id: int | None = None
    last_file_id: int | None = None
    last_data: tuple[bytes, ...] = ()
    damaged: bool = False
    """Since the last good record: what is missing now is no news."""

    def begin_file(self) -> None:
        self.last_file_id = self.last_id

    def check(self, item: Item) -> Iterator[Item]:
        if isinstance(item, Problem):
            self.damaged = True
            yield item
        elif item.event_id is None:
            yield item
        elif self._is_duplicate(item, item.event_id):
            self.directory.duplicates += 1
        else:
            yield from self._gap(item, item.event_id)
            yield item
            self.last_data = (*self.last_data, item.data) if item.event_id == self.last_id else (item.data,)
            self.last_id = item.event_id
            self.damaged = bool(item.problem)

    def _is_duplicate(self, record: Record, event_id: int) -> bool:
        """Whether an earlier file had it: those hold all up to their last."""
        if self.last_file_id is None or event_id > self.last_file_id:
            return False
        return event_id < self.last_file_id or record.data in self.last_data

    def _gap(self, record: Record, event_id: int) -> Iterator[Problem]:
        if self.last_id is None:
            if event_id > 1 and not (record.is_checkpoint or self.damaged):
                yield Problem(record.position, f"the history begins with event {event_id}: those before are missing")
        elif event_id <= self.last_id and not (record.is_checkpoint and event_id == self.last_id):
            yield Problem(record.position, f"event {event_id} comes after event {self.last_id}")
        elif event_id > self.last_id + 1 and not (record.is_checkpoint or self.damaged):
            yield Problem(record.position, f"events {self.last_id + 1} to {event_id - 1} are missing")


def _after(before: int, progress: Progress) -> Progress:
    return lambda done: progress(before + done)


def open_directory(path: Path, stack: ExitStack) -> Directory:
    """Find the files and their order; they stay open as long as the stack. Raises `UsageError`, and `OSError`."""
    found = find_sources(path)
    for source in found:
        stack.enter_context(source.opened())
    firsts = [_first(source) for source in found]
    order = sorted(range(len(found)), key=lambda index: (_first_id(firsts[index]), index))
    sources = [found[index] for index in order]
    outputs = server_output(path)
    if outputs is not None and any(first is not None and first.is_whole_state for first in firsts):
        sources.insert(0, outputs)
    return Directory(path, sources)


def _first(source: Source) -> Record | None:
    """The first record, if it is not far."""
    records = _records(source, lambda _: None)
    for item, _ in zip(records, range(PEEK_MAX), strict=False):
        if isinstance(item, Record):
            return item
    return None


def _first_id(first: Record | None) -> int:
    return BEFORE_ALL if first is None or first.event_id is None else first.event_id


def _records(source: Source, progress: Progress) -> Iterator[Item]:
    for found in source.read(progress):
        if isinstance(found, Problem):
            yield found
        else:
            yield from _parsed(found)


def _parsed(raw: Raw) -> Iterator[Item]:
    try:
        yield _row_checked(raw, parse_record(raw))
    except NotJsonError as error:
        yield from _damaged(raw, error)
    except RecordError as error:
        yield Problem(raw.position, str(error))


def _row_checked(raw: Raw, record: Record) -> Record:
    row = raw.position.row
    if row is None or record.event_id in (None, row) or record.problem:
        return record
    return replace(record, problem=f"its row says event {row}, its content event {record.event_id}")


def _damaged(raw: Raw, error: NotJsonError) -> Iterator[Item]:
    """A line that is no JSON: torn, or with zeros before what follows, or a torn one that another was appended to."""
    lead = len(raw.data) - len(raw.data.lstrip(b"\0"))
    resume = resume_after(raw.data) if raw.form is Form.JSON else None
    if lead == len(raw.data):
        yield Problem(raw.position, f"{lead:,} zero bytes", harmless=raw.unterminated)
    elif lead or resume is not None:
        start = max(lead, resume or 0)
        yield Problem(raw.position, f"{start:,} bytes that are no record, before one that is: {_short(error)}")
        yield from _parsed(replace(raw, position=_moved(raw.position, start), data=raw.data[start:]))
    elif raw.unterminated:
        yield Problem(raw.position, f"the last record is half written ({len(raw.data):,} bytes)", harmless=True)
    else:
        yield Problem(raw.position, _short(error))


def _moved(position: Position, by: int) -> Position:
    return replace(position, offset=(position.offset or 0) + by)


def _short(error: Exception) -> str:
    words = str(error)
    return words if len(words) <= 200 else f"{words[:200]}..."
