"""The protocol core of a node: messages and time in, effects out, one for all its connections. No I/O.

The node calls it for everything that happens and carries out what it returns, in order. From the
same calls it returns the same effects.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hydra_sync.batch import Batch
from hydra_sync.chain import DivergedError, Tip
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import (
    CANCELLED_PER_SESSION_MAX,
    CREDIT_BYTES,
    PROGRESS_BYTES,
    RANGES_PER_NODE,
    RECEIPT_BATCHES_MAX,
    STALL_PENALTY_S,
    STALL_S,
    TEXT_BYTES_MAX,
    TOOLS_MAX,
)
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.asking import Asked
from hydra_sync.sync.effects import (
    Advanced,
    Append,
    CaughtUp,
    Connected,
    Disconnected,
    Diverged,
    Drop,
    Effect,
    Fetched,
    Fetching,
    OwnLogAhead,
    Read,
    Receipt,
    Send,
    SourceReplaced,
    TipsDue,
)
from hydra_sync.sync.intake import Early
from hydra_sync.sync.schedule import Ask, LogSync, Source, plan
from hydra_sync.sync.serving import Serving
from hydra_sync.sync.session import Session
from hydra_sync.sync.transitions import State
from hydra_sync.wire import (
    Cancel,
    Credit,
    Data,
    End,
    EndReason,
    Fetch,
    Goodbye,
    GoodbyeReason,
    Hello,
    LogState,
    LogTip,
    Message,
    Ping,
    Pong,
    Role,
    Tips,
)

__all__ = ["Replicator"]


@dataclass(slots=True)
class _Unpaid:
    """Bytes handed to the store whose credit goes back to the source once they are durable."""

    stop: int
    link: int
    request: int
    size: int


class Replicator:
    """Decides everything a node says and asks; holds no events but those that arrived early."""

    def __init__(
        self,
        *,
        me: MemberKey,
        network: NetworkId,
        hello: Hello,
        held: Mapping[MemberKey, LogTip],
        seed: bytes,
    ) -> None:
        """``held`` is what the store holds of every member's log at the start; ``seed`` orders equal sources."""
        self.me: Final = me
        self.network: Final = network
        self.sessions: dict[int, Session] = {}
        self.nodes: dict[MemberKey, int] = {}
        """The one link to each connected member's node."""
        self.held: dict[MemberKey, LogTip] = dict(held)
        self.receipts: dict[MemberKey, int] = {}
        """How far our own log is durable at each member, as it last showed on a chain that is ours."""
        self._hello = hello
        self._logs = {log: LogSync(log, seed) for log in sorted(held)}
        for log, tip in self.held.items():
            self._logs[log].intake.durable = self._logs[log].intake.frontier = tip.tip
        self._requests = 0
        self._asked: dict[int, Asked] = {}
        self._unpaid: dict[MemberKey, deque[_Unpaid]] = {log: deque() for log in self._logs}
        self._own_hashes = {self.held[me].tip.next_seq: self.held[me].tip.hash}

    # Connections

    def connect(self, link: int, peer: MemberKey, *, dialed: bool, now: float) -> list[Effect]:
        """A channel to ``peer`` is open; ``link`` is a number never used before."""
        self.sessions[link] = Session(link, peer, dialed, now)
        return [Send(link, self._hello)]

    def disconnect(self, link: int, why: str, now: float) -> list[Effect]:
        """The channel is closed, whoever closed it. Unknown links are no news."""
        session = self.sessions.pop(link, None)
        if session is None:
            return []
        self._leave(session)
        gone = session.introduced and (session.is_tool or session.peer not in self.nodes)
        notice = [Disconnected(session.peer, tool=session.is_tool, why=why)] if gone else []
        return [*notice, *self._plan_all(now)]

    def heard(self, link: int, now: float, *, partial: int) -> None:
        """Bytes arrived on ``link``; the frame they left unfinished, if any, is of ``partial`` bytes.

        A frame of data that grows is progress, however slow the line, for as long as a frame may take.
        """
        session = self.sessions.get(link)
        if session is None:
            return
        session.heard(now, partial=partial > 0)
        if partial >= PROGRESS_BYTES:
            for state in self._logs.values():
                for asked in state.asked:
                    if asked.link == link and asked.waiting_since is not None:
                        asked.waiting_since = now

    def receive(self, link: int, message: Message, now: float) -> list[Effect]:
        """A message arrived. A peer that breaks the protocol is dropped, with the reason as evidence."""
        session = self.sessions.get(link)
        if session is None or session.state is State.CLOSED:
            return []
        try:
            session.receive(message)
            return self._dispatch(session, message, now)
        except PeerError as error:
            return self.blame(link, str(error))

    def blame(self, link: int, fault: str) -> list[Effect]:
        """The peer on ``link`` broke the protocol: drop it."""
        text = fault.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")
        return self._drop(link, GoodbyeReason.PROTOCOL, text, fault=fault)

    def stop(self) -> list[Effect]:
        """This node stops: say goodbye to everybody, and ask nobody for anything any more."""
        drops = [self._drop(link, GoodbyeReason.CLOSING, "the node was stopped") for link in sorted(self.sessions)]
        return [effect for drop in drops for effect in drop]

    # What the store did

    def read(self, read: Read, batches: Sequence[Batch], now: float) -> list[Effect]:
        """The answer to a `Read`; no batches where the range is damaged here."""
        session = self.sessions.get(read.link)
        serving = session.serving.get(read.request) if session else None
        if session is None or serving is None:
            return []
        answer = serving.read(batches, self.network, own=read.log == self.me)
        if isinstance(answer, Data):
            return [Send(read.link, answer), *self._serve(session, serving)]
        if isinstance(answer, End):
            return self._end_serving(session, answer)
        return self._serve(session, serving)

    def appended(self, log: MemberKey, tip: Tip, now: float) -> list[Effect]:
        """Our copy of ``log``, or our own log, is durable up to ``tip``: now it may be seen."""
        self.held[log] = replace(self.held[log], tip=tip)
        state = self._logs[log]
        state.intake.durable = tip
        if log == self.me:
            state.intake.frontier = tip
            self._remember(tip)
        effects: list[Effect] = [Advanced(log, tip.next_seq)]
        for session in self.sessions.values():
            if session.state is State.CLOSED:
                continue
            if session.tips_sent:
                session.unshown[log] = None
                effects.append(TipsDue(session.link))
            for serving in list(session.serving.values()):
                if serving.fetch.log == log:
                    effects += self._serve(session, serving)
        effects += self._pay(state, tip)
        effects += self._plan(state, now)
        if state.behind and not any(asked.missing for asked in state.asked) and tip.next_seq >= self.target(log):
            state.behind = False
            effects.append(CaughtUp(log, tip.next_seq))
        return effects

    def append_failed(self, log: MemberKey, retry_at: float, now: float) -> list[Effect]:
        """Our disk refused an `Append`: ask for nothing of this log before ``retry_at``."""
        state = self._logs[log]
        state.intake.rewind()
        state.paused_until = retry_at
        self._unpaid[log].clear()
        effects: list[Effect] = []
        for asked in state.asked:
            effects += self._cancel(asked)
        return effects + self._plan(state, now)

    # Time

    def tick(self, now: float) -> list[Effect]:
        """What is due by now: pings, time-outs, sources that stalled."""
        effects: list[Effect] = []
        for session in list(self.sessions.values()):
            for effect in session.tick(now):
                if isinstance(effect, Drop):
                    effects += self._drop(session.link, effect.goodbye.reason, effect.goodbye.text)
                else:
                    effects.append(effect)
        return effects + self._plan_all(now)

    def deadline(self) -> float:
        """When `tick` has something to do, at the latest."""
        sessions = (session.deadline() for session in self.sessions.values())
        return min((*sessions, *(state.deadline() for state in self._logs.values())), default=math.inf)

    def take_tips(self, link: int) -> Tips | None:
        """The tips that the peer on ``link`` has not seen, to be sent at once; None if it has seen all."""
        session = self.sessions.get(link)
        if session is None or not session.unshown:
            return None
        logs = tuple(self.held[log] for log in session.unshown)
        session.unshown.clear()
        return Tips(False, logs)

    # Messages

    def _dispatch(self, session: Session, message: Message, now: float) -> list[Effect]:
        match message:
            case Hello():
                return self._greet(session, message, now)
            case Tips():
                return self._shown(session, message, now)
            case Fetch():
                return self._fetch(session, message)
            case Data():
                return self._data(session, message, now)
            case End():
                return self._ended(session, message, now)
            case Credit():
                return self._credit(session, message)
            case Cancel():
                return self._cancelled(session, message)
            case Ping():
                return [Send(session.link, Pong(message.nonce))]
            case Goodbye():
                self._leave(session)
                return []
            case _:  # Pong is heard already; Prepare, Promise and Fork wait for recovery to be built
                return []

    def _greet(self, session: Session, hello: Hello, now: float) -> list[Effect]:
        link = session.link
        if not set(hello.versions) & set(self._hello.versions):
            ours = ", ".join(map(str, self._hello.versions))
            return self._drop(link, GoodbyeReason.VERSION, f"no common protocol version; ours: {ours}", fault="version")
        if hello.network != self.network:
            text = f"this node is in network {self.network.hex()[:16]}, you are in {hello.network.hex()[:16]}"
            fault = f"wrong network: it is in {hello.network.hex()[:16]}, we are in {self.network.hex()[:16]}"
            return self._drop(link, GoodbyeReason.WRONG_NETWORK, text, fault=fault)
        session.hello = hello
        if hello.role is Role.TOOL:
            if sum(other.is_tool for other in self.sessions.values()) > TOOLS_MAX:
                return self._drop(link, GoodbyeReason.BUSY, f"{TOOLS_MAX} tools are connected, try again later")
            return self._introduce(session)
        if session.peer == self.me:
            return self._drop(link, GoodbyeReason.DUPLICATE, "this is your own node, or another one with your key")
        return self._settle(session, now)

    def _settle(self, session: Session, now: float) -> list[Effect]:
        """Keep one connection a pair, the same one on both sides (design: 6)."""
        other_link = self.nodes.get(session.peer)
        other = self.sessions.get(other_link) if other_link is not None else None
        if other is None:
            return self._introduce(session)
        # Who dialed again has lost the old connection. Of two that crossed, the lower key's dial stays.
        if session.dialed in (other.dialed, self.me < session.peer):
            dropped = self._drop(other.link, GoodbyeReason.DUPLICATE, "a newer connection takes over")
            return [*dropped, *self._introduce(session)]
        probe = other.probe(now)
        return [probe, *self._drop(session.link, GoodbyeReason.DUPLICATE, "we are connected already")]

    def _introduce(self, session: Session) -> list[Effect]:
        if session.is_node:
            self.nodes[session.peer] = session.link
        session.tips_sent = True
        return [Send(session.link, Tips(True, tuple(self.held[log] for log in sorted(self.held))))]

    def _shown(self, session: Session, tips: Tips, now: float) -> list[Effect]:
        first = not session.introduced
        if tips.full != first:
            raise PeerError("full Tips come once, first")
        session.introduced = True
        for shown in tips.logs:
            if shown.log not in self._logs:
                raise PeerError(f"tips of log {shown.log.hex()[:8]}, whose author is no member")
            session.shown[shown.log] = shown
            self._logs[shown.log].reconsider(session.link)
        if not session.is_node:
            return [Connected(session.peer, tool=True)] if first else []
        effects: list[Effect] = [Connected(session.peer, tool=False)] if first else []
        for shown in tips.logs:
            if shown.log == self.me:
                effects += self._take_receipt(session.peer, shown)
            effects += self._plan(self._logs[shown.log], now)
        return effects

    # Serving

    def _fetch(self, session: Session, fetch: Fetch) -> list[Effect]:
        if fetch.log not in self.held:
            raise PeerError(f"a fetch of log {fetch.log.hex()[:8]}, whose author is no member")
        return self._serve(session, session.begin(fetch))

    def _credit(self, session: Session, credit: Credit) -> list[Effect]:
        serving = session.serving.get(credit.request)
        if serving is None:  # it has ended meanwhile
            return []
        serving.grant(credit)
        return self._serve(session, serving)

    def _cancelled(self, session: Session, cancel: Cancel) -> list[Effect]:
        serving = session.serving.get(cancel.request)
        if serving is None:
            return []
        return self._end_serving(session, End(cancel.request, serving.next_seq, EndReason.CANCELLED))

    def _serve(self, session: Session, serving: Serving) -> list[Effect]:
        step = serving.step(self.held[serving.fetch.log])
        if isinstance(step, End):
            return self._end_serving(session, step)
        return [] if step is None else [step]

    def _end_serving(self, session: Session, end: End) -> list[Effect]:
        del session.serving[end.request]
        return [Send(session.link, end)]

    # Asking

    def _data(self, session: Session, data: Data, now: float) -> list[Effect]:
        asked = self._find(session.link, data.request)
        if asked is None:
            raise PeerError(f"data for request {data.request}, which we never made")
        if asked.cancelled:
            asked.spend(len(data.records))
            return []
        state = self._logs[asked.log]
        try:
            batches = asked.receive(data, self.network)
        except DivergedError:
            effects = self._diverged(state, session.peer, session.link, asked.next_seq)
            return [*effects, *self._own_log_ahead(asked, session.peer), *self._plan(state, now)]
        events = SeqRange(batches[0].header.first_seq, batches[-1].header.stop)
        if asked.log == self.me:
            ours = self._is_ours(batches[-1])
            return self._cancel(asked) if ours else self._own_log_ahead(asked, session.peer)
        state.delivered(session.link, events.count, len(data.records))
        state.intake.add(Early(session.link, asked.request, batches))
        return [Fetched(asked.log, session.peer, events), *self._drain(state), *self._plan(state, now)]

    def _is_ours(self, batch: Batch) -> bool:
        """Whether a batch that we signed is one that our store has: written since we asked."""
        tip = Tip.after(batch)
        known = self._own_hashes.get(tip.next_seq, tip.hash)
        return tip.next_seq <= self.held[self.me].tip.next_seq and known == tip.hash

    def _own_log_ahead(self, asked: Asked, peer: MemberKey) -> list[Effect]:
        """A peer sent what we signed and do not have: proof that appending would fork our own log."""
        if asked.log != self.me:
            return []
        self._logs[self.me].refused_until[asked.link] = math.inf
        return [*self._cancel(asked), OwnLogAhead(peer, asked.next_seq)]

    def _drain(self, state: LogSync) -> list[Effect]:
        ready, conflict = state.intake.drain()
        effects: list[Effect] = []
        for run, new in ready:
            if new:
                effects.append(Append(state.log, new))
            stop = state.intake.frontier.next_seq if new else 0
            self._unpaid[state.log].append(_Unpaid(stop, run.link, run.request, run.size))
        effects += self._pay(state, state.intake.durable)
        if conflict is not None:
            peer = self.sessions[conflict.link].peer
            effects += self._diverged(state, peer, conflict.link, conflict.range.start)
        return effects

    def _pay(self, state: LogSync, tip: Tip) -> list[Effect]:
        unpaid = self._unpaid[state.log]
        effects: list[Effect] = []
        while unpaid and unpaid[0].stop <= tip.next_seq:
            due = unpaid.popleft()
            asked = self._find(due.link, due.request)
            if asked is not None and not asked.cancelled and (credit := asked.durable(due.size)):
                effects.append(Send(due.link, Credit(due.request, credit)))
        return effects

    def _ended(self, session: Session, end: End, now: float) -> list[Effect]:
        asked = self._find(session.link, end.request)
        if asked is None:
            raise PeerError(f"the end of request {end.request}, which we never made")
        state = self._logs[asked.log]
        state.asked.remove(asked)
        del self._asked[end.request]
        done = end.reason is EndReason.DONE and not asked.live and asked.missing is None
        if asked.cancelled or done:
            return self._plan(state, now)
        if end.reason in (EndReason.DIVERGED, EndReason.FORKED):
            effects = self._diverged(state, session.peer, session.link, asked.next_seq)
        else:
            wait = end.detail / 1000 if end.reason is EndReason.BUSY else STALL_S
            state.refused_until[session.link] = now + min(max(wait, 0.1), STALL_PENALTY_S)
            effects = [SourceReplaced(asked.log, session.peer, f"it answered {end.reason.name.lower()}")]
        return effects + self._plan(state, now)

    def _diverged(self, state: LogSync, peer: MemberKey, link: int, seq: int) -> list[Effect]:
        """Keep our history; ask that peer for this log no more while it is connected."""
        state.refused_until[link] = math.inf
        effects: list[Effect] = [Diverged(state.log, peer, seq)]
        for asked in state.asked:
            if asked.link == link:
                effects += self._cancel(asked)
        state.intake.early = [run for run in state.intake.early if run.link != link]
        return effects

    # Planning

    def _plan_all(self, now: float) -> list[Effect]:
        return [effect for state in self._logs.values() for effect in self._plan(state, now)]

    def _plan(self, state: LogSync, now: float) -> list[Effect]:
        # What was cancelled takes no place: a source that never ends it would starve all others.
        ranges = sum(not (asked.live or asked.cancelled) for other in self._logs.values() for asked in other.asked)
        planned = plan(state, self._sources(state), now, ranges_free=RANGES_PER_NODE - ranges)
        effects: list[Effect] = []
        for asked, why in planned.cancel:
            effects += self._cancel(asked)
            effects.append(SourceReplaced(asked.log, self.sessions[asked.link].peer, why))
        for ask in planned.ask:
            effects += self._ask(state, ask, now)
        return effects

    def _sources(self, state: LogSync) -> list[Source]:
        sources = []
        for link in self.nodes.values():
            session = self.sessions[link]
            shown = session.shown.get(state.log)
            ahead = shown is not None and shown.tip.next_seq > self.held[self.me].tip.next_seq
            if session.syncing and shown is not None and (state.log != self.me or ahead):
                sources.append(Source(link, session.peer, shown))
        return sources

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
            return self.blame(asked.link, f"it ended none of {waiting} fetches that were cancelled")
        return [Send(asked.link, Cancel(asked.request))]

    def _find(self, link: int, request: int) -> Asked | None:
        asked = self._asked.get(request)
        return asked if asked is not None and asked.link == link else None

    def target(self, log: MemberKey) -> int:
        """The highest next seq of ``log`` that any connected node shows."""
        shown = (self.sessions[link].shown.get(log) for link in self.nodes.values())
        return max((tip.tip.next_seq for tip in shown if tip is not None), default=0)

    # Receipts

    def _remember(self, tip: Tip) -> None:
        self._own_hashes[tip.next_seq] = tip.hash
        while len(self._own_hashes) > RECEIPT_BATCHES_MAX:
            del self._own_hashes[next(iter(self._own_hashes))]

    def _take_receipt(self, peer: MemberKey, shown: LogTip) -> list[Effect]:
        """Count a peer's tip of our log only where it stands on our own chain (design: 2, stable)."""
        ours = self._own_hashes.get(shown.tip.next_seq) == shown.tip.hash
        before = self.receipts.get(peer, 0)
        if ours and shown.state is LogState.OK:
            self.receipts[peer] = shown.durable_stop
        elif shown.tip.next_seq < before:
            self.receipts[peer] = 0
        after = self.receipts.get(peer, 0)
        return [] if after == before else [Receipt(peer, after)]

    def _drop(self, link: int, reason: GoodbyeReason, text: str, *, fault: str | None = None) -> list[Effect]:
        session = self.sessions[link]
        session.state = State.CLOSED
        self._leave(session)
        return [Drop(link, Goodbye(reason, text), fault)]

    def _leave(self, session: Session) -> None:
        """Forget what was asked and believed of this connection; `disconnect` plans without it."""
        if self.nodes.get(session.peer) == session.link:
            del self.nodes[session.peer]
        for state in self._logs.values():
            state.forget(session.link)
        for request in [request for request, asked in self._asked.items() if asked.link == session.link]:
            del self._asked[request]
