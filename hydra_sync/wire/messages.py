"""The messages of protocol version 1, as values. No I/O.

Each class knows its type number and turns itself into the fields of a CBOR array and back
(design: 6). Parsing raises `PeerError`: bytes on the wire are always some peer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import ClassVar, Final, Self, TypeVar

from hydra_sync.chain import Tip
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import (
    ADDRESS_BYTES_MAX,
    AGENT_BYTES_MAX,
    COSE_BYTES_MAX,
    CREDIT_BYTES_MAX,
    FORK_HEADERS_MAX,
    FRAME_BYTES_MAX,
    HASH_BYTES,
    HOLES_MAX,
    KEY_BYTES,
    MEMBERS_MAX,
    STORE_ID_BYTES,
    TEXT_BYTES_MAX,
)
from hydra_sync.ranges import SeqRange
from hydra_sync.wire.fields import array, boolean, byte_string, sized_array, text, uint

__all__ = [
    "MESSAGE_TYPES",
    "PROTOCOL_VERSION",
    "Cancel",
    "Credit",
    "Data",
    "End",
    "EndReason",
    "Fetch",
    "Fork",
    "Goodbye",
    "GoodbyeReason",
    "Hello",
    "LogState",
    "LogTip",
    "Message",
    "Ping",
    "Pong",
    "Prepare",
    "Promise",
    "Refuse",
    "Role",
    "Stable",
    "Tips",
]

_Kind = TypeVar("_Kind", bound=IntEnum)

PROTOCOL_VERSION: Final = 1
_VERSIONS_MAX: Final = 16
_LIMITS_MAX: Final = 16
_START: Final = "start"  # among the limits, because who does not know it reads on


class Role(IntEnum):
    """What kind of program speaks: tools fetch, and are never counted as a member's node."""

    NODE = 0
    TOOL = 1


class LogState(IntEnum):
    """How far a member's word about a log counts (design: 7); but for OK, its tip is no receipt.

    About its own log, an author is RECOVERING while it starts, and AMNESIAC if it has lost its disk.
    A store whose own log had no epoch that anybody knows of is FOUNDING, for every log.
    """

    OK = 0
    AMNESIAC = 1
    RECOVERING = 2
    FORKED = 3
    FOUNDING = 4


class EndReason(IntEnum):
    """Why a fetch ended. ``End.detail`` is the first seq held for PRUNED, milliseconds for BUSY."""

    DONE = 0
    PRUNED = 1
    UNAVAILABLE = 2
    FORKED = 3
    DIVERGED = 4
    BUSY = 5
    CANCELLED = 6


class GoodbyeReason(IntEnum):
    """Why a connection is closed."""

    CLOSING = 0
    DUPLICATE = 1
    VERSION = 2
    WRONG_NETWORK = 3
    PROTOCOL = 4
    TIMEOUT = 5
    BUSY = 6


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of both sides. Unknown ``limits`` are ignored, so that later versions can add some."""

    TYPE: ClassVar[int] = 0
    network: bytes
    agent: str
    role: Role
    store_id: bytes
    founding: bool
    advertise: str = ""
    versions: tuple[int, ...] = (PROTOCOL_VERSION,)
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def start(self) -> int | None:
        """A number that tells this start of the process from all others; None of one that says none."""
        return self.limits.get(_START)

    def of_start(self, start: bytes) -> Self:
        """As said by the start with this random name."""
        return replace(self, limits=self.limits | {_START: int.from_bytes(start[:8]) >> 1})

    def fields(self) -> tuple[object, ...]:
        return (
            self.versions,
            self.network,
            self.agent,
            int(self.role),
            self.store_id,
            self.founding,
            self.advertise,
            self.limits,
        )

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        versions, network, agent, role, store_id, founding, advertise, limits = sized_array(fields, 8)
        return cls(
            versions=tuple(uint(version) for version in array(versions, most=_VERSIONS_MAX)),
            network=byte_string(network, size=HASH_BYTES),
            agent=text(agent, most=AGENT_BYTES_MAX),
            role=_member(Role, role),
            store_id=byte_string(store_id, size=STORE_ID_BYTES),
            founding=boolean(founding),
            advertise=text(advertise, most=ADDRESS_BYTES_MAX),
            limits=_parse_limits(limits),
        )


@dataclass(frozen=True, slots=True)
class LogTip:
    """What a member holds of one log, durably: from ``first_seq`` to the tip, but for the holes."""

    log: MemberKey
    tip: Tip
    first_seq: int = 0
    holes: tuple[SeqRange, ...] = ()
    state: LogState = LogState.OK

    @property
    def durable_stop(self) -> int:
        """The receipt: everything below is durable there; it ends at the first hole."""
        return self.holes[0].start if self.holes else self.tip.next_seq

    def holds(self, seq: int) -> bool:
        """Whether the member could supply the event at ``seq``."""
        return self.first_seq <= seq < self.tip.next_seq and not any(seq in hole for hole in self.holes)

    def held_stop(self, seq: int) -> int:
        """How far the member could supply events from ``seq``, which it holds: to its next hole, or its tip."""
        return min((hole.start for hole in self.holes if hole.start > seq), default=self.tip.next_seq)

    def fields(self) -> tuple[object, ...]:
        return (
            self.log,
            self.tip.epoch,
            self.first_seq,
            self.tip.next_seq,
            self.tip.hash,
            tuple((hole.start, hole.stop) for hole in self.holes),
            int(self.state),
        )

    @classmethod
    def parse(cls, fields: object) -> Self:
        log, epoch, first, next_seq, tip_hash, holes, state = sized_array(fields, 7)
        tip = Tip(uint(epoch), uint(next_seq), byte_string(tip_hash, size=HASH_BYTES))
        return cls(
            log=MemberKey(byte_string(log, size=KEY_BYTES)),
            tip=tip,
            first_seq=uint(first, most=tip.next_seq),
            holes=_parse_holes(array(holes, most=HOLES_MAX), tip.next_seq),
            state=_member(LogState, state),
        )


@dataclass(frozen=True, slots=True)
class Tips:
    """What the sender holds: of every log when ``full`` (its first), then of those that moved."""

    TYPE: ClassVar[int] = 1
    full: bool
    logs: tuple[LogTip, ...]

    def fields(self) -> tuple[object, ...]:
        return (self.full, tuple(tip.fields() for tip in self.logs))

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        full, logs = sized_array(fields, 2)
        return cls(boolean(full), tuple(LogTip.parse(tip) for tip in array(logs, most=MEMBERS_MAX)))


@dataclass(frozen=True, slots=True)
class Prepare:
    """An author asks for a new epoch of its log: its signed `Ballot`, which others may relay (design: 7)."""

    TYPE: ClassVar[int] = 2
    log: MemberKey
    ballot: bytes

    def fields(self) -> tuple[object, ...]:
        return (self.log, self.ballot)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        log, ballot = sized_array(fields, 2)
        return cls(MemberKey(byte_string(log, size=KEY_BYTES)), byte_string(ballot, most=COSE_BYTES_MAX))


@dataclass(frozen=True, slots=True)
class Promise:
    """A witness's signed answer to `Prepare`: a COSE_Sign1 that others may relay (design: 7)."""

    TYPE: ClassVar[int] = 3
    log: MemberKey
    witness: MemberKey
    answer: bytes

    def fields(self) -> tuple[object, ...]:
        return (self.log, self.witness, self.answer)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        log, witness, answer = sized_array(fields, 3)
        return cls(
            MemberKey(byte_string(log, size=KEY_BYTES)),
            MemberKey(byte_string(witness, size=KEY_BYTES)),
            byte_string(answer, most=COSE_BYTES_MAX),
        )


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask for ``[start, stop)`` of a log, or from ``start`` on for ever where ``stop`` is None.

    ``prev_hash`` is the hash of the batch that ends at ``start``, None where it is not known.
    ``credit`` bytes of Data may be sent before `Credit` grants more.
    """

    TYPE: ClassVar[int] = 4
    request: int
    log: MemberKey
    start: int
    stop: int | None
    prev_hash: bytes | None
    credit: int

    def fields(self) -> tuple[object, ...]:
        return (self.request, self.log, self.start, self.stop, self.prev_hash, self.credit)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        request, log, start, stop, prev_hash, credit = sized_array(fields, 6)
        fetch = cls(
            request=uint(request),
            log=MemberKey(byte_string(log, size=KEY_BYTES)),
            start=uint(start),
            stop=None if stop is None else uint(stop),
            prev_hash=None if prev_hash is None else byte_string(prev_hash, size=HASH_BYTES),
            credit=uint(credit, most=CREDIT_BYTES_MAX),
        )
        if fetch.stop is not None and fetch.stop <= fetch.start:
            raise PeerError(f"a fetch of the empty range [{fetch.start}, {fetch.stop})")
        return fetch


@dataclass(frozen=True, slots=True)
class Data:
    """Whole batch records, unchanged, in order; the last one verifies by its own signature."""

    TYPE: ClassVar[int] = 5
    request: int
    records: bytes

    def fields(self) -> tuple[object, ...]:
        return (self.request, self.records)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        request, records = sized_array(fields, 2)
        return cls(uint(request), byte_string(records, most=FRAME_BYTES_MAX))


@dataclass(frozen=True, slots=True)
class End:
    """The fetch is over; ``next_seq`` is the first seq that was not sent."""

    TYPE: ClassVar[int] = 6
    request: int
    next_seq: int
    reason: EndReason
    detail: int = 0

    def fields(self) -> tuple[object, ...]:
        return (self.request, self.next_seq, int(self.reason), self.detail)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        request, next_seq, reason, detail = sized_array(fields, 4)
        return cls(uint(request), uint(next_seq), _member(EndReason, reason), uint(detail))


@dataclass(frozen=True, slots=True)
class Credit:
    """So many more bytes of Data may be sent for this request."""

    TYPE: ClassVar[int] = 7
    request: int
    credit: int

    def fields(self) -> tuple[object, ...]:
        return (self.request, self.credit)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        request, credit = sized_array(fields, 2)
        return cls(uint(request), uint(credit, most=CREDIT_BYTES_MAX))


@dataclass(frozen=True, slots=True)
class Cancel:
    """The requester wants no more of this fetch; the server answers with an `End`."""

    TYPE: ClassVar[int] = 8
    request: int

    def fields(self) -> tuple[object, ...]:
        return (self.request,)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        (request,) = sized_array(fields, 1)
        return cls(uint(request))


@dataclass(frozen=True, slots=True)
class Fork:
    """Proof that an author equivocated: two branches, each the signed headers from the conflict on."""

    TYPE: ClassVar[int] = 9
    log: MemberKey
    left: tuple[bytes, ...]
    right: tuple[bytes, ...]

    def fields(self) -> tuple[object, ...]:
        return (self.log, self.left, self.right)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        log, left, right = sized_array(fields, 3)
        return cls(MemberKey(byte_string(log, size=KEY_BYTES)), _parse_headers(left), _parse_headers(right))


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? Answered by a `Pong` with the same nonce."""

    TYPE: ClassVar[int] = 10
    nonce: int

    def fields(self) -> tuple[object, ...]:
        return (self.nonce,)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        (nonce,) = sized_array(fields, 1)
        return cls(uint(nonce))


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a `Ping`."""

    TYPE: ClassVar[int] = 11
    nonce: int

    def fields(self) -> tuple[object, ...]:
        return (self.nonce,)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        (nonce,) = sized_array(fields, 1)
        return cls(uint(nonce))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last message of a connection, and why; ``text`` is for people."""

    TYPE: ClassVar[int] = 12
    reason: GoodbyeReason
    text: str = ""

    def fields(self) -> tuple[object, ...]:
        return (int(self.reason), self.text)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        reason, words = sized_array(fields, 2)
        return cls(_member(GoodbyeReason, reason), text(words, most=TEXT_BYTES_MAX))


@dataclass(frozen=True, slots=True)
class Refuse:
    """A witness cannot promise an epoch up to ``promised``: it has promised that one, or holds it.

    ``ballot`` is what its author signed for it, empty where the witness has none to show.
    """

    TYPE: ClassVar[int] = 13
    log: MemberKey
    witness: MemberKey
    promised: int
    ballot: bytes = b""

    def fields(self) -> tuple[object, ...]:
        return (self.log, self.witness, self.promised, self.ballot)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        log, witness, promised, ballot = sized_array(fields, 4)
        return cls(
            MemberKey(byte_string(log, size=KEY_BYTES)),
            MemberKey(byte_string(witness, size=KEY_BYTES)),
            uint(promised),
            byte_string(ballot, most=COSE_BYTES_MAX),
        )


@dataclass(frozen=True, slots=True)
class Stable:
    """A member's word that a log, its own or another, is durable on a majority up to ``next_seq``.

    ``epoch`` is that of the tip of the log where it was counted.
    """

    TYPE: ClassVar[int] = 14
    log: MemberKey
    epoch: int
    next_seq: int

    def fields(self) -> tuple[object, ...]:
        return (self.log, self.epoch, self.next_seq)

    @classmethod
    def parse(cls, fields: tuple[object, ...]) -> Self:
        log, epoch, next_seq = sized_array(fields, 3)
        return cls(MemberKey(byte_string(log, size=KEY_BYTES)), uint(epoch), uint(next_seq))


Message = (
    Hello
    | Tips
    | Prepare
    | Promise
    | Fetch
    | Data
    | End
    | Credit
    | Cancel
    | Fork
    | Ping
    | Pong
    | Goodbye
    | Refuse
    | Stable
)

MESSAGE_TYPES: Final[dict[int, type[Message]]] = {
    kind.TYPE: kind
    for kind in (
        Hello,
        Tips,
        Prepare,
        Promise,
        Fetch,
        Data,
        End,
        Credit,
        Cancel,
        Fork,
        Ping,
        Pong,
        Goodbye,
        Refuse,
        Stable,
    )
}


def _member(kind: type[_Kind], value: object) -> _Kind:
    try:
        return kind(uint(value))
    except ValueError:
        raise PeerError(f"{value} is no {kind.__name__} of protocol version {PROTOCOL_VERSION}") from None


def _parse_limits(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping) or len(value) > _LIMITS_MAX:
        raise PeerError("the limits of a Hello are not a small map")
    return {text(name, most=AGENT_BYTES_MAX): uint(limit) for name, limit in value.items()}


def _parse_holes(items: tuple[object, ...], next_seq: int) -> tuple[SeqRange, ...]:
    holes: list[SeqRange] = []
    for item in items:
        start, stop = (uint(seq, most=next_seq) for seq in sized_array(item, 2))
        if start >= stop or (holes and start < holes[-1].stop):
            raise PeerError("the holes of a log are not ordered ranges")
        holes.append(SeqRange(start, stop))
    return tuple(holes)


def _parse_headers(value: object) -> tuple[bytes, ...]:
    headers = array(value, most=FORK_HEADERS_MAX)
    return tuple(byte_string(header, most=COSE_BYTES_MAX) for header in headers)
