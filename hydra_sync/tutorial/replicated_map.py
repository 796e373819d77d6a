"""A replicated key-value map: whoever has heard the same puts, in whatever order, has the same map. No I/O.

Members hear each other's events in different orders, so "the last put wins" needs an order that all agree on:
a Lamport clock (Lamport 1978), with the member's key where two clocks are equal.

>>> from hydra_sync.identity import MemberKey
>>> from hydra_sync.machine import Command, Decided, Heard, Place
>>> machine = ReplicatedMap()
>>> alice = MemberKey(bytes([1]) * 32)
>>> machine.decide(machine.start, Command(("put", "colour", "red"), now_us=0))
(('put', 'colour', 'red', 1),)
>>> heard = Heard(Place(alice, 0, 0, bytes(32)), ("put", "colour", "red", 1), now_us=0)
>>> machine.evolve(machine.start, heard)["colour"].value
'red'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.machine import Command, Heard, Input, Record, RejectedError

__all__ = ["Entries", "Entry", "ReplicatedMap"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, and the put that it came from; later ones are greater."""

    clock: int
    author: bytes
    value: object


Entries = Mapping[str, Entry]


class ReplicatedMap:
    """Commands are ``("put", key, value)``. A put counts, here too, when it is heard: stable, for all the same."""

    name: Final = "tutorial/map"
    start: Final[Entries] = {}

    def decide(self, state: Entries, cause: Input) -> Sequence[object]:
        # Only a command needs a decision: the clock. What is heard needs none, it is what it is.
        match cause:
            case Command(("put", str(key), value)):
                clock = 1 + max((entry.clock for entry in state.values()), default=0)
                return (("put", key, value, clock),)
            case Command(content):
                raise RejectedError(f"a command is ('put', key, value), this is {content!r}")
        return ()

    def evolve(self, state: Entries, record: Record) -> Entries:
        match record:
            case Heard(place, ("put", str(key), value, int(clock))):
                entry = Entry(clock, place.log, value)
                held = state.get(key)
                if held is None or (held.clock, held.author) < (entry.clock, entry.author):
                    return {**state, key: entry}
        return state

    def hears(self, content: object) -> bool:
        return isinstance(content, tuple) and content[:1] == ("put",)

    def alarm_us(self, state: Entries) -> None:
        return None

    def freeze(self, state: Entries) -> object:
        return tuple((key, entry.clock, entry.author, entry.value) for key, entry in sorted(state.items()))

    def thaw(self, frozen: object) -> Entries:
        try:
            match frozen:
                case tuple(entries):
                    return {key: Entry(clock, author, value) for key, clock, author, value in entries}
        except (TypeError, ValueError) as error:
            raise FormatError(f"this is no map: {error}") from error
        raise FormatError("this is no map")
