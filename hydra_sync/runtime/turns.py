"""Inputs that wait for a decision, and those that were decided on together: one batch. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from hydra_sync.encoding import decode, encode_event
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.limits import BODY_BYTES_MAX, EVENT_DEPTH_MAX
from hydra_sync.machine import Command, Group, Input, Machine, MachineError, Progress, decide, entry_value, parse_entry

__all__ = ["Done", "Turn", "Waiting", "command", "encoded"]

S = TypeVar("S")

BATCH_BYTES_MAX: Final = BODY_BYTES_MAX - 16  # one batch: an input and its events are together on disk, or not at all
EVENT_HEAD_BYTES: Final = 5  # of each event in a batch, at most


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was decided on: what was decided, and the seq of its last record in the node's own log."""

    decided: tuple[object, ...]
    seq: int


@dataclass(eq=False, slots=True)
class Waiting:
    """An input in the queue; who gave a command waits until it is settled."""

    cause: Input
    settled: trio.Event = field(default_factory=trio.Event)
    outcome: Done | Exception | None = None

    def settle(self, outcome: Done | Exception | None) -> None:
        self.outcome = outcome
        self.settled.set()


class Turn(Generic[S]):
    """Inputs that were decided on together, and their records: one batch."""

    def __init__(self, progress: Progress[S]) -> None:
        self.progress = progress
        self.taken: list[tuple[Waiting, Group[S]]] = []
        self.events: list[bytes] = []
        self._size = 0

    def decide(self, machine: Machine[S], waiting: Waiting) -> bool:
        """Decide on one more input; whether its records fit.

        Raises `RejectedError` for a command that the machine refuses, `MachineError` if it fails.
        """
        group = decide(machine, self.progress, waiting.cause)
        events = [encoded(entry_value(record)) for record in group.records]
        size = sum(map(len, events)) + EVENT_HEAD_BYTES * len(events)
        if size > BATCH_BYTES_MAX:
            raise MachineError(f"{len(events)} records of {size:,} bytes for one input are more than a batch holds")
        if self._size + size > BATCH_BYTES_MAX:
            return False
        self._size += size
        self.events += events
        self.progress = group.after
        self.taken.append((waiting, group))
        return True


def encoded(value: object) -> bytes:
    """A record as an event that is read back as the same record. Raises `MachineError` if there is none."""
    try:
        data = encode_event(value)
        same = decode(data, depth_max=EVENT_DEPTH_MAX) == value
    except (UsageError, FormatError) as error:
        raise MachineError(f"a machine's event has to be plain CBOR: {error}") from error
    if not same:
        raise MachineError(f"a machine's event is read back as another value; tuples for arrays: {value!r:.200}")
    return data


def command(content: object, now_us: int) -> Command:
    """A command as its record will be read back. Raises `UsageError` if it has none, or one too large or too deep."""
    try:
        read = parse_entry(decode(encode_event(entry_value(Command(content, now_us))), depth_max=EVENT_DEPTH_MAX))
    except FormatError as error:
        raise UsageError(f"a command has to be plain CBOR: {error}") from error
    assert isinstance(read, Command)
    return read
