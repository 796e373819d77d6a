"""States and steps of the model: one author's log, the author and its n-1 witnesses. No I/O.

What each field stands for in the product is told in ``README.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from simulations.model.chains import Chain

__all__ = [
    "NO_PROMISE",
    "NO_TWIN",
    "Act",
    "Answer",
    "Author",
    "Bounds",
    "Budget",
    "Mode",
    "Promised",
    "State",
    "Step",
    "Twin",
    "Witness",
]


class Mode(IntEnum):
    """What the author is doing."""

    READY = 0  # may append
    STARTING = 1  # has its disk, or is founding
    WIPED = 2  # knows that its disk was lost: its own log is to be recovered from others


class Promised(NamedTuple):
    """A promise: the ballot, and the start of the author that asked (its nonce; a number here)."""

    ballot: int
    start: int


NO_PROMISE: Final = Promised(0, 0)


class Answer(NamedTuple):
    """A signed answer to ``Prepare``: what was promised, and the witness's tip at that moment."""

    promised: Promised
    tip: Chain


class Twin(NamedTuple):
    """An older process with the author's key, which goes on as it was: appending, or starting."""

    chain: Chain
    asked: Promised  # what its start asks for; NO_PROMISE when it may append


NO_TWIN: Final = Twin((), NO_PROMISE)


class Author(NamedTuple):
    """The node whose log this is."""

    chain: Chain  # its log as its disk has it
    mode: Mode
    founding: int  # 0, or its store says: made by init before this start, never granted an epoch
    ballot: int  # of the present start; 0 when none is picked
    short: bool  # history: its disk lost something unnoticed, and no start has been granted since
    twin: Twin


class Witness(NamedTuple):
    """Another member's replica of the log. All witnesses are alike, so their order means nothing."""

    chain: Chain  # its replica, as it believes it durable: its tip
    synced: Chain  # what a power cut would leave of it
    promised: Promised
    amnesiac: bool
    founding: bool
    known: bool  # somebody knows this member's own log, or an epoch of it
    shown: tuple[Chain, ...]  # history: tips that anybody may still count as its receipts
    answers: tuple[Answer, ...]  # its answers that may still reach the author
    given: Promised  # history: the highest promise this store ever gave


class Budget(NamedTuple):
    """What may still happen. Faults cost; everything else is free."""

    events: int = 1  # appended
    crashes: int = 0  # the author's process, disk intact
    wipes: int = 0  # noticed loss of the author's disk: `recover`
    lies: int = 0  # unnoticed loss: lying disk, restored backup
    inits: int = 0  # `init` over a lost disk, author or witness
    twins: int = 0  # a second process with the author's key
    witness_wipes: int = 0  # noticed loss of a witness's disk
    cuts: int = 0  # a witness's opening cuts the tail
    witness_lies: int = 0  # unnoticed loss at a witness: replica and promise of an older day
    restarts: int = 0  # a witness's process
    kills: int = 0  # a witness's process killed between write and sync
    power_cuts: int = 0  # at a witness
    bumps: int = 0  # a byzantine author commits an epoch batch where it likes


class State(NamedTuple):
    """Everything. Hashable; compare with ``canonical`` of the model, which forgets who is who."""

    author: Author
    witnesses: tuple[Witness, ...]
    relayed: tuple[Chain, ...]  # batches no node holds any more, but still under way: may arrive at any time
    starts: int  # how often the author has started
    left: Budget


class Act(Enum):
    """Kinds of steps, in words."""

    APPEND = "the author appends and syncs a batch"
    TWIN_APPEND = "the older process with the same key appends a batch"
    TWIN_PROMISE = "promises to the older process with the author's key, persists it, and answers"
    TWIN_COMMIT = "the older process with the same key commits an epoch batch"
    FETCH = "takes over batches"
    PREPARE = "the author picks a ballot and sends Prepare"
    PROMISE = "promises, persists it, and answers"
    REFUSE = "refuses: it has promised as much already"
    COMMIT = "the author commits an epoch batch"
    CLIMB = "the author learns of a promise above its epoch and starts again, in the same process"
    CAUGHT_UP = "has caught up: its amnesia ends"
    RECOGNISED = "is recognised as having been here: its store is a lost disk"
    FOUNDED = "is granted the first epoch of its own log"
    CRASH = "the author's process crashes and starts again"
    WIPE = "the author's disk is lost, and is known to be"
    LIE = "the author's disk loses its end, unnoticed, and the author starts again"
    INIT = "the author's disk is lost; init makes a founding store over it"
    TWIN = "a second process starts with the author's key and a copy of its disk"
    WITNESS_WIPE = "loses its disk, and knows it"
    WITNESS_INIT = "loses its disk; init makes a founding store over it"
    CUT = "opens its store and cuts a torn tail"
    WITNESS_LIE = "goes back to an older day, unnoticed"
    RESTART = "crashes and starts again"
    KILL = "takes over batches, is killed before the sync, and opens again"
    POWER_CUT = "loses what was only in its page cache"
    BUMP = "the byzantine author commits an epoch batch where it likes"

    @property
    def is_fault(self) -> bool:
        """Whether it needs bad luck: what must be possible again is reached without these."""
        return self in FAULTS


FAULTS: Final = frozenset(list(Act)[list(Act).index(Act.CRASH) :])


class Step(NamedTuple):
    """One step: what happens, to which witness (0: the author), with which chain, and number.

    ``chain``: the batches taken over, committed on, or left over. ``number``: the ballot.
    """

    act: Act
    who: int = 0
    chain: Chain = ()
    number: int = 0


@dataclass(frozen=True)
class Bounds:
    """How large a world to search: n nodes, what may happen in it, and how it begins."""

    nodes: int = 3
    budget: Budget = field(default_factory=Budget)
    founding: bool = False  # begin with n empty founding stores; else founded, with an empty log
    relayed: bool = True  # batches outlive the nodes that held them
    partial: bool = True  # a fetch may end early
    away: int = 0  # witnesses that do nothing any more when what must stay possible is looked for
    beyond: bool = False  # allow more unnoticed losses at once than can be survived

    def __post_init__(self) -> None:
        if not 2 <= self.nodes <= 9:
            raise ValueError(f"{self.nodes} nodes: the model is for 2 to 9")
        if not 0 <= self.away < self.nodes:
            raise ValueError(f"{self.away} of {self.nodes - 1} witnesses cannot be away")

    @property
    def author_keeps_disk(self) -> bool:
        """Whether nothing that may happen takes anything off the author's disk."""
        budget = self.budget
        return not (budget.wipes or budget.lies or budget.inits or budget.twins or budget.bumps)

    @property
    def majority(self) -> int:
        """q."""
        return self.nodes // 2 + 1

    @property
    def present(self) -> int:
        """Witnesses that are not away; theirs are the first places."""
        return self.nodes - 1 - self.away

    @property
    def answers(self) -> int:
        """R: others that meet every majority."""
        return self.nodes - self.majority + 1
