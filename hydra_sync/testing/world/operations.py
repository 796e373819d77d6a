"""Faults armed at operations: "at the third sync of host a", instead of at a time. No I/O.

A crash armed at an operation finds bugs of recovery about ten times as often as one at a random time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, get_args

__all__ = ["OPERATIONS", "Operation", "Operations", "Phase", "Strike"]

DiskOperation = Literal[
    "open", "read", "write", "sync", "truncate", "rename", "remove", "sync_dir", "make_dir", "list_dir", "lock"
]
Operation = DiskOperation | Literal["connect", "accept", "send"]
"""What a host does that a fault can be armed at: calls of its disk (subject: the path), calls of
its sockets (subject: the address of the other side)."""

OPERATIONS: Final[tuple[str, ...]] = (*get_args(DiskOperation), "connect", "accept", "send")

Phase = Literal["before", "after"]
"""Before the operation has any effect, or when it has taken effect and has not yet returned."""


@dataclass(slots=True)
class Strike:
    """An action that waits for an operation. ``effect`` names what the operation itself does wrong."""

    host: str
    operation: Operation
    left: int
    subject: str
    phase: Phase
    act: Callable[[], object] | None = None
    effect: str | None = None


NOTHING: tuple[Strike, ...] = ()


class Operations:
    """Counts the operations of every host, and says which faults strike there."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, Operation]] = Counter()
        self._armed: list[Strike] = []

    def arm(
        self,
        host: str,
        operation: Operation,
        *,
        nth: int = 1,
        subject: str = "*",
        phase: Phase = "before",
        act: Callable[[], object] | None = None,
        effect: str | None = None,
    ) -> Strike:
        """Strike at the ``nth`` such operation from now whose subject matches the pattern (as in `fnmatch`)."""
        strike = Strike(host, operation, nth, subject, phase, act, effect)
        self._armed.append(strike)
        return strike

    def disarm(self, strike: Strike) -> None:
        """Take a strike back; nothing happens if it has struck."""
        self._armed = [other for other in self._armed if other is not strike]

    def begin(self, host: str, operation: Operation, subject: str) -> tuple[Strike, ...]:
        """Count an operation, and give the strikes that are due at it, which are then no longer armed."""
        self.counts[host, operation] += 1
        if not self._armed:
            return NOTHING
        due = []
        for strike in self._armed:
            if (strike.host, strike.operation) == (host, operation) and fnmatchcase(subject, strike.subject):
                strike.left -= 1
                if strike.left == 0:
                    due.append(strike)
        if not due:
            return NOTHING
        self._armed = [strike for strike in self._armed if strike.left > 0]
        return tuple(due)


def run_phase(due: tuple[Strike, ...], phase: Phase) -> None:
    """Act out the strikes of one phase."""
    for strike in due:
        if strike.phase == phase and strike.act is not None:
            strike.act()


def effects_of(due: tuple[Strike, ...]) -> tuple[str, ...]:
    """What the operation itself does wrong."""
    return tuple(strike.effect for strike in due if strike.effect is not None)
