"""Who may be asked for a log: what peers show of it, held against what we have. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hydra_sync.epoch import order
from hydra_sync.identity import MemberKey
from hydra_sync.sync.schedule import LogSync, Source
from hydra_sync.sync.session import Session
from hydra_sync.wire import LogState, LogTip

__all__ = ["Sources"]


class Sources:
    """What all connected nodes show. ``held``, ``sessions`` and ``nodes`` are the replicator's own, and only read.

    Our own log has sources while we ``adopts`` what others hold of it, and once it ``is_ready`` for appends
    those who prove that there is more.
    """

    def __init__(
        self,
        *,
        me: MemberKey,
        adopts: Callable[[], bool],
        is_ready: Callable[[], bool],
        held: Mapping[MemberKey, LogTip],
        sessions: Mapping[int, Session],
        nodes: Mapping[MemberKey, int],
        forked_at: Callable[[MemberKey], int | None],
    ) -> None:
        self._me = me
        self._adopts = adopts
        self._is_ready = is_ready
        self._held = held
        self._sessions = sessions
        self._nodes = nodes
        self._forked_at = forked_at

    def target(self, log: MemberKey) -> int:
        """The highest next seq of ``log`` that any connected node shows, of our epoch of it or a later one."""
        highest, epoch = 0, self._held[log].tip.epoch
        for link in self._nodes.values():  # a loop, because it is run for every message of every peer
            shown = self._sessions[link].shown.get(log)
            if shown is not None and shown.tip.next_seq > highest and shown.tip.epoch >= epoch:
                highest = shown.tip.next_seq
        return highest

    def of(self, state: LogSync) -> list[Source]:
        """Who may be asked: the author, and of the others those who have got as far as the latest epoch.

        An older epoch may go on in what the latest one has left out. Which is the latest, the author says, or who
        has sent records of it: a claim alone shuts nobody out.
        """
        own, forked_at = order(self._held[self._me].tip), self._forked_at(state.log)
        adopts = self._adopts()  # who promised may hold more than it shows: a relay that got it afterwards
        if forked_at is not None and state.intake.frontier.next_seq >= forked_at:
            return []
        if state.log == self._me and not (self._adopts() or self._is_ready()):
            return []
        sources = []
        for link in self._nodes.values():
            session = self._sessions[link]
            shown = session.shown.get(state.log)
            if session.syncing and shown is not None and (state.log != self._me or order(shown.tip) > own or adopts):
                sources.append(Source(link, session.peer, _capped(shown, forked_at)))
        if state.base is not None:
            return self.later(state, sources)
        believed = [source for source in sources if source.link not in state.refused_until and not state.fails(source)]
        authors = [source.shown.tip.epoch for source in believed if source.peer == state.log]
        proven = [min(source.shown.tip.epoch, state.proven.get(source.link, 0)) for source in believed]
        latest = max(max(authors or proven, default=0), state.intake.durable.epoch)
        return [source for source in sources if source.shown.tip.epoch >= latest or source.peer == state.log]

    def is_steady(self, state: LogSync, now: float) -> bool:
        """Whether planning would change nothing: we follow the author, and nobody shows more than it does.

        That is so almost always, and a look is cheaper than a plan.
        """
        is_own = state.log == self._me
        if state.is_troubled or self._forked_at(state.log) is not None or (is_own and (state.asked or self._adopts())):
            return False
        if is_own:  # of a later epoch, a shorter log is ahead of ours, too
            own = self._held[self._me].tip
            for link in self._nodes.values():
                shown = self._sessions[link].shown.get(self._me)
                if shown is not None and shown.tip is not own and order(shown.tip) > order(own):
                    return False
            return True
        live = state.asked[0] if len(state.asked) == 1 else None
        if live is None or not live.live or live.cancelled or self._nodes.get(state.log) != live.link:
            return False
        if live.next_seq != state.intake.frontier.next_seq:  # what lies between was asked of others
            return False
        session = self._sessions[live.link]
        shown = session.shown.get(state.log)
        if shown is None or not session.syncing or shown.state is LogState.FORKED:
            return False
        if shown.tip.epoch != state.intake.durable.epoch:
            return False
        reach = shown.tip.next_seq
        live.watch(reach, now)
        if live.deadline <= now:
            return False
        return self.target(state.log) <= reach

    @staticmethod
    def later(state: LogSync, sources: Sequence[Source], *, proven: bool = True) -> list[Source]:
        """Those of a later epoch than our branch, of which they have sent a record; or of which they have not yet."""
        ours = state.intake.durable.epoch
        return [
            source
            for source in sources
            if source.shown.tip.epoch > ours
            and (state.proven.get(source.link, 0) > ours) is proven
            and source.link not in state.refused_until
            and source.link not in state.stalled_until
            and source.shown.state is not LogState.FORKED
        ]

    def claims(self, state: LogSync, sources: Sequence[Source]) -> list[tuple[int, int]]:
        """Links that say a later epoch has come no farther than our branch; and where to look for the parting then."""
        claims = [(source.link, _parting(state, source)) for source in self.later(state, sources, proven=False)]
        return [(link, seq) for link, seq in claims if seq is not None]

    def overtaken_at(self, state: LogSync, sources: Sequence[Source]) -> int | None:
        """Where to look for the parting of our branch from a later epoch's which has come no farther, if so."""
        longest = max(self.later(state, sources), key=lambda source: source.shown.tip.next_seq, default=None)
        return None if longest is None else _parting(state, longest)


def _parting(state: LogSync, source: Source) -> int | None:
    """Where our branch may part from that of a source of a later epoch; None where the latter is longer."""
    at, stop = state.intake.frontier, source.shown.tip.next_seq
    if state.base is not None or not 0 < stop <= at.next_seq:
        return None
    if at != state.intake.durable:  # what is being written comes first; then this is planned again
        return None
    # Its last event is of its epoch, and not ours: where it is as long as our branch, they part before that.
    return min(stop, at.next_seq - 1)


def _capped(shown: LogTip, forked_at: int | None) -> LogTip:
    """What a source has of a log up to where that is known to be forked, on which all agree."""
    if forked_at is None:
        return shown
    tip = shown.tip if shown.tip.next_seq <= forked_at else replace(shown.tip, next_seq=forked_at)
    return replace(shown, tip=tip, first_seq=min(shown.first_seq, forked_at), state=LogState.OK)
