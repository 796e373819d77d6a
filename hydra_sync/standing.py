"""What a node owes the others about one log, whatever happens to its process: durable before it is said. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.identity import MemberKey
from hydra_sync.limits import (
    ANSWER_BYTES_MAX,
    HASH_BYTES,
    KEY_BYTES,
    MEMBERS_MAX,
    START_ID_BYTES,
    STORE_ID_BYTES,
    TEXT_BYTES_MAX,
    UINT_MAX,
)

__all__ = ["Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Of another member's log, what was promised; of the own log, whether the store was lost (design: 7).

    Raises `ValueError` for a field out of its limits.
    """

    promised: int = 0
    """The highest ballot promised; 0 is none. What this node counts as held moves only to epochs from there on."""
    start: bytes = b""
    """The start of the author that it was promised to; empty for the epoch of a running author."""
    store_id: bytes = b""
    """The store of the author that it was promised to."""
    answer: bytes = b""
    """The signed answer, to be given again."""
    ballot: bytes = b""
    """The author's signed ballot that was promised: shown to an author that goes on in an older epoch."""
    counted: Tip = EMPTY
    """What this node held when it promised: that counts until it holds the promised epoch."""
    amnesiac: bool = False
    """It may once have held more than it does, or promised more: nothing that it says counts."""
    reminded: bool = False
    """It was amnesiac, and was reminded by the author of less than it may have promised: no receipts before that."""
    why: str = ""
    """Why it is amnesiac, for people."""
    without: tuple[MemberKey, ...] = ()
    """Of the own log: members whose disks the operator gave up, until the next epoch records it."""

    def __post_init__(self) -> None:
        numbers = (self.promised, self.counted.epoch, self.counted.next_seq)
        fits = (
            all(0 <= number <= UINT_MAX for number in numbers)
            and len(self.start) in (0, START_ID_BYTES)
            and len(self.store_id) in (0, STORE_ID_BYTES)
            and len(self.answer) <= ANSWER_BYTES_MAX
            and len(self.ballot) <= ANSWER_BYTES_MAX
            and len(self.counted.hash) == HASH_BYTES
            and len(self.why.encode()) <= TEXT_BYTES_MAX
            and len(self.without) <= MEMBERS_MAX
            and all(len(member) == KEY_BYTES for member in self.without)
        )
        if not fits:
            raise ValueError(f"no standing is like this: {self!r}"[:500])
