"""From inputs to records, and from records back to the state: what every runtime of a machine does. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, HydraSyncError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import EVENT_DEPTH_MAX
from hydra_sync.machine.form import Command, Decided, Forked, Heard, Input, Machine, Record, RejectedError

__all__ = ["Group", "MachineError", "Progress", "check_name", "decide", "guarded", "replay"]

S = TypeVar("S")
T = TypeVar("T")


class MachineError(HydraSyncError):
    """A machine failed, or decided otherwise than it once did: it stops here, the node goes on."""


@dataclass(frozen=True, slots=True)
class Progress(Generic[S]):
    """How far a machine has come: its state, and the seq of each log from which on it has heard nothing."""

    state: S
    heard: Mapping[MemberKey, int]
    forked: frozenset[MemberKey] = frozenset()

    def encode(self, machine: Machine[S]) -> bytes:
        """As it stands in a checkpoint."""
        heard = tuple(sorted(self.heard.items()))
        frozen = guarded("freeze", self.state, machine.freeze, self.state)
        return encode((machine.name, heard, tuple(sorted(self.forked)), frozen))

    @staticmethod
    def decode(machine: Machine[S], data: bytes) -> Progress[S]:
        """Back from a checkpoint. Raises `MachineError` if it is none of this machine's."""
        try:
            match decode(data, depth_max=EVENT_DEPTH_MAX):
                case (str(name), tuple(heard), tuple(forked), frozen):
                    check_name(machine, name)
                    cursors = {MemberKey(log): int(seq) for log, seq in heard}
                    return Progress(machine.thaw(frozen), cursors, frozenset(map(MemberKey, forked)))
        except (FormatError, TypeError, ValueError) as error:
            raise MachineError(f"the checkpoint is none of this machine's: {error}") from error
        raise MachineError("the checkpoint is none of this machine's: it has another form")


def check_name(machine: Machine[S], name: str) -> None:
    """Raise `MachineError` unless records of ``name`` are this machine's."""
    if name != machine.name:
        raise MachineError(f"this log holds the records of machine {name!r}, not of {machine.name!r}")


@dataclass(frozen=True, slots=True)
class Group(Generic[S]):
    """An input and what was decided for it: together in one batch, or not at all."""

    cause: Input
    decided: tuple[object, ...]
    after: Progress[S]

    @property
    def records(self) -> tuple[Record, ...]:
        return (self.cause, *map(Decided, self.decided))


def decide(machine: Machine[S], before: Progress[S], cause: Input) -> Group[S]:
    """Decide on an input.

    Raises `RejectedError` for a command that the machine refuses, `MachineError` if it fails.
    """
    decided = tuple(guarded("decide", cause, machine.decide, before.state, cause))
    after = replay(machine, before, cause)
    for content in decided:
        after = replay(machine, after, Decided(content))
    return Group(cause, decided, after)


def replay(machine: Machine[S], before: Progress[S], record: Record) -> Progress[S]:
    """Where a record leads: the fold. Raises `MachineError` if the machine fails."""
    state = guarded("evolve", record, machine.evolve, before.state, record)
    match record:
        case Heard(place):
            if place.seq < before.heard.get(place.log, 0):
                raise MachineError(f"event {place.seq} of {place.log.hex()} was heard twice")
            return replace(before, state=state, heard={**before.heard, place.log: place.seq + 1})
        case Forked(log):
            return replace(before, state=state, forked=before.forked | {log})
        case _:
            return replace(before, state=state)


def guarded(act: str, about: object, call: Callable[..., T], *arguments: object) -> T:
    """Call a function of a machine. Whatever it raises comes as a `MachineError` that names ``about``."""
    try:
        return call(*arguments)
    except RejectedError:
        if act == "decide" and isinstance(about, Command):
            raise
        raise MachineError(f"the machine rejected what is no command: {_brief(about)}") from None
    except Exception as error:
        raise MachineError(f"{act} failed with {type(error).__name__}: {error}; at {_brief(about)}") from error


def _brief(about: object) -> str:
    if isinstance(about, Heard):
        place = about.place
        return f"event {place.seq} (epoch {place.epoch}) of member {place.log.hex()}"
    text = repr(about)
    return text if len(text) <= 200 else f"{text[:200]}..."
