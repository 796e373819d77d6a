"""Heads in memory: each member has its records and nothing else, and hears the others' logs in any mutual order.

An event is heard by every member, its author too, in the order of its author's log; between logs the order is
the test's. A crash loses all but the records; a lost disk also loses what no other member holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hydra_sync.encoding import encode
from hydra_sync.head import HeadLimits, HeadMachine, Ledger, SimpleLedger
from hydra_sync.head.messages import is_message
from hydra_sync.head.simple_tx import simple_ref
from hydra_sync.head.state import Confirmed, Head, State
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.limits import BODY_BYTES_MAX
from hydra_sync.machine import Alarm, Command, Decided, Heard, Input, Place, Record, RejectedError, entry_value

HEAD = b"a head's id"
Content = tuple[object, ...]

KEYS = [SigningKey(bytes([number]) * 32) for number in range(1, 6)]


def simple_outputs(*numbers: int) -> tuple[tuple[bytes, bytes], ...]:
    """Outputs of SimpleTx for `opened`."""
    return tuple((simple_ref(number), b"") for number in numbers)


@dataclass
class Node:
    """One member: its machine, its records, and the state that they fold to."""

    machine: HeadMachine
    state: State = field(default_factory=State)
    records: list[Record] = field(default_factory=list)
    frozen: tuple[int, object] | None = None
    """A checkpoint: after how many records, and the state."""

    def takes(self, cause: Input) -> list[Content]:
        """Decide, record and fold; what was decided."""
        contents = [content for content in self.machine.decide(self.state, cause) if isinstance(content, tuple)]
        records = (cause, *(Decided(content) for content in contents))
        size = sum(len(encode(entry_value(record))) + 5 for record in records)
        assert size <= BODY_BYTES_MAX - 16, f"{size:,} bytes for one input are more than a batch holds"
        for record in records:
            self.records.append(record)
            self.state = self.machine.evolve(self.state, record)
        return contents

    def checkpoint(self) -> None:
        """Keep the state as it is now."""
        self.frozen = (len(self.records), self.machine.freeze(self.state))

    def restart(self) -> None:
        """Lose everything but the records, and the checkpoint if there is one."""
        count, frozen = self.frozen or (0, None)
        self.state = self.machine.start if frozen is None else self.machine.thaw(frozen)
        for record in self.records[count:]:
            self.state = self.machine.evolve(self.state, record)


class Network:
    """Members of one head, and how far each has heard each other's log."""

    def __init__(
        self,
        members: int = 3,
        *,
        ledger: Ledger | None = None,
        outputs: Sequence[tuple[bytes, bytes]] = simple_outputs(1, 2, 3, 4),
        limits: HeadLimits | None = None,
        opened: bool = True,
    ) -> None:
        self.ledger = ledger or SimpleLedger()
        self.keys = KEYS[:members]
        self.parties: tuple[MemberKey, ...] = tuple(key.member for key in self.keys)
        self.outputs = tuple(outputs)
        self.nodes = [Node(HeadMachine(key.member, self.ledger, key, limits or HeadLimits())) for key in self.keys]
        self.logs: list[list[Content]] = [[] for _ in self.keys]
        """What each member has said, stable or not."""
        self.heard = [[0] * members for _ in self.keys]
        """``heard[node][author]``."""
        self.down: set[int] = set()
        self.confirmed: dict[int, Confirmed] = {}
        self.acked: dict[tuple[int, int, int], Content] = {}
        """Of each member the content it signed, by version and number; told or lost, it counts."""
        self.facts: list[tuple[int, Content]] = []
        if opened:
            self.observe("HeadOpened", HEAD, self.parties, 60, self.outputs)

    def head(self, node: int) -> Head:
        head = self.nodes[node].state.head(HEAD)
        assert head is not None
        return head

    def takes(self, node: int, cause: Input) -> list[Content]:
        """Have a node decide on an input; what it says goes to its log."""
        decided = self.nodes[node].takes(cause)
        said = [content for content in decided if is_message(content)]
        self.logs[node] += said
        self._check(node, said)
        return decided

    def asks(self, node: int, *content: object) -> list[Content]:
        """A client's command."""
        return self.takes(node, Command(content, 0))

    def tries(self, node: int, *content: object) -> str | None:
        """A client's command, and the reason if it is refused."""
        try:
            self.asks(node, *content)
        except RejectedError as error:
            return str(error)
        return None

    def observe(self, *fact: object, nodes: Sequence[int] | None = None) -> None:
        """Something happens on layer 1, and these nodes see it at once, the others with `catch_up`."""
        self.facts.append((len(self.facts) + 1, fact))
        for node in nodes if nodes is not None else range(len(self.nodes)):
            self.catch_up(node)

    def catch_up(self, node: int) -> None:
        """A node sees of layer 1 what comes after the last point that it remembers."""
        for slot, fact in self.facts:
            if slot > self.nodes[node].state.point.slot:
                self.asks(node, "Observed", (slot, b"block"), fact)

    def lose_disk(self, node: int, random: Random) -> None:
        """A node loses its disk, and comes back with what others hold of its log.

        They hold all that anybody has heard; of the rest, which was never stable, some more or less.
        """
        kept = max(heard[node] for heard in self.heard)
        records = self.nodes[node].records
        ends = [at for at, record in enumerate(records) if not isinstance(record, Decided)] + [len(records)]
        cut = random.choice([at for at in ends if _said(records[:at]) >= kept])
        del records[cut:]
        del self.logs[node][_said(records) :]
        self.nodes[node].frozen = None
        self.nodes[node].restart()
        for author, party in enumerate(self.parties):
            mine = [record for record in records if isinstance(record, Heard) and record.place.log == party]
            self.heard[node][author] = len(mine)
        self.catch_up(node)

    def hears(self, node: int, author: int) -> list[Content]:
        """A node hears the next event of a log."""
        seq = self.heard[node][author]
        self.heard[node][author] = seq + 1
        return self.takes(node, heard(self.parties[author], self.logs[author][seq], seq))

    def possible(self) -> list[tuple[int, int]]:
        """All (node, author) with something to hear."""
        count = len(self.nodes)
        return [
            (node, author)
            for node in range(count)
            for author in range(count)
            if node not in self.down and self.heard[node][author] < len(self.logs[author])
        ]

    def settle(self, random: Random | None = None) -> None:
        """Deliver everything, in a random order, or round robin."""
        steps = 0
        self.wake()
        while todo := self.possible():
            self.hears(*(random.choice(todo) if random else todo[steps % len(todo)]))
            self.wake()
            steps += 1
            assert steps < 100_000, "the network does not fall silent"

    def wake(self) -> None:
        """Bring the alarms that are asked for, once for each time, until there are none."""
        for node in (node for node in range(len(self.nodes)) if node not in self.down):
            rung: int | None = None
            while (due := self.nodes[node].machine.alarm_us(self.nodes[node].state)) is not None:
                assert due != rung, "an alarm is brought once for each time that it is asked for"
                rung = due
                self.takes(node, Alarm(due))

    def _check(self, node: int, said: Sequence[Content]) -> None:
        """What must never happen: two snapshots in one place, or two signatures."""
        for content in said:
            if content[0] == "AckSn" and content[1] == HEAD:
                version, number = content[2], content[3]
                assert isinstance(version, int)
                assert isinstance(number, int)
                first_signed = self.acked.setdefault((node, version, number), content)
                assert first_signed == content, "a member signs two contents in one place"
        head = self.nodes[node].state.head(HEAD)
        if head is None or head.number == 0:
            return
        mine = head.confirmed
        first = self.confirmed.setdefault(mine.snapshot.number, mine)
        assert first.snapshot == mine.snapshot, "two different snapshots are confirmed with one number"


def _said(records: Sequence[Record]) -> int:
    return sum(1 for record in records if isinstance(record, Decided) and is_message(record.content))


def heard(author: MemberKey, content: object, seq: int = 0) -> Heard:
    """An event of a member's log, as an input."""
    return Heard(Place(author, 1, seq, bytes(32)), content, 0)
