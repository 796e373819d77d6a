"""Getting other members' logs: what was asked of whom, what came of it, what it is worth. No I/O.

`sources` says who may be asked, `schedule` for what, `asking` whether an answer is true, `intake` when
its turn is; this puts them together for all logs of a node, and gives credit back for what has become durable.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from hydra_sync.batch import Batch
from hydra_sync.chain import DivergedError, Tip
from hydra_sync.epoch import check_epoch
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import (
    CANCELLED_PER_SESSION_MAX,
    CREDIT_BYTES,
    RANGES_PER_NODE,
    REBASE_BYTES_MAX,
    STALL_PENALTY_S,
    STALL_S,
)
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.asking import Asked, Turn
from hydra_sync.sync.effects import (
    Append,
    AppendRefused,
    CaughtUp,
    Compare,
    Diverged,
    Effect,
    Fetched,
    Fetching,
    Locate,
    OwnLogAhead,
    OwnLogTaken,
    Send,
    SourceReplaced,
)
from hydra_sync.sync.intake import Early, Intake
from hydra_sync.sync.receipts import Receipts
from hydra_sync.sync.schedule import Ask, LogSync, plan
from hydra_sync.sync.session import Session
from hydra_sync.sync.sources import Sources
from hydra_sync.wire import Cancel, Credit, Data, End, EndReason, LogTip

__all__ = ["Fetcher"]


@dataclass(slots=True)
class _Unpaid:
    """Bytes handed to the store whose credit goes back to the source once they are durable."""

    stop: int
    link: int
    request: int
    size: int


class Fetcher:
    """All fetches of a node. ``sessions``, ``nodes`` and ``held`` are the replicator's own, and only read.

    Our own log is fetched where a peer shows more of it than we have: while ``adopts`` says so to take
    it over, once it ``is_ready`` for appends for the proof.
    """

    def __init__(
        self,
        *,
        me: MemberKey,
        adopts: Callable[[], bool],
        has_begun: Callable[[], bool],
        is_ready: Callable[[], bool],
        network: NetworkId,
        held: Mapping[MemberKey, LogTip],
        seed: bytes,
        sessions: Mapping[int, Session],
        nodes: Mapping[MemberKey, int],
        receipts: Receipts,
        forked_at: Callable[[MemberKey], int | None],
        blame: Callable[[int, str], list[Effect]],
    ) -> None:
        self._me = me
        self._adopts = adopts
        self._has_begun = has_begun
        self._is_ready = is_ready
        self._network = network
        self._held = held
        self._sessions = sessions
        self._receipts = receipts
        self._forked_at = forked_at
        self._blame = blame
        self.sources: Final = Sources(
            me=me, adopts=adopts, is_ready=is_ready, held=held, sessions=sessions, nodes=nodes, forked_at=forked_at
        )
        members = tuple(sorted(held))
        self._logs = {
            log: LogSync(log, seed, Intake(partial(check_epoch, network=network, log=log, members=members)))
            for log in members
        }
        for log, held_tip in held.items():
            self._logs[log].intake.durable = self._logs[log].intake.frontier = held_tip.tip
        self._requests = 0
        self._asked: dict[int, Asked] = {}
        self._unpaid: dict[MemberKey, deque[_Unpaid]] = {log: deque() for log in self._logs}

    def reconsider(self, log: MemberKey, link: int) -> None:
        """The peer on ``link`` shows a new tip of ``log``."""
        self._logs[log].reconsider(link)

    def progress(self, link: int, now: float) -> None:
        """Data is arriving on ``link``, though no frame is whole yet."""
        for asked in self._asked.values():
            if asked.link == link:
                asked.progress(now)

    def forget(self, link: int, peer: MemberKey) -> None:
        """The connection is over, and with it what was asked and believed of it."""
        for state in self._logs.values():
            state.forget(link, peer)
        self._asked = {request: asked for request, asked in self._asked.items() if asked.link != link}

    def appended(self, log: MemberKey, tip: Tip, now: float) -> list[Effect]:
        """Our copy of ``log`` is durable up to ``tip``: return credit, and ask for what comes next."""
        state = self._logs[log]
        state.refusing = False
        state.intake.durable = tip
        if log == self._me and not self._adopts():
            state.intake.frontier = tip
        effects = [*self._pay(state, tip), *self._plan(state, now)]
        if (
            state.behind
            and not any(asked.missing for asked in state.asked)
            and tip.next_seq >= self.sources.target(log)
        ):
            state.behind = False
            effects.append(CaughtUp(log, tip.next_seq))
        return effects

    def append_failed(self, log: MemberKey, retry_at: float, now: float) -> list[Effect]:
        """Our disk refused an `Append`: ask for nothing of this log before ``retry_at``."""
        state = self._logs[log]
        state.paused_until = retry_at
        effects: list[Effect] = [] if state.refusing else [AppendRefused(log)]
        state.refusing = True
        return [*effects, *self.append_void(log, now)]

    def append_void(self, log: MemberKey, now: float) -> list[Effect]:
        """An `Append` came to nothing: ask again from where our copy ends."""
        state = self._logs[log]
        state.keep_branch()
        state.intake.rewind()
        self._unpaid[log].clear()
        effects = [effect for asked in state.asked for effect in self._cancel(asked)]
        return [*effects, *self._plan(state, now)]

    def deadline(self) -> float:
        """When `plan_all` has something to do, at the latest."""
        return min((state.deadline() for state in self._logs.values()), default=math.inf)

    def data(self, session: Session, data: Data, now: float) -> list[Effect]:
        """Records arrived. Raises `PeerError` for what nobody asked for or nobody signed."""
        asked = self._find(session.link, data.request)
        if asked is None:
            raise PeerError(f"data for request {data.request}, which we never made")
        if asked.cancelled:
            asked.spend(len(data.records))
            return []
        if asked.log == self._me and not (asked.probes or self._adopts() or self._is_ready()):
            asked.spend(len(data.records))
            return self._cancel(asked)  # this start asks anew, and says then what it wants
        state = self._logs[asked.log]
        at = asked.next_seq
        try:
            batches = asked.receive(data, self._network)
        except DivergedError:
            effects = self._parted(state, session, at, now)
            return [*effects, *self._own_log_ahead(asked, session.peer, now), *self._plan(state, now)]
        last = Tip.after(batches[-1])
        state.sent(asked.link, last.epoch)
        if (
            asked.log == self._me
            and self._is_ready()
            and not self._adopts()
            and last.epoch > self._held[self._me].tip.epoch
        ):
            state.refused_until[asked.link] = math.inf
            state.keep_branch()
            return [*self._cancel(asked), OwnLogTaken(session.peer, last.epoch)]
        if asked.turn is not None:
            return [*self._cancel(asked), *self._proven(state, asked, asked.turn, now)]
        if asked.probes:
            return [*self._cancel(asked), Compare(session.link, asked.log, batches)]
        events = SeqRange(batches[0].header.first_seq, batches[-1].header.stop)
        if asked.log == self._me and not self._adopts():
            is_ours = self._receipts.is_ours(last)
            return self._cancel(asked) if is_ours else self._own_log_ahead(asked, session.peer, now)
        state.intake.add(Early(session.link, asked.request, batches))
        drained = self._drain(state, now)
        if session.faulty:
            return drained
        session.saw(asked.log, last)
        state.delivered(session.link, session.peer, events.count, len(data.records))
        return [Fetched(asked.log, session.peer, events, len(data.records)), *drained, *self._plan(state, now)]

    def _own_log_ahead(self, asked: Asked, peer: MemberKey, now: float) -> list[Effect]:
        """A peer sent what we signed and do not have: proof that appending would fork our own log.

        Not in an epoch that this start has begun: that leaves out what older ones held beyond it.
        """
        if asked.log != self._me or self._adopts():
            return []
        refused_until = self._logs[self._me].refused_until
        if self._has_begun():
            refused_until[asked.link] = now + STALL_PENALTY_S  # it will have followed us by then
            return self._cancel(asked)
        refused_until[asked.link] = math.inf
        return [*self._cancel(asked), OwnLogAhead(peer, asked.next_seq)]

    def _drain(self, state: LogSync, now: float) -> list[Effect]:
        ready, misfit = state.intake.drain()
        effects: list[Effect] = []
        for run, new in ready:
            if new:
                effects += self._append(state, new)
            if sum(len(batch.record) for batch in state.other) > REBASE_BYTES_MAX:
                return [*effects, *self._give_up_branch(state, run.link)]
            stop = new[-1].header.stop if new else 0
            self._unpaid[state.log].append(_Unpaid(stop, run.link, run.request, run.size))
        effects += self._pay(state, state.intake.durable)
        if misfit is None:
            return effects
        run, error = misfit
        if isinstance(error, DivergedError):
            at = state.intake.frontier
            across = next(one for one in run.batches if one.header.stop > at.next_seq).header.epoch != at.epoch
            parted = self._parted(state, self._sessions[run.link], run.range.start, now, across=across)
            return [*effects, *parted, Compare(run.link, state.log, run.batches)]
        return [*effects, *self._blame(run.link, f"data of log {state.log.hex()[:8]} that may not stand: {error}")]

    def _append(self, state: LogSync, new: tuple[Batch, ...]) -> list[Effect]:
        """What is new goes to the store; what would take the place of our branch, once it is of a later epoch."""
        if state.base is None:
            return [Append(state.log, new)]
        state.other += new
        if new[-1].header.epoch > state.intake.durable.epoch:
            whole = tuple(state.other)
            state.base = None
            state.other.clear()
            return [Append(state.log, whole)]
        return []

    def _give_up_branch(self, state: LogSync, link: int) -> list[Effect]:
        """Another branch is too long to be held until it proves to be of a later epoch."""
        peer = self._sessions[link].peer
        state.refused_until[link] = math.inf
        state.keep_branch()
        cancels = [effect for asked in state.asked for effect in self._cancel(asked)]
        return [*cancels, SourceReplaced(state.log, peer, "it holds another branch, and too much of it")]

    def _pay(self, state: LogSync, tip: Tip) -> list[Effect]:
        unpaid = self._unpaid[state.log]
        effects: list[Effect] = []
        while unpaid:
            asked = self._find(unpaid[0].link, unpaid[0].request)
            is_over = asked is None or asked.cancelled  # what it brought may never become durable
            if unpaid[0].stop > tip.next_seq and not is_over:
                break
            due = unpaid.popleft()
            if asked is not None and not is_over and (credit := asked.durable(due.size)):
                effects.append(Send(due.link, Credit(due.request, credit)))
        return effects

    def ended(self, session: Session, end: End, now: float) -> list[Effect]:
        """A fetch of ours is over. Raises `PeerError` if there was none."""
        asked = self._find(session.link, end.request)
        if asked is None:
            raise PeerError(f"the end of request {end.request}, which we never made")
        state = self._logs[asked.log]
        del self._asked[end.request]
        if asked.probes:
            if asked.turn is not None and not asked.cancelled:
                return self._unproven(state, asked, asked.turn, now)
            return self._plan(state, now)
        state.asked.remove(asked)
        done = end.reason is EndReason.DONE and not asked.live and asked.missing is None
        if asked.cancelled or done:
            return self._plan(state, now)
        effects: list[Effect]
        if end.reason is EndReason.DIVERGED and (turn := self._turn(state, session, asked, end, now)) is not None:
            return turn
        if end.reason in (EndReason.DIVERGED, EndReason.FORKED):
            # It may have moved to another epoch, and not shown that yet.
            across = end.reason is EndReason.DIVERGED and end.detail != state.intake.frontier.epoch
            effects = self._parted(state, session, asked.next_seq, now, proven=False, across=across)
        else:
            wait = end.detail / 1000 if end.reason is EndReason.BUSY else STALL_S
            state.refused_until[session.link] = now + min(max(wait, 0.1), STALL_PENALTY_S)
            effects = [SourceReplaced(asked.log, session.peer, f"it answered {end.reason.name.lower()}")]
        return effects + self._plan(state, now)

    def _turn(self, state: LogSync, session: Session, asked: Asked, end: End, now: float) -> list[Effect] | None:
        """A peer of a later epoch stands on another branch: look where the two may part. None if that is not so.

        It says which of its epochs covers the event before, and where that began. Branches part where
        an epoch begins: at the beginning of the later one of the two that meet here, or before it.
        Until it has sent a record of the later epoch, that is a bare claim, and we stay on our branch.
        """
        shown, at = session.shown.get(state.log), state.intake.frontier
        if shown is None or shown.tip.epoch <= state.intake.durable.epoch or asked.prev_hash != at.hash:
            return None
        if end.detail > at.epoch and end.next_seq < at.next_seq:
            turn = Turn(shown.tip, end.next_seq, of_epoch=False)
        elif end.detail < at.epoch:
            turn = Turn(shown.tip, at.next_seq, of_epoch=True)
        else:
            return None
        if state.proven.get(session.link, 0) > state.intake.durable.epoch:
            return self._locate(state, turn.seq, of_epoch=turn.of_epoch)
        state.doubt(session.link, now)
        return [*self._ask_proof(state, session.link, turn), *self._plan(state, now)]

    def _ask_proof(self, state: LogSync, link: int, turn: Turn) -> list[Effect]:
        """Ask a peer for a record of the later epoch that it shows; meanwhile all goes on as it was."""
        forked_at = self._forked_at(state.log)
        stop = turn.shown.next_seq if forked_at is None else min(turn.shown.next_seq, forked_at)
        return self._probe(state.log, link, stop, turn=turn)

    def _proven(self, state: LogSync, asked: Asked, turn: Turn, now: float) -> list[Effect]:
        """A peer was asked for a record of the later epoch that it shows, and has sent one of its log."""
        if state.proven[asked.link] <= state.intake.durable.epoch:
            return self._unproven(state, asked, turn, now)
        state.trust(asked.link)
        if state.base is None and not state.locating and state.intake.frontier == state.intake.durable:
            return self._locate(state, turn.seq, of_epoch=turn.of_epoch)
        return self._plan(state, now)

    def _unproven(self, state: LogSync, asked: Asked, turn: Turn, now: float) -> list[Effect]:
        """A peer does not have what it showed: that was a lie, unless it shows something else by now."""
        session = self._sessions[asked.link]
        if session.shown[state.log].tip != turn.shown or turn.shown.epoch <= state.intake.durable.epoch:
            return self._plan(state, now)
        state.doubt(asked.link, now)
        notice = SourceReplaced(state.log, session.peer, "it has no record of the later epoch that it shows")
        return [notice, *self._plan(state, now)]

    def _locate(self, state: LogSync, seq: int, *, of_epoch: bool) -> list[Effect]:
        state.locating = True
        effects: list[Effect] = [effect for asked in state.asked for effect in self._cancel(asked)]
        return [*effects, Locate(state.log, seq, of_epoch)]

    def located(self, log: MemberKey, tip: Tip | None, now: float) -> list[Effect]:
        """Our log has a batch that ends at ``tip``; the other branch may part from ours there.

        None is for a disk that could not tell: who holds the other branch is asked again later.
        """
        state = self._logs[log]
        state.locating = False
        if tip is None:
            state.keep_branch()
            for source in self.sources.of(state):
                if source.shown.tip.epoch > state.intake.durable.epoch:
                    state.refused_until.setdefault(source.link, now + STALL_S)
        elif tip.next_seq < state.intake.durable.next_seq:
            state.leave_branch(tip)
        return self._plan(state, now)

    def _parted(
        self, state: LogSync, session: Session, seq: int, now: float, *, proven: bool = True, across: bool = False
    ) -> list[Effect]:
        """A peer holds another history than we do. Of different epochs, one is orphaned, and that is nobody's fault.

        ``across`` says that they are, whatever the peer has shown.
        """
        shown = session.shown.get(state.log)
        ours = (state.intake.durable.epoch, state.intake.frontier.epoch)
        if not across and (shown is None or ours == (shown.tip.epoch, shown.tip.epoch)):
            return self._diverged(state, session.peer, session.link, seq, proven=proven)
        effects: list[Effect] = [SourceReplaced(state.log, session.peer, "it holds a branch of another epoch")]
        effects += self._leave(state, session.link)
        state.part(session.link, now)
        return effects

    def _diverged(self, state: LogSync, peer: MemberKey, link: int, seq: int, *, proven: bool) -> list[Effect]:
        """Keep our history; ask that peer for this log no more while it is connected.

        ``proven`` if its author signed both histories; else that is only the peer's word.
        """
        state.refused_until[link] = math.inf
        state.keep_branch()
        return [Diverged(state.log, peer, seq, proven), *self._leave(state, link), *self._probe(state.log, link, seq)]

    def suspect(self, session: Session, shown: LogTip, now: float) -> list[Effect]:
        """A peer shows a tip as long as ours, of the same epoch, and not the same: look what it holds there."""
        ours = self._held[shown.log].tip
        same = (ours.epoch, ours.next_seq) == (shown.tip.epoch, shown.tip.next_seq)
        if not same or ours.hash == shown.tip.hash or not session.is_node:
            return []
        return self._probe(shown.log, session.link, ours.next_seq)

    def _probe(self, log: MemberKey, link: int, seq: int, *, turn: Turn | None = None) -> list[Effect]:
        """Ask a peer for what it holds just before ``seq``, to hold that against ours, or to see its epoch."""
        probing = any(asked.probes and asked.link == link and asked.log == log for asked in self._asked.values())
        if seq == 0 or probing or (turn is None and self._forked_at(log) is not None):
            return []
        self._requests += 1
        asked = Asked(link, self._requests, log, seq - 1, seq, None, credit=CREDIT_BYTES, probes=True, turn=turn)
        self._asked[asked.request] = asked
        return [Send(link, asked.message())]

    def _leave(self, state: LogSync, link: int) -> list[Effect]:
        effects: list[Effect] = []
        for asked in state.asked:
            if asked.link == link:
                effects += self._cancel(asked)
        state.intake.early = [run for run in state.intake.early if run.link != link]
        return effects

    def leave(self, link: int) -> list[Effect]:
        """Ask for nothing over this connection any more, which stays."""
        effects: list[Effect] = []
        for state in self._logs.values():
            if any(asked.link == link for asked in state.asked):
                state.keep_branch()
            effects += self._leave(state, link)
        return effects

    def plan_all(self, now: float) -> list[Effect]:
        """Cancel and ask whatever is due, of every log."""
        return [effect for state in self._logs.values() for effect in self.plan(state.log, now)]

    def plan(self, log: MemberKey, now: float) -> list[Effect]:
        """Cancel and ask what is due of one log."""
        return self._plan(self._logs[log], now)

    def _plan(self, state: LogSync, now: float) -> list[Effect]:
        if state.locating or self.sources.is_steady(state, now):
            return []
        sources = self.sources.of(state)
        if (seq := self.sources.overtaken_at(state, sources)) is not None:
            return self._locate(state, seq, of_epoch=False)
        effects: list[Effect] = []
        for link, seq in self.sources.claims(state, sources):
            effects += self._ask_proof(
                state, link, Turn(self._sessions[link].shown[state.log].tip, seq, of_epoch=False)
            )
        # What was cancelled takes no place: a source that never ends it would starve all others.
        ranges = sum(not (asked.live or asked.cancelled) for other in self._logs.values() for asked in other.asked)
        planned = plan(state, sources, now, ranges_free=RANGES_PER_NODE - ranges)
        for asked, why in planned.cancel:
            effects += self._cancel(asked)
            effects.append(SourceReplaced(asked.log, self._sessions[asked.link].peer, why))
        for ask in planned.ask:
            if self._sessions[ask.source.link].syncing:  # and was not dropped for what was cancelled
                effects += self._ask(state, ask, now)
        if state.base is not None and ranges < RANGES_PER_NODE and all(asked.cancelled for asked in state.asked):
            # Nobody can be asked for the other branch any more: ours goes on.
            for source in sources:
                state.doubt(source.link, now)
            state.keep_branch()
            effects += self._plan(state, now)
        return effects

    def _ask(self, state: LogSync, ask: Ask, now: float) -> list[Effect]:
        frontier = state.intake.frontier
        self._requests += 1
        asked = Asked(
            link=ask.source.link,
            request=self._requests,
            log=state.log,
            next_seq=ask.start,
            stop=ask.stop,
            prev_hash=frontier.hash if ask.start == frontier.next_seq else None,
            credit=CREDIT_BYTES,
        )
        asked.watch(ask.source.shown.tip.next_seq, now)
        state.asked.append(asked)
        self._asked[asked.request] = asked
        return [
            Send(asked.link, asked.message()),
            Fetching(state.log, ask.source.peer, ask.start, ask.stop),
        ]

    def _cancel(self, asked: Asked) -> list[Effect]:
        if asked.cancelled:
            return []
        asked.cancelled = True
        waiting = sum(other.cancelled and other.link == asked.link for other in self._asked.values())
        # One moment may cancel a fetch of every log; no peer can have ended those yet.
        if waiting > CANCELLED_PER_SESSION_MAX + 2 * len(self._logs):
            return self._blame(asked.link, f"it ended none of {waiting} fetches that were cancelled")
        return [Send(asked.link, Cancel(asked.request))]

    def _find(self, link: int, request: int) -> Asked | None:
        asked = self._asked.get(request)
        return asked if asked is not None and asked.link == link else None
