"""What peers ask this node for, and what it sends them: the other side of `fetching`. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hydra_sync.batch import Batch
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.sync.effects import Effect, Explain, Read, Send
from hydra_sync.sync.serving import Serving
from hydra_sync.sync.session import Session
from hydra_sync.sync.transitions import State
from hydra_sync.wire import Cancel, Credit, Data, End, EndReason, Fetch, LogTip

__all__ = ["Supplier"]


class Supplier:
    """Serves every fetch of every peer. ``sessions`` and ``held`` are the replicator's own, and only read."""

    def __init__(
        self,
        me: MemberKey,
        network: NetworkId,
        sessions: Mapping[int, Session],
        held: Mapping[MemberKey, LogTip],
        forked_at: Callable[[MemberKey], int | None],
    ) -> None:
        self._me = me
        self._network = network
        self._sessions = sessions
        self._held = held
        self._forked_at = forked_at

    def fetch(self, session: Session, fetch: Fetch) -> list[Effect]:
        """A peer asks for events."""
        if fetch.log not in self._held:
            raise PeerError(f"a fetch of log {fetch.log.hex()[:8]}, whose author is no member")
        return self._serve(session, session.begin(fetch))

    def credit(self, session: Session, credit: Credit) -> list[Effect]:
        """A peer has room for more."""
        serving = session.serving.get(credit.request)
        if serving is None:  # it has ended meanwhile
            return []
        serving.grant(credit)
        return self._serve(session, serving)

    def cancelled(self, session: Session, cancel: Cancel) -> list[Effect]:
        """A peer wants no more of what it asked for."""
        serving = session.serving.get(cancel.request)
        if serving is None:
            return []
        return self._end(session, End(cancel.request, serving.next_seq, EndReason.CANCELLED))

    def appended(self, log: MemberKey) -> list[Effect]:
        """We hold more of a log: who waits for it is served."""
        effects: list[Effect] = []
        for session in self._sessions.values():
            if session.state is State.CLOSED:
                continue
            for serving in [serving for serving in session.serving.values() if serving.fetch.log == log]:
                effects += self._serve(session, serving)
        return effects

    def read(self, read: Read, batches: Sequence[Batch]) -> list[Effect]:
        """The answer to a `Read`; no batches where the range is damaged here."""
        session = self._sessions.get(read.link)
        serving = session.serving.get(read.request) if session else None
        if session is None or serving is None:
            return []
        answer = serving.read(batches, self._network, own=read.log == self._me)
        if isinstance(answer, Explain):
            return [answer]
        if isinstance(answer, Data):
            if read.log == self._me and serving.next_seq == self._held[read.log].tip.next_seq:
                session.moved.pop(read.log, None)  # records say how far their sender holds the log
            return [Send(read.link, answer), *self._serve(session, serving)]
        if isinstance(answer, End):
            return self._end(session, answer)
        return self._serve(session, serving)

    def explained(self, explain: Explain, epoch: int, first_seq: int) -> list[Effect]:
        """The answer to an `Explain`."""
        session = self._sessions.get(explain.link)
        serving = session.serving.get(explain.request) if session else None
        if session is None or serving is None:
            return []
        return self._end(session, End(explain.request, first_seq, EndReason.DIVERGED, epoch))

    def _serve(self, session: Session, serving: Serving) -> list[Effect]:
        # What does not count as held is served all the same: it is signed.
        step = serving.step(self._held[serving.fetch.log], self._forked_at(serving.fetch.log))
        if isinstance(step, End):
            return self._end(session, step)
        return [] if step is None else [step]

    @staticmethod
    def _end(session: Session, end: End) -> list[Effect]:
        del session.serving[end.request]
        return [Send(session.link, end)]
