"""A deterministic network of protocol cores in memory: frames, time, stores. Does no I/O.

Each node is a real `Replicator`. The pump carries out its effects against lists of batches,
carries its messages as frames over lines with a latency, and moves time from event to event.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from hydra_sync.batch import GENESIS_HASH, Batch, parse_batch, seal_batch
from hydra_sync.chain import EMPTY, Tip, link
from hydra_sync.encoding import encode
from hydra_sync.epoch import Answer, Grant, epoch_event
from hydra_sync.errors import SignatureError
from hydra_sync.fork import ForkProof, prove
from hydra_sync.identity import MemberKey, NetworkId, SigningKey, network_id
from hydra_sync.ranges import SeqRange
from hydra_sync.standing import Standing
from hydra_sync.sync import (
    Append,
    BeginEpoch,
    Compare,
    Drop,
    Effect,
    EndFounding,
    Explain,
    KeepProof,
    Locate,
    Notice,
    Persist,
    Read,
    Replicator,
    Send,
    TipsDue,
)
from hydra_sync.wire import FrameReader, Goodbye, Hello, LogTip, Message, Role, Stable, encode_frame

FOREVER = 1e9

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Notice)

Shown = Mapping[int, Sequence[Batch] | LogTip]
"""What a peer shows, by the place of the author: a log, or a tip as of one."""


def signing_keys(count: int) -> list[SigningKey]:
    """So many keys, always the same ones, in the order of their members."""
    return sorted((SigningKey(bytes([n]) * 32) for n in range(1, count + 1)), key=lambda key: key.member)


def network_of(keys: Iterable[SigningKey]) -> NetworkId:
    """The network that the members with these keys form."""
    return network_id("pump", [key.member for key in keys])


def unsigned(batch: Batch) -> Batch:
    """The batch with a signature that is none, as a hostile author may write it."""
    end = 4 + batch.cose_size
    return parse_batch(batch.record[: end - 64] + bytes(64) + batch.record[end:])


def next_batch(
    key: SigningKey,
    network: NetworkId,
    tip: Tip,
    events: int = 1,
    *,
    size: int = 8,
    epoch: int = 0,
    salt: int = 0,
) -> Batch:
    """The batch that follows ``tip`` in the log of ``key``; ``salt`` makes another history."""
    seqs = range(tip.next_seq, tip.next_seq + events)
    return seal_batch(
        key,
        network,
        [encode([seq, salt, bytes(size)]) for seq in seqs],
        epoch=epoch,
        first_seq=tip.next_seq,
        time_us=1_700_000_000_000_000 + tip.next_seq,
        prev_hash=tip.hash,
    )


def begin_epoch(
    key: SigningKey, witnesses: Iterable[SigningKey], network: NetworkId, tip: Tip, epoch: int, *, answered: Tip = EMPTY
) -> Batch:
    """The batch with which ``key`` begins an epoch of its log on ``tip``, granted by these witnesses."""
    start, store_id = epoch.to_bytes(16), bytes(16)
    answer = Answer(epoch, start, answered, answered != EMPTY, store_id)
    answers = {one.member: answer.sign(one, network, key.member) for one in witnesses}
    return seal_batch(
        key,
        network,
        [epoch_event(Grant(epoch, start, False, answers))],
        epoch=epoch,
        first_seq=tip.next_seq,
        time_us=0,
        prev_hash=tip.hash,
    )


def make_log(
    key: SigningKey,
    network: NetworkId,
    batches: int,
    *,
    events: int = 1,
    size: int = 8,
    salt: int = 0,
    after: Sequence[Batch] = (),
    is_signed: Callable[[int], bool] = lambda _: True,
) -> list[Batch]:
    """A log of so many batches, ``after`` included."""
    log = list(after)
    tip = tip_of(log)
    for number in range(len(log), batches):
        batch = next_batch(key, network, tip, events, size=size, salt=salt)
        log.append(batch if is_signed(number) else unsigned(batch))
        tip = Tip.after(log[-1])
    return log


def is_signed(batch: Batch, network: NetworkId, author: MemberKey) -> bool:
    """Whether the batch carries its author's own signature."""
    try:
        batch.verify(network, author)
    except SignatureError:
        return False
    return True


def tip_of(log: Sequence[Batch]) -> Tip:
    """Where this log ends."""
    return Tip.after(log[-1]) if log else EMPTY


def read_batches(log: Sequence[Batch], start: int, stop: int, bytes_max: int) -> list[Batch]:
    """What a store answers to a `Read`: at least one batch, then as many as fit."""
    found: list[Batch] = []
    size = 0
    for batch in log:
        if batch.header.stop <= start:
            continue
        if batch.header.first_seq >= stop or (found and size + len(batch.record) > bytes_max):
            break
        found.append(batch)
        size += len(batch.record)
    return found


def hello(network: NetworkId, *, role: Role = Role.NODE, store_id: bytes = bytes(16), founding: bool = False) -> Hello:
    """The Hello of a node, or tool, of this network."""
    return Hello(network=network, agent="pump", role=role, store_id=store_id, founding=founding)


class Node:
    """A protocol core, its store, and everything it ever did."""

    def __init__(self, net: Net, key: SigningKey, *, proves: bool = False) -> None:
        self.net = net
        self.proves = proves
        self.key = key
        self.me = key.member
        self.logs: dict[MemberKey, list[Batch]] = {member: [] for member in net.members}
        self.lines: dict[int, Line] = {}
        self.effects: list[Effect] = []
        self.standings: dict[MemberKey, Standing] = {}
        self.proofs: dict[MemberKey, ForkProof] = {}
        self.founding = proves
        self.store_number = 0
        self.orphans: dict[MemberKey, list[Batch]] = {member: [] for member in net.members}
        self.damaged: dict[MemberKey, set[int]] = {}
        """Seqs that cannot be read here."""
        self.append_s = 0.002
        self.appended_at = 0.0
        self.read_s = 0.001
        self.disk_full = False
        self.mangle: Callable[[Message], Sequence[Message]] = lambda message: (message,)
        """What really leaves when the core wants a message sent."""
        self.generation = 0
        self.start()

    def start(self) -> None:
        """Begin again from what is durable."""
        self.generation += 1
        store_id = hashlib.sha256(self.me + bytes([self.store_number])).digest()[:16]
        start = hashlib.sha256(self.me + self.generation.to_bytes(4)).digest()[:16]
        self.replicator = Replicator(
            key=self.key,
            network=self.net.network,
            hello=hello(self.net.network, store_id=store_id, founding=self.founding),
            held={member: LogTip(member, tip_of(log)) for member, log in self.logs.items()},
            seed=self.me[:8],
            standings=self.standings,
            start=start if self.proves else None,
            proofs=list(self.proofs.values()),
        )

    def restart(self) -> None:
        """Crash: connections and everything not durable are gone."""
        for line in list(self.lines.values()):
            self.net.cut(line)
        self.start()

    def lose_disk(self, *, recover: bool = True) -> None:
        """Crash, with nothing left; and begin again as `recover` does, or as `init` does over a lost disk."""
        for line in list(self.lines.values()):
            self.net.cut(line)
        self.store_number += 1
        self.logs = {member: [] for member in self.net.members}
        self.founding = not recover
        self.standings = {member: Standing(amnesiac=recover) for member in self.net.members}
        self.start()

    @property
    def is_ready(self) -> bool:
        return self.replicator.agreement.is_ready

    def append(self, *batches: Batch) -> None:
        """Make batches of the own log durable."""
        self.logs[self.me] += batches
        self.perform(self.replicator.appended(self.me, tip_of(self.logs[self.me]), self.net.now))

    def write(self, count: int = 1, events: int = 1) -> None:
        """Write ``count`` new batches of the own log."""
        for _ in range(count):
            tip = tip_of(self.logs[self.me])
            self.append(next_batch(self.key, self.net.network, tip, events, epoch=tip.epoch))

    def stable(self, log: MemberKey) -> int:
        """How far the node takes this log for stable."""
        return self.replicator.agreement.stability.stable.get(log, 0)

    def notices(self, kind: type[N]) -> list[N]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def sent(self, kind: type[M]) -> list[M]:
        return sends(self.effects, kind)

    def drops(self) -> list[Drop]:
        return [effect for effect in self.effects if isinstance(effect, Drop)]

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.effects.append(effect)
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:  # noqa: C901  one case an effect
        match effect:
            case Send(number, message):
                if number in self.lines:
                    self.lines[number].send(self, message)
            case TipsDue(number):
                self.later(0, lambda: self._send_tips(number))
            case Read():
                self.later(self.read_s, lambda: self._read(effect))
            case Append():  # one at a time, however long each takes
                self.appended_at = max(self.appended_at, self.net.now + self.append_s)
                self.later(self.appended_at - self.net.now, lambda: self._append(effect))
            case Persist():
                self.later(self.append_s, lambda: self._persist(effect))
            case Compare():
                self.later(self.read_s, lambda: self._compare(effect))
            case KeepProof():
                self.proofs[effect.proof.log] = effect.proof
            case EndFounding():
                self.later(self.append_s, self._end_founding)
            case BeginEpoch():
                self.later(self.append_s, lambda: self._begin_epoch(effect))
            case Locate():
                self.later(self.read_s, lambda: self._locate(effect))
            case Explain():
                self.later(self.read_s, lambda: self._explain(effect))
            case Drop(number, goodbye, _):
                if number in self.lines:
                    self.lines[number].send(self, goodbye)
                    self.net.at(self.net.now + self.lines[number].latency, self._cutter(number))

    def later(self, delay: float, act: Callable[[], None]) -> None:
        generation = self.generation
        self.net.at(self.net.now + delay, lambda: act() if generation == self.generation else None)

    def _cutter(self, number: int) -> Callable[[], None]:
        line = self.lines[number]
        return lambda: self.net.cut(line)

    def _send_tips(self, number: int) -> None:
        tips = self.replicator.take_tips(number, self.net.now)
        if tips is not None and number in self.lines:
            self.effects.append(Send(number, tips))
            self.lines[number].send(self, tips)

    def _read(self, read: Read) -> None:
        batches = read_batches(self.logs[read.log], read.start, read.stop, read.bytes_max)
        bad = self.damaged.get(read.log, set())
        good = list(itertools.takewhile(lambda batch: not any(seq in batch.header.range for seq in bad), batches))
        self.perform(self.replicator.read(read, good))

    def _persist(self, persist: Persist) -> None:
        self.standings[persist.log] = persist.standing
        self.perform(self.replicator.persisted(persist.log, persist.standing, self.net.now))

    def _end_founding(self) -> None:
        self.founding = False

    def _begin_epoch(self, begin: BeginEpoch) -> None:
        tip = tip_of(self.logs[self.me])
        self.append(
            seal_batch(
                self.key,
                self.net.network,
                [begin.event],
                epoch=begin.epoch,
                first_seq=tip.next_seq,
                time_us=0,
                prev_hash=tip.hash,
            )
        )

    def _compare(self, compare: Compare) -> None:
        first, last = compare.batches[0].header.first_seq, compare.batches[-1].header.stop
        log = self.logs[compare.log]
        ours = [batch for batch in log if batch.header.stop >= first and batch.header.first_seq <= last]
        while ours and not is_signed(ours[-1], self.net.network, compare.log):
            ours.pop()
        proof = prove(self.net.network, compare.log, ours, compare.batches) if ours else None
        self.perform(self.replicator.compared(compare, proof, self.net.now))

    def _locate(self, locate: Locate) -> None:
        log, seq = self.logs[locate.log], locate.seq
        if locate.of_epoch:
            seq = self._epoch_at(locate.log, seq)[1]
        tip = tip_of([batch for batch in log if batch.header.stop <= seq])
        self.perform(self.replicator.located(locate, tip, self.net.now))

    def _explain(self, explain: Explain) -> None:
        self.perform(self.replicator.explained(explain, *self._epoch_at(explain.log, explain.seq)))

    def _epoch_at(self, log: MemberKey, seq: int) -> tuple[int, int]:
        """The epoch that covers the event before ``seq``, and where it began."""
        epoch = next((batch.header.epoch for batch in self.logs[log] if seq - 1 in batch.header.range), 0)
        return epoch, next((b.header.first_seq for b in self.logs[log] if b.header.epoch == epoch), 0)

    def _append(self, append: Append) -> None:
        now = self.net.now
        if self.disk_full:
            self.perform(self.replicator.append_failed(append.log, now + 5, now))
            return
        log = self.logs[append.log]
        tip = tip_of(log)
        first_seq = append.batches[0].header.first_seq
        if first_seq > tip.next_seq:
            return  # what was before it has just failed
        if first_seq < tip.next_seq:
            self.orphans[append.log] += [batch for batch in log if batch.header.stop > first_seq]
            log[:] = [batch for batch in log if batch.header.stop <= first_seq]
            self.perform(self.replicator.orphaned(append.log, SeqRange(first_seq, tip.next_seq)))
            tip = tip_of(log)
        for batch in append.batches:
            tip = link(tip, batch)  # each batch once, in order, on the same chain
        log += append.batches
        self.perform(self.replicator.appended(append.log, tip, now))


@dataclass(eq=False)
class Line:
    """A connection: two queues of frames, delivered in order after the latency."""

    net: Net
    ends: tuple[Node, Node]
    numbers: tuple[int, int]
    latency: float
    is_open: bool = True
    frozen: bool = False
    """Frames are lost without a word, as on a half-open connection."""
    readers: tuple[FrameReader, FrameReader] = field(default_factory=lambda: (FrameReader(), FrameReader()))
    clear_at: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def send(self, sender: Node, message: Message) -> None:
        side = self.ends.index(sender)
        for actual in sender.mangle(message):
            due = max(self.net.now + self.latency, self.clear_at[side])
            self.clear_at[side] = due
            self.net.at(due, self._deliverer(1 - side, encode_frame(actual)))

    def _deliverer(self, side: int, frame: bytes) -> Callable[[], None]:
        def deliver() -> None:
            node, number = self.ends[side], self.numbers[side]
            if not self.is_open or self.frozen:
                return
            for message in self.readers[side].feed(frame):
                node.perform(node.replicator.receive(number, message, self.net.now))
                if isinstance(message, Goodbye):
                    self.net.cut(self)
                    return
            node.replicator.heard(number, self.net.now, partial=self.readers[side].partial)

        return deliver


class Net:
    """Nodes, the lines between them, and the one clock."""

    def __init__(self, count: int, *, proves: bool = False) -> None:
        self.keys = signing_keys(count)
        self.members = [key.member for key in self.keys]
        self.network = network_of(self.keys)
        self.now = 100.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        self.nodes = [Node(self, key, proves=proves) for key in self.keys]

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), act))

    def connect(self, dialer: Node, listener: Node, *, latency: float = 0.01) -> Line:
        line = Line(self, (dialer, listener), (next(self._numbers), next(self._numbers)), latency)
        for node, other, number in zip(line.ends, reversed(line.ends), line.numbers, strict=True):
            node.lines[number] = line
            node.perform(node.replicator.connect(number, other.me, dialed=node is dialer, now=self.now))
        return line

    def connect_all(self, *, latency: float = 0.01) -> None:
        for left, right in itertools.combinations(self.nodes, 2):
            if right.me not in left.replicator.nodes:
                self.connect(left, right, latency=latency)

    def cut(self, line: Line, why: str = "cut") -> None:
        if not line.is_open:
            return
        line.is_open = False
        for node, number in zip(line.ends, line.numbers, strict=True):
            node.lines.pop(number, None)
            node.perform(node.replicator.disconnect(number, why, self.now))

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let so much time pass, or stop as soon as ``until`` holds."""
        stop = self.now + seconds
        steps = 0
        while not until():
            steps += 1
            assert steps < 60_000, "the network does not come to rest"
            due = self._events[0][0] if self._events else FOREVER
            ticking = min(self.nodes, key=lambda node: node.replicator.deadline())
            tick_at = max(self.now, ticking.replicator.deadline())
            if min(due, tick_at) > stop:
                self.now = stop
                return
            if due <= tick_at:
                self.now, _, act = heapq.heappop(self._events)
                act()
            else:
                self.now = tick_at
                ticking.perform(ticking.replicator.tick(self.now))
                assert ticking.replicator.deadline() > self.now, "a deadline that tick does not move is a busy loop"

    def agree(self, log: MemberKey | None = None, nodes: Sequence[Node] | None = None) -> bool:
        """Whether these nodes hold the same bytes of the log, or of all."""
        logs = self.members if log is None else [log]
        nodes = self.nodes if nodes is None else nodes
        return all(
            node.logs[log] is nodes[0].logs[log]
            or [b.hash for b in node.logs[log]] == [b.hash for b in nodes[0].logs[log]]
            for log in logs
            for node in nodes[1:]
        )


class Rig:
    """One core whose peers are played by the test, message by message."""

    def __init__(
        self,
        count: int = 3,
        *,
        me: int = 0,
        held: dict[int, Sequence[Batch]] | None = None,
        standings: dict[int, Standing] | None = None,
        start: bytes | None = None,
        founding: bool = False,
    ) -> None:
        self.keys = signing_keys(count)
        self.members = [key.member for key in self.keys]
        self.network = network_of(self.keys)
        self.now = 100.0
        logs = {self.members[index]: log for index, log in (held or {}).items()}
        self.core = Replicator(
            key=self.keys[me],
            network=self.network,
            hello=hello(self.network, founding=founding),
            held={member: LogTip(member, tip_of(logs.get(member, ()))) for member in self.members},
            seed=b"rig",
            standings={self.members[index]: standing for index, standing in (standings or {}).items()},
            start=start,
        )

    def log(self, author: int, batches: int, **options: object) -> list[Batch]:
        return make_log(self.keys[author], self.network, batches, **options)  # type: ignore[arg-type]

    def say(self, number: int, message: Message) -> list[Effect]:
        """The peer on link ``number`` says ``message``."""
        (received,) = FrameReader().feed(encode_frame(message))
        return self.core.receive(number, received, self.now)

    def join(self, number: int, peer: int, shown: Shown | None = None, *, dialed: bool = False) -> list[Effect]:
        """Member ``peer`` connects, greets, and shows these logs. The effects of its tips."""
        self.core.connect(number, self.members[peer], dialed=dialed, now=self.now)
        self.say(number, hello(self.network))
        return self.show(number, shown or {}, full=True)

    def leave(self, number: int) -> list[Effect]:
        """The connection of this number is gone."""
        return self.core.disconnect(number, "gone", self.now)

    def words(self, number: int) -> list[Stable]:
        """What the peer on this link is told now of what is stable."""
        said = iter(partial(self.core.take_tips, number, self.now), None)
        return [message for message in said if isinstance(message, Stable)]

    def show(self, number: int, shown: Shown, *, full: bool = False) -> list[Effect]:
        """The peer on link ``number`` shows these logs."""
        from hydra_sync.wire import Tips

        tips = []
        for index, log in shown.items():
            tip = log if isinstance(log, LogTip) else LogTip(self.members[index], tip_of(log))
            tips.append(replace(tip, log=self.members[index]))
        return self.say(number, Tips(full, tuple(tips)))

    def claim(self, author: int, next_seq: int) -> LogTip:
        """A tip of a log that nobody can prove."""
        return LogTip(self.members[author], Tip(0, next_seq, b"?" * 32))

    def append_all(self, effects: Iterable[Effect]) -> list[Effect]:
        """Carry out every `Append` at once; what the core wants then."""
        after: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Append):
                after += self.core.appended(effect.log, Tip.after(effect.batches[-1]), self.now)
        return after


def sends(effects: Iterable[Effect], kind: type[M]) -> list[M]:
    """The messages of one kind among these effects."""
    return [effect.message for effect in effects if isinstance(effect, Send) and isinstance(effect.message, kind)]


def records(batches: Iterable[Batch]) -> bytes:
    """The batches as they travel."""
    return b"".join(batch.record for batch in batches)


GENESIS = GENESIS_HASH
