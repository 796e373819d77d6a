"""What a head's machine knows: the life of heads on layer 1, and what was said within each. No I/O.

The two are kept apart, because layer 1 can roll back and what members signed cannot. A head that layer 1 forgot,
and opens again, goes on where its members were; else one could sign a second snapshot 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hydra_sync.head.answers import Status
from hydra_sync.head.commands import Point
from hydra_sync.head.events import Equivocated, PostTx
from hydra_sync.head.layered import Layered
from hydra_sync.head.ledger import Outputs, Transaction, TxId
from hydra_sync.head.snapshot import Content, Snapshot
from hydra_sync.identity import MemberKey

__all__ = [
    "Ack",
    "Confirmed",
    "Early",
    "Head",
    "Past",
    "Pooled",
    "Rejected",
    "Request",
    "Round",
    "Stage",
    "Standing",
    "State",
]


class Standing(Enum):
    """Where a transaction stands that is not confirmed."""

    WAITING = 0  # not applied to the local ledger, and tried again whenever that may help
    APPLIED = 1
    SHELVED = 2  # dropped by a side-load: not tried again until submitted again; a snapshot may still name it


@dataclass(frozen=True, slots=True)
class Pooled:
    """A transaction that is not confirmed."""

    transaction: Transaction
    author: MemberKey
    """Who brought it first."""
    arrival: int
    standing: Standing
    copies: tuple[tuple[MemberKey, Transaction], ...] = ()
    """The same body with other witnesses, one from each member at most: one that lacks a witness keeps none out."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a transaction was rejected, and whether that can never change."""

    why: str
    final: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A leader's request that waits: for the snapshot before it, or for transactions."""

    version: int
    number: int
    transactions: tuple[TxId, ...]
    seen: int
    """All up to here have been seen."""


@dataclass(frozen=True, slots=True)
class Round:
    """A snapshot that is being signed, and the outputs after it."""

    snapshot: Snapshot
    content: Content
    outputs: Outputs


@dataclass(frozen=True, slots=True)
class Ack:
    """A party's signature that holds."""

    party: MemberKey
    content: Content
    signature: bytes


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A snapshot with the signatures of all parties, in their order; the first has none."""

    snapshot: Snapshot
    signatures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """What all parties signed in one place, and their signatures."""

    content: Content
    signatures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Early:
    """A message of a head that has not opened here yet."""

    author: MemberKey
    head: bytes
    content: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """One head, as its members made it: none of this goes back when layer 1 does."""

    id: bytes
    parties: tuple[MemberKey, ...]
    contestation_s: int
    version: int

    confirmed: Confirmed
    outputs: Outputs
    """After the confirmed snapshot."""
    local_outputs: Outputs
    """After all that is applied to the local ledger."""
    fates: Layered[tuple[int, int]]
    """Of each confirmed transaction its arrival, and the number of its snapshot."""
    past: tuple[Past, ...] = ()
    """The last few snapshots, this one included: who signs another in their place is caught.

    And the head may be closed with one of them, which is then fanned out.
    """

    pool: Layered[Pooled] = field(default_factory=Layered)
    arrivals: int = 0
    own: int = 0
    """How many in the pool are this node's own."""
    outgoing: int = 0
    """How many of its own were submitted and have not come back yet."""
    local: tuple[TxId, ...] = ()
    """Applied to the local ledger, in an order in which they apply to the confirmed outputs."""
    wanted: Layered[tuple[TxId, ...]] = field(default_factory=Layered)
    """For each output, which waiting transactions spend it."""
    rejected: Mapping[TxId, Rejected] = field(default_factory=dict)
    """The last ones, in their order."""

    requests: tuple[Request, ...] = ()
    round: Round | None = None
    acks: tuple[Ack, ...] = ()
    """For snapshots that are not confirmed."""
    promised: tuple[int, bytes] | None = None
    """The last snapshot that this node decided to sign: its number, and what it signs."""
    acked: int = 0
    """The last snapshot that this node signed."""
    requested: int = 0
    """The last snapshot that this node requested."""
    equivocations: tuple[Equivocated, ...] = ()
    """The last few: who signed two contents for one place, and both signatures."""
    postponed: bool = False
    """Transactions are to be judged, at the next alarm: there were too many for one input."""

    @property
    def number(self) -> int:
        """Of the last confirmed snapshot."""
        return self.confirmed.snapshot.number

    def request(self, number: int) -> Request | None:
        """The request for the snapshot with this number."""
        return next((request for request in self.requests if request.number == number), None)

    def rejection(self, transaction: TxId) -> Rejected | None:
        """Why this transaction was rejected, as far as that is remembered."""
        return self.rejected.get(transaction)

    def transactions(self, ids: Sequence[TxId]) -> list[Transaction] | None:
        """The transactions with these ids, all of them in the pool; none if one is not."""
        found = [self.pool.get(id_) for id_ in ids]
        return None if None in found else [pooled.transaction for pooled in found if pooled]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where layer 1 stands since a point."""

    point: Point
    status: Status
    head: bytes | None
    closed_number: int = 0
    """The snapshot that the head was closed with, or last contested with."""
    deadline_us: int = 0


BEGINNING: Final = Stage(Point(0, b""), Status.IDLE, None)


@dataclass(frozen=True, slots=True)
class State:
    """All that the machine knows."""

    stages: tuple[Stage, ...] = (BEGINNING,)
    """As observed, oldest first: a rollback drops the last ones."""
    point: Point = BEGINNING.point
    """Where following layer 1 resumes."""
    heads: tuple[Head, ...] = ()
    """The last two: a rollback may bring back the one before."""
    over: tuple[bytes, ...] = ()
    """Heads before those: nothing said in them is listened to."""
    early: tuple[Early, ...] = ()
    posts: tuple[PostTx, ...] = ()
    """To be posted to layer 1, which has not moved since."""
    alarms: int = 0
    """How often work was gone on with: each alarm that is asked for is another one."""

    @property
    def stage(self) -> Stage:
        """Where layer 1 stands."""
        return self.stages[-1]

    def is_over(self, named: bytes) -> bool:
        """Whether layer 1 contests nothing in this head any more: what is not confirmed now never is.

        A head that confirmed more would have other outputs than those that layer 1 pays out.
        """
        status = self.stage.status
        if self.stage.head == named:
            return status in (Status.FANOUT_POSSIBLE, Status.FINAL)
        return any(head.id == named for head in self.heads[:-1])

    def head(self, named: bytes) -> Head | None:
        """The head with this id, if it is known."""
        return next((head for head in self.heads if head.id == named), None)

    @property
    def current(self) -> Head | None:
        """The head that layer 1 knows; after its end the last one."""
        return None if self.stage.head is None else self.head(self.stage.head)

    @property
    def open(self) -> Head | None:
        """The head that transactions and snapshots are for."""
        return self.current if self.stage.status is Status.OPEN else None

    def waits(self, named: bytes) -> bool:
        """Whether what is said of this head now has to wait: it is not open here, or what came before waits still."""
        return self.head(named) is None or any(early.head == named for early in self.early)

    @property
    def unfinished(self) -> tuple[bytes, ...]:
        """The heads that have more to do than one input was allowed to."""
        early = {early.head for early in self.early}
        return tuple(head.id for head in self.heads if head.postponed or head.id in early)

    def with_head(self, head: Head) -> State:
        """This state with the head as it is now."""
        heads = tuple([head if each.id == head.id else each for each in self.heads])
        return State(  # with every event: no `replace`
            self.stages, self.point, heads, self.over, self.early, self.posts, self.alarms
        )
