"""Whom this node tells what it holds, and when: at once where somebody waits for it, else now and then. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from hydra_sync.identity import MemberKey
from hydra_sync.limits import NEWS_S_MIN
from hydra_sync.sync.agreement import Agreement
from hydra_sync.sync.effects import Effect, TipsDue
from hydra_sync.sync.session import Session
from hydra_sync.sync.transitions import State
from hydra_sync.wire import Stable, Tips

__all__ = ["Showing"]


class Showing:
    """``sessions`` and ``nodes`` are the replicator's own, and only read; ``agreement`` says what counts as held."""

    def __init__(
        self,
        me: MemberKey,
        sessions: Mapping[int, Session],
        nodes: Mapping[MemberKey, int],
        agreement: Agreement,
    ) -> None:
        self._me = me
        self._sessions = sessions
        self._nodes = nodes
        self._agreement = agreement

    def to_all(self, log: MemberKey) -> list[Effect]:
        """Everybody is to see what we hold of this log now."""
        return [session.show(log) for session in self._told()]

    def to_author(self, log: MemberKey, now: float) -> list[Effect]:
        """The log's author is to see at once that we hold more of it: that is its receipt. Others can wait.

        While we are connected to the author, so are they, as a rule; and whom we send the records knows
        from those. Telling each of n members of each of n logs at once would be most of all messages.
        """
        alone = log != self._me and log not in self._nodes
        due: list[Effect] = []
        for session in self._told():
            if alone or (session.peer == log and session.is_node):
                session.moved.pop(log, None)
                due.append(session.show(log))
            else:
                session.moved.setdefault(log, now)
        return due

    @staticmethod
    def moved(session: Session, now: float) -> TipsDue:
        """A peer is to see all that has moved since it was last told."""
        session.unshown.update(dict.fromkeys(session.moved))
        session.moved.clear()
        session.moved_told_at = now
        return TipsDue(session.link)

    def take(self, link: int, now: float) -> Tips | Stable | None:
        """What the peer on ``link`` has not seen of our tips, to be sent at once; None if it has seen all."""
        session = self._sessions.get(link)
        if session is None or session.state is State.CLOSED:
            return None
        if session.unshown:
            if session.moved and now >= session.moved_told_at + NEWS_S_MIN:
                self.moved(session, now)
            logs = tuple([self._agreement.shown(log) for log in session.unshown])
            session.unshown.clear()
            return Tips(False, logs)
        if session.words_due:
            return self._agreement.word(session.words_due.popitem()[0])
        return None

    def _told(self) -> list[Session]:
        return [s for s in self._sessions.values() if s.tips_sent and s.state is not State.CLOSED]
