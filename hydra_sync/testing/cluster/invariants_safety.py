"""The safety of a cluster, S1 to S11: nothing bad ever happens, whatever the faults. No I/O.

They speak of sound members: correct programs on disks that do what disks promise, or lose what they
held where the product has recovery; then what was never stable may be lost, and nothing else. What a
member can do whose disk rots is another question, and what must hold for all others then is part of
each promise: nothing wrong is delivered, and nobody else suffers.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final

from hydra_sync.limits import HANDSHAKES_MAX, TOOLS_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.sync import Advanced, Diverged, Notice, Orphaned
from hydra_sync.testing.cluster.invariant import Invariant
from hydra_sync.testing.cluster.ledger import Delivery, Seen
from hydra_sync.testing.cluster.state import ClusterState
from hydra_sync.wire import Goodbye, GoodbyeReason, Message
from hydra_sync.wire.frames import decode_message

__all__ = [
    "SAFETY",
    "AcknowledgedSurvives",
    "EqualStates",
    "ExactlyOnce",
    "MonotonicCursors",
    "NoBlame",
    "NoCreation",
    "NoFork",
    "OneHistory",
    "OrphansAreTold",
    "UniformAgreement",
    "WithinBounds",
]


class AcknowledgedSurvives(Invariant):
    name = "S1"
    promise = "an event whose append returned is in its author's log after every restart, if its disk was not lost"

    def booted(self, alias: str) -> None:
        self._check(alias)

    def at_end(self) -> None:
        for alias in self.cluster.running:
            self._check(alias)

    def reread(self, delivery: Delivery) -> None:
        log, seq = delivery.log, delivery.event.seq
        if delivery.node == log and self.cluster.remembers(log):
            acknowledged = self.ledger.acknowledged[log].get(seq)
            if acknowledged is not None and acknowledged != delivery.event.data:
                self.broken(f"event {seq} of {log} was acknowledged, and {log} holds another one there", log)

    def _check(self, alias: str) -> None:
        if not self.cluster.remembers(alias):
            return
        log = self.cluster.logs(alias)[alias]
        stop = self.ledger.acknowledged_stop(alias)
        if log.tip.next_seq < stop:
            self.broken(f"{alias} acknowledged events up to {stop}, and its log ends at {log.tip.next_seq}", alias)
        if lost := [hole for hole in log.holes if hole.start < stop]:
            self.broken(f"{alias} acknowledged events {lost[0]}, which are damaged now", alias)


class NoFork(Invariant):
    name = "S2"
    promise = "a sound author never signs two histories of one epoch that anyone gets to see"

    def __init__(self, cluster: ClusterState) -> None:
        super().__init__(cluster)
        self._signed: dict[tuple[str, int, int], tuple[bytes, str]] = {}
        self._epochs: dict[tuple[str, int], tuple[bytes, str]] = {}

    def delivering(self, delivery: Delivery) -> None:
        log, event = delivery.log, delivery.event
        if not self.cluster.is_sound(log) or not (event.begins_epoch or event.data in self.ledger.written[log]):
            return
        batch_hash, node = self._signed.setdefault((log, event.epoch, event.seq), (event.batch_hash, delivery.node))
        if batch_hash != event.batch_hash:
            self.broken(f"{log} signed event {event.seq} twice: {node} and {delivery.node} hold different batches")
        if event.begins_epoch:
            batch_hash, node = self._epochs.setdefault((log, event.epoch), (event.batch_hash, delivery.node))
            if batch_hash != event.batch_hash:
                self.broken(f"{log} began epoch {event.epoch} twice: {node} and {delivery.node} hold different ones")

    reread = delivering


class OneHistory(Invariant):
    name = "S3"
    promise = "at each seq of the log of an author whose disk was not lost, all deliver the same event of one batch"

    def delivering(self, delivery: Delivery) -> None:
        log, event = delivery.log, delivery.event
        seen = self.ledger.seen[log].get(event.seq)
        if seen is None or not self.cluster.remembers(log) or event.data not in self.ledger.written[log]:
            return
        if (seen.batch_hash, seen.data) != (event.batch_hash, event.data):
            self.broken(
                f"event {event.seq} of {log} is one thing at {seen.node} and another at {delivery.node}",
                delivery.node,
            )

    reread = delivering


class NoCreation(Invariant):
    name = "S4"
    promise = "nothing is delivered that its author did not write: nothing forged, nothing rotten"

    def delivering(self, delivery: Delivery) -> None:
        if not delivery.event.begins_epoch and delivery.event.data not in self.ledger.written[delivery.log]:
            what = f"event {delivery.event.seq} of {delivery.log}"
            self.broken(f"{delivery.node} delivered as {what} what {delivery.log} never wrote", delivery.node)

    reread = delivering


class ExactlyOnce(Invariant):
    name = "S5"
    promise = "each event of each log is delivered once, in order, crashes included"

    def delivering(self, delivery: Delivery) -> None:
        cursors = self.ledger.uniform_cursors if delivery.uniform else self.ledger.cursors
        expected = cursors[delivery.node, delivery.log]
        if delivery.event.seq != expected:
            what = f"event {delivery.event.seq} of {delivery.log}"
            self.broken(f"{delivery.node} delivered {what} where event {expected} was due", delivery.node)


class MonotonicCursors(Invariant):
    name = "S6"
    promise = "what a node has delivered of another member's log is there after every restart, if no disk was lost"
    notices = (Advanced,)

    def booted(self, alias: str) -> None:
        if not self.cluster.remembers(alias):
            return
        for log, status in self.cluster.logs(alias).items():
            tip = status.tip.next_seq
            taken = self.ledger.cursors if self.cluster.remembers(log) else self.ledger.uniform_cursors
            cursor = taken[alias, log]
            if log != alias and tip < cursor:
                self.broken(f"{alias} delivered {log} up to {cursor}, and holds it up to {tip} now", alias)

    def noticed(self, alias: str, notice: Notice) -> None:
        if isinstance(notice, Advanced) and self.cluster.remembers(alias):
            log = self.cluster.alias_of(notice.log)
            taken = self.ledger.cursors if self.cluster.remembers(log) else self.ledger.uniform_cursors
            if notice.next_seq < taken[alias, log]:
                self.broken(f"the log of {log} at {alias} went back to {notice.next_seq}", alias)


class WithinBounds(Invariant):
    name = "S7"
    promise = "connections, attempts at them and tasks of a node stay within bounds, whatever its peers do"

    LINKS_PER_PEER = 4  # two that cross, one that is being replaced, one that lingers
    TASKS_PER_LINK = 6
    TASKS_PER_MEMBER = 8
    DIALS_MAX = 40  # of one peer in a window: more than any back-off allows
    WINDOW_S = 30.0

    def __init__(self, cluster: ClusterState) -> None:
        super().__init__(cluster)
        self._dials: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def dialed(self, source: str, target: str) -> None:
        times, now_s = self._dials[source, target], self.cluster.now_s
        times.append(now_s)
        while times[0] < now_s - self.WINDOW_S:
            times.popleft()
        if len(times) > self.DIALS_MAX:
            self.broken(f"{source} reached {target} {len(times)} times within {self.WINDOW_S:g} s", source)

    def each_second(self) -> None:
        members = len(self.cluster.aliases)
        links = self.LINKS_PER_PEER * members + HANDSHAKES_MAX + TOOLS_MAX
        tasks = 40 + self.TASKS_PER_MEMBER * members + self.TASKS_PER_LINK * links
        running = self.cluster.count_tasks()
        for alias in self.cluster.running:
            machine = self.cluster.world.host(alias).machine
            waiting = sum(len(listener.queue) for listener in machine.listeners.values())
            if (count := len(machine.endpoints) - waiting) > links:
                self.broken(f"{alias} has {count} open connections; {links} are the bound", alias)
            if running[alias] > tasks:
                self.broken(f"{alias} has {running[alias]} tasks; {tasks} are the bound", alias)


class NoBlame(Invariant):
    name = "S8"
    promise = "no correct member is dropped as a breaker of the protocol, or said to have forked"
    notices = (Diverged,)

    PROOF_S = 2.0
    BLAME: Final = (GoodbyeReason.PROTOCOL, GoodbyeReason.VERSION, GoodbyeReason.WRONG_NETWORK)

    def __init__(self, cluster: ClusterState) -> None:
        super().__init__(cluster)
        self._said: list[tuple[float, str, str]] = []

    def sent(self, source: str, target: str, message: type[Message], frame: bytes) -> None:
        if message is Goodbye and target not in self.cluster.hostile:
            goodbye = decode_message(frame[4:])
            if isinstance(goodbye, Goodbye) and goodbye.reason in self.BLAME:
                self.broken(f"{source} blames {target}: {goodbye.text}", source)

    def noticed(self, alias: str, notice: Notice) -> None:
        if isinstance(notice, Diverged) and self.cluster.is_sound(log := self.cluster.alias_of(notice.log)):
            peer = self.cluster.alias_of(notice.peer)
            if peer not in self.cluster.hostile:
                words = f"{alias} says that {log} signed two histories, after what {peer} sent"
                self._said.append((self.cluster.now_s, words, alias))

    def each_second(self) -> None:
        # Where it is true, S2 will find it out before.
        for time_s, words, alias in self._said:
            if self.cluster.now_s >= time_s + self.PROOF_S:
                self.broken(words, alias)


class EqualStates(Invariant):
    name = "S9"
    promise = "the same events lead to the same state, on every node and after every restart"

    def delivering(self, delivery: Delivery) -> None:
        log, event = delivery.log, delivery.event
        seen = self.ledger.seen[log].get(event.seq)
        if (
            seen is not None
            and self.cluster.is_sound(log)
            and _is_same(seen, delivery)
            and seen.state != delivery.state
        ):
            self.broken(
                f"{seen.node} and {delivery.node} have the same events {SeqRange(0, event.seq + 1)} of {log}, "
                "and come to different states",
                delivery.node,
            )

    reread = delivering


class UniformAgreement(Invariant):
    name = "S10"
    promise = "what is delivered uniformly is one history of each log on all nodes, and is never taken back"
    needs = ("uniform",)

    def delivering(self, delivery: Delivery) -> None:
        if delivery.uniform:
            self._check(delivery)

    def reread(self, delivery: Delivery) -> None:
        if delivery.node in self.cluster.core or delivery.event.seq < self._cursor(delivery):
            self._check(delivery)

    def unstable(self, node: str, log: str, seqs: SeqRange) -> None:
        if self.cluster.is_sound(log):
            self.broken(f"{node} delivered events {seqs} of {log} as stable, and they were not", node)

    def _cursor(self, delivery: Delivery) -> int:
        return self.ledger.uniform_cursors[delivery.node, delivery.log]

    def _check(self, delivery: Delivery) -> None:
        log, event = delivery.log, delivery.event
        agreed = self.ledger.agreed[log].get(event.seq)
        if agreed is None or not self.cluster.is_sound(log):
            return
        if agreed.batch_hash != event.batch_hash:
            self.broken(
                f"event {event.seq} of {log} was stable at {agreed.node}, and is another one at {delivery.node}",
                delivery.node,
            )


class OrphansAreTold(Invariant):
    name = "S11"
    promise = "what a node delivered eagerly is in its log, or it has said that it is not"
    notices = (Orphaned,)
    needs = ("recovery",)

    TELLING_S = 1.0

    def __init__(self, cluster: ClusterState) -> None:
        super().__init__(cluster)
        self._gone: list[tuple[float, str, int, str, int, int]] = []

    def noticed(self, alias: str, notice: Notice) -> None:
        if not isinstance(notice, Orphaned) or not self.cluster.is_sound(alias):
            return
        log, seq = self.cluster.alias_of(notice.log), notice.events.start
        held = self.ledger.held[alias, log]
        if seq < len(held):
            incarnation = self.cluster.world.host(alias).incarnation
            taken_back = self.ledger.taken_back[alias, log]
            self._gone.append((self.cluster.now_s, alias, incarnation, log, seq, taken_back))

    def each_second(self) -> None:
        now_s = self.cluster.now_s
        due = [gone for gone in self._gone if gone[0] + self.TELLING_S <= now_s]
        self._gone = [gone for gone in self._gone if gone not in due]
        for _, alias, incarnation, log, seq, taken_back in due:
            host = self.cluster.world.host(alias)
            if host.state == "paused":
                self._gone.append((now_s, alias, incarnation, log, seq, taken_back))
                continue
            # Counted, because the same event may be back: a later epoch may go on from the branch that was left.
            untold = self.ledger.taken_back[alias, log] == taken_back
            if untold and host.alive and host.incarnation == incarnation:
                self.broken(f"{alias} has not told that event {seq} of {log}, which it delivered, is gone", alias)

    def reread(self, delivery: Delivery) -> None:
        log, event = delivery.log, delivery.event
        held = self.ledger.held[delivery.node, log]
        if event.seq >= len(held) or not self.cluster.is_sound(log) or not self.cluster.is_sound(delivery.node):
            return
        if held[event.seq].batch_hash != event.batch_hash:
            self.broken(
                f"{delivery.node} delivered event {event.seq} of {log}, holds another one there, and never said so",
                delivery.node,
            )


def _is_same(seen: Seen, delivery: Delivery) -> bool:
    return (seen.batch_hash, seen.data) == (delivery.event.batch_hash, delivery.event.data)


SAFETY: Final[Sequence[type[Invariant]]] = (
    AcknowledgedSurvives,
    NoFork,
    OneHistory,
    NoCreation,
    ExactlyOnce,
    MonotonicCursors,
    WithinBounds,
    NoBlame,
    EqualStates,
    UniformAgreement,
    OrphansAreTold,
)
