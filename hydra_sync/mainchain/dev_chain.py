"""The rules of the development chain: one head at a time, blocks with one fact each, rollbacks. No I/O.

It believes whoever posts: signatures, scripts and funds are a real chain's affair. It keeps to what a head needs
of layer 1: all parties see the same facts in the same order, a close can be contested with a greater snapshot
until its deadline, and the last blocks may be rolled back. A head opens with the outputs of the chain's beginning.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.head.commands import Point
from hydra_sync.head.events import PostTx
from hydra_sync.limits import UINT_MAX

__all__ = ["DevChain", "Line"]

HEAD_ID_BYTES: Final = 28  # as a policy id
CONTESTATION_S_MAX: Final = 100 * 365 * 24 * 3600  # a deadline is a number on the chain, in us since 1970

assert 2 * CONTESTATION_S_MAX * 1_000_000 < UINT_MAX  # until 2070


@dataclass(frozen=True, slots=True)
class Line:
    """What happened next: a block with a fact, as a head observes it, or a rollback to a block before."""

    point: Point
    fact: tuple[object, ...]

    @property
    def content(self) -> tuple[object, ...]:
        """The command to a head."""
        return ("Observed", (self.point.slot, self.point.block), self.fact)

    def encode(self) -> bytes:
        return encode((self.point.slot, self.point.block, self.fact))

    @staticmethod
    def decode(data: bytes) -> Line:
        """Raises `FormatError`."""
        match decode(data):
            case (int(slot), bytes(block), tuple(fact)) if fact and isinstance(fact[0], str):
                return Line(Point(slot, block), fact)
        raise FormatError("this is no line of a development chain")


@dataclass(slots=True)
class DevChain:
    """A chain, and all that ever happened to it. ``outputs`` are what a head opens with: names and bytes."""

    outputs: tuple[tuple[bytes, bytes], ...]
    lines: list[Line] = field(default_factory=list)

    @property
    def blocks(self) -> list[Line]:
        """Those that are not rolled back, oldest first."""
        blocks: list[Line] = []
        for line in self.lines:
            if line.fact == ("RolledBack",):
                blocks = [block for block in blocks if block.point.slot <= line.point.slot]
            else:
                blocks.append(line)
        return blocks

    def after(self, point: Point) -> int:
        """The index of the first line that whoever has seen up to ``point`` has not. Raises `UsageError`."""
        for index in reversed(range(len(self.lines))):
            if self.lines[index].point == point:
                return index + 1
        if point.slot == 0:
            return 0
        raise UsageError(
            f"block {point.block.hex()[:16]} of slot {point.slot}, which this node has seen, was never on this chain: "
            "it is another one"
        )

    def post(self, post: PostTx, now_us: int) -> Line | str:
        """The block that a transaction makes, or why there is none."""
        facts = [block.fact for block in self.blocks]
        last = str(facts[-1][0]) if facts else ""
        if post.kind == "Init":
            if last not in {"", "FannedOut"}:
                return "a head is open already"
            if post.contestation_s > CONTESTATION_S_MAX:
                return f"a contestation period has at most {CONTESTATION_S_MAX:,} s"
            head = self._hash(b"head")[:HEAD_ID_BYTES]
            return self._block("HeadOpened", head, post.parts, post.contestation_s, self.outputs)
        opened = next((fact for fact in reversed(facts) if fact[0] == "HeadOpened"), None)
        if opened is None or opened[1] != post.head or last == "FannedOut":
            return f"head {post.head.hex()} is not on the chain"
        match post.kind:
            case "Close" if last == "HeadOpened":
                return self._block("HeadClosed", post.head, post.number, now_us + _number(opened[3]) * 1_000_000)
            case "Contest" if last in {"HeadClosed", "HeadContested"}:
                number, deadline_us = _number(facts[-1][2]), _number(facts[-1][3])
                if now_us >= deadline_us:
                    return "the deadline has passed"
                if post.number <= number:
                    return f"the head is closed with snapshot {number}, which is no older"
                return self._block("HeadContested", post.head, post.number, deadline_us)
            case "Fanout" if last == "ReadyToFanout":
                return self._block("FannedOut", post.head)
        return f"{post.kind} has no place after {last}"

    def tick(self, now_us: int) -> Line | None:
        """The block that time makes: the deadline of a closed head has passed."""
        blocks = self.blocks
        if not blocks or blocks[-1].fact[0] not in {"HeadClosed", "HeadContested"}:
            return None
        _, head, _, deadline_us = blocks[-1].fact
        return self._block("ReadyToFanout", head) if now_us >= _number(deadline_us) else None

    def roll_back(self, count: int) -> Line:
        """The last ``count`` blocks did not happen. Raises `UsageError` if there are not so many."""
        blocks = self.blocks
        if not 0 < count <= len(blocks):
            raise UsageError(
                f"the chain has {len(blocks)} blocks: as many can be rolled back at most, and at least one"
            )
        left = blocks[: len(blocks) - count]
        return Line(left[-1].point if left else Point(0, b""), ("RolledBack",))

    def _block(self, *fact: object) -> Line:
        blocks = self.blocks
        slot = blocks[-1].point.slot + 1 if blocks else 1
        return Line(Point(slot, self._hash(encode(fact))), fact)

    def _hash(self, what: bytes) -> bytes:
        # Over all lines: a block that comes again after a rollback is another one.
        return hashlib.sha256(encode((self.outputs, tuple(line.encode() for line in self.lines), what))).digest()


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
