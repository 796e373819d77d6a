"""What the members agree on about each log: promises, starting, what is stable. No I/O.

`witness` holds what this node promised about other logs, `starting` how it comes to append to its own,
`stability` what is durable on a majority, `relaying` passes on what is signed; this puts them together.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hydra_sync.chain import EMPTY
from hydra_sync.epoch import Ballot, open_answer, open_ballot, order
from hydra_sync.errors import FormatError, PeerError
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.limits import ADOPT_S, ASK_AGAIN_S, BALLOT_JUMP_MAX, DOUBT_S, YIELD_S
from hydra_sync.standing import Standing
from hydra_sync.sync.effects import BecameStable, Effect, EndFounding, LostDisk, Send, Started, TipsDue
from hydra_sync.sync.relaying import Relaying
from hydra_sync.sync.session import Session
from hydra_sync.sync.stability import Stability
from hydra_sync.sync.starting import Phase, Starting
from hydra_sync.sync.witness import Witness
from hydra_sync.wire import LogState, LogTip, Message, Prepare, Promise, Refuse, Stable

__all__ = ["Agreement"]


class Agreement:
    """``sessions``, ``nodes`` and ``held`` are the replicator's own, and only read.

    ``start`` is a fresh random name of this start where the node proves its epoch, None where it
    trusts its disk and goes on in the epoch that it finds there.
    """

    def __init__(
        self,
        *,
        key: SigningKey,
        network: NetworkId,
        members: Sequence[MemberKey],
        store_id: bytes,
        founding: bool,
        standings: Mapping[MemberKey, Standing],
        start: bytes | None,
        held: Mapping[MemberKey, LogTip],
        sessions: Mapping[int, Session],
        nodes: Mapping[MemberKey, int],
        forked_at: Callable[[MemberKey], int | None],
    ) -> None:
        self.me: Final = key.member
        self._network = network
        self._members = members
        self._held = held
        self._sessions = sessions
        self._nodes = nodes
        self._forked_at = forked_at
        proves = start is not None and len(members) > 1
        founding = founding and proves and held[self.me].tip == EMPTY
        own = standings[self.me]
        self.witness: Final = Witness(
            key=key,
            network=network,
            members=len(members),
            store_id=store_id,
            standings=standings,
            founding=founding,
            unknown=founding or (proves and own.amnesiac and held[self.me].tip == EMPTY),
        )
        self.starting: Final = (
            Starting(key, network, members, store_id, start, founding, own.without) if start and proves else None
        )
        if forked_at(self.me) is not None:
            self.end()
        self.stability: Final = Stability(self.me, len(members))
        for log, tip in held.items():  # what our own copies prove, with nobody here
            self.stability.update(tip.tip, self.shown(log), forked_at(log))
        self._relaying: Final = Relaying(self.me, network, held, sessions, nodes)
        self._promised_above = 0
        self._asked_at: dict[MemberKey, float] = {}
        """When somebody last asked for what we have promised, or could, until its author is looked at again."""
        self._adopted_at = 0.0
        """When this start came to adopt our own log, or last got more of it."""
        self._adoptable_at = 0.0
        """When somebody here last showed what our own log must reach, or this start came to adopt it."""

    @property
    def is_ready(self) -> bool:
        """Whether this node may append to its own log."""
        return self.starting is None or self.starting.is_ready

    @property
    def has_begun(self) -> bool:
        """Whether this start has begun an epoch: a later one that it did not begin is somebody else's."""
        return self.starting is not None and self.starting.has_begun

    @property
    def adopts(self) -> bool:
        """Whether our own log is to be fetched from others now."""
        return self.starting is not None and self.starting.phase is Phase.ADOPTING and not self.has_begun

    def end(self) -> None:
        """Somebody else has begun a later epoch of our own log, or it is forked: ask for none any more."""
        if self.starting is not None:
            self.starting.is_over = True

    def shown(self, log: MemberKey) -> LogTip:
        """What we tell others that we hold of a log: what counts."""
        held = self._held[log]
        if self._forked_at(log) is not None:
            return replace(held, state=LogState.FORKED)
        if log != self.me:
            tip, state = self.witness.counted(log, held.tip), self.witness.state(log, held.tip)
            same = tip is held.tip and state is held.state  # nearly always, and a copy costs more than all else here
            return held if same else replace(held, tip=tip, state=state)
        if self.is_ready:
            return held
        lost, founding = self.witness.standings[log].amnesiac, self.witness.founding
        state = LogState.AMNESIAC if lost else LogState.FOUNDING if founding else LogState.RECOVERING
        return replace(held, state=state)

    # What others show

    def introduced(self, session: Session, now: float) -> list[Effect]:
        """A member's node has shown its tips for the first time."""
        starting = self.starting
        effects = self._relaying.introduced(session)
        if starting is not None and starting.asks:
            effects.append(Send(session.link, self._ask(now) if starting.number == 0 else starting.prepare(now)))
        if self.stability.stable.get(self.me) and self.stability.authors_word_matters:
            session.words_due[self.me] = None
            effects.append(TipsDue(session.link))
        for log in self.stability.stable:
            effects += self._tell_of(log, session)
        return effects

    def parted(self, peer: MemberKey) -> list[Effect]:
        """A member is not connected any more."""
        if peer in self._nodes:
            return []
        return [*self._tell_all_of(peer), *self.restable(peer), *self._relaying.parted(peer)]

    def tips(self, session: Session, tip: LogTip, now: float) -> list[Effect]:
        """A member's node shows what it holds of a log."""
        log = tip.log
        self.stability.shown(session.peer, tip)
        effects = self.restable(log)
        if log == self.me:
            if self.witness.founding and tip.tip != EMPTY:
                effects += self._lost_disk(tip.tip.next_seq, now)
            elif self.witness.unknown and tip.tip != EMPTY:
                self.witness.unknown = False
                effects += self._show_all()
            self._promised_above = max(self._promised_above, min(tip.tip.epoch, BALLOT_JUMP_MAX))
        elif session.peer == log:
            effects += self._refuse_behind(log, now)
            if tip.state is not LogState.OK:  # it does not know any more what is stable
                effects += self._tell_all_of(log)
        return effects + self._remember(log)

    def adopted(self) -> list[Effect]:
        """Records of our own log have come that our disk does not hold: it did go back, and others did not lie."""
        if not self.witness.doubtful:
            return []
        self.witness.doubtful = False
        return self._forget_replicas("its own log was short when it started")

    @property
    def forgets(self) -> bool:
        """Whether it has to become durable first that our word about some log does not count.

        Until then our own log stays as it is: nothing else would tell the next start what this one has learned.
        """
        return self.witness.forgets

    def appended(self, log: MemberKey, now: float) -> list[Effect]:
        """Our copy of a log, or our own log, has another durable tip."""
        effects: list[Effect] = []
        if log == self.me:
            self._adopted_at = now
            effects += self._step(now)
        return [*effects, *self.restable(log), *self._remember(log)]

    def restable(self, log: MemberKey) -> list[Effect]:
        """Look how far a log is stable now."""
        tip = self._held[log].tip
        if tip.next_seq <= self.stability.stable.get(log, 0):
            return []  # all that we hold is
        is_silent = self._is_silent(log)
        reach = self.stability.update(tip, self.shown(log), self._forked_at(log), is_silent=is_silent)
        if reach is None:
            return []
        effects: list[Effect] = [BecameStable(log, reach)]
        if is_silent:
            effects += self._tell_all_of(log)
        if log == self.me and self.stability.authors_word_matters:
            for link in self._nodes.values():
                self._sessions[link].words_due[log] = None
                effects.append(TipsDue(link))
        return effects

    # Messages

    def open(self, message: Prepare) -> Ballot:
        """The ballot in a message. Raises `PeerError` if its author did not sign it."""
        log = message.log
        self._require_member(log)
        try:
            return open_ballot(message.ballot, self._network, log)
        except FormatError as error:
            raise PeerError(f"a ballot of log {log.hex()[:8]} that its author did not sign: {error}") from error

    def prepare(self, session: Session, message: Prepare, ballot: Ballot, now: float) -> list[Effect]:
        """An author asks for an epoch, here or through a relay."""
        log = message.log
        if log == self.me or self._forked_at(log) is not None:
            return []
        self._relaying.hear(session, message, ballot)
        said, effects = self.witness.prepare(log, message.ballot, ballot, self._held[log].tip)
        if ballot.number >= self.witness.standings[log].promised:
            self._asked_at[log] = now
        if said is not None:
            # Back the way it came, too, and each time: that may be the only way to the author.
            back: list[Effect] = [Send(session.link, said)]
            number = said.promised if isinstance(said, Refuse) else ballot.number
            to_itself = isinstance(said, Refuse) and session.peer == log
            others = [] if to_itself else self._relaying.answer(said, number, None, now)
            effects += back + [effect for effect in others if effect not in back]
        passed_on = self._relaying.ask(message, ballot, session, now, is_answered=bool(effects))
        return [*effects, *self._remember(log), *passed_on]

    def promise(self, session: Session, message: Promise, now: float) -> list[Effect]:
        """A witness's answer, to us or to be passed on."""
        self._require_member(message.log)
        self._require_member(message.witness)
        if message.log != self.me:
            try:
                answer = open_answer(message.answer, self._network, message.log, message.witness)
            except FormatError as error:
                raise PeerError(f"an answer that its witness did not sign: {error}") from error
            return self._relaying.answer(message, answer.number, session.link, now)
        if self.starting is None or not self.starting.take(message):
            return []
        if self.starting.was_known:
            return self._lost_disk(0, now)
        return self._step(now)

    def refuse(self, session: Session, message: Refuse, now: float) -> list[Effect]:
        """A witness has promised more, or so says somebody."""
        self._require_member(message.log)
        self._require_member(message.witness)
        if message.log != self.me:
            return self._relaying.answer(message, message.promised, session.link, now)
        was_ready = self.is_ready
        again = self.starting.refused(message, session.peer, now) if self.starting else None
        if again is None:
            return []
        return [*(self._show(self.me) if was_ready else ()), *self._tell_all(again)]

    def stable(self, session: Session, message: Stable) -> list[Effect]:
        """A member's word about its own log, or about that of another."""
        self._require_member(message.log)
        self.stability.told(session.peer, message.log, message.epoch, message.next_seq)
        session.told_stable[message.log] = max(message.next_seq, session.told_stable.get(message.log, 0))
        return self.restable(message.log)

    def taken(self, log: MemberKey, next_seq: int) -> list[Effect]:
        """Our application took a log, when it was stable, up to here, which this process need not know."""
        self.stability.taken(log, next_seq)
        return self.restable(log)

    def persisted(self, log: MemberKey, standing: Standing, now: float) -> list[Effect]:
        """A `Persist` is done: what waited for it can be said, and done."""
        remembers = self.witness.persisted(log, standing)
        effects: list[Effect] = self._show(log) if remembers else []
        if standing.amnesiac:
            effects += self._step(now)
        if self._relaying.asks(log) and (promise := self.witness.promised(log)) is not None:
            effects += self._relaying.answer(promise, standing.promised, None, now)
        return [*effects, *self.restable(log)]

    def epoch_void(self, epoch: int, now: float) -> list[Effect]:
        """What we were about to begin is below what our own log has had meanwhile: ask for one above that."""
        starting = self.starting
        if starting is None or starting.phase is not Phase.SEALING or starting.number != epoch or starting.is_over:
            return []
        return self._tell_all(self._ask(now))

    # Time

    def tick(self, now: float) -> list[Effect]:
        """Ask again who has not answered."""
        due = [log for log, asked_at in self._asked_at.items() if asked_at + YIELD_S <= now]
        effects = [effect for log in due for effect in self._refuse_behind(log, now)] + self._relaying.tick(now)
        if self.starting is None or self.starting.number == 0:
            return effects
        if self.starting.may_begin_alone and not self.forgets and self._nobody_remembers():
            return [*effects, *self.starting.begin_alone(self._held[self.me].tip)]
        if self._adopts_in_vain(now):
            self.starting.doubt()
            return [*effects, *self._tell_all(self._ask(now))]
        if not self.starting.is_due(now):
            return effects
        return [*effects, *self._tell_all(self.starting.ask_again(now))]

    def deadline(self) -> float:
        """When `tick` has something to do that has its time; a look at other authors goes with any tick."""
        starting = self.starting
        if starting is None or starting.number == 0 or not starting.asks:
            return self._relaying.deadline()
        return min(starting.asked_at + ASK_AGAIN_S, self._relaying.deadline())

    # Inside

    def _ask(self, now: float) -> Prepare:
        assert self.starting is not None
        return self.starting.ask(max(self._held[self.me].tip.epoch, self._promised_above, self.starting.floor), now)

    def _adopts_in_vain(self, now: float) -> bool:
        """Whether nobody here has had what our own log must reach, or sent of it, for so long that all are asked again.

        Who alone held it has answered, and is gone; or has lied. A new start would not wait for it.
        """
        starting = self.starting
        if starting is None or starting.phase is not Phase.ADOPTING or starting.is_over:
            return False
        if self._can_adopt(starting):
            self._adoptable_at = now
            return now >= self._adopted_at + DOUBT_S
        return now >= self._adoptable_at + ADOPT_S

    def _nobody_remembers(self) -> bool:
        """Whether all whom the operator did not give up are here, and nobody here knows our own log any more."""
        assert self.starting is not None
        for member in self._members:
            link = self._nodes.get(member)
            shown = self._sessions[link].counted.get(self.me) if link is not None else None
            knows_nothing = shown is not None and shown.state is LogState.AMNESIAC
            if member != self.me and not (knows_nothing or (link is None and member in self.starting.without)):
                return False
        return True

    def _can_adopt(self, starting: Starting) -> bool:
        shown = (self._sessions[link].counted.get(self.me) for link in self._nodes.values())
        return any(order(tip.tip) >= order(starting.target) for tip in shown if tip is not None)

    def _refuse_behind(self, log: MemberKey, now: float) -> list[Effect]:
        """Tell an author that appends in an epoch that we cannot follow to ask for a later one.

        Not while another process with its key asks for one: that shall begin it, and the author see it and stop.
        Then it is looked at again, though it says nothing: what was asked may have been an earlier start's.
        """
        if now < self._asked_at.get(log, -math.inf) + YIELD_S:
            return []
        self._asked_at.pop(log, None)
        link = self._nodes.get(log)
        shown = self._sessions[link].counted.get(log) if link is not None else None
        refusal = self.witness.behind_us(shown, self._held[log].tip) if shown is not None else None
        return [] if link is None or refusal is None else [Send(link, refusal)]

    def _step(self, now: float) -> list[Effect]:
        starting = self.starting
        if starting is None or self.is_ready or self.forgets:
            return []
        tip = self._held[self.me].tip
        was = starting.phase
        if was is Phase.ADOPTING and tip.epoch >= starting.number:  # another process with our key has begun that
            return self._tell_all(self._ask(now))
        effects = starting.step(tip)
        if was is Phase.ASKING and starting.phase is Phase.ADOPTING:
            self._adopted_at = self._adoptable_at = now
        if was is Phase.ASKING and starting.phase is Phase.ADOPTING and order(starting.target) > order(tip):
            effects.append(LostDisk(starting.target.next_seq))
            if not self.witness.standings[self.me].amnesiac:
                self.witness.doubtful = True
                effects += self._show_all()
        if starting.is_ready:
            effects += self._begun(starting)
        return effects

    def _begun(self, starting: Starting) -> list[Effect]:
        """Our epoch batch is durable."""
        effects: list[Effect] = [Started(starting.number)]
        own = self.witness.standings[self.me]
        if own.amnesiac or own.without:
            effects += self.witness.decide(self.me, Standing())
        if self.witness.founding or starting.founding:
            self.witness.founding = False
            effects.append(EndFounding())
        self.witness.unknown = self.witness.doubtful = False
        return [*effects, *self._show_all()]

    def _lost_disk(self, next_seq: int, now: float) -> list[Effect]:
        """We took ourselves for new, and are not (rules 13c and 13e)."""
        starting = self.starting
        assert starting is not None
        self.witness.founding = self.witness.unknown = self.witness.doubtful = starting.founding = False
        starting.start = hashlib.sha256(starting.start).digest()[: len(starting.start)]
        why = "this store was made anew over a lost disk"
        effects = [*self.witness.forget(why), *self._remember_all()]
        again = self._ask(now)
        return [LostDisk(next_seq), *effects, EndFounding(), *self._show_all(), *self._tell_all(again)]

    def _forget_replicas(self, why: str) -> list[Effect]:
        return [*self.witness.forget(why, but=self.me), *self._remember_all(), *self._show_all()]

    def _remember_all(self) -> list[Effect]:
        # What was lost was lost before this start, and what authors have shown they have shown since.
        return [effect for log in self._held for effect in self._remember(log)]

    def _remember(self, log: MemberKey) -> list[Effect]:
        if log == self.me or not self.witness.standings[log].amnesiac:
            return []
        link = self._nodes.get(log)
        shown = self._sessions[link].counted.get(log) if link is not None else None
        if shown is None:
            return []
        amnesiacs = 1 + sum(
            (tip := self._sessions[other].counted.get(log)) is not None and tip.state is LogState.AMNESIAC
            for peer, other in self._nodes.items()
            if peer != log
        )
        source, signed, ballot = self._relaying.ballots.get(log, (None, b"", None))
        is_other = ballot is not None and shown.state is LogState.OK and ballot.number != shown.tip.epoch
        if source != link or is_other:
            signed, ballot = b"", None
        return self.witness.remember(self._held[log], shown, signed, ballot, amnesiacs)

    def _show(self, log: MemberKey) -> list[Effect]:
        return [self._sessions[link].show(log) for link in self._nodes.values()]

    def _show_all(self) -> list[Effect]:
        """Our word about all logs counts otherwise than it did: for the others, and for ourselves."""
        return [effect for log in self._held for effect in (*self._show(log), *self.restable(log))]

    def word(self, log: MemberKey) -> Stable:
        """What we say of a log."""
        own = log == self.me  # those who are told are in its present epoch
        epoch = self._held[log].tip.epoch if own else self.stability.counted_in.get(log, 0)
        return Stable(log, epoch, self.stability.stable.get(log, 0))

    def _is_silent(self, log: MemberKey) -> bool:
        """Whether the author of a log is not here to say how far it is stable, or does not know."""
        link = self._nodes.get(log)
        shown = self._sessions[link].counted.get(log) if link is not None else None
        return log != self.me and (shown is None or shown.state is not LogState.OK)

    def _tell_of(self, log: MemberKey, session: Session) -> list[Effect]:
        """Tell one member how far the log of another is stable, where that one does not."""
        stable = self.stability.stable.get(log, 0)
        if session.peer == log or stable <= session.told_stable.get(log, 0):
            return []
        if not self._is_silent(log) or self._forked_at(log) is not None:
            return []
        session.told_stable[log] = stable
        session.words_due[log] = None
        return [TipsDue(session.link)]

    def _tell_all_of(self, log: MemberKey) -> list[Effect]:
        return [effect for link in self._nodes.values() for effect in self._tell_of(log, self._sessions[link])]

    def _require_member(self, member: MemberKey) -> None:
        if member not in self._held:
            raise PeerError(f"{member.hex()[:8]} is no member")

    def _tell_all(self, message: Message) -> list[Effect]:
        return [Send(link, message) for link in self._nodes.values()]
