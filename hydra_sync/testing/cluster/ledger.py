"""What happened in a cluster, written down outside of the nodes, where no crash can reach it. No I/O.

Invariants compare nodes with it. Logs and nodes are named by aliases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from hydra_sync.node import Event

__all__ = ["EMPTY_STATE", "Delivery", "Ledger", "Seen"]

_At = tuple[str, str]

EMPTY_STATE: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a node gave to its application. ``state`` is that of a fold over the log up to it.

    The application follows each log twice: eagerly, and ``uniform``, when it is stable.
    """

    node: str
    log: str
    event: Event
    state: bytes
    uniform: bool = False


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
        self.acknowledged_last: dict[str, int] = defaultdict(int)
        """By log: the end of what was acknowledged last. What was never stable may be lost, and its seqs used again."""
        self.acknowledgements: dict[str, int] = defaultdict(int)
        """By log: how many appends returned."""
        self.taken_back: Counter[tuple[str, str]] = Counter()
        """How often a node's application undid what it had taken eagerly of a log."""
        self.seen: dict[str, dict[int, Seen]] = defaultdict(dict)
        """By log and seq: what was delivered there first, by whichever node."""
        self.agreed: dict[str, dict[int, Seen]] = defaultdict(dict)
        """By log and seq: what was delivered there uniformly, by whichever node was the first."""
        self.cursors: dict[_At, int] = defaultdict(int)
        """By (node, log): the seq that its application expects next, of those that it takes eagerly."""
        self.disputed: dict[str, int] = {}
        """By log: the first seq at which two nodes delivered different events uniformly."""
        self.uniform_cursors: dict[_At, int] = defaultdict(int)
        """By (node, log): the same for those that it takes when they are stable."""
        self.held: dict[_At, list[Seen]] = defaultdict(list)
        """By (node, log): what was delivered eagerly and not taken back, by seq."""
        self.deliveries = 0
        self._uniform_states: dict[_At, bytes] = {}

    def write(self, log: str, data: bytes) -> None:
        """The author's application is about to append ``data``."""
        self.written[log].setdefault(data, len(self.written[log]))

    def acknowledge(self, log: str, start: int, events: list[bytes]) -> None:
        """The append of ``events`` returned; they lie at ``start`` and behind."""
        self.acknowledged[log].update(enumerate(events, start))
        self.acknowledged_last[log] = start + len(events)
        self.acknowledgements[log] += 1

    def acknowledged_stop(self, log: str) -> int:
        """The end of what was acknowledged."""
        return max(self.acknowledged[log], default=-1) + 1

    def agreed_stop(self, log: str) -> int:
        """The end of what any node delivered uniformly."""
        return max(self.agreed[log], default=-1) + 1

    def fold(self, node: str, log: str, event: Event, *, after: bytes | None = None, uniform: bool = False) -> Delivery:
        """The delivery of ``event``, with the state that it leads to, from that of the node or from ``after``.

        Nothing is written down yet.
        """
        before = self._state(node, log, uniform=uniform) if after is None else after
        line = f"{event.epoch} {event.seq} {event.time_us} ".encode()
        state = blake2b(before + line + event.data, digest_size=16).digest()
        return Delivery(node, log, event, state, uniform)

    def deliver(self, delivery: Delivery) -> None:
        """Write down a delivery."""
        node, log, event = delivery.node, delivery.log, delivery.event
        seen = Seen(node, event.epoch, event.batch_hash, event.data, delivery.state)
        self.deliveries += 1
        if delivery.uniform:
            self.uniform_cursors[node, log] = event.seq + 1
            self._uniform_states[node, log] = delivery.state
            if self.agreed[log].setdefault(event.seq, seen).batch_hash != event.batch_hash:
                self.disputed.setdefault(log, event.seq)
        else:
            self.cursors[node, log] = event.seq + 1
            self.held[node, log].append(seen)
            self.seen[log].setdefault(event.seq, seen)

    def take_back(self, node: str, log: str, start: int) -> None:
        """The node's application undoes what it took eagerly from ``start`` on."""
        self.taken_back[node, log] += 1
        if start < self.cursors[node, log]:
            self.cursors[node, log] = start
            del self.held[node, log][start:]

    def start_over(self, node: str, log: str) -> None:
        """The node's application has lost its state: it reads the log from its beginning again."""
        self.take_back(node, log, 0)
        self.uniform_cursors[node, log] = 0
        self._uniform_states.pop((node, log), None)

    def _state(self, node: str, log: str, *, uniform: bool) -> bytes:
        if uniform:
            return self._uniform_states.get((node, log), EMPTY_STATE)
        held = self.held[node, log]
        return held[-1].state if held else EMPTY_STATE
