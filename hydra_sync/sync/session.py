"""One connection: what its peer said and shows, what we serve on it, and whether it is alive. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hydra_sync.chain import Tip
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import (
    FETCHES_PER_SESSION_MAX,
    FRAME_S,
    HANDSHAKE_S,
    NEWS_S,
    PING_S,
    PROBE_S,
    PROGRESS_BYTES,
    SILENCE_S,
)
from hydra_sync.sync.effects import Drop, Effect, Send, TipsDue
from hydra_sync.sync.serving import Serving
from hydra_sync.sync.transitions import State, next_state
from hydra_sync.wire import Fetch, Goodbye, GoodbyeReason, Hello, LogTip, Message, Ping, Role

__all__ = ["Session"]


@dataclass(slots=True)
class Session:
    """The protocol state of one connection to the member ``peer``, proven by the channel."""

    link: int
    peer: MemberKey
    dialed: bool
    """Whether we opened the connection."""
    opened_at: float
    state: State = State.GREETING
    hello: Hello | None = None
    shown: dict[MemberKey, LogTip] = field(default_factory=dict)
    """What the peer can supply of each log, by its tips and by what it has sent."""
    counted: dict[MemberKey, LogTip] = field(default_factory=dict)
    """What the peer says that it holds, by its tips alone: what it sends may not count as held (design: 7, 2)."""
    serving: dict[int, Serving] = field(default_factory=dict)
    unshown: dict[MemberKey, None] = field(default_factory=dict)
    """Logs of which the peer is to be told at once."""
    moved: dict[MemberKey, float] = field(default_factory=dict)
    """Logs whose tip moved since the peer was last told, and when, the oldest first: news that can wait."""
    moved_told_at: float = -math.inf
    """When the peer was last told of some."""
    words_due: dict[MemberKey, None] = field(default_factory=dict)
    """Logs of which the peer is to be told how far they are stable."""
    told_stable: dict[MemberKey, int] = field(default_factory=dict)
    """How far the peer knows that logs of others are stable, as it was told, or told us."""
    tips_sent: bool = False
    introduced: bool = False
    """Whether the peer's full tips have come."""
    heard_at: float = field(init=False)
    frame_since: float | None = None
    frame_bytes: int = 0
    """How far the unfinished frame had come when it last made progress."""
    pinged_at: float = -math.inf
    probe_until: float = math.inf
    faulty: bool = False
    """Whether the peer broke the protocol."""
    asked: int = 0
    """The highest ballot for its own log that the peer itself asked for here."""

    def __post_init__(self) -> None:
        self.heard_at = self.opened_at

    @property
    def syncing(self) -> bool:
        """Whether the peer's node has shown its tips, so that we may ask it."""
        return self.state is State.SYNCING and self.is_node

    @property
    def is_node(self) -> bool:
        return self.hello is not None and self.hello.role is Role.NODE

    @property
    def is_tool(self) -> bool:
        return self.hello is not None and self.hello.role is Role.TOOL

    @property
    def stands(self) -> bool:
        """Whether this is an open connection to a member's node that has been shown our tips."""
        return self.tips_sent and self.is_node and self.state is not State.CLOSED

    @property
    def latest(self) -> int:
        """The latest epoch of its own log that the peer shows, or asks for."""
        own = self.counted.get(self.peer)
        return max(self.asked, own.tip.epoch if own is not None else 0)

    def is_of_another_process(self, hello: Hello) -> bool:
        """Whether the peer's process is another one than says ``hello``, as far as both tell."""
        mine = self.hello.start if self.hello is not None else None
        return mine is not None and hello.start is not None and mine != hello.start

    def heard(self, now: float, *, partial: int) -> bool:
        """Bytes arrived, and so many of them are of an unfinished frame; whether that is progress.

        A frame that grows by `PROGRESS_BYTES` carries data. One that drips does not.
        """
        self.heard_at = now
        self.probe_until = math.inf
        if not partial:
            self.frame_since, self.frame_bytes = None, 0
            return False
        if self.frame_since is None:
            self.frame_since = now
        grew = partial >= self.frame_bytes + PROGRESS_BYTES
        self.frame_bytes = partial if grew or partial < self.frame_bytes else self.frame_bytes
        return grew

    def show(self, log: MemberKey) -> TipsDue:
        """The peer is to be told at once what we hold of this log."""
        self.unshown[log] = None
        return TipsDue(self.link)

    def news_due(self, now: float) -> bool:
        """Whether some of what moved has waited long enough."""
        if not self.moved or self.state is State.CLOSED:
            return False
        return now >= next(iter(self.moved.values())) + NEWS_S

    def saw(self, log: MemberKey, tip: Tip) -> None:
        """The peer sent records up to ``tip``: whoever sends them holds them, durably (design: 3, 2)."""
        shown = self.shown.get(log)
        if shown is not None and tip.next_seq > shown.tip.next_seq:
            self.shown[log] = LogTip(log, tip, shown.first_seq, shown.holes, shown.state)

    def receive(self, message: Message) -> None:
        """Step the state machine. Raises `PeerError` for a message out of place."""
        self.state = next_state(self.state, message)
        self.frame_since, self.frame_bytes = None, 0

    def begin(self, fetch: Fetch) -> Serving:
        """Start to serve ``fetch``. Raises `PeerError` for a request id in use, or one too many."""
        if fetch.request in self.serving:
            raise PeerError(f"request id {fetch.request} is in use")
        if len(self.serving) >= FETCHES_PER_SESSION_MAX:
            raise PeerError(f"more than {FETCHES_PER_SESSION_MAX} fetches at once")
        serving = self.serving[fetch.request] = Serving.of(self.link, fetch)
        return serving

    def probe(self, now: float) -> Send:
        """Ask for a sign of life, within `PROBE_S`: another connection claims this one's place."""
        self.probe_until = min(self.probe_until, now + PROBE_S)
        return self._ping(now)

    def tick(self, now: float) -> list[Effect]:
        """What time demands: a ping after silence, the end after too much of it."""
        if self.state is State.CLOSED or now < self.deadline():
            return []
        if self.state in (State.GREETING, State.INTRODUCING) and now >= self.opened_at + HANDSHAKE_S:
            return [self._timeout(f"{self.state.value} for {HANDSHAKE_S:g} s")]
        if now >= self.heard_at + SILENCE_S or now >= self.probe_until:
            return [self._timeout("silent, and does not answer a ping")]
        if self.frame_since is not None and now >= self.frame_since + FRAME_S:
            return [self._timeout(f"one frame took more than {FRAME_S:g} s")]
        return [self._ping(now)]

    def deadline(self) -> float:
        """When `tick` has something to do."""
        if self.state is State.CLOSED:
            return math.inf
        frame = math.inf if self.frame_since is None else self.frame_since + FRAME_S
        if self.state is State.SYNCING:  # a ping is due before there was silence for too long
            return min(self.probe_until, frame, self.heard_at + SILENCE_S, max(self.heard_at, self.pinged_at) + PING_S)
        return min(self.probe_until, frame, self.heard_at + SILENCE_S, self.opened_at + HANDSHAKE_S)

    def _ping(self, now: float) -> Send:
        self.pinged_at = now
        return Send(self.link, Ping(int(now * 1000)))

    def _timeout(self, why: str) -> Drop:
        return Drop(self.link, Goodbye(GoodbyeReason.TIMEOUT, why))
