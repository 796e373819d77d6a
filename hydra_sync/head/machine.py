"""The Hydra head as a machine over the logs of its members. No I/O.

Client commands, what was observed on layer 1 and what members say are its inputs; what it decides is either
said to all members (`messages`) or stays in this node's log (`events`). All that it knows is a fold of records.

It is made for uniform delivery, where an event is heard once it is stable. A signature is given only after the
decision to give it was heard back in this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra_sync.errors import UsageError
from hydra_sync.head.answering import answers_of
from hydra_sync.head.answers import Answers
from hydra_sync.head.bounds import HeadLimits
from hydra_sync.head.deciding import decided
from hydra_sync.head.evolving import Fold
from hydra_sync.head.freezing import Freezer
from hydra_sync.head.hearing import Hearing
from hydra_sync.head.ledger import Ledger
from hydra_sync.head.messages import is_message
from hydra_sync.head.state import State
from hydra_sync.head.steps import Steps
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.machine import Decided, Input, Record

__all__ = ["HeadMachine"]


@dataclass(frozen=True, slots=True)
class HeadMachine:
    """A member's head. Without its key the machine folds what was decided, and decides nothing.

    >>> from hydra_sync.head.simple_tx import SimpleLedger
    >>> machine = HeadMachine(SigningKey(bytes(32)).member, SimpleLedger())
    >>> machine.answers(machine.start).status.value
    'idle'
    """

    member: MemberKey
    ledger: Ledger
    key: SigningKey | None = None
    limits: HeadLimits = field(default_factory=HeadLimits)
    _fold: Fold = field(init=False, repr=False)
    _freezer: Freezer = field(init=False, repr=False)
    _steps: Steps = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.key is not None and self.key.member != self.member:
            raise UsageError("a head signs with the key of its member")
        object.__setattr__(self, "_fold", Fold(Hearing(self.ledger, self.member)))
        object.__setattr__(self, "_freezer", Freezer(self.ledger))
        object.__setattr__(self, "_steps", Steps())

    @property
    def name(self) -> str:
        """With the ledger's: a head goes on with the ledger that it began with."""
        return f"head/{self.ledger.name}"

    @property
    def start(self) -> State:
        """No head, and nothing observed of layer 1."""
        return State()

    def decide(self, state: State, cause: Input) -> Sequence[object]:
        """The contents of the events that follow. Raises `RejectedError` for a command that cannot be."""
        if self.key is None:
            raise UsageError("a head decides with its member's key")
        draft = decided(self._fold, self.key, self.limits, state, cause)
        records = (cause, *(Decided(content) for content in draft.contents))
        self._steps.remember(state, records, draft.states)
        return draft.contents

    def evolve(self, state: State, record: Record) -> State:
        """The state after a record. Raises `FormatError` for a decision that no head has made."""
        known = self._steps.after(state, record)
        return self._fold.evolve(state, record) if known is None else known

    def hears(self, content: object) -> bool:
        """Whether members hear it: ReqTx, ReqSn and AckSn, and Signing, which only its author heeds."""
        return is_message(content)

    def alarm_us(self, state: State) -> int | None:
        """At once, if more is to be done than one input may decide on; a head waits for no time to pass.

        That a deadline did is observed on layer 1.
        """
        return state.alarms if state.unfinished else None

    def freeze(self, state: State) -> object:
        """The state as a CBOR value."""
        return self._freezer.freeze(state)

    def thaw(self, frozen: object) -> State:
        """The state that was frozen. Raises `FormatError`."""
        return self._freezer.thaw(frozen)

    def answers(self, state: State) -> Answers:
        """The four answers."""
        return answers_of(self.ledger, state)
