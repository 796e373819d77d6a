"""Imported records as events of a log of ours: exactly what was read, and where; each once. No I/O of its own.

The value of an event is a map::

    imported    "hydra-node"
    origin      text: which node's history this is, as whoever imported it named it
    file        text: the file, relative to the persistence directory; line, offset or row where in it
    id          hydra-node's event id, where the release had one
    json        text: the record as it stood, character by character       (or)
    output      text: the same, of what clients were told (``server-output``)       (or)
    cbor        bytes: the record as it stood
    part        [index, count], where the record is longer than an event may be

A record is the same as one that is in the log when origin, id (or line), part and content are the same; not the
file, because hydra-node moves its events between files.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError
from hydra_sync.importer.records import Record
from hydra_sync.importer.sources import Form
from hydra_sync.limits import EVENT_BYTES_MAX

__all__ = ["Appended", "Value", "append_records", "event_values", "imported_records"]

PRODUCER: Final = "hydra-node"
PART_MAX: Final = (
    200_000  # characters or bytes: with four bytes a character, and the fields, well below an event's most
)
BATCH_EVENTS_MAX: Final = 1000
BATCH_BYTES_MAX: Final = 512 << 10  # one sync, and what a crash makes us do again
assert 4 * PART_MAX + 4096 < EVENT_BYTES_MAX

Value: TypeAlias = Mapping[str, object]
Append: TypeAlias = Callable[[Sequence[Value]], Awaitable[object]]


class Valued(Protocol):
    """An event of ours."""

    @property
    def value(self) -> object: ...


@dataclass(slots=True)
class Appended:
    """What came of it."""

    events: int = 0
    """Appended now."""
    there: int = 0
    """In the log already, from an import before."""
    known: set[bytes] = field(default_factory=set)


async def append_records(
    records: Iterable[Record], origin: str, log: AsyncIterator[Valued], append: Append
) -> Appended:
    """Append what is not in ``log`` yet, in order; durable on return. A crash leaves a beginning, and the next call
    goes on from there."""
    done = Appended()
    origin = _text(origin)
    async for event in log:
        if (key := _key_of(event, origin)) is not None:
            done.known.add(key)
    batch: list[Value] = []
    size = 0
    for record in records:
        for value in event_values(record, origin):
            key = _key(value)
            if key in done.known:
                done.there += 1
                continue
            done.known.add(key)
            batch.append(value)
            size += len(record.data)
        if len(batch) >= BATCH_EVENTS_MAX or size >= BATCH_BYTES_MAX:
            await append(batch)
            done.events += len(batch)
            batch, size = [], 0
    if batch:
        await append(batch)
        done.events += len(batch)
    return done


def event_values(record: Record, origin: str) -> Iterator[Value]:
    """The values of the events that hold this record: one, or as many as it takes."""
    content: str | bytes = record.data if record.form is Form.CBOR else record.data.decode()
    position = record.position
    where = {"line": position.line, "offset": position.offset, "row": position.row, "id": record.event_id}
    head: dict[str, object] = {"imported": PRODUCER, "origin": origin, "file": _text(position.file)}
    head |= {name: number for name, number in where.items() if number is not None}
    parts = max(1, -(-len(content) // PART_MAX))
    for index in range(parts):
        part = content[index * PART_MAX : (index + 1) * PART_MAX]
        yield head | {record.form.value: part} | ({"part": [index, parts]} if parts > 1 else {})


def imported_records(values: Iterable[object]) -> Iterator[tuple[Form, bytes]]:
    """The records in the values of a log, as they stood in hydra-node's files; other values are passed over."""
    parts: dict[object, list[bytes]] = {}  # of each origin; one goes on with a record before it begins the next
    for value in values:
        if (found := _content(value)) is None:
            continue
        form, content = found
        assert isinstance(value, dict)
        index, count = _part(value)
        so_far = [*parts.pop(value.get("origin"), ()), content] if index else [content]
        if len(so_far) == count:
            yield form, b"".join(so_far)
        else:
            parts[value.get("origin")] = so_far


def _content(value: object) -> tuple[Form, bytes] | None:
    if not isinstance(value, dict) or value.get("imported") != PRODUCER:
        return None
    for form in Form:
        content = value.get(form.value)
        if isinstance(content, str | bytes):
            return form, content.encode() if isinstance(content, str) else content
    return None


def _part(value: Value) -> tuple[int, int]:
    match value.get("part"):
        case [int(index), int(count)]:
            return index, count
    return 0, 1


def _key_of(event: Valued, origin: str) -> bytes | None:
    try:
        value = event.value
    except FormatError:
        return None
    if _content(value) is None:
        return None
    assert isinstance(value, dict)
    return _key(value) if value.get("origin") == origin else None


def _key(value: Value) -> bytes:
    found = _content(value)
    assert found is not None
    form, content = found
    place = ["id", value["id"]] if "id" in value else ["line", value.get("line", value.get("row"))]
    whole = encode([form.value, place, list(_part(value)), hashlib.sha256(content).digest()])
    return hashlib.sha256(whole).digest()[:16]


def _text(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
