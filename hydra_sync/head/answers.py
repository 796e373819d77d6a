"""What a head that came back after a crash must know: the four answers, whoever folded them. No I/O.

The questions are those of hydra's persistency proposal (cardano-scaling/hydra, #640): who are the peers in
the head, what was the last validated snapshot, which transactions were seen, what is the status of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Answers", "Equivocation", "Fate", "SeenTransaction", "SnapshotAnswer", "Status"]


class Status(Enum):
    """Where a head is in its life."""

    IDLE = "idle"
    INITIAL = "initial"  # hydra-node 1.3 and earlier: announced, not yet open
    OPEN = "open"
    CLOSED = "closed"
    FANOUT_POSSIBLE = "fanout possible"
    FANNING_OUT = "fanning out"
    FINAL = "final"
    ABORTED = "aborted"  # hydra-node 1.3 and earlier


class Fate(Enum):
    """What became of a transaction that a node has seen."""

    WAITING = "waiting"  # its inputs are not there yet, or are taken by another that is not confirmed
    APPLIED = "applied"  # to the local ledger
    IN_FLIGHT = "in flight"  # in a snapshot that is being signed
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class SnapshotAnswer:
    """The last snapshot that all parties signed; number 0 is the one that a head opens with."""

    number: int
    version: int
    transactions: tuple[str, ...]
    """Ids of the transactions that it confirmed."""
    outputs: int
    """How many unspent outputs it leaves."""
    utxo_hash: str
    signed_by: tuple[str, ...]
    """Hexadecimal keys of the parties whose signatures were checked and hold, in the order of the parties."""
    unverified: str = ""
    """Why signatures that are there could not be checked, if that is so."""


@dataclass(frozen=True, slots=True)
class SeenTransaction:
    """One transaction and what became of it; ``why`` tells a rejection, or what it waits for."""

    id: str
    fate: Fate
    why: str = ""
    snapshot: int | None = None
    """The snapshot that it is in, or was confirmed by."""


@dataclass(frozen=True, slots=True)
class Equivocation:
    """A party signed two contents for one place; all in hexadecimal. With the head's id this is the proof."""

    party: str
    version: int
    number: int
    first: tuple[str, str, str]
    """Hash of the outputs, hash of the transactions, signature."""
    second: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Answers:
    """The four answers of one head."""

    status: Status
    head_id: str | None
    """Hexadecimal; none before there is a head, the last one's after its end."""
    parties: tuple[str, ...]
    """Hexadecimal keys, in the order which decides who leads a snapshot."""
    snapshot: SnapshotAnswer | None
    transactions: tuple[SeenTransaction, ...]
    """In the order in which they were seen."""
    equivocations: tuple[Equivocation, ...] = ()
    """The last few."""
