"""A whole session of protocol version 1, both directions, as it was once: later versions must carry it on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hydra_sync.batch import Batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.encoding import encode_event
from hydra_sync.identity import MemberKey, SigningKey, network_id
from hydra_sync.sync import Append, Drop, Effect, Read, Replicator, Send, TipsDue
from hydra_sync.wire import FrameReader, Hello, LogTip, Message, Role, encode_frame

FORMAT_1 = Path(__file__).parent.parent / "fixtures" / "format-1"
FIRST, LATEST = FORMAT_1 / "session.txt", FORMAT_1 / "session-2.txt"
"""What was said is kept for ever; where nodes come to say less or more for the same ends, a session is added."""
ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
NETWORK = network_id("transcript", [ALICE.member, BOB.member])
NOW = 1000.0


def log_of(key: SigningKey, count: int) -> list[Batch]:
    batches: list[Batch] = []
    for _ in range(count):
        tip = Tip.after(batches[-1]) if batches else EMPTY
        batches.append(
            seal_batch(
                key,
                NETWORK,
                [encode_event(["event", tip.next_seq])],
                epoch=0,
                first_seq=tip.next_seq,
                time_us=1_700_000_000_000_000 + tip.next_seq,
                prev_hash=tip.hash,
            )
        )
    return batches


@dataclass
class Side:
    """One node's core, with its logs in memory."""

    key: SigningKey
    logs: dict[MemberKey, list[Batch]]
    core: Replicator = field(init=False)
    said: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        tips = {k: LogTip(k, Tip.after(log[-1]) if log else EMPTY) for k, log in self.logs.items()}
        hello = Hello(NETWORK, "hydra-sync/transcript", Role.NODE, self.key.member[:16], founding=True)
        self.core = Replicator(key=self.key, network=NETWORK, hello=hello, held=tips, seed=b"seed")

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(_, message):
                    self.said.append(message)
                case TipsDue(link):
                    if tips := self.core.take_tips(link, NOW):
                        self.said.append(tips)
                case Read():
                    found = [b for b in self.logs[effect.log] if effect.start < b.header.stop <= effect.stop]
                    self.perform(self.core.read(effect, found))
                case Append(log, batches):
                    self.logs[log] += batches
                    self.perform(self.core.appended(log, Tip.after(batches[-1]), NOW))
                case Drop():
                    raise AssertionError(effect)
                case _:
                    pass

    def hear(self, message: Message) -> None:
        self.perform(self.core.receive(1, message, NOW))


def sides() -> tuple[Side, Side]:
    alice = Side(ALICE, {ALICE.member: log_of(ALICE, 3), BOB.member: []})
    bob = Side(BOB, {ALICE.member: log_of(ALICE, 1), BOB.member: log_of(BOB, 2)})
    alice.perform(alice.core.connect(1, BOB.member, dialed=True, now=NOW))
    bob.perform(bob.core.connect(1, ALICE.member, dialed=False, now=NOW))
    return alice, bob


def session() -> Iterator[tuple[str, Message]]:
    """alice dials bob, both catch up, alice appends, alice stops."""
    alice, bob = sides()
    appended = False
    while True:
        while alice.said or bob.said:
            for mark, speaker, hearer in ((">", alice, bob), ("<", bob, alice)):
                said, speaker.said = speaker.said, []
                for message in said:
                    yield mark, message
                    hearer.hear(message)
        if appended:
            return
        appended = True
        alice.logs[ALICE.member].append(log_of(ALICE, 4)[3])
        alice.perform(alice.core.appended(ALICE.member, Tip.after(alice.logs[ALICE.member][-1]), NOW))


def transcript(fixture: Path) -> list[tuple[str, bytes]]:
    """The lines of a fixture: ``>`` is alice to bob."""
    lines = [line.split() for line in fixture.read_text().splitlines() if not line.startswith("#")]
    return [(mark, bytes.fromhex(frame)) for mark, frame in lines]


def test_the_session_is_still_the_same() -> None:
    """Two nodes of today say to each other, to the byte, what the latest session says."""
    assert [(mark, encode_frame(message)) for mark, message in session()] == transcript(LATEST)


@pytest.mark.parametrize("fixture", [FIRST, LATEST], ids=lambda path: path.stem)
def test_a_node_of_today_understands_one_of_then(fixture: Path) -> None:
    """bob hears what alice said then, one byte at a time, and ends with her log; and the other way round."""
    for mark, listener in ((">", 1), ("<", 0)):
        node = sides()[listener]
        frames = FrameReader()
        for said, frame in transcript(fixture):
            if said == mark:
                for byte in frame:
                    for message in frames.feed(bytes([byte])):
                        node.hear(message)
        other = ALICE if mark == ">" else BOB
        assert node.logs[other.member] == log_of(other, 4 if mark == ">" else 2)
