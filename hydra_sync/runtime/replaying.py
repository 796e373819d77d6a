"""Re-decide every recorded input, and compare: the same machine decides the same. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hydra_sync.encoding import encode
from hydra_sync.machine import (
    Began,
    CheckpointPart,
    Decided,
    Input,
    Machine,
    MachineError,
    Progress,
    RejectedError,
    check_name,
    decide,
    replay,
)
from hydra_sync.node import Event
from hydra_sync.runtime.history import Contents, Entered, Read, entered

__all__ = ["Difference", "Replayed", "replay_check"]

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where what was recorded is not what the machine decides."""

    seq: int
    """Of the input, or of the checkpoint, in the log."""
    recorded: tuple[object, ...]
    decided: tuple[object, ...] | str
    """What it decides now, or why it cannot."""


@dataclass(frozen=True, slots=True)
class Replayed(Generic[S]):
    """What a replay came to: everything, or up to the first difference."""

    progress: Progress[S]
    inputs: int
    decided: int
    checkpoints: int
    difference: Difference | None


async def replay_check(
    machine: Machine[S],
    own: AsyncIterator[Event],
    contents: Read,
    told: Callable[[int], None] = lambda _: None,
) -> Replayed[S]:
    """Decide again on every recorded input of a whole log, and compare the events, and the checkpoints' states.

    ``told`` is called with each seq that was read. Raises `MachineError` where content that was heard is not here,
    or the log is another machine's.
    """
    checker = _Checker(machine)
    resolver = Contents(contents)
    async for event in own:
        told(event.seq)
        found = entered(event)
        if found is None:
            continue
        if isinstance(found.entry, CheckpointPart):
            checker.checkpoint(found, found.entry)
        elif isinstance(found.entry, Began):
            check_name(machine, found.entry.name)
        elif isinstance(found.entry, Decided):
            checker.decided.append(found.entry.content)
        else:
            record = await resolver.resolve(found.entry)
            assert record is not None
            assert not isinstance(record, Decided)
            checker.finish()
            checker.cause, checker.seq = record, found.seq
        if checker.difference is not None:
            break
    checker.finish()
    return Replayed(checker.progress, checker.inputs, checker.events, checker.checkpoints, checker.difference)


class _Checker(Generic[S]):
    """One input at a time, with what was recorded for it."""

    def __init__(self, machine: Machine[S]) -> None:
        self._machine = machine
        self.progress = Progress(machine.start, {})
        self.cause: Input | None = None
        self.seq = 0
        self.decided: list[object] = []
        self.inputs = self.events = self.checkpoints = 0
        self.difference: Difference | None = None
        self._pieces: list[bytes] = []

    def finish(self) -> None:
        """Decide on the input whose events are all read."""
        if self.cause is None or self.difference is not None:
            return
        recorded = tuple(self.decided)
        again: tuple[object, ...] | str
        try:
            again = decide(self._machine, self.progress, self.cause).decided
        except (MachineError, RejectedError) as error:
            again = str(error)
        if isinstance(again, str) or encode(again) != encode(recorded):
            self.difference = Difference(self.seq, recorded, again)
            return
        for record in (self.cause, *map(Decided, recorded)):
            self.progress = replay(self._machine, self.progress, record)
        self.inputs += 1
        self.events += len(recorded)
        self.cause = None
        self.decided.clear()

    def checkpoint(self, found: Entered, piece: CheckpointPart) -> None:
        """Compare a checkpoint with the state that the records before it lead to."""
        self.finish()
        if piece.part == 0:
            self._pieces = []
        self._pieces.append(piece.data)
        if self.difference is not None or len(self._pieces) < piece.parts:
            return
        self.checkpoints += 1
        if b"".join(self._pieces) != self.progress.encode(self._machine):
            self.difference = Difference(found.seq, ("checkpoint",), "the records before it lead to another state")
