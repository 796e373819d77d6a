"""The records of a machine out of its node's log, with the content of what was heard. Does I/O.

A record of something heard names a position only. Positions of one log rise, so its content is read along with
them: one pass over each log, however long the history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from hydra_sync.encoding import decode
from hydra_sync.errors import FormatError, OrphanedError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import EVENT_DEPTH_MAX
from hydra_sync.machine import (
    Began,
    CheckpointPart,
    Consumed,
    Decided,
    Entry,
    Heard,
    MachineError,
    Place,
    Record,
    parse_entry,
)
from hydra_sync.node import Event

__all__ = ["Contents", "Entered", "Read", "entered", "heard_of"]

Read = Callable[[MemberKey, int], AsyncIterator[Event]]
"""The events of a member's log from a seq on, in order."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A record, and where in its node's log it stands."""

    epoch: int
    seq: int
    time_us: int
    entry: Entry


def entered(event: Event) -> Entered | None:
    """The machine's record that an event is; None if it is none."""
    try:
        entry = parse_entry(decode(event.data, depth_max=EVENT_DEPTH_MAX))
    except FormatError:
        return None
    return None if entry is None else Entered(event.epoch, event.seq, event.time_us, entry)


def heard_of(event: Event) -> Heard | None:
    """The input that an event of a member is for machines; None if none of them decided it."""
    found = entered(event)
    if found is None or not isinstance(found.entry, Decided):
        return None
    return Heard(Place(event.log, event.epoch, event.seq, event.batch_hash), found.entry.content, event.time_us)


class Contents:
    """What was heard, by its position: each log is read once, in order."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._readers: dict[MemberKey, AsyncIterator[Event]] = {}
        self._next: dict[MemberKey, int] = {}

    async def resolve(self, entry: Entry) -> Record | None:
        """The record that an entry stands for; None where it is about the log itself.

        Raises `MachineError` where a member's log does not hold what was heard, or no more of it is there.
        """
        match entry:
            case Consumed(place):
                return await self._find(place)
            case Began() | CheckpointPart():
                return None
            case _:
                return entry

    async def _find(self, place: Place) -> Heard:
        if place.seq < self._next.get(place.log, 0):  # its reader is past it, and would wait for it for ever
            raise MachineError(f"event {place.seq} of {place.log.hex()} was heard twice, or after a later one")
        self._next[place.log] = place.seq + 1
        while True:
            if place.log not in self._readers:
                self._readers[place.log] = self._read(place.log, place.seq)
            try:
                async for event in self._readers[place.log]:
                    if event.seq == place.seq and event.batch_hash == place.batch_hash:
                        if heard := heard_of(event):
                            return heard
                        raise MachineError(f"event {place.seq} of {place.log.hex()} was heard, and is no decision")
            except OrphanedError:  # the replica was on another branch, and has left it
                del self._readers[place.log]
                continue
            raise MachineError(
                f"event {place.seq} (epoch {place.epoch}) of member {place.log.hex()} was heard, and is not here: "
                "without it the state cannot be rebuilt; get the log first"
            )
