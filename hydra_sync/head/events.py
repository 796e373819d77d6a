"""What a head decides and keeps to itself: the events in its node's log that nobody else hears. No I/O.

Some change the state, the others are for clients, and for whoever posts to layer 1. They are small: a
transaction that was heard is named, never repeated. The content of each is its name and its fields in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head import shapes
from hydra_sync.head.bounds import REASON_CHARS_MAX, ROUND_BYTES
from hydra_sync.head.ledger import TxId
from hydra_sync.identity import MemberKey

__all__ = [
    "BadSignature",
    "Equivocated",
    "Event",
    "Followed",
    "HeardEarly",
    "Ignored",
    "LocalStateCleared",
    "MemberForked",
    "PartySigned",
    "PostTx",
    "Postponed",
    "SnapshotConfirmed",
    "SnapshotRefused",
    "SnapshotRequested",
    "TxApplied",
    "TxRejected",
    "TxWaiting",
    "content_of",
    "parse_event",
    "reason",
]

Evidence = tuple[bytes, bytes, bytes]
"""What a party signed, and its signature: ``(utxo hash, transactions hash, signature)``."""


@dataclass(frozen=True, slots=True)
class TxApplied:
    """A transaction was applied to the local ledger: hydra's TxValid."""

    head: bytes
    transaction: TxId


@dataclass(frozen=True, slots=True)
class TxWaiting:
    """A transaction cannot be applied to the local ledger yet, and why; it stays."""

    head: bytes
    transaction: TxId
    why: str


@dataclass(frozen=True, slots=True)
class TxRejected:
    """A transaction is wrong, or what it spends is gone for good."""

    head: bytes
    transaction: TxId
    why: str
    final: int
    """1 if no later copy of it can be right: it conflicts with what is confirmed."""


@dataclass(frozen=True, slots=True)
class SnapshotRequested:
    """A leader's request applies to the confirmed outputs: its round has begun.

    Transactions that were applied to the local ledger and conflict with it wait again.
    """

    head: bytes
    version: int
    number: int
    dropped: bytes
    """A bit for each transaction of the local ledger, in its order: their names need not fit an event."""


@dataclass(frozen=True, slots=True)
class SnapshotRefused:
    """A leader's request cannot be signed: its transactions do not apply to the confirmed outputs."""

    head: bytes
    version: int
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class PartySigned:
    """A party's signature holds."""

    head: bytes
    version: int
    number: int
    party: MemberKey
    signed: Evidence


@dataclass(frozen=True, slots=True)
class BadSignature:
    """A party sent a signature that does not hold. It counts for nothing; a good one may still come."""

    head: bytes
    version: int
    number: int
    party: MemberKey
    signed: Evidence


@dataclass(frozen=True, slots=True)
class Equivocated:
    """A party signed two contents for one place: with the head's id, both together are the proof."""

    head: bytes
    version: int
    number: int
    party: MemberKey
    first: Evidence
    second: Evidence


@dataclass(frozen=True, slots=True)
class SnapshotConfirmed:
    """All parties signed the snapshot whose round is on."""

    head: bytes
    version: int
    number: int


@dataclass(frozen=True, slots=True)
class LocalStateCleared:
    """A snapshot was side-loaded; these transactions are not applied any more and may be submitted again.

    Of more than `bounds.DROPPED_TOLD_MAX` only the first are named; all that wait may be submitted again.
    """

    head: bytes
    number: int
    dropped: tuple[TxId, ...]


@dataclass(frozen=True, slots=True)
class HeardEarly:
    """The first message kept for this head, from before it opened, is heard now."""

    head: bytes


@dataclass(frozen=True, slots=True)
class Postponed:
    """More transactions are to be judged than one input may decide on: an alarm goes on with it, at once."""

    head: bytes


@dataclass(frozen=True, slots=True)
class PostTx:
    """To be posted to layer 1, once this event is stable.

    ``kind`` is Init (parties), Close or Contest (the multisignature, in the parties' order), or Fanout.
    """

    kind: str
    head: bytes
    version: int
    number: int
    utxo_hash: bytes
    parts: tuple[bytes, ...]
    contestation_s: int


@dataclass(frozen=True, slots=True)
class Followed:
    """Layer 1 moved the head: the name of the fact, the head, the status since, the point."""

    fact: str
    head: bytes
    status: str
    slot: int
    block: bytes


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something was heard, or observed, that has no place here."""

    author: bytes
    why: str


@dataclass(frozen=True, slots=True)
class MemberForked:
    """A member signed two histories of its log: its head can only be closed."""

    member: MemberKey
    seq: int


Event = (
    TxApplied
    | TxWaiting
    | TxRejected
    | SnapshotRequested
    | SnapshotRefused
    | PartySigned
    | BadSignature
    | Equivocated
    | SnapshotConfirmed
    | LocalStateCleared
    | HeardEarly
    | Postponed
    | PostTx
    | Followed
    | Ignored
    | MemberForked
)


def reason(why: str) -> str:
    """A reason that fits an event."""
    text = why if why.isascii() else ascii(why)
    return text if len(text) <= REASON_CHARS_MAX else text[: REASON_CHARS_MAX - 3] + "..."


def content_of(event: Event) -> tuple[object, ...]:
    """The event as the content of a log's event.

    >>> content_of(TxApplied(b"head", TxId(b"t")))
    ('TxApplied', b'head', b't')
    """
    kind = type(event)
    return (kind.__name__, *(getattr(event, name) for name in kind.__slots__))


def parse_event(content: object) -> Event:
    """The event that `content_of` wrote. Raises `FormatError` for what no head wrote."""
    items = shapes.array(content)
    tag = items[0] if items else None
    form = _FORMS.get(tag) if type(tag) is str else None
    if form is None:
        raise FormatError("this is no event of a head")
    kind, readers = form
    values = shapes.fields(items[1:], len(readers))
    return kind(*(read(value) for read, value in zip(readers, values, strict=True)))


def _evidence(value: object) -> Evidence:
    utxo, transactions, signature = shapes.fields(value, 3)
    return shapes.hash_(utxo), shapes.hash_(transactions), shapes.signature(signature)


def _ids(value: object) -> tuple[TxId, ...]:
    return tuple(TxId(shapes.transaction_id(item)) for item in shapes.array(value))


def _bits(value: object) -> bytes:
    return shapes.blob(value, ROUND_BYTES)


def _blob(value: object) -> bytes:
    return shapes.blob(value, 64)


def _blobs(value: object) -> tuple[bytes, ...]:
    return tuple(_blob(item) for item in shapes.array(value))


_Reader = Callable[[object], object]
_HEAD: Final = shapes.head_id
_ID: Final = shapes.transaction_id
_UINT: Final = shapes.number
_TEXT: Final = shapes.text
_PARTY: Final = shapes.party
_PLACE: Final[tuple[_Reader, ...]] = (_HEAD, _UINT, _UINT)  # head, version, number

_FORMS: Final[dict[str, tuple[Callable[..., Event], tuple[_Reader, ...]]]] = {
    "TxApplied": (TxApplied, (_HEAD, _ID)),
    "TxWaiting": (TxWaiting, (_HEAD, _ID, _TEXT)),
    "TxRejected": (TxRejected, (_HEAD, _ID, _TEXT, _UINT)),
    "SnapshotRequested": (SnapshotRequested, (*_PLACE, _bits)),
    "SnapshotRefused": (SnapshotRefused, (*_PLACE, _TEXT)),
    "PartySigned": (PartySigned, (*_PLACE, _PARTY, _evidence)),
    "BadSignature": (BadSignature, (*_PLACE, _PARTY, _evidence)),
    "Equivocated": (Equivocated, (*_PLACE, _PARTY, _evidence, _evidence)),
    "SnapshotConfirmed": (SnapshotConfirmed, _PLACE),
    "LocalStateCleared": (LocalStateCleared, (_HEAD, _UINT, _ids)),
    "HeardEarly": (HeardEarly, (_HEAD,)),
    "Postponed": (Postponed, (_HEAD,)),
    "PostTx": (PostTx, (_TEXT, _blob, _UINT, _UINT, _blob, _blobs, _UINT)),
    "Followed": (Followed, (_TEXT, _blob, _TEXT, _UINT, _blob)),
    "Ignored": (Ignored, (_blob, _TEXT)),
    "MemberForked": (MemberForked, (_PARTY, _UINT)),
}
