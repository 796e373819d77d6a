"""How the records of a machine stand in its node's log: one CBOR array each, its first item the kind. No I/O.

    ["machine", name]                                whose records these are
    ["command", now_us, content]
    ["alarm", now_us]
    ["consumed", log, epoch, seq, batch_hash]        an event of a member; its content stays in that member's log
    ["forked", log, seq]
    ["decided", content]                             what followed from the input before it
    ["checkpoint", part, parts, bytes]               the state here, encoded, in pieces

Anything else in the log is not the machine's, and is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hydra_sync.identity import MemberKey
from hydra_sync.limits import EVENT_BYTES_MAX, HASH_BYTES, KEY_BYTES
from hydra_sync.machine.form import Alarm, Command, Decided, Forked, Heard, Place

__all__ = ["Began", "CheckpointPart", "Consumed", "Entry", "entry_value", "parse_entry", "split_checkpoint"]

CHECKPOINT_PART_BYTES: Final = EVENT_BYTES_MAX - 64  # an event with its head


@dataclass(frozen=True, slots=True)
class Began:
    """A machine of this name writes into this log from here on."""

    name: str


@dataclass(frozen=True, slots=True)
class Consumed:
    """The event at ``place`` was heard, as an input."""

    place: Place


@dataclass(frozen=True, slots=True)
class CheckpointPart:
    """Piece ``part`` of ``parts`` of an encoded state."""

    part: int
    parts: int
    data: bytes


Entry = Began | Command | Alarm | Consumed | Forked | Decided | CheckpointPart


def entry_value(record: Entry | Heard) -> tuple[object, ...]:
    """The CBOR value of a record."""
    match record:
        case Heard(place) | Consumed(place):
            return ("consumed", place.log, place.epoch, place.seq, place.batch_hash)
        case Decided(content):
            return ("decided", content)
        case Command(content, now_us):
            return ("command", now_us, content)
        case Alarm(now_us):
            return ("alarm", now_us)
        case Forked(log, seq):
            return ("forked", log, seq)
        case Began(name):
            return ("machine", name)
        case CheckpointPart(part, parts, data):
            return ("checkpoint", part, parts, data)


def parse_entry(value: object) -> Entry | None:
    """The record that a value of a log is; None if it is no record of a machine."""
    match value:
        case ("decided", content):
            return Decided(content)
        case ("consumed", bytes(log), int(epoch), int(seq), bytes(batch_hash)) if (
            len(log) == KEY_BYTES and len(batch_hash) == HASH_BYTES and epoch >= 0 and seq >= 0
        ):
            return Consumed(Place(MemberKey(log), epoch, seq, batch_hash))
        case ("command", int(now_us), content):
            return Command(content, now_us)
        case ("alarm", int(now_us)):
            return Alarm(now_us)
        case ("forked", bytes(log), int(seq)) if len(log) == KEY_BYTES and seq >= 0:
            return Forked(MemberKey(log), seq)
        case ("machine", str(name)):
            return Began(name)
        case ("checkpoint", int(part), int(parts), bytes(data)) if 0 <= part < parts:
            return CheckpointPart(part, parts, data)
    return None


def split_checkpoint(data: bytes) -> Iterator[CheckpointPart]:
    """An encoded state in pieces that fit into events."""
    starts = range(0, max(1, len(data)), CHECKPOINT_PART_BYTES)
    for part, start in enumerate(starts):
        yield CheckpointPart(part, len(starts), data[start : start + CHECKPOINT_PART_BYTES])
