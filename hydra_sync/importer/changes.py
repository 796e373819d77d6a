"""The events that change a head, as values. No I/O.

Only what the answers need is in them; a head id is None where the release had none in that event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hydra_sync.importer.ledger import Outputs, Transaction
from hydra_sync.importer.snapshots import Snapshot
from hydra_sync.importer.states import HeadImage

__all__ = [
    "Aborted",
    "Applied",
    "Change",
    "Checkpoint",
    "Cleared",
    "Closed",
    "CommitFinalized",
    "DecommitFinalized",
    "DecommitRecorded",
    "DepositChanged",
    "FannedOut",
    "FanoutBegun",
    "FanoutReverted",
    "Initialized",
    "Invalid",
    "Opened",
    "ReadyToFanout",
    "Received",
    "SnapshotConfirmed",
    "SnapshotDecided",
    "SnapshotRequested",
]


@dataclass(frozen=True, slots=True)
class Initialized:
    """1.3 and earlier: a head was announced, its parties commit."""

    head_id: str | None
    parties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """``parties`` since 2.0, when heads open at once; ``initial`` before, when they open with what was committed."""

    head_id: str | None
    parties: tuple[str, ...] | None
    initial: Outputs | None


@dataclass(frozen=True, slots=True)
class Aborted:
    head_id: str | None


@dataclass(frozen=True, slots=True)
class Received:
    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Applied:
    """``local`` is the local UTxO after it, until 2.1."""

    head_id: str | None
    transaction: Transaction
    local: Outputs | None


@dataclass(frozen=True, slots=True)
class Invalid:
    head_id: str | None
    transaction: Transaction
    why: str


@dataclass(frozen=True, slots=True)
class SnapshotDecided:
    number: int


@dataclass(frozen=True, slots=True)
class SnapshotRequested:
    """``requested`` leave the transactions that wait; ``local`` is the local UTxO after it, until 2.1."""

    snapshot: Snapshot
    requested: tuple[str, ...]
    transactions: tuple[Transaction, ...]
    local: Outputs | None


@dataclass(frozen=True, slots=True)
class SnapshotConfirmed:
    """``snapshot`` is there until 2.0, and since when it was loaded from outside."""

    head_id: str | None
    snapshot: Snapshot | None
    signatures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cleared:
    head_id: str | None
    number: int


@dataclass(frozen=True, slots=True)
class DepositChanged:
    """``outputs`` is None when the deposit is gone."""

    id: str
    outputs: Outputs | None


@dataclass(frozen=True, slots=True)
class CommitFinalized:
    head_id: str | None
    version: int
    deposit: str | None


@dataclass(frozen=True, slots=True)
class DecommitRecorded:
    head_id: str | None
    transaction: Transaction
    local: Outputs | None


@dataclass(frozen=True, slots=True)
class DecommitFinalized:
    head_id: str | None
    version: int | None


@dataclass(frozen=True, slots=True)
class Closed:
    head_id: str | None


@dataclass(frozen=True, slots=True)
class ReadyToFanout:
    head_id: str | None


@dataclass(frozen=True, slots=True)
class FanoutBegun:
    head_id: str | None


@dataclass(frozen=True, slots=True)
class FanoutReverted:
    head_id: str | None


@dataclass(frozen=True, slots=True)
class FannedOut:
    head_id: str | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    image: HeadImage


Change: TypeAlias = (
    Initialized
    | Opened
    | Aborted
    | Received
    | Applied
    | Invalid
    | SnapshotDecided
    | SnapshotRequested
    | SnapshotConfirmed
    | Cleared
    | DepositChanged
    | CommitFinalized
    | DecommitRecorded
    | DecommitFinalized
    | Closed
    | ReadyToFanout
    | FanoutBegun
    | FanoutReverted
    | FannedOut
    | Checkpoint
)
