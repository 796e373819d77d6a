"""What happened in a cluster, written down outside of the nodes, where no crash can reach it. No I/O.

Invariants compare nodes with it. Logs and nodes are named by aliases.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from hydra_sync.node import Event

__all__ = ["EMPTY_STATE", "Delivery", "Ledger", "Seen"]

EMPTY_STATE: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a node gave to its application. ``state`` is that of a fold over the log up to it."""

    node: str
    log: str
    event: Event
    state: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands at one seq of a log, by the node that delivered it first."""

    node: str
    epoch: int
    batch_hash: bytes
    data: bytes
    state: bytes


class Ledger:
    """Who wrote what, what was acknowledged, and what was delivered to whom."""

    def __init__(self) -> None:
        self.written: dict[str, dict[bytes, int]] = defaultdict(dict)
        """By log: all events that its author's application ever tried to append, numbered."""
        self.acknowledged: dict[str, dict[int, bytes]] = defaultdict(dict)
        """By log: the events whose append returned, by seq."""
        self.seen: dict[str, dict[int, Seen]] = defaultdict(dict)
        """By log and seq: what was delivered there first, by whichever node."""
        self.cursors: dict[tuple[str, str], int] = defaultdict(int)
        """By (node, log): the seq that its application expects next."""
        self.states: dict[tuple[str, str], bytes] = {}
        """By (node, log): the state of a fold over what was delivered."""
        self.deliveries = 0

    def write(self, log: str, data: bytes) -> None:
        """The author's application is about to append ``data``."""
        self.written[log].setdefault(data, len(self.written[log]))

    def acknowledge(self, log: str, start: int, events: list[bytes]) -> None:
        """The append of ``events`` returned; they lie at ``start`` and behind."""
        self.acknowledged[log].update(enumerate(events, start))

    def acknowledged_stop(self, log: str) -> int:
        """The end of what was acknowledged."""
        return max(self.acknowledged[log], default=-1) + 1

    def fold(self, node: str, log: str, event: Event, *, after: bytes | None = None) -> Delivery:
        """The delivery of ``event``, with the state that it leads to, from that of the node or from ``after``.

        Nothing is written down yet.
        """
        before = self.states.get((node, log), EMPTY_STATE) if after is None else after
        line = f"{event.epoch} {event.seq} {event.time_us} ".encode()
        state = blake2b(before + line + event.data, digest_size=16).digest()
        return Delivery(node, log, event, state)

    def deliver(self, delivery: Delivery) -> None:
        """Write down a delivery."""
        node, log, event = delivery.node, delivery.log, delivery.event
        self.deliveries += 1
        self.cursors[node, log] = event.seq + 1
        self.states[node, log] = delivery.state
        self.seen[log].setdefault(event.seq, Seen(node, event.epoch, event.batch_hash, event.data, delivery.state))

    def start_over(self, node: str, log: str) -> None:
        """The node's application has lost its state: it reads the log from its beginning again."""
        self.cursors[node, log] = 0
        self.states.pop((node, log), None)
