"""How this node comes to append: it asks for an epoch of its own log, and waits for those who remember. No I/O.

asking     a ballot is out; answers come in
adopting   enough answers are here, and somebody holds more of our log than our disk: it is fetched
           (or nobody has that after all: who said so is believed only where the others are too few)
sealing    the epoch batch is being made durable
ready      appends go on in this epoch
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.epoch import Answer, Ballot, Grant, enough, epoch_event, open_answer, open_ballot, order, wanted
from hydra_sync.errors import FormatError, PeerError
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.limits import ASK_AGAIN_S, BALLOT_JUMP_MAX, PATIENCE_S_MAX
from hydra_sync.sync.effects import BeginEpoch, Effect
from hydra_sync.wire import Prepare, Promise, Refuse

__all__ = ["Phase", "Starting"]


class Phase(Enum):
    """Where a start stands."""

    ASKING = "asking for promises"
    ADOPTING = "fetching what others hold of its own log"
    SEALING = "beginning the epoch"
    READY = "ready"


@dataclass(slots=True)
class Starting:
    """One start of this node's process. ``start`` is fresh and random."""

    key: SigningKey
    network: NetworkId
    members: Sequence[MemberKey]
    store_id: bytes
    start: bytes
    founding: bool
    without: Collection[MemberKey] = ()
    phase: Phase = Phase.ASKING
    number: int = 0
    answers: dict[MemberKey, tuple[bytes, Answer]] = field(default_factory=dict)
    refusals: dict[MemberKey, int] = field(default_factory=dict)
    """What is to be asked above, by who brought a refusal: anybody can write one in anybody's name."""
    doubted: dict[MemberKey, None] = field(default_factory=dict)
    """Who answered with what could not be had: it is gone with it, or it lied."""
    asked_at: float = 0.0
    begun_at: float = 0.0
    """When the present ballot was first asked for."""
    hurries: int = 0
    """How often refusals were answered with another ballot at once, since it was asked in peace."""
    patience_s: float = ASK_AGAIN_S
    """How long answers to a ballot are waited for that somebody refused, and others need not; it doubles."""
    target: Tip = EMPTY
    """While adopting: what our log must reach before we go on."""
    has_begun: bool = False
    """Whether this start has had an epoch. What is later than that, somebody else has begun."""
    is_over: bool = False
    """Whether somebody else with our key has begun a later epoch, or two histories have been signed with it: this
    start asks and begins nothing any more."""

    @property
    def me(self) -> MemberKey:
        return self.key.member

    @property
    def is_ready(self) -> bool:
        return self.phase is Phase.READY

    @property
    def _whole(self) -> int:
        """How many answers are enough, with nobody given up."""
        return enough(self.answers, self.members, founding=self.founding)

    @property
    def needed(self) -> int:
        """How many answers are waited for, of those who have answered or may."""
        return wanted(self.answers, self.members, founding=self.founding, without=tuple(self.without))

    @property
    def may_begin_alone(self) -> bool:
        """Whether the operator's word is enough, if nobody who may answer remembers our own log."""
        return self.asks and enough((), self.members, founding=self.founding, without=tuple(self.without)) == 0

    def ask(self, above: int, now: float) -> Prepare:
        """Begin with a new ballot, above ``above``: answers to another one are void (rule 1)."""
        self.number = above + 1
        self.answers.clear()
        self.refusals.clear()
        self.begun_at = now
        self.phase = Phase.ASKING
        return self.prepare(now)

    def prepare(self, now: float) -> Prepare:
        """The present ballot, for all who have not answered it."""
        self.asked_at = now
        return Prepare(
            self.me, Ballot(self.number, self.start, self.store_id, self.founding).sign(self.key, self.network)
        )

    def ask_again(self, now: float) -> Prepare:
        """What to send when answers are still missing: the same ballot, or in the end one above the refusals."""
        self.hurries = 0
        if not self.refusals or not (self._is_shut or now >= self.begun_at + self.patience_s):
            return self.prepare(now)
        self.patience_s = min(2 * self.patience_s, PATIENCE_S_MAX)
        return self.ask(self.floor, now)

    @property
    def floor(self) -> int:
        """What the next ballot must be above: the present one, and all that it was refused for."""
        return max((self.number, *self.refusals.values()))

    def doubt(self) -> None:
        """What our log must reach cannot be had: believe those who answered with it only where there is need."""
        for witness, (_, answer) in self.answers.items():
            if order(answer.tip) >= order(self.target):
                self.doubted[witness] = None

    def take(self, promise: Promise) -> bool:
        """Count an answer; whether it was news. Raises `PeerError` if its witness did not sign it."""
        if self.phase not in (Phase.ASKING, Phase.ADOPTING) or promise.witness in (*self.answers, self.me):
            return False
        if promise.witness not in self.members:
            raise PeerError("an answer of somebody who is no member")
        try:
            answer = open_answer(promise.answer, self.network, self.me, promise.witness)
        except FormatError as error:
            raise PeerError(f"an answer of {promise.witness.hex()[:8]} that is none: {error}") from error
        if (answer.number, answer.start) != (self.number, self.start):
            return False  # to an older ballot of ours, or to an earlier start (rule 3)
        self.answers[promise.witness] = promise.answer, answer
        return True

    def refused(self, message: Refuse, bringer: MemberKey, now: float) -> Prepare | None:
        """A witness has promised or holds so much: ask above it. Nobody can push the numbers to their end.

        As long as enough others may answer, they are waited for first: else one who refuses everything, or says
        so for all, could hold up every start. Once we append we ask again only if we see that we ourselves asked
        for that epoch, in an earlier start: whoever promised it then could never follow us (rule 8).
        """
        promised = min(message.promised, self.number + BALLOT_JUMP_MAX)
        if self.phase is Phase.SEALING or self.is_over or promised < self.number:
            return None
        if self.phase is Phase.READY:
            try:
                asked = open_ballot(message.ballot, self.network, self.me)
            except FormatError:
                return None
            if asked.number != message.promised or asked.number == self.number:
                return None
            return self.ask(asked.number, now)
        self.refusals[bringer] = max(promised, self.refusals.get(bringer, 0))
        if self.phase is Phase.ADOPTING:  # enough have granted this ballot; one that follows it will be above
            return None
        if not self._is_shut or self.hurries >= len(self.members):  # as many may each know of a higher one, no more
            return None
        self.hurries += 1
        return self.ask(self.floor, now)

    @property
    def _is_shut(self) -> bool:
        """Whether too few are left who may yet answer the present ballot."""
        closed = {*self.refusals, *self.without} - self.answers.keys()
        return len(self.members) - 1 - len(closed) < self.needed

    def begin_alone(self, tip: Tip) -> list[Effect]:
        """Nobody is left who remembers, and the operator has said so: on what our own disk holds."""
        self.phase = Phase.ADOPTING
        return self.step(tip)

    @property
    def was_known(self) -> bool:
        """Whether a founding author learned that it has been here before: it has lost its disk (rule 13c)."""
        return self.founding and any(answer.known for _, answer in self.answers.values())

    def step(self, tip: Tip) -> list[Effect]:
        """What follows from the answers and from how far our own log is durable: ``tip``."""
        if self.is_over:
            return []
        if self.phase is Phase.ASKING and len(self.answers) >= max(1, self.needed):
            self.phase = Phase.ADOPTING
        if self.phase is Phase.ADOPTING:
            liars = [witness for witness, (_, answer) in self.answers.items() if _is_false(answer.tip, tip)]
            self.doubted |= dict.fromkeys(liars)
            chosen = self._chosen()
            self.target = max((answer.tip for _, answer in chosen.values()), key=order, default=EMPTY)
            if order(tip) >= order(self.target) and chosen.keys().isdisjoint(liars):
                self.phase = Phase.SEALING
                answers = {witness: signed for witness, (signed, _) in chosen.items()}
                grant = Grant(self.number, self.start, self.founding, answers, tuple(self.without))
                return [BeginEpoch(self.number, epoch_event(grant))]
        if self.phase is Phase.SEALING and tip.epoch == self.number:
            self.phase, self.has_begun = Phase.READY, True
            self.doubted.clear()
            self.patience_s = ASK_AGAIN_S
        return []

    def _chosen(self) -> dict[MemberKey, tuple[bytes, Answer]]:
        """The answers to go by, the first that are enough; of those in doubt none, if there are enough others."""
        sure = {witness: answer for witness, answer in self.answers.items() if witness not in self.doubted}
        able = sure if len(sure) >= self.needed else self.answers
        return dict(islice(able.items(), self._whole))

    @property
    def asks(self) -> bool:
        """Whether answers are wanted."""
        return self.phase is Phase.ASKING and not self.is_over

    def is_due(self, now: float) -> bool:
        """Whether to ask again those who have not answered: they may have had to wait, or been away."""
        return self.asks and now >= self.asked_at + ASK_AGAIN_S

    @property
    def holders(self) -> list[MemberKey]:
        """While our log is fetched: who answered with what it must reach."""
        if self.phase is not Phase.ADOPTING:
            return []
        return [witness for witness, (_, answer) in self._chosen().items() if order(answer.tip) == order(self.target)]

    def silent(self) -> list[MemberKey]:
        """Whom we wait for: the members who have not answered."""
        return [member for member in self.members if member != self.me and member not in self.answers]


def _is_false(answered: Tip, ours: Tip) -> bool:
    """Whether an answer names another batch than ours for the end of our log. We sign one: that is a lie."""
    return order(answered) == order(ours) and answered.hash != ours.hash
