"""What a machine is: pure functions from inputs to events, and from events to state. No I/O.

The form is the decider (Chassaing, "Functional event sourcing decider"): what happens is decided in one pure
function and remembered in another. A node's own log then holds, for each input that was decided on, a record
of the input and one of each event decided, in one batch: after a crash either all of them are there, or none.
What came from another member is recorded by its position only; the replica of that member's log has the content.
Machines hear events when they are stable, so nothing that was heard is ever taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from hydra_sync.encoding import encode
from hydra_sync.errors import HydraSyncError
from hydra_sync.identity import MemberKey

__all__ = [
    "Alarm",
    "Command",
    "Decided",
    "Forked",
    "Heard",
    "Input",
    "Machine",
    "Place",
    "Record",
    "RejectedError",
    "state_hash",
]

S = TypeVar("S")


class RejectedError(HydraSyncError):
    """A command that the machine refuses, with the reason for whoever gave it; nothing was recorded."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an event stands: whose log, in which epoch, at which seq, in the batch with which hash."""

    log: MemberKey
    epoch: int
    seq: int
    batch_hash: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """What a client of this node asks for; ``now_us`` is the node's wall clock when it was taken up."""

    content: object
    now_us: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """The time that the machine asked to be woken at has come; ``now_us`` is the wall clock."""

    now_us: int


@dataclass(frozen=True, slots=True)
class Heard:
    """An event that a machine decided, its author's own node included: told to all when it is stable."""

    place: Place
    content: object
    now_us: int
    """The author's wall clock at its commit."""


@dataclass(frozen=True, slots=True)
class Forked:
    """The author of ``log`` signed two histories: nothing more is heard from it, from ``seq`` on."""

    log: MemberKey
    seq: int


Input = Command | Alarm | Heard | Forked


@dataclass(frozen=True, slots=True)
class Decided:
    """An event that the machine decided for the input recorded before it."""

    content: object


Record = Input | Decided


class Machine(Protocol[S]):
    """A state machine, pure: same records, same state; same state and input, same events.

    Contents are CBOR values that decode to what they were (tuples for arrays). States are never changed in place.
    """

    @property
    def name(self) -> str:
        """What its records are known by in the log: machines of one name understand each other's records."""

    @property
    def start(self) -> S:
        """The state before anything has happened."""

    def decide(self, state: S, cause: Input) -> Sequence[object]:
        """The events that follow from an input, none if nothing does.

        Raises `RejectedError` for a command that cannot be; of other inputs it must take any content,
        since any member may have written it.
        """

    def evolve(self, state: S, record: Record) -> S:
        """The state after an input was recorded, or an event decided: first the input, then each event."""

    def hears(self, content: object) -> bool:
        """Whether an event with this content is an input to machines; what is not stays in its author's log alone."""

    def alarm_us(self, state: S) -> int | None:
        """When to wake this machine, in microseconds since 1970; None if it waits for nothing."""

    def freeze(self, state: S) -> object:
        """The state as a CBOR value: for checkpoints, and for its hash."""

    def thaw(self, frozen: object) -> S:
        """The state that was frozen. Raises `FormatError` if that is none."""


def state_hash(frozen: object) -> bytes:
    """SHA-256 of a frozen state: equal where states are, on every node."""
    return hashlib.sha256(encode(frozen)).digest()
