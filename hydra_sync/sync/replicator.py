"""The protocol core of a node: messages and time in, effects out, one for all its connections. No I/O.

The node calls it for everything that happens and carries out what it returns, in order. From the
same calls it returns the same effects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.errors import PeerError
from hydra_sync.fork import ForkProof
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.limits import (
    PROCESSES_MAX,
    SHUN_S,
    TEXT_BYTES_MAX,
    TOOLS_MAX,
    UNINTRODUCED_MAX,
)
from hydra_sync.ranges import SeqRange
from hydra_sync.standing import Standing
from hydra_sync.sync.agreement import Agreement
from hydra_sync.sync.effects import (
    Advanced,
    Append,
    BeginEpoch,
    Compare,
    Connected,
    Disconnected,
    Drop,
    Effect,
    Explain,
    Forked,
    Locate,
    Orphaned,
    OwnLogTaken,
    Read,
    Send,
)
from hydra_sync.sync.fetching import Fetcher
from hydra_sync.sync.fork_news import ForkNews
from hydra_sync.sync.receipts import Receipts
from hydra_sync.sync.session import Session
from hydra_sync.sync.showing import Showing
from hydra_sync.sync.supplying import Supplier
from hydra_sync.sync.transitions import State
from hydra_sync.wire import (
    Cancel,
    Credit,
    Data,
    End,
    Fetch,
    Fork,
    Goodbye,
    GoodbyeReason,
    Hello,
    LogTip,
    Message,
    Ping,
    Pong,
    Prepare,
    Promise,
    Refuse,
    Role,
    Stable,
    Tips,
)

__all__ = ["Replicator"]

_NO_STANDINGS: Final[Mapping[MemberKey, Standing]] = {}


class Replicator:
    """Decides everything a node says and asks; holds no events but those that arrived early."""

    def __init__(
        self,
        *,
        key: SigningKey,
        network: NetworkId,
        hello: Hello,
        held: Mapping[MemberKey, LogTip],
        seed: bytes,
        standings: Mapping[MemberKey, Standing] = _NO_STANDINGS,
        start: bytes | None = None,
        proofs: Sequence[ForkProof] = (),
    ) -> None:
        """``held`` and ``standings`` are what the store has of every member's log; ``seed`` orders equal sources.

        ``start`` is the random name of this start, of a node that proves its epoch; None is to trust the disk.
        """
        me = key.member
        self.me: Final = me
        self.network: Final = network
        self.sessions: dict[int, Session] = {}
        self.nodes: dict[MemberKey, int] = {}
        """The one link to each connected member's node.

        If two processes of a member are connected, that of the later epoch; the other one hears of it from us.
        """
        self.held: dict[MemberKey, LogTip] = dict(held)
        self._hello = hello if start is None else hello.of_start(start)
        self._shunned_until: dict[MemberKey, float] = {}
        self._withheld: list[Append] = []
        """Of our own log, until it is durable that others' logs have to be looked at again."""
        self._receipts = Receipts(self.held[me].tip)
        self.forks: Final = ForkNews(network, sorted(held), self.nodes, proofs)
        self.agreement: Final = Agreement(
            key=key,
            network=network,
            members=tuple(sorted(held)),
            store_id=hello.store_id,
            founding=hello.founding,
            standings={log: standings.get(log, Standing()) for log in held},
            start=start,
            held=self.held,
            sessions=self.sessions,
            nodes=self.nodes,
            forked_at=self.forks.position,
        )
        self._showing = Showing(me, self.sessions, self.nodes, self.agreement)
        self._supplier = Supplier(me, network, self.sessions, self.held, self.forks.position)
        self._fetcher = Fetcher(
            me=me,
            adopts=lambda: self.agreement.adopts,
            has_begun=lambda: self.agreement.has_begun,
            is_ready=lambda: self.agreement.is_ready or self.agreement.has_begun,
            network=network,
            held=self.held,
            seed=seed,
            sessions=self.sessions,
            nodes=self.nodes,
            receipts=self._receipts,
            forked_at=self.forks.position,
            blame=self.blame,
        )

    @property
    def receipts(self) -> Mapping[MemberKey, int]:
        """How far our own log is durable at each member, as it last showed on a chain that is ours."""
        return self._receipts.counts

    def target(self, log: MemberKey) -> int:
        """The highest next seq of ``log`` that any connected node shows."""
        return self._fetcher.sources.target(log)

    # Connections

    def connect(self, link: int, peer: MemberKey, *, dialed: bool, now: float) -> list[Effect]:
        """A channel to ``peer`` is open; ``link`` is a number never used before."""
        self.sessions[link] = Session(link, peer, dialed, now)
        silent = [session for session in self.sessions.values() if session.peer == peer and not session.introduced]
        drops: list[Effect] = []
        for session in silent[:-UNINTRODUCED_MAX]:
            if session.state is not State.CLOSED:
                drops += self._drop(session.link, GoodbyeReason.BUSY, "too many connections that say nothing")
        return [*drops, Send(link, self._hello)]

    def disconnect(self, link: int, why: str, now: float) -> list[Effect]:
        """The channel is closed, whoever closed it. Unknown links are no news."""
        session = self.sessions.pop(link, None)
        if session is None:
            return []
        self._leave(session)
        if session.faulty:
            self._shunned_until[session.peer] = now + SHUN_S
        left = self._turn_to_other(session.peer, now) if session.is_node else []
        gone = session.introduced and (session.is_tool or session.peer not in self.nodes)
        notice = [Disconnected(session.peer, tool=session.is_tool, why=why)] if gone else []
        # Also where one that took its place has ended before it showed anything.
        parted = self.agreement.parted(session.peer) if session.is_node and session.peer not in self.nodes else []
        return [*notice, *parted, *left, *self._fetcher.plan_all(now)]

    def heard(self, link: int, now: float, *, partial: int) -> None:
        """Bytes arrived on ``link``, and left a frame unfinished of which ``partial`` bytes are here.

        A frame of data that grows is progress, however slow the line, for as long as a frame may take.
        """
        session = self.sessions.get(link)
        if session is not None and session.heard(now, partial=partial):
            self._fetcher.progress(link, now)

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
        """The peer on ``link`` broke the protocol: drop it. Unknown links are no news."""
        if link not in self.sessions:
            return []
        printable = "".join(char if char.isprintable() else " " for char in fault)
        text = printable.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")
        return self._drop(link, GoodbyeReason.PROTOCOL, text, fault=printable)

    def stop(self) -> list[Effect]:
        """This node stops: say goodbye to everybody, and ask nobody for anything any more."""
        drops = [self._drop(link, GoodbyeReason.CLOSING, "the node was stopped") for link in sorted(self.sessions)]
        return [effect for drop in drops for effect in drop]

    # What the store did

    def read(self, read: Read, batches: Sequence[Batch]) -> list[Effect]:
        """The answer to a `Read`; no batches where the range is damaged here."""
        return self._supplier.read(read, batches)

    def appended(self, log: MemberKey, tip: Tip, now: float) -> list[Effect]:
        """Our copy of ``log``, or our own log, is durable up to ``tip``: now it may be seen."""
        held = self.held[log]
        self.held[log] = LogTip(log, tip, min(held.first_seq, tip.next_seq), held.holes, held.state)
        if log == self.me:
            self._receipts.extend(tip)
        effects: list[Effect] = [Advanced(log, tip.next_seq)]
        effects += self._showing.to_author(log, now)
        effects += self._supplier.appended(log)
        return effects + self._fetcher.appended(log, tip, now) + self.agreement.appended(log, now)

    def orphaned(self, log: MemberKey, events: SeqRange) -> list[Effect]:
        """A later epoch has taken the place of what our store held; `appended` follows."""
        self.held[log] = replace(
            self.held[log], holes=tuple(hole for hole in self.held[log].holes if hole.stop <= events.start)
        )
        receipts = self._receipts.orphaned(events) if log == self.me else []
        return [Orphaned(log, events), *receipts]

    def persisted(self, log: MemberKey, standing: Standing, now: float) -> list[Effect]:
        """The answer to a `Persist`."""
        effects = self.agreement.persisted(log, standing, now)
        return effects if self.agreement.forgets else [*self._take_withheld(), *effects]

    def epoch_void(self, begin: BeginEpoch, now: float) -> list[Effect]:
        """A `BeginEpoch` cannot be done any more: our own log has had a later epoch meanwhile."""
        return self.agreement.epoch_void(begin.epoch, now)

    def located(self, located: Locate, tip: Tip | None, now: float) -> list[Effect]:
        """The answer to a `Locate`; None where our disk could not tell."""
        return self._fetcher.located(located.log, tip, now)

    def compared(self, compare: Compare, proof: ForkProof | None, now: float) -> list[Effect]:
        """The answer to a `Compare`: a proof, unless the two runs are one history."""
        return [] if proof is None else self._learned(self.forks.learned(proof), now)

    def _learned(self, news: list[Effect], now: float) -> list[Effect]:
        forked = [effect.log for effect in news if isinstance(effect, Forked)]
        effects = list(news)
        if self.me in forked:
            self.agreement.end()
        for log in forked:
            effects += self._showing.to_all(log)
            effects += self.agreement.restable(log)
            effects += self._fetcher.plan(log, now)
        return effects

    def explained(self, explain: Explain, epoch: int, first_seq: int) -> list[Effect]:
        """The answer to an `Explain`."""
        return self._supplier.explained(explain, epoch, first_seq)

    def append_failed(self, log: MemberKey, retry_at: float, now: float) -> list[Effect]:
        """Our disk refused an `Append`: ask for nothing of this log before ``retry_at``."""
        return self._fetcher.append_failed(log, retry_at, now)

    def append_void(self, log: MemberKey, now: float) -> list[Effect]:
        """An `Append` does not fit any more: our copy has left the branch that it was fetched for."""
        return self._fetcher.append_void(log, now)

    def damaged(self, held: LogTip) -> list[Effect]:
        """Damage was found in our copy of a log: what is shown of it ends at the first hole."""
        self.held[held.log] = held
        return self._showing.to_all(held.log)

    # Time

    def tick(self, now: float) -> list[Effect]:
        """What is due by now: pings, time-outs, tips that moved, sources that stalled."""
        effects: list[Effect] = []
        for session in list(self.sessions.values()):
            for effect in session.tick(now):
                if isinstance(effect, Drop):
                    effects += self._drop(session.link, effect.goodbye.reason, effect.goodbye.text)
                else:
                    effects.append(effect)
            if session.news_due(now):
                effects.append(self._showing.moved(session, now))
        return effects + self.agreement.tick(now) + self._fetcher.plan_all(now)

    def deadline(self) -> float:
        """When `tick` has something to do that has its time; tips that moved go with any tick."""
        sessions = (session.deadline() for session in self.sessions.values())
        return min((*sessions, self._fetcher.deadline(), self.agreement.deadline()))

    def take_tips(self, link: int, now: float) -> Tips | Stable | None:
        """What the peer on ``link`` has not seen of our tips, to be sent at once; None if it has seen all."""
        return self._showing.take(link, now)

    # Messages

    def _dispatch(self, session: Session, message: Message, now: float) -> list[Effect]:  # noqa: C901  one case a message
        match message:
            case Hello():
                return self._greet(session, message, now)
            case Tips():
                return self._shown(session, message, now)
            case Fetch():
                return self._supplier.fetch(session, message)
            case Data():
                return self._data(session, message, now)
            case End():
                return self._fetcher.ended(session, message, now)
            case Credit():
                return self._supplier.credit(session, message)
            case Cancel():
                return self._supplier.cancelled(session, message)
            case Ping():
                return [Send(session.link, Pong(message.nonce))]
            case Goodbye():
                self._leave(session)
                return []
            case Prepare() | Promise() | Refuse() | Stable():
                return self._agree(session, message, now)
            case Fork():
                return self._learned(self.forks.heard(message, session.link), now)
            case _:  # Pong is heard already
                return []

    def _agree(self, session: Session, message: Prepare | Promise | Refuse | Stable, now: float) -> list[Effect]:
        if not session.is_node:
            raise PeerError(f"{type(message).__name__} of a tool")
        match message:
            case Prepare():
                ballot = self.agreement.open(message)
                if session.peer == message.log:
                    session.asked = max(session.asked, ballot.number)
                overtakes = self._overtake(session, now) if self._is_later(session) else []
                return [*overtakes, *self.agreement.prepare(session, message, ballot, now)]
            case Promise():
                return [*self.agreement.promise(session, message, now), *self._fetcher.plan(self.me, now)]
            case Refuse():
                return self.agreement.refuse(session, message, now)
            case Stable():
                if message.log == session.peer and self.nodes.get(session.peer) != session.link:
                    return []  # what an older process says of its epoch must not hide the word about the later one
                return self.agreement.stable(session, message)

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
        if now < self._shunned_until.get(session.peer, -math.inf):
            return self._drop(link, GoodbyeReason.BUSY, f"you broke the protocol, try again in {SHUN_S:g} s")
        if hello.role is Role.TOOL:
            if sum(other.is_tool for other in self.sessions.values()) > TOOLS_MAX:
                return self._drop(link, GoodbyeReason.BUSY, f"{TOOLS_MAX} tools are connected, try again later")
            return self._introduce(session)
        if session.peer == self.me:
            return self._drop(link, GoodbyeReason.DUPLICATE, "this is your own node, or another one with your key")
        return self._settle(session, now)

    def _settle(self, session: Session, now: float) -> list[Effect]:
        """Keep one connection a pair, the same one on both sides (design: 6).

        Another process of the member is heard beside it: it was started again and we do not know yet, or
        two run with one key. Which is the younger is not for either to claim: its epoch shows it.
        """
        assert session.hello is not None
        others = self._connected(session.peer)
        other = next((other for other in others if not other.is_of_another_process(session.hello)), None)
        if other is None:
            effects: list[Effect] = []
            beside = [one for one in others if self.nodes.get(one.peer) != one.link]
            for one in beside[: max(0, len(others) + 1 - PROCESSES_MAX)]:
                effects += self._drop(one.link, GoodbyeReason.DUPLICATE, "other processes of this member are here")
            return [*effects, *(one.probe(now) for one in others if one.stands), *self._introduce(session)]
        # Who dialed again has lost the old connection. Of two that crossed, the lower key's dial stays.
        if session.dialed in (other.dialed, self.me < session.peer):
            dropped = self._drop(other.link, GoodbyeReason.DUPLICATE, "a newer connection takes over")
            return [*dropped, *self._introduce(session)]
        probe = other.probe(now)
        return [probe, *self._drop(session.link, GoodbyeReason.DUPLICATE, "we are connected already")]

    def _connected(self, peer: MemberKey) -> list[Session]:
        """The connections to a member's node, one to each of its processes."""
        return [session for session in self.sessions.values() if session.peer == peer and session.stands]

    def _is_later(self, session: Session) -> bool:
        """Whether this is the process of a later epoch than the one that we count as the member's."""
        link = self.nodes.get(session.peer)
        return link is not None and session.latest > self.sessions[link].latest

    def _overtake(self, session: Session, now: float) -> list[Effect]:
        """From now on this connection is the one to its member."""
        link = self.nodes.get(session.peer)
        self.nodes[session.peer] = session.link
        effects = self._fetcher.leave(link) if link is not None else []
        if session.introduced:
            effects += self._believe(session, tuple(session.counted.values()), now, first=True)
        return effects

    def _turn_to_other(self, peer: MemberKey, now: float) -> list[Effect]:
        """A connection is gone: perhaps another process of the member is still here."""
        others = self._connected(peer) if peer not in self.nodes else []
        return self._overtake(max(others, key=lambda session: session.latest), now) if others else []

    def _introduce(self, session: Session) -> list[Effect]:
        if session.is_node:
            self.nodes.setdefault(session.peer, session.link)
        session.tips_sent = True
        return [Send(session.link, Tips(True, tuple(self.agreement.shown(log) for log in sorted(self.held))))]

    def _shown(self, session: Session, tips: Tips, now: float) -> list[Effect]:
        first = not session.introduced
        if tips.full != first:
            raise PeerError("full Tips come once, first")
        session.introduced = True
        for shown in tips.logs:
            if shown.log not in self.held:
                raise PeerError(f"tips of log {shown.log.hex()[:8]}, whose author is no member")
            session.shown[shown.log] = session.counted[shown.log] = shown
            self._fetcher.reconsider(shown.log, session.link)
        if not session.is_node:
            return [Connected(session.peer, tool=True)] if first else []
        if self.nodes.get(session.peer) == session.link:
            return self._believe(session, tips.logs, now, first=first)
        return self._overtake(session, now) if self._is_later(session) else []

    def _believe(self, session: Session, logs: Sequence[LogTip], now: float, *, first: bool) -> list[Effect]:
        """What follows from what a member's node shows."""
        effects: list[Effect] = [Connected(session.peer, tool=False)] if first else []
        for shown in logs:
            if shown.log == self.me:
                effects += self._receipts.take(session.peer, shown)
            effects += self.agreement.tips(session, shown, now)
            effects += self._fetcher.suspect(session, shown, now)
            effects += self._fetcher.plan(shown.log, now)
        if first:
            effects += self.forks.introduced(session.link)
            effects += self.agreement.introduced(session, now)
        return effects

    def _data(self, session: Session, data: Data, now: float) -> list[Effect]:
        effects = self._fetcher.data(session, data, now)
        if any(isinstance(effect, OwnLogTaken) for effect in effects):
            self.agreement.end()
        if not self.agreement.adopts:
            return effects
        rest: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Append) and effect.log == self.me:
                rest += self.agreement.adopted()
                self._withheld.append(effect)
            else:
                rest.append(effect)
        return rest if self.agreement.forgets else [*rest, *self._take_withheld()]

    def _take_withheld(self) -> list[Append]:
        withheld, self._withheld = self._withheld, []
        return withheld

    def _drop(self, link: int, reason: GoodbyeReason, text: str, *, fault: str | None = None) -> list[Effect]:
        session = self.sessions[link]
        session.state = State.CLOSED
        session.faulty = session.faulty or fault is not None
        self._leave(session)
        return [Drop(link, Goodbye(reason, text), fault)]

    def _leave(self, session: Session) -> None:
        """Forget what was asked and believed of this connection; `disconnect` plans without it."""
        if self.nodes.get(session.peer) == session.link:
            del self.nodes[session.peer]
        self._fetcher.forget(session.link, session.peer)
