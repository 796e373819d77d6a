"""A decision in the making: each event is folded in at once, and the next follows from the state after it. No I/O."""

from __future__ import annotations

from hydra_sync.head.bounds import EVENT_OVERHEAD_BYTES, PIECE_BYTES_MAX, HeadLimits
from hydra_sync.head.events import Event, Ignored, Postponed, content_of, reason
from hydra_sync.head.evolving import Fold
from hydra_sync.head.ledger import Ledger
from hydra_sync.head.messages import Message
from hydra_sync.head.state import Head, State
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.machine import Decided

__all__ = ["Draft", "bytes_of"]


class Draft:
    """The events decided so far for one input, and the state after them."""

    def __init__(self, fold: Fold, key: SigningKey, limits: HeadLimits, state: State) -> None:
        self.fold = fold
        self.key = key
        self.limits = limits
        self.state = state
        self.contents: list[tuple[object, ...]] = []
        self._bytes = 0
        self.states: list[State] = [state]
        """After the input, and after each event."""

    @property
    def ledger(self) -> Ledger:
        """The head's ledger."""
        return self.fold.hearing.ledger

    @property
    def member(self) -> MemberKey:
        """Whose node decides."""
        return self.key.member

    def head(self, named: bytes) -> Head:
        """The head as it is after the events so far; it must be known."""
        head = self.state.head(named)
        assert head is not None, "a head is never forgotten while something is decided for it"
        return head

    def is_open(self, named: bytes) -> bool:
        """Whether snapshots of this head may be requested and signed."""
        head = self.state.open
        return head is not None and head.id == named

    @property
    def is_full(self) -> bool:
        """Whether so much was decided for this input that the rest is left to an alarm."""
        return self._bytes > PIECE_BYTES_MAX

    def postpones(self, named: bytes) -> None:
        """Leave to an alarm what transactions of this head are still to be judged."""
        if not self.head(named).postponed:
            self.happens(Postponed(named))

    def happens(self, event: Event) -> None:
        """Decide an event that stays in this node's log."""
        self._decides(content_of(event), self.fold.happened(self.state, event))

    def says(self, message: Message) -> None:
        """Decide an event that all members hear, this one too, once it is stable."""
        content = message.content()
        self._decides(content, self.fold.evolve(self.state, Decided(content)))

    def ignores(self, author: bytes, why: str) -> None:
        """Record that something changed nothing, and why."""
        self.happens(Ignored(author, reason(why)))

    def _decides(self, content: tuple[object, ...], after: State) -> None:
        self.contents.append(content)
        self._bytes += bytes_of(content)
        self.states.append(after)
        self.state = after


def bytes_of(content: object) -> int:
    """No fewer than the content takes in a record.

    >>> bytes_of(("TxApplied", b"head", b"t"))
    105
    """
    match content:
        case bytes():
            return len(content) + 9
        case str():
            return len(content.encode(errors="replace")) + 9
        case tuple() | list():
            return EVENT_OVERHEAD_BYTES + sum(map(bytes_of, content))
        case _:
            return 9
