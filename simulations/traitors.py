"""Members that betray their own logs, which all others hold for real, or lie about that of another.

They sign two histories, few of their records, or epochs that nobody granted; or say that they hold what they do
not, and refuse what they might promise. Runs in a world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import trio

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.encoding import decode, encode_event
from hydra_sync.epoch import Answer, Ballot, Grant, answers_needed, epoch_event, open_answer
from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import HASH_BYTES, START_ID_BYTES, STORE_ID_BYTES
from hydra_sync.node import Node
from hydra_sync.sync import Effect, Send
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.identities import signing_key
from hydra_sync.testing.cluster.insider import HostileProgram, Insider, Wire, converse, serve
from hydra_sync.wire import (
    End,
    EndReason,
    Fetch,
    LogTip,
    Message,
    Ping,
    Pong,
    Prepare,
    Promise,
    Refuse,
    Tips,
)

__all__ = ["Lie", "Past", "bump_epochs", "mislead", "part_ways", "spare_signatures"]

Lie = Literal["holds more", "held more", "held otherwise", "refuses", "refuses for all"]

SIGNED_EACH: Final = 10


@dataclass(frozen=True, slots=True)
class Past:
    """What a member had in its own log before it turned: where batches end, the tip last, and its first grant."""

    ends: tuple[Tip, ...]
    first_event: bytes

    @classmethod
    def of(cls, cluster: Cluster, alias: str) -> Past:
        """That of a member which runs, and has delivered all of its own log."""
        held = cluster.ledger.held[alias, alias]
        ends = [
            Tip(seen.epoch, seq + 1, seen.batch_hash)
            for seq, seen in enumerate(held)
            if seq + 1 == len(held) or held[seq + 1].batch_hash != seen.batch_hash
        ]
        return cls(tuple(ends), held[0].data)

    @property
    def tip(self) -> Tip:
        return self.ends[-1]


def part_ways(past: Past, sides: Sequence[Sequence[str]], *, events: int = 3) -> HostileProgram:
    """Go on from one's real log in two ways, and show each to one side."""

    async def program(insider: Insider) -> None:
        branches = [_branch(insider, past.tip, f"side {number}", events) for number in range(2)]

        async def talk(wire: Wire) -> None:
            branch = branches[wire.peer in sides[1]]
            own = LogTip(insider.config.key.member, Tip.after(branch[-1]))
            await converse(insider, wire, lambda: [own], _serving(insider, branch))

        await insider.meet(talk)

    return program


def spare_signatures(past: Past, *, events: int) -> HostileProgram:
    """Go on from one's real log, and sign only every tenth record; of the others the signature is wrong."""

    async def program(insider: Insider) -> None:
        batches: list[Batch] = []
        tip = past.tip
        wrong = signing_key("nobody")
        for number in range(events):
            event = encode_event([insider.alias, "spared", number])
            insider.write(event)
            is_signed = (number + 1) % SIGNED_EACH == 0
            batch = insider.seal_events([event], tip, epoch=tip.epoch, key=None if is_signed else wrong)
            batches.append(batch)
            tip = Tip.after(batch)
        signed = len(batches) // SIGNED_EACH * SIGNED_EACH

        async def talk(wire: Wire) -> None:
            # To some it sends only what verifies; to others runs that end in between.
            stop = signed if insider.dice.below(2) else insider.dice.between(1, len(batches))
            own = LogTip(insider.config.key.member, Tip.after(batches[stop - 1]))
            await converse(insider, wire, lambda: [own], _serving(insider, batches[:stop]))

        await insider.meet(talk)

    return program


def mislead(log: MemberKey, lie: Lie) -> HostileProgram:
    """Be a node like any other, but for one log: say, or only answer its author, that it holds more of it than there
    is, or something else; refuse what its author asks for, perhaps in the names of all others, too.
    """

    async def program(insider: Insider) -> None:
        async with insider.open_node() as node:
            _Misleading(insider, node, log, lie)
            await trio.sleep_forever()

    return program


class _Misleading:
    """A node's word about one log, twisted where it is given."""

    def __init__(self, insider: Insider, node: Node, log: MemberKey, lie: Lie) -> None:
        self.me = insider.config.key.member
        self.log = log
        self.others = [name for name in insider.config.keys if name not in (log, self.me)]
        self.core = node._engine.replicator  # noqa: SLF001  it is twisted inside
        witness = self.core.agreement.witness
        self.counted, self.prepare = witness.counted, witness.prepare
        self.more = 0 if lie == "held otherwise" else insider.dice.between(1, 5)
        self.hash = insider.entropy(HASH_BYTES)
        twisted: dict[Lie, dict[str, object]] = {
            "holds more": {"counted": self.invent},
            "held more": {"prepare": self.answer},
            "held otherwise": {"prepare": self.answer},
            "refuses": {"prepare": self.refuse},
            "refuses for all": {"prepare": self.refuse_for_all},
        }
        vars(witness).update(twisted[lie])

    def invent(self, log: MemberKey, tip: Tip) -> Tip:
        real = self.counted(log, tip)
        return Tip(real.epoch, real.next_seq + self.more, self.hash) if log == self.log else real

    def answer(self, log: MemberKey, signed: bytes, ballot: Ballot, tip: Tip) -> tuple[Message | None, list[Effect]]:
        words = vars(self.core.agreement.witness)
        words["counted"] = self.invent
        try:
            return self.prepare(log, signed, ballot, tip)
        finally:
            del words["counted"]

    def refuse(self, log: MemberKey, signed: bytes, ballot: Ballot, tip: Tip) -> tuple[Message | None, list[Effect]]:
        if log != self.log:
            return self.prepare(log, signed, ballot, tip)
        return Refuse(log, self.me, ballot.number + self.more), []

    def refuse_for_all(
        self, log: MemberKey, signed: bytes, ballot: Ballot, tip: Tip
    ) -> tuple[Message | None, list[Effect]]:
        said, effects = self.refuse(log, signed, ballot, tip)
        if log != self.log or log not in self.core.nodes:
            return said, effects
        forged = [Refuse(log, other, ballot.number + self.more) for other in self.others]
        return said, [Send(self.core.nodes[log], refusal) for refusal in forged]


def _branch(insider: Insider, tip: Tip, word: str, events: int) -> list[Batch]:
    branch: list[Batch] = []
    for number in range(events):
        branch.append(insider.seal([[insider.alias, word, number]], tip, epoch=tip.epoch))
        tip = Tip.after(branch[-1])
    return branch


def _serving(insider: Insider, batches: Sequence[Batch]) -> Callable[[Wire, Fetch], Iterable[Message]]:
    """Supply these batches of the own log, and nothing from before them."""

    def answer(_: Wire, fetch: Fetch) -> Iterable[Message]:
        if fetch.log != insider.config.key.member or not batches or fetch.start < batches[0].header.first_seq:
            return [End(fetch.request, fetch.start, EndReason.UNAVAILABLE)]
        return serve(batches, fetch)

    return answer


class _Bumper:
    """Asks for epoch after epoch, and begins them with grants that are good, or that are none."""

    def __init__(self, insider: Insider, past: Past) -> None:
        self.insider = insider
        self.past = past
        self.number = past.tip.epoch + insider.dice.between(1, 3)
        self.start = insider.entropy(START_ID_BYTES)
        self.store_id = insider.entropy(STORE_ID_BYTES)
        self.answers: dict[MemberKey, tuple[bytes, Answer]] = {}
        self.tip = past.tip
        self.batches: list[Batch] = []
        self.wires: dict[Wire, None] = {}
        self.kind = insider.dice.pick(("granted", "short", "short", "none", "few", "replayed", "other start"))

    @property
    def log(self) -> MemberKey:
        return self.insider.config.key.member

    @property
    def own(self) -> LogTip:
        return LogTip(self.log, self.tip)

    def prepare(self) -> Prepare:
        ballot = Ballot(self.number, self.start, self.store_id)
        return Prepare(self.log, ballot.sign(self.insider.config.key, self.insider.config.network_id))

    def take(self, promise: Promise) -> bool:
        """Whether an epoch begins now."""
        try:
            answer = open_answer(promise.answer, self.insider.config.network_id, self.log, promise.witness)
        except FormatError:
            return False
        if (answer.number, answer.start) != (self.number, self.start):
            return False
        self.answers[promise.witness] = promise.answer, answer
        if len(self.answers) < answers_needed(len(self.insider.config.members)):
            return False
        self.begin()
        return True

    async def react(self, wire: Wire, message: Message) -> None:
        """Answer a message, and tell all others when an epoch begins."""
        match message:
            case Tips() if wire not in self.wires:
                self.wires[wire] = None
                await wire.say(Tips(True, (self.own,)), self.prepare())
            case Promise() if message.log == self.log and self.take(message):
                await trio.sleep(self.insider.dice.pick((0, self.insider.dice.below(500) / 1000)))
                for other in list(self.wires):
                    await other.say(Tips(False, (self.own,)), self.prepare())
            case Ping():
                await wire.say(Pong(message.nonce))
            case Fetch():
                for reply in _serving(self.insider, self.batches)(wire, message):
                    await wire.say(reply)
            case _:
                pass

    def begin(self) -> None:
        """Put an epoch batch on top of the log, or not quite on top."""
        base, number, start = self.tip, self.number, self.start
        answers = {witness: signed for witness, (signed, _) in self.answers.items()}
        match self.kind:
            case "short":
                base = self.insider.dice.pick(self.past.ends)
            case "none":
                answers = {}
            case "few":
                answers.pop(next(iter(answers)))
            case "other start":
                start = self.insider.entropy(START_ID_BYTES)
            case "replayed":
                match decode(self.past.first_event):
                    case (_, _, _, bytes(start), _, tuple(pairs), _):
                        answers = {MemberKey(witness): signed for witness, signed in pairs}
            case _:
                pass
        event = epoch_event(Grant(number, start, False, answers))
        batch = self.insider.seal_events([event], base, epoch=number)
        more = _branch(self.insider, Tip.after(batch), f"epoch {number}", self.insider.dice.between(0, 2))
        keep = self.batches if base == self.tip else []
        self.batches = [*keep, batch, *more]
        self.tip = Tip.after(self.batches[-1])
        self.number += self.insider.dice.between(1, 3)
        self.start = self.insider.entropy(START_ID_BYTES)
        self.answers.clear()


def bump_epochs(past: Past) -> HostileProgram:
    """Have epochs granted again and again; begin them with the answers, with some, with old ones, or too low."""

    async def program(insider: Insider) -> None:
        bumper = _Bumper(insider, past)

        async def talk(wire: Wire) -> None:
            await wire.say(insider.hello())
            try:
                while (message := await wire.hear()) is not None:
                    await bumper.react(wire, message)
            finally:
                bumper.wires.pop(wire, None)

        await insider.meet(talk)

    return program
