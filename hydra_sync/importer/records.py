"""Records: bytes that are understood, and can be given back as they were. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hydra_sync.importer.changes import Change, Checkpoint
from hydra_sync.importer.events_cbor import read_state_event
from hydra_sync.importer.fields import Json, JsonObject, RecordError, as_object, natural, optional, parse_json, text
from hydra_sync.importer.outputs import parse_output
from hydra_sync.importer.parsing import parse_change
from hydra_sync.importer.sources import Form, Position, Raw
from hydra_sync.importer.states import HEAD_STATES, parse_state

__all__ = ["NotJsonError", "Record", "parse_record", "read_value", "resume_after"]

EVENT_START: Final = b'{"eventId":'  # hydra-node writes an object's fields in alphabetical order


class NotJsonError(RecordError):
    """The bytes of a line are no JSON at all: half written, or garbage."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a node, in any dialect, or the whole state of the oldest ones.

    ``event_id`` is there since 0.16, ``time`` since 0.21. ``problem`` is why its content is not understood, or
    not believed, though its form is sound: the record is kept all the same.
    """

    position: Position
    form: Form
    data: bytes
    tag: str
    event_id: int | None
    time: str | None
    changes: tuple[Change, ...]
    problem: str = ""

    @property
    def is_checkpoint(self) -> bool:
        return any(isinstance(change, Checkpoint) for change in self.changes)

    @property
    def is_whole_state(self) -> bool:
        """Whether this is no event but the state of a head, as releases up to 0.11 kept it."""
        return self.tag in HEAD_STATES


def read_value(form: Form, data: bytes) -> Json:
    """The JSON that a record's bytes are, or mean. Raises `RecordError`, `NotJsonError` where it is none."""
    if form is Form.CBOR:
        return read_state_event(data)
    try:
        return parse_json(data)
    except RecordError as error:
        raise NotJsonError(str(error)) from error


def parse_record(raw: Raw) -> Record:
    """The record that ``raw`` is. Raises `RecordError` for bytes that are none, whoever wrote them.

    An event that no release known here has written is a record with a ``problem``.
    """
    found = as_object(read_value(raw.form, raw.data), "a record")
    event, event_id, time = found, None, None
    if "stateChanged" in found:
        event = as_object(found["stateChanged"], "stateChanged")
        event_id = natural(found, "eventId")
        time = optional(found, text, "time")
    tag = text(event, "tag")
    try:
        changes, problem = _changes(raw.form, event), ""
    except RecordError as error:
        changes, problem = (), f"{tag[:80]}: {error}"
    return Record(raw.position, raw.form, raw.data, tag, event_id, time, changes, problem)


def _changes(form: Form, fields: JsonObject) -> tuple[Change, ...]:
    if fields.get("tag") in HEAD_STATES:
        return (Checkpoint(parse_state(fields)),)
    if form is Form.OUTPUT:
        return tuple(parse_output(fields))
    change = parse_change(fields)
    return () if change is None else (change,)


def resume_after(data: bytes) -> int | None:
    """Where a whole event may begin in a damaged line: a node that was started again appends to a torn tail."""
    start = data.rfind(EVENT_START)
    return start if start > 0 else None
