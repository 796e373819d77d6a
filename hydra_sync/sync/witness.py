"""What a node promises about the logs of others, and how much of what it holds counts. No I/O.

Every promise is durable before it is given: a decision is a `Persist`, and what waits for it is said
when `persisted` tells that it is done. The rules are those of `simulations/model`, by their numbers there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.epoch import Answer, Ballot, majority, order
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.standing import Standing
from hydra_sync.sync.effects import Effect, Persist, Remembers
from hydra_sync.wire import LogState, LogTip, Promise, Refuse

__all__ = ["Witness"]


class Witness:
    """``founding`` is whether this store has never had an epoch of its own; the replicator keeps it true.

    ``unknown`` is whether nobody may know this node's own log. Were such a disk lost, a new one would be
    taken for that of a new node, so nothing that could be missed is said: it is for a founding store, and
    for one made again until somebody shows its log, or its next epoch begins.
    """

    def __init__(
        self,
        *,
        key: SigningKey,
        network: NetworkId,
        members: int,
        store_id: bytes,
        standings: Mapping[MemberKey, Standing],
        founding: bool,
        unknown: bool,
    ) -> None:
        self.founding = founding
        self.unknown = unknown
        self.doubtful = False
        """Whether others say that they hold more of this node's own log than its disk, which nobody has shown yet: if
        that is so, the disk went back unnoticed, and so may have done what it held of other logs."""
        self.standings: Final = dict(standings)
        """What is decided, of every log; it becomes durable before anybody hears of it."""
        self._key = key
        self._network = network
        self._members = members
        self._store_id = store_id
        self._durable: dict[MemberKey, Standing] = dict(standings)

    def counted(self, log: MemberKey, tip: Tip) -> Tip:
        """How much of our replica, durable up to ``tip``, counts as held (rule 4).

        After a promise, what is of an older epoch is only staged.
        """
        standing = self.standings[log]
        return tip if tip.epoch >= standing.promised else min(standing.counted, tip, key=order)

    def state(self, log: MemberKey, tip: Tip) -> LogState:
        """What our word about another member's log, which we hold up to ``tip``, is worth (rules 7, 11 and 13b)."""
        standing = self.standings[log]
        if standing.amnesiac or self._durable[log].amnesiac:
            return LogState.AMNESIAC
        if self.doubtful or (standing.reminded and tip.epoch < standing.promised):
            return LogState.RECOVERING
        return LogState.FOUNDING if self.unknown else LogState.OK

    def prepare(
        self, log: MemberKey, signed: bytes, ballot: Ballot, tip: Tip
    ) -> tuple[Promise | Refuse | None, list[Effect]]:
        """The author of ``log``, which we hold up to ``tip``, asks for a promise: what to say now, what to persist.

        Nothing is said as long as the promise is not durable, or where we may not promise at all.
        """
        standing = self.standings[log]
        is_promised = (standing.promised, standing.start) == (ballot.number, ballot.start)
        if is_promised and standing.answer:
            return self.promised(log), []
        if self._refuses(log, ballot, tip) or self._is_past(ballot, standing):
            return None, []
        floor = max(tip.epoch, standing.promised - is_promised)
        if ballot.number <= floor:
            return Refuse(log, self._key.member, floor, standing.ballot), []
        known = self._knows(log, ballot, tip)
        counted = self.counted(log, tip)
        answer = Answer(ballot.number, ballot.start, counted, known, self._store_id)
        made = replace(
            standing,
            promised=ballot.number,
            start=ballot.start,
            store_id=ballot.store_id,
            answer=answer.sign(self._key, self._network, log),
            ballot=signed,
            counted=counted,
            reminded=standing.reminded and tip.epoch < standing.promised,
        )
        return None, self.decide(log, made)

    def behind_us(self, shown: LogTip, tip: Tip) -> Refuse | None:
        """What to say to an author whose epoch is below what we promised: we could never follow it (rule 8).

        Unless what we promised has begun, and is in our ``tip``: then the author is to see that, and to stop.
        """
        standing = self.standings[shown.log]
        if standing.amnesiac or shown.state is not LogState.OK or shown.tip.epoch >= standing.promised:
            return None
        if tip.epoch >= standing.promised:
            return None
        return Refuse(shown.log, self._key.member, standing.promised, standing.ballot) if standing.ballot else None

    def promised(self, log: MemberKey) -> Promise | None:
        """Our latest answer about a log, if it is durable."""
        standing = self._durable[log]
        if standing != self.standings[log] or not standing.answer:
            return None
        return Promise(log, self._key.member, standing.answer)

    def persisted(self, log: MemberKey, standing: Standing) -> bool:
        """A `Persist` is done; whether it ended amnesia: our word counts from now on."""
        was_amnesiac = self._durable[log].amnesiac
        self._durable[log] = standing
        return was_amnesiac and not standing.amnesiac

    def remember(
        self, held: LogTip, shown: LogTip, signed: bytes, ballot: Ballot | None, amnesiacs: int
    ) -> list[Effect]:
        """The author itself shows its log: perhaps we can be believed again about it (rule 11).

        ``held`` is what we hold, ``ballot`` (``signed`` as it came) what the author's present start asks
        for, ``amnesiacs`` how many members, we among them, say that they are amnesiac. We take over the
        author's tip and ballot, even if we hold more and had promised more.
        """
        log, standing = held.log, self.standings[held.log]
        if not standing.amnesiac or held.holes or shown.state not in {LogState.OK, LogState.RECOVERING}:
            return []
        number = shown.tip.epoch
        if shown.state is LogState.RECOVERING:
            # Fewer than R others may remember more than the author's disk does.
            if ballot is None or amnesiacs <= majority(self._members) - 2:
                return []
            number = max(number, ballot.number)
        if held.tip.epoch != shown.tip.epoch or held.tip.next_seq < shown.tip.next_seq:
            return []
        made = replace(
            standing, counted=shown.tip, amnesiac=False, why="", reminded=shown.tip.epoch < standing.promised
        )
        if number > standing.promised:
            start, store_id = (ballot.start, ballot.store_id) if ballot else (b"", b"")
            reminded = shown.tip.epoch < number
            made = Standing(
                promised=number, start=start, store_id=store_id, ballot=signed, counted=shown.tip, reminded=reminded
            )
        return [*self.decide(log, made), Remembers(log)]

    def forget(self, why: str, *, but: MemberKey | None = None) -> list[Effect]:
        """This store is not what it was taken for: nothing that we say of any log counts, ``but`` of one (rule 13e)."""
        effects: list[Effect] = []
        for log, standing in self.standings.items():
            if log != but and not standing.amnesiac:
                effects += self.decide(log, replace(standing, amnesiac=True, why=why))
        return effects

    @property
    def forgets(self) -> bool:
        """Whether it is decided, and not durable yet, that our word about some log does not count."""
        return any(one.amnesiac and not self._durable[log].amnesiac for log, one in self.standings.items())

    def _refuses(self, log: MemberKey, ballot: Ballot, tip: Tip) -> bool:
        standing = self.standings[log]
        if self.doubtful:
            return True
        if standing.amnesiac:  # if all others know nothing either, the log is new, or every disk is lost (rule 13d)
            return not ballot.founding or self._knows(log, ballot, tip)
        return self.unknown and not ballot.founding  # rule 13b

    @staticmethod
    def _is_past(ballot: Ballot, standing: Standing) -> bool:
        """Whether this start has asked for more since, and its older ballot has come late: a refusal would mislead."""
        return ballot.start == standing.start and ballot.number < standing.promised

    def _knows(self, log: MemberKey, ballot: Ballot, tip: Tip) -> bool:
        standing = self.standings[log]
        return tip != EMPTY or (standing.promised > 0 and standing.store_id != ballot.store_id)

    def decide(self, log: MemberKey, standing: Standing) -> list[Effect]:
        """Stand so about a log from now on."""
        self.standings[log] = standing
        return [Persist(log, standing)]
