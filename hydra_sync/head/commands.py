"""What a head is told by those outside: commands of clients, and what was observed on layer 1. No I/O.

Both are commands to the machine. An observation carries the point of layer 1 that it was seen at; whoever
follows layer 1 resumes at the last point that the head remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head import shapes
from hydra_sync.head.bounds import SNAPSHOT_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX
from hydra_sync.head.ledger import TxId
from hydra_sync.identity import MemberKey
from hydra_sync.limits import MEMBERS_MAX

__all__ = [
    "Asked",
    "Close",
    "Contest",
    "Fact",
    "Fanout",
    "FannedOut",
    "HeadClosed",
    "HeadContested",
    "HeadOpened",
    "Init",
    "NewTx",
    "Observed",
    "Point",
    "ReadyToFanout",
    "RolledBack",
    "SideLoadSnapshot",
    "parse_command",
]


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A block of layer 1: its slot, and its hash. ``(slot, hash)``."""

    slot: int
    block: bytes


@dataclass(frozen=True, slots=True)
class HeadOpened:
    """``("HeadOpened", head, (party, ...), contestation period in s, ((output's name, bytes), ...))``."""

    head: bytes
    parties: tuple[MemberKey, ...]
    contestation_s: int
    outputs: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class HeadClosed:
    """``("HeadClosed", head, snapshot number, deadline in us since 1970)``."""

    head: bytes
    number: int
    deadline_us: int


@dataclass(frozen=True, slots=True)
class HeadContested:
    """``("HeadContested", head, snapshot number, deadline in us since 1970)``."""

    head: bytes
    number: int
    deadline_us: int


@dataclass(frozen=True, slots=True)
class ReadyToFanout:
    """``("ReadyToFanout", head)``: the deadline has passed on layer 1."""

    head: bytes


@dataclass(frozen=True, slots=True)
class FannedOut:
    """``("FannedOut", head)``: the outputs are on layer 1, the head is over."""

    head: bytes


@dataclass(frozen=True, slots=True)
class RolledBack:
    """``("RolledBack",)``: what was observed after this point did not happen."""


Fact = HeadOpened | HeadClosed | HeadContested | ReadyToFanout | FannedOut | RolledBack


@dataclass(frozen=True, slots=True)
class Observed:
    """``("Observed", (slot, block hash), fact)``."""

    point: Point
    fact: Fact


@dataclass(frozen=True, slots=True)
class Init:
    """``("Init", (party, ...), contestation period in s)``: open a head of these parties, in this order."""

    parties: tuple[MemberKey, ...]
    contestation_s: int


@dataclass(frozen=True, slots=True)
class NewTx:
    """``("NewTx", transaction)``."""

    transaction: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """``("Close",)``: post the last confirmed snapshot."""


@dataclass(frozen=True, slots=True)
class Contest:
    """``("Contest",)``: the head was closed with an older snapshot than ours."""


@dataclass(frozen=True, slots=True)
class Fanout:
    """``("Fanout",)``."""


@dataclass(frozen=True, slots=True)
class SideLoadSnapshot:
    """``("SideLoadSnapshot", version, number, (id, ...), ((output's name, bytes), ...), (signature, ...))``.

    A snapshot that all parties signed, signatures in their order, brought by hand.
    """

    version: int
    number: int
    transactions: tuple[TxId, ...]
    outputs: tuple[tuple[bytes, bytes], ...]
    signatures: tuple[bytes, ...]


Asked = Init | NewTx | Close | Contest | Fanout | SideLoadSnapshot

_BARE: Final[dict[str, Asked]] = {"Close": Close(), "Contest": Contest(), "Fanout": Fanout()}


def parse_command(content: object) -> Asked | Observed:
    """The command. Raises `FormatError` if it is none."""
    match shapes.array(content):
        case ("Observed", point, fact):
            slot, block = shapes.fields(point, 2)
            return Observed(Point(shapes.number(slot), shapes.blob(block, 64)), _fact(shapes.array(fact)))
        case ("NewTx", transaction):
            return NewTx(shapes.blob(transaction, TRANSACTION_BYTES_MAX))
        case ("Init", parties, contestation_s):
            return Init(shapes.parties(parties), shapes.number(contestation_s))
        case (str() as tag,) if tag in _BARE:
            return _BARE[tag]
        case ("SideLoadSnapshot", version, number, ids, outputs, signatures):
            return SideLoadSnapshot(
                shapes.number(version),
                shapes.number(number),
                tuple(TxId(each) for each in shapes.ids(ids, SNAPSHOT_TRANSACTIONS_MAX)),
                shapes.pairs(outputs),
                _signatures(signatures),
            )
        case _:
            raise FormatError("this is no command to a head")


def _fact(items: tuple[object, ...]) -> Fact:
    match items:
        case ("HeadOpened", head, parties, contestation_s, outputs):
            return HeadOpened(
                shapes.head_id(head), shapes.parties(parties), shapes.number(contestation_s), shapes.pairs(outputs)
            )
        case ("HeadClosed" | "HeadContested" as tag, head, number, deadline_us):
            kind = HeadClosed if tag == "HeadClosed" else HeadContested
            return kind(shapes.head_id(head), shapes.number(number), shapes.number(deadline_us))
        case ("ReadyToFanout", head):
            return ReadyToFanout(shapes.head_id(head))
        case ("FannedOut", head):
            return FannedOut(shapes.head_id(head))
        case ("RolledBack",):
            return RolledBack()
        case _:
            raise FormatError("this is nothing that a head observes on layer 1")


def _signatures(value: object) -> tuple[bytes, ...]:
    items = shapes.array(value)
    if len(items) > MEMBERS_MAX:
        raise FormatError(f"a head has at most {MEMBERS_MAX} signatures")
    return tuple(shapes.signature(item) for item in items)
