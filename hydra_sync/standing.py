"""What a node owes the others about one log, whatever happens to its process: durable before it is said. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.identity import MemberKey

__all__ = ["Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Of another member's log, what was promised; of the own log, whether the store was lost (design: 7)."""

    promised: int = 0
    """The highest ballot promised; 0 is none. What this node counts as held moves only to epochs from there on."""
    start: bytes = b""
    """The start of the author that it was promised to; empty for the epoch of a running author."""
    store_id: bytes = b""
    """The store of the author that it was promised to."""
    answer: bytes = b""
    """The signed answer, to be given again."""
    counted: Tip = EMPTY
    """What this node held when it promised: that counts until it holds the promised epoch."""
    amnesiac: bool = False
    """It may once have held more than it does, or promised more: nothing that it says counts."""
    why: str = ""
    """Why it is amnesiac, for people."""
    without: tuple[MemberKey, ...] = ()
    """Of the own log: members whose disks the operator gave up."""
