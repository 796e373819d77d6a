"""What authors and witnesses sign for each other goes through whoever can bring it (design: 7, topology). No I/O.

A ballot is flooded. An answer goes to its author where we are connected to that, to everybody where not,
and is kept for when the author comes. Of each author's ballots, of each witness's promises to it and of all
refusals of it, only what is newer than the last goes on, once over each connection, and no more than one in
`PASS_AGAIN_S`: what is newer still waits. So memory is bounded, nothing goes in circles, and who says much
cannot hide what others say. A ballot that is asked again goes again: who was silent may be able to answer now.

A refusal is not signed, and anybody may name any witness: which one it names makes no difference, and the
highest goes on, as an author asks above it and so above all others. What counts is begun anew with each
ballot, so a lie hides nothing from the next. Those that show what the author signed are a kind of their own:
an author that appends believes no others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hydra_sync.epoch import Ballot, open_ballot
from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import PASS_AGAIN_S
from hydra_sync.sync.effects import Effect, Send
from hydra_sync.sync.session import Session
from hydra_sync.wire import LogTip, Prepare, Promise, Refuse

__all__ = ["Relaying"]

_Signed = Prepare | Promise | Refuse
_Kind = tuple[MemberKey, MemberKey | str]
"""A log, and of what its messages are: ballots, refusals, or the promises of a witness."""

_BALLOTS: Final = "ballots"
_PROVEN: Final = "refusals that show what the author signed"
_CLAIMED: Final = "refusals"


@dataclass(slots=True)
class _Asked:
    """The highest ballot of an author that came here, also through relays."""

    message: Prepare
    ballot: Ballot


@dataclass(slots=True)
class _Passed:
    """The newest message of a kind that was passed on."""

    message: _Signed
    number: int
    at: float
    """When it was first passed on, or a ballot last: the next one of its kind has to wait."""
    told_at: float
    """When the author itself was last told."""
    links: dict[int, None] = field(default_factory=dict)
    """Over which it went or came: a connection that comes later gets it as well."""


@dataclass(slots=True)
class _Late:
    """The newest message of a kind that came too soon after the last."""

    message: _Signed
    number: int
    source: int | None


class Relaying:
    """``sessions``, ``nodes`` and ``held`` are the replicator's own, and only read."""

    def __init__(
        self,
        me: MemberKey,
        network: NetworkId,
        held: Mapping[MemberKey, LogTip],
        sessions: Mapping[int, Session],
        nodes: Mapping[MemberKey, int],
    ) -> None:
        self.ballots: Final[dict[MemberKey, tuple[int, bytes, Ballot]]] = {}
        """What each author itself last asked for, over which link, and as it signed that."""
        self._me = me
        self._network = network
        self._held = held
        self._sessions = sessions
        self._nodes = nodes
        self._asked: dict[MemberKey, _Asked] = {}
        self._sources: dict[MemberKey, int] = {}
        """The link over which the ballot of each author comes that was passed on."""
        self._passed: dict[_Kind, _Passed] = {}
        self._late: dict[_Kind, _Late] = {}

    def asks(self, log: MemberKey) -> bool:
        """Whether an author has ever asked for an epoch here."""
        return log in self._asked

    def hear(self, session: Session, message: Prepare, ballot: Ballot) -> None:
        """An author asks, here or through a relay."""
        log = message.log
        if session.peer == log:  # what comes through relays may be of an earlier start
            self.ballots[log] = session.link, message.ballot, ballot
        asked = self._asked.get(log)
        if asked is None or ballot.number > asked.ballot.number:
            self._asked[log] = _Asked(message, ballot)

    def introduced(self, session: Session) -> list[Effect]:
        """A member has come that may wait for answers."""
        if not self._is_waited_for(session.peer):
            return []
        return [
            Send(session.link, passed.message)
            for passed in self._passed_of(session.peer)
            if not isinstance(passed.message, Prepare)
        ]

    def parted(self, peer: MemberKey) -> list[Effect]:
        """A member is not connected any more, and perhaps was not when it asked: others may reach it, or not."""
        if not self._is_waited_for(peer):
            return []
        return [effect for passed in self._passed_of(peer) for effect in self._flood(passed, None)]

    def answer(self, message: Promise | Refuse, number: int, source: int | None, now: float) -> list[Effect]:
        """Bring an answer about ballot ``number`` to the author that asked: to itself, or else to everybody.

        To both where it asks through others: it may be another process than the one that we are connected to.
        What is below the ballot that it asks for helps it no more.
        """
        asked = self._asked.get(message.log)
        if asked is not None and number < asked.ballot.number:
            return []
        kind = message.log, message.witness if isinstance(message, Promise) else self._refusals(message)
        return self._bring(kind, message, number, source, now)

    def ask(self, message: Prepare, ballot: Ballot, session: Session, now: float, *, is_answered: bool) -> list[Effect]:
        """Pass a ballot on, and again when its author asks again: who was silent may be able to answer now.

        Again only as it comes from the author, or the way it first came: so it goes in no circles. An older
        one goes no further: if it is of another start, and we have not ``is_answered`` it, we show what is newer.
        """
        log, link = message.log, session.link
        passed = self._passed.get((log, _BALLOTS))
        if passed is None or ballot.number > passed.number:
            return self._bring((log, _BALLOTS), message, ballot.number, link, now)
        if message != passed.message:
            newest = self._asked[log]
            if is_answered or ballot.start == newest.ballot.start:
                return []
            return [Send(link, Refuse(log, self._me, newest.ballot.number, newest.message.ballot))]
        source = self._sources[log]
        comes_so = link == source or session.peer == log or source not in self._sessions
        if not comes_so or now < passed.at + PASS_AGAIN_S:
            return self._flood(passed, link)
        self._sources[log], passed.at = link, now
        passed.links.clear()
        return self._flood(passed, link)

    def tick(self, now: float) -> list[Effect]:
        """Pass on what had to wait."""
        effects: list[Effect] = []
        # One by one: a newer ballot makes others void, or due.
        while (kind := next((kind for kind in self._late if now >= self._due_at(kind)), None)) is not None:
            late = self._late.pop(kind)
            effects += self._bring(kind, late.message, late.number, late.source, now)
        return effects

    def deadline(self) -> float:
        """When `tick` has something to pass on."""
        return min(map(self._due_at, self._late), default=math.inf)

    def _due_at(self, kind: _Kind) -> float:
        passed = self._passed.get(kind)
        return passed.at + PASS_AGAIN_S if passed is not None else -math.inf

    def _bring(self, kind: _Kind, message: _Signed, number: int, source: int | None, now: float) -> list[Effect]:
        """Pass a message on if it is newer than the last of its kind, and it is time; else see who lacks that."""
        passed, late = self._passed.get(kind), self._late.get(kind)
        if passed is not None and number > passed.number and now < passed.at + PASS_AGAIN_S:
            if late is None or number > late.number:
                self._late[kind] = _Late(message, number, source)
            return [] if isinstance(message, Prepare) else self._to_itself(message, source)
        if passed is None or number > passed.number:
            self._late.pop(kind, None)
            passed = self._passed[kind] = _Passed(message, number, now, -math.inf)
            if isinstance(message, Prepare):
                self._begin_anew(message.log, number, source)
        elif message != passed.message:
            source = None
        if isinstance(message, Prepare):
            return self._flood(passed, source)
        return self._tell(passed, source, now)

    def _tell(self, passed: _Passed, source: int | None, now: float) -> list[Effect]:
        """Bring an answer to its author, who may have missed it before, and to others where that may not be enough."""
        log = passed.message.log
        link = self._nodes.get(log)
        itself = self._to_itself(passed.message, source) if now >= passed.told_at + PASS_AGAIN_S else []
        passed.told_at = now if itself else passed.told_at
        asked, (asked_over, ballot, _) = self._asked.get(log), self.ballots.get(log, (None, b"", None))
        if link is not None and (asked is None or (asked_over, ballot) == (link, asked.message.ballot)):
            return itself
        return [*itself, *self._flood(passed, source)]

    def _to_itself(self, message: _Signed, source: int | None) -> list[Effect]:
        """An answer goes at once to the author, if it is here and did not bring it."""
        link = self._nodes.get(message.log)
        return [] if link is None or link == source else [Send(link, message)]

    def _begin_anew(self, log: MemberKey, number: int, source: int | None) -> None:
        """An author asks for more: what was said of less is void, and whatever was refused."""
        assert source is not None, "a ballot is brought by somebody"
        self._sources[log] = source
        for messages in (self._passed, self._late):
            void = [
                kind
                for kind, one in messages.items()
                if kind[0] == log and (isinstance(one.message, Refuse) or one.number < number)
            ]
            for kind in void:
                del messages[kind]

    def _refusals(self, message: Refuse) -> str:
        """Which kind a refusal is of."""
        try:
            asked = open_ballot(message.ballot, self._network, message.log) if message.ballot else None
        except FormatError:
            asked = None
        return _PROVEN if asked is not None and asked.number == message.promised else _CLAIMED

    def _is_waited_for(self, log: MemberKey) -> bool:
        """Whether an author still asks for an epoch, as far as we know."""
        return log in self._asked and self._asked[log].ballot.number > self._held[log].tip.epoch

    def _passed_of(self, log: MemberKey) -> list[_Passed]:
        return [passed for (of, _), passed in self._passed.items() if of == log]

    def _flood(self, passed: _Passed, source: int | None) -> list[Effect]:
        """Send once over each connection, but not back to who brought it."""
        for gone in [link for link in passed.links if link not in self._sessions]:
            del passed.links[gone]
        if source is not None:
            passed.links[source] = None
        message = passed.message
        links = [link for peer, link in self._nodes.items() if link not in passed.links and peer != message.log]
        passed.links.update(dict.fromkeys(links))
        return [Send(link, message) for link in links]
