"""Which events of one log to ask from whom: identical choices from identical inputs. No I/O.

Far behind, the missing events are cut into ranges that go to several sources at once. Close to the
end one fetch stays open, to the author if it is connected, else to whoever has the log. What makes
no progress is cancelled and asked elsewhere. Nothing believed of a peer outlives its connection.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra_sync.identity import MemberKey
from hydra_sync.limits import RANGE_BYTES_TARGET, RANGE_EVENTS_FIRST, RANGES_PER_LOG, RANGES_PER_SOURCE, STALL_PENALTY_S
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
    intake: Intake = field(default_factory=Intake)
    asked: list[Asked] = field(default_factory=list)
    refused_until: dict[int, float] = field(default_factory=dict)
    """Links that said they cannot supply what we need now: not asked before this time."""
    stalled_until: dict[int, float] = field(default_factory=dict)
    """Links that made no progress: the last choice until this time."""
    paused_until: float = -math.inf
    """Our own disk refused: nothing is asked before this time."""
    behind: bool = False
    events_seen: int = 0
    bytes_seen: int = 0

    @property
    def range_events(self) -> int:
        """How many events make a range of about `RANGE_BYTES_TARGET`, from what came so far."""
        if not self.bytes_seen:
            return RANGE_EVENTS_FIRST
        return max(1, RANGE_BYTES_TARGET * self.events_seen // self.bytes_seen)

    def rank(self, source: Source) -> tuple[bool, bytes]:
        """The order among equal sources: the author first, then by a seeded shuffle."""
        shuffled = hashlib.sha256(self.seed + self.log + source.peer).digest()
        return source.peer != self.log, shuffled

    def forget(self, link: int) -> None:
        """The link is gone, and with it what was asked and believed of it."""
        self.asked = [asked for asked in self.asked if asked.link != link]
        self.intake.early = [run for run in self.intake.early if run.link != link]
        self.refused_until.pop(link, None)
        self.stalled_until.pop(link, None)

    def deadline(self) -> float:
        """When `plan` should run again though nothing happened."""
        return min(
            (
                *(asked.deadline for asked in self.asked if not asked.cancelled),
                *self.refused_until.values(),
                self.paused_until if self.paused_until > 0 else math.inf,
            ),
            default=math.inf,
        )


def plan(state: LogSync, sources: Sequence[Source], now: float, *, ranges_free: int) -> Plan:
    """What to cancel and ask now; ``ranges_free`` bounded fetches may still begin on this node."""
    _expire(state, now)
    usable = [s for s in sources if s.link not in state.refused_until and s.shown.state is not LogState.FORKED]
    target = max((s.shown.tip.next_seq for s in usable), default=0)
    active = [asked for asked in state.asked if not asked.cancelled]
    for asked in active:
        asked.watch(target, now)
    cancel = _cancel(state, active, usable, now)
    if now < state.paused_until:
        return Plan(tuple(cancel))
    dropped = [asked for asked, _ in cancel]
    active = [asked for asked in active if asked not in dropped]
    if any(asked.live for asked in active):
        return Plan(tuple(cancel))
    return Plan(tuple(cancel), tuple(_ask(state, active, usable, target, ranges_free)))


def _expire(state: LogSync, now: float) -> None:
    for until in (state.refused_until, state.stalled_until):
        for link in [link for link, time in until.items() if time <= now]:
            del until[link]


def _cancel(state: LogSync, active: list[Asked], usable: list[Source], now: float) -> list[tuple[Asked, str]]:
    cancel = []
    for asked in active:
        if asked.deadline <= now:
            state.stalled_until[asked.link] = now + STALL_PENALTY_S
            cancel.append((asked, "no progress"))
        elif asked.live and _author_is_better(state, asked, usable):
            cancel.append((asked, "the author is here"))
    return cancel


def _author_is_better(state: LogSync, asked: Asked, usable: list[Source]) -> bool:
    return any(
        source.peer == state.log
        and source.link != asked.link
        and source.link not in state.stalled_until
        and source.shown.tip.next_seq >= asked.next_seq
        for source in usable
    )


def _ask(state: LogSync, active: list[Asked], usable: list[Source], target: int, ranges_free: int) -> list[Ask]:
    start = state.intake.frontier.next_seq
    state.behind |= target > start
    if not active and target - start <= state.range_events:
        return _follow(state, usable, start)
    window = SeqRange(start, min(max(target, start), start + RANGES_PER_LOG * state.range_events))
    taken = [missing for asked in active if (missing := asked.missing)]
    gaps = subtract(window, [*taken, *(run.range for run in state.intake.early)])
    free = min(ranges_free, RANGES_PER_LOG - len(active))
    load = {source.link: sum(asked.link == source.link for asked in active) for source in usable}
    return _ranges(state, usable, gaps, free, load)


def _follow(state: LogSync, usable: list[Source], start: int) -> list[Ask]:
    able = [s for s in usable if s.shown.holds(start) or s.shown.tip.next_seq == start]
    if not able:
        return []
    # Who has something new comes before who has the same as we: a relay may be ahead of a cut-off author.
    best = min(
        able,
        key=lambda s: (s.link in state.stalled_until, s.shown.tip.next_seq == start and state.behind, state.rank(s)),
    )
    return [Ask(best, start, None)]


def _ranges(state: LogSync, usable: list[Source], gaps: list[SeqRange], free: int, load: dict[int, int]) -> list[Ask]:
    asks: list[Ask] = []
    for gap in gaps:
        at = gap.start
        while at < gap.stop and len(asks) < free:
            able = [s for s in usable if s.shown.holds(at) and load[s.link] < RANGES_PER_SOURCE]
            if not able:
                break
            best = min(able, key=lambda s: (s.link in state.stalled_until, load[s.link], state.rank(s)))
            stop = min(gap.stop, at + state.range_events, best.shown.tip.next_seq)
            asks.append(Ask(best, at, stop))
            load[best.link] += 1
            at = stop
    return asks
