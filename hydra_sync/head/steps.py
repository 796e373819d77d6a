"""The last decision's steps, remembered: a decision folds its own events, and they are folded again at once. No I/O.

This is a memory of a pure function's results, and changes none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra_sync.head.state import State
from hydra_sync.machine import Record

__all__ = ["Steps"]


class Steps:
    """States before records, and after them."""

    def __init__(self) -> None:
        self._before: State | None = None
        self._left: list[tuple[Record, State]] = []

    def remember(self, before: State, records: Sequence[Record], after: Sequence[State]) -> None:
        """The records that follow ``before``, and the state after each of them."""
        self._before = before
        self._left = list(zip(records, after, strict=True))[::-1]

    def after(self, state: State, record: Record) -> State | None:
        """The state after a record, if it is the next of those remembered; else none, and it is worked out."""
        if state is not self._before or not self._left:
            return None
        expected, after = self._left[-1]
        if type(record) is not type(expected) or record != expected:
            return None
        self._left.pop()
        self._before = after
        return after
