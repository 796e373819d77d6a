"""Which events of one log to ask from whom: identical choices from identical inputs. No I/O.

Far behind, the missing events are cut into ranges that go to several sources at once. Close to the
end one fetch stays open, to the author if it is connected, else to whoever has the log; what others
show beyond it is asked from them in ranges, so that nobody's claim comes between us and the author.
What makes no progress is cancelled and asked elsewhere. Nothing believed of a peer outlives its connection,
but how often in a row it has gone without what it owed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.identity import MemberKey
from hydra_sync.limits import (
    BROKEN_MAX,
    LAG_S,
    PARTINGS_MAX,
    RANGE_BYTES_TARGET,
    RANGE_EVENTS_FIRST,
    RANGES_PER_LOG,
    RANGES_PER_SOURCE,
    STALL_DOUBLINGS_MAX,
    STALL_PENALTY_S,
    STALL_S,
)
from hydra_sync.ranges import SeqRange, subtract
from hydra_sync.sync.asking import Asked
from hydra_sync.sync.intake import Intake
from hydra_sync.wire import LogState, LogTip

__all__ = ["Ask", "LogSync", "Plan", "Source", "plan"]


@dataclass(frozen=True, slots=True)
class Source:
    """A connected member and what it shows of the log."""

    link: int
    peer: MemberKey
    shown: LogTip


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask ``source`` for ``[start, stop)``, or from ``start`` on for ever where ``stop`` is None."""

    source: Source
    start: int
    stop: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to cancel, each with the reason, and then what to ask."""

    cancel: tuple[tuple[Asked, str], ...] = ()
    ask: tuple[Ask, ...] = ()


@dataclass(slots=True)
class LogSync:
    """All we know about getting one log."""

    log: MemberKey
    seed: bytes
    intake: Intake
    asked: list[Asked] = field(default_factory=list)
    refused_until: dict[int, float] = field(default_factory=dict)
    """Links that said they cannot supply what we need now: not asked before this time."""
    stalled_until: dict[int, float] = field(default_factory=dict)
    """Links that made no progress: the last choice until this time."""
    broken: dict[MemberKey, int] = field(default_factory=dict)
    """How often in a row a member's connection went when it had stalled, or owed us what it had shown."""
    proven: dict[int, int] = field(default_factory=dict)
    """The latest epoch of which a link has sent a record; that it shows a later one is a bare claim."""
    partings: dict[int, int] = field(default_factory=dict)
    """How often in a row a link turned out to hold another branch than the one it was asked for."""
    paused_until: float = -math.inf
    """Our own disk refused: nothing is asked before this time."""
    stalls: dict[int, int] = field(default_factory=dict)
    """How often in a row a link made no progress: who promises and does not deliver is believed less and less."""
    overtake_at: float | None = None
    """When others may be asked for what the author, whom we follow, does not show; in the past: now."""
    refusing: bool = False
    """Our own disk refused, and nothing was appended since."""
    locating: bool = False
    """It is being looked up where we may part from a branch that has taken over; nothing is asked meanwhile."""
    base: Tip | None = None
    """Where we left our branch to follow another: until that proves to be of a later epoch, ours is kept."""
    other: list[Batch] = field(default_factory=list)
    """What came of the other branch so far."""
    behind: bool = False
    events_seen: int = 0
    bytes_seen: int = 0

    @property
    def range_events(self) -> int:
        """How many events make a range of about `RANGE_BYTES_TARGET`, from what came so far."""
        if not self.bytes_seen:
            return RANGE_EVENTS_FIRST
        return max(1, RANGE_BYTES_TARGET * self.events_seen // self.bytes_seen)

    @property
    def is_troubled(self) -> bool:
        """Whether anything is not as it is while one source is followed and supplies what it shows."""
        return bool(
            self.refused_until
            or self.stalled_until
            or self.intake.early
            or self.overtake_at is not None
            or self.paused_until != -math.inf
        )

    def leave_branch(self, base: Tip) -> None:
        """Follow another branch from ``base`` on, which both have."""
        self.base, self.intake.frontier = base, base
        self.other.clear()
        self.intake.early.clear()

    def keep_branch(self) -> None:
        """The other branch came to nothing."""
        if self.base is not None:
            self.base, self.intake.frontier = None, self.intake.durable
            self.other.clear()
            self.intake.early.clear()

    def rank(self, source: Source) -> tuple[bool, int, bytes]:
        """The order among equal sources: the author first, then who shows a later epoch, then by a seeded shuffle."""
        shuffled = hashlib.sha256(self.seed + self.log + source.peer).digest()
        return source.peer != self.log, -source.shown.tip.epoch, shuffled

    def fails(self, source: Source) -> bool:
        """Whether the source has not supplied what it showed: then it is the last choice."""
        return source.link in self.stalled_until or self.broken.get(source.peer, 0) >= BROKEN_MAX

    def forget(self, link: int, peer: MemberKey) -> None:
        """The link to ``peer`` is gone, and with it what was asked and believed of it."""
        waited = any(asked.link == link and asked.waiting_since is not None for asked in self.asked)
        if link in self.stalls or waited:
            self.broken[peer] = self.broken.get(peer, 0) + 1
        self.asked = [asked for asked in self.asked if asked.link != link]
        self.intake.early = [run for run in self.intake.early if run.link != link]
        self.keep_branch()
        self.refused_until.pop(link, None)
        self.stalled_until.pop(link, None)
        self.stalls.pop(link, None)
        self.partings.pop(link, None)
        self.proven.pop(link, None)
        self.overtake_at = None

    def delivered(self, link: int, peer: MemberKey, events: int, size: int) -> None:
        """Events came from the link to ``peer``, and were true."""
        self.events_seen += events
        self.bytes_seen += size
        self.stalls.pop(link, None)
        self.broken.pop(peer, None)
        self.partings.pop(link, None)
        self.overtake_at = None

    def sent(self, link: int, epoch: int) -> None:
        """The link has sent a record of this epoch, which only the author can sign."""
        self.proven[link] = max(self.proven.get(link, 0), epoch)

    def doubt(self, link: int, now: float) -> None:
        """The link holds another branch, or says so: who does again and again takes nobody else's time."""
        times = self.partings[link] = self.partings.get(link, 0) + 1
        self.refused_until[link] = now + STALL_S * 2 ** min(times - 1, STALL_DOUBLINGS_MAX)

    def trust(self, link: int) -> None:
        """What the link says of another branch has turned out to be true."""
        self.refused_until.pop(link, None)
        self.partings.pop(link, None)

    def part(self, link: int, now: float) -> None:
        """The link holds another branch, and not the one that we follow."""
        self.doubt(link, now)
        self.keep_branch()

    def reconsider(self, link: int) -> None:
        """The link shows a new tip: perhaps it can supply now, unless it has another history."""
        if self.refused_until.get(link) != math.inf and self.partings.get(link, 0) <= PARTINGS_MAX:
            self.refused_until.pop(link, None)

    def deadline(self) -> float:
        """When `plan` should run again though nothing happened."""
        times = [asked.deadline for asked in self.asked if not asked.cancelled]
        times += self.refused_until.values()
        times += [time for time in (self.overtake_at, self.paused_until) if time not in (None, -math.inf)]
        return min(times, default=math.inf)


def plan(state: LogSync, sources: Sequence[Source], now: float, *, ranges_free: int) -> Plan:
    """What to cancel and ask now; ``ranges_free`` bounded fetches may still begin on this node."""
    _expire(state, now)
    shown = {source.link: source.shown.tip.next_seq for source in sources}
    usable = [s for s in sources if s.link not in state.refused_until and s.shown.state is not LogState.FORKED]
    active = [asked for asked in state.asked if not asked.cancelled]
    for asked in active:
        asked.watch(shown.get(asked.link, 0), now)
    cancel = _cancel(state, active, usable, now)
    if state.base is not None:  # off our branch we stay for those alone who supply the other one
        usable = [source for source in usable if source.link not in state.stalled_until]
    if now < state.paused_until:
        state.overtake_at = None
        return Plan(tuple(cancel))
    dropped = [asked for asked, _ in cancel]
    active = [asked for asked in active if asked not in dropped]
    asks: list[Ask] = []
    live = next((asked for asked in active if asked.live), None)
    if live is None:
        asks = _follow(state, active, usable)
    promised = _promised(live, shown) if live else _promised_by(asks)
    # Who stalled is asked for what nobody else shows.
    believed = [source for source in usable if not state.fails(source)]
    missing = _missing(state, active, believed, promised) or _missing(state, active, usable, promised)
    if live is not None:
        beyond = [gap for gap in missing if gap.start >= live.next_seq]
        if not _may_overtake(state, live, usable, beyond, now):
            missing = [gap for gap in missing if gap not in beyond]
    state.behind |= bool(missing or (asks and asks[0].start < asks[0].source.shown.tip.next_seq))
    ranges = [asked for asked in active if not asked.live]
    return Plan(tuple(cancel), (*asks, *_ranges(state, ranges, usable, missing, ranges_free)))


def _expire(state: LogSync, now: float) -> None:
    if state.paused_until <= now:
        state.paused_until = -math.inf
    for until in (state.refused_until, state.stalled_until):
        for link in [link for link, time in until.items() if time <= now]:
            del until[link]


def _cancel(state: LogSync, active: list[Asked], usable: list[Source], now: float) -> list[tuple[Asked, str]]:
    cancel = []
    for asked in active:
        if asked.deadline <= now:
            stalls = state.stalls[asked.link] = state.stalls.get(asked.link, 0) + 1
            state.stalled_until[asked.link] = now + STALL_PENALTY_S * 2 ** min(stalls - 1, STALL_DOUBLINGS_MAX)
            cancel.append((asked, "no progress"))
        elif asked.live and (better := _better(state, asked, usable)):
            cancel.append((asked, better))
    return cancel


def _better(state: LogSync, live: Asked, usable: list[Source]) -> str | None:
    """Why another source should be followed than the one we follow, if so."""
    start = state.intake.frontier.next_seq
    others = [s for s in usable if s.link != live.link and not state.fails(s) and _leads_on(s, start)]
    if any(source.peer == state.log for source in others):
        return "the author is here"
    own = next((source for source in usable if source.link == live.link), None)
    overtaken = own is not None and own.peer != state.log and own.shown.tip.next_seq < start
    return "others are ahead" if overtaken and others else None


def _leads_on(source: Source, start: int) -> bool:
    """Whether a source can be followed from ``start`` on: it ends there, or has what comes next."""
    return start == source.shown.tip.next_seq or source.shown.holds(start)


def _follow(state: LogSync, active: list[Asked], usable: list[Source]) -> list[Ask]:
    """Keep one fetch open, as soon as what its source shows and nobody was asked for fits into one range."""
    frontier = state.intake.frontier.next_seq
    covered = frontier
    taken = [missing for asked in active if (missing := asked.missing)]
    for part in sorted([*taken, *(run.range for run in state.intake.early)]):
        covered = max(covered, part.stop) if part.start <= covered else covered
    able = []
    for source in usable:
        start = min(covered, source.shown.tip.next_seq)
        if start >= frontier and _leads_on(source, start):
            able.append((state.fails(source), state.rank(source), source, start))
    if not able:
        return []
    _, _, best, start = min(able, key=lambda item: item[:2])
    near = best.shown.tip.next_seq - start <= state.range_events
    return [Ask(best, start, None)] if near else []


def _promised(live: Asked, shown: Mapping[int, int]) -> SeqRange:
    """What will come by itself: all that the source we follow shows."""
    return SeqRange(live.next_seq, max(live.next_seq, shown.get(live.link, 0)))


def _promised_by(asks: Sequence[Ask]) -> SeqRange:
    return SeqRange(asks[0].start, asks[0].source.shown.tip.next_seq) if asks else SeqRange(0, 0)


def _missing(state: LogSync, active: list[Asked], sources: list[Source], promised: SeqRange) -> list[SeqRange]:
    """What somebody shows, and nobody was asked for, within the window that may wait in memory."""
    start = state.intake.frontier.next_seq
    target = max((source.shown.tip.next_seq for source in sources), default=0)
    window = SeqRange(start, min(max(target, start), start + RANGES_PER_LOG * state.range_events))
    taken = [missing for asked in active if (missing := asked.missing)]
    return subtract(window, [promised, *taken, *(run.range for run in state.intake.early)])


def _may_overtake(state: LogSync, live: Asked, usable: list[Source], beyond: list[SeqRange], now: float) -> bool:
    """Whether to ask others for what they show beyond the source we follow.

    The author is usually about to send it itself: it gets a moment. A relay may never get it.
    """
    if not beyond:
        state.overtake_at = None
        return False
    if not any(source.link == live.link and source.peer == state.log for source in usable):
        return True
    if state.overtake_at is None:
        state.overtake_at = now + LAG_S
    if now < state.overtake_at:
        return False
    state.overtake_at = -math.inf
    return True


def _ranges(
    state: LogSync, active: list[Asked], usable: list[Source], missing: list[SeqRange], ranges_free: int
) -> list[Ask]:
    free = min(ranges_free, RANGES_PER_LOG - len(active))
    load = {source.link: sum(asked.link == source.link for asked in active) for source in usable}
    asks: list[Ask] = []
    for gap in missing:
        at = gap.start
        while at < gap.stop and len(asks) < free:
            able = [s for s in usable if s.shown.holds(at) and load[s.link] < RANGES_PER_SOURCE]
            if not able:
                break
            best = min(able, key=lambda s: (state.fails(s), load[s.link], state.rank(s)))
            stop = min(gap.stop, at + state.range_events, best.shown.held_stop(at))
            asks.append(Ask(best, at, stop))
            load[best.link] += 1
            at = stop
    return asks
