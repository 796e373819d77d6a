"""What authors and witnesses sign for each other goes through whoever can bring it (design: 7, topology). No I/O.

A ballot is flooded. An answer goes to its author where we are connected to that, to everybody where not,
and is kept for when the author comes. Nothing goes over one connection twice, but for a ballot that is
asked again, because who was silent may be able to answer now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hydra_sync.epoch import Ballot
from hydra_sync.identity import MemberKey
from hydra_sync.limits import PASS_AGAIN_S, PASSED_MAX
from hydra_sync.sync.effects import Effect, Send
from hydra_sync.sync.session import Session
from hydra_sync.wire import LogTip, Prepare, Promise, Refuse

__all__ = ["Relaying"]

_Signed = Prepare | Promise | Refuse


@dataclass(slots=True)
class _Relayed:
    """The highest ballot of an author that was passed on."""

    message: Prepare
    number: int
    source: int
    """The link over which it comes."""
    at: float
    """When it was last passed on to all."""


class Relaying:
    """``sessions``, ``nodes`` and ``held`` are the replicator's own, and only read."""

    def __init__(
        self, held: Mapping[MemberKey, LogTip], sessions: Mapping[int, Session], nodes: Mapping[MemberKey, int]
    ) -> None:
        self.ballots: Final[dict[MemberKey, tuple[int, bytes, Ballot]]] = {}
        """What each author itself last asked for, over which link, and as it signed that."""
        self._held = held
        self._sessions = sessions
        self._nodes = nodes
        self._passed: OrderedDict[_Signed, dict[int, None]] = OrderedDict()
        """What was passed on, and over which links: a connection that comes later gets it as well."""
        self._asked: dict[MemberKey, tuple[Prepare, int]] = {}
        """The ballot that each author last asked for, also through relays, and its number."""
        self._relayed: dict[MemberKey, _Relayed] = {}
        self._answers: dict[tuple[MemberKey, MemberKey], Promise | Refuse] = {}
        """By log and witness, the latest that its author is to get: whom we believe connected may be gone."""

    def asks(self, log: MemberKey) -> bool:
        """Whether an author has ever asked for an epoch here."""
        return log in self._asked

    def hear(self, session: Session, message: Prepare, ballot: Ballot) -> None:
        """An author asks, here or through a relay."""
        log = message.log
        if session.peer == log:  # what comes through relays may be of an earlier start
            self.ballots[log] = session.link, message.ballot, ballot
        self._asked[log] = message, ballot.number

    def introduced(self, session: Session) -> list[Effect]:
        """A member has come that may wait for answers."""
        if not self._is_waited_for(session.peer):
            return []
        return [Send(session.link, answer) for answer in self._answers_for(session.peer)]

    def parted(self, peer: MemberKey) -> list[Effect]:
        """A member is not connected any more, and perhaps was not when it asked: others may reach it, or not."""
        if not self._is_waited_for(peer):
            return []
        said = (self._asked[peer][0], *self._answers_for(peer))
        return [effect for message in said for effect in self._pass_on(message, None)]

    def answer(self, message: Promise | Refuse, source: int | None) -> list[Effect]:
        """Bring an answer to the author that asked: to itself, or else to everybody, once.

        To both where it asks through others: it may be another process than the one that we are connected to.
        """
        log = message.log
        self._answers[log, message.witness] = message
        link = self._nodes.get(log)
        itself: list[Effect] = [] if link in (None, source) else [Send(link, message)]
        asked, (asked_over, ballot, _) = self._asked.get(log), self.ballots.get(log, (None, b"", None))
        if link is not None and (asked is None or (asked_over, ballot) == (link, asked[0].ballot)):
            return itself
        return [*itself, *self._pass_on(message, source)]

    def ask(self, message: Prepare, number: int, session: Session, now: float) -> list[Effect]:
        """Pass a ballot on, and again when its author asks again: who was silent may be able to answer now.

        Again only as it comes from the author, or the way it first came: so it goes in no circles.
        """
        log, link = message.log, session.link
        relayed = self._relayed.get(log)
        if relayed is None or number > relayed.number:
            self._relayed[log] = _Relayed(message, number, link, now)
            return self._pass_on(message, link)
        comes_so = link == relayed.source or session.peer == log or relayed.source not in self._sessions
        if message != relayed.message or not comes_so or now < relayed.at + PASS_AGAIN_S:
            return self._pass_on(message, link)
        relayed.source, relayed.at = link, now
        return [Send(other, message) for peer, other in self._nodes.items() if other != link and peer != log]

    def _is_waited_for(self, log: MemberKey) -> bool:
        """Whether an author still asks for an epoch, as far as we know."""
        return log in self._asked and self._asked[log][1] > self._held[log].tip.epoch

    def _answers_for(self, log: MemberKey) -> list[Promise | Refuse]:
        return [answer for (of, _), answer in self._answers.items() if of == log]

    def _pass_on(self, message: _Signed, source: int | None) -> list[Effect]:
        """Flood: once over each connection, but not back to who brought it."""
        passed = self._passed.setdefault(message, {})
        self._passed.move_to_end(message)
        if len(self._passed) > PASSED_MAX:
            self._passed.popitem(last=False)
        if source is not None:
            passed[source] = None
        links = [link for peer, link in self._nodes.items() if link not in passed and peer != message.log]
        passed.update(dict.fromkeys(links))
        return [Send(link, message) for link in links]
