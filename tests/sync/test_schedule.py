"""What is asked from whom: complete, bounded, honest about what sources show, and repeatable."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.limits import (
    BROKEN_MAX,
    LAG_S,
    RANGE_BYTES_TARGET,
    RANGE_EVENTS_FIRST,
    RANGES_PER_LOG,
    RANGES_PER_SOURCE,
    STALL_PENALTY_S,
    STALL_S,
)
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.asking import Asked
from hydra_sync.sync.intake import Early, Intake
from hydra_sync.sync.schedule import Ask, LogSync, Plan, Source, plan
from hydra_sync.wire import LogState, LogTip
from tests.sync.pump import make_log, network_of, signing_keys

KEYS = signing_keys(5)
NETWORK = network_of(KEYS)
AUTHOR, *RELAYS = [key.member for key in KEYS]
LOG = make_log(KEYS[0], NETWORK, 100)
HASH = b"h" * 32


def judge(_: Batch, before: Tip) -> None:
    """Every batch may stand where it is."""


def state(frontier: int = 0, *, range_events: int = 10) -> LogSync:
    """A log of which we have this much, with events so large that this many make a range."""
    sync = LogSync(AUTHOR, b"seed", Intake(judge), events_seen=range_events, bytes_seen=RANGE_BYTES_TARGET)
    sync.intake.durable = sync.intake.frontier = Tip(0, frontier, HASH)
    return sync


def author(next_seq: int, link: int = 1) -> Source:
    """The author, connected."""
    return Source(link, AUTHOR, LogTip(AUTHOR, Tip(0, next_seq, HASH)))


def relay(number: int, next_seq: int, **changes: object) -> Source:
    """A relay, connected on link 10 and up."""
    return Source(10 + number, RELAYS[number], LogTip(AUTHOR, Tip(0, next_seq, HASH), **changes))  # type: ignore[arg-type]


def asked(sync: LogSync, link: int, start: int, stop: int | None, **changes: object) -> Asked:
    """A fetch under way."""
    fetch = Asked(link, 1000 + len(sync.asked), AUTHOR, start, stop, None, **changes)  # type: ignore[arg-type]
    sync.asked.append(fetch)
    return fetch


def asks(planned: Plan) -> list[tuple[int, int, int | None]]:
    return [(ask.source.link, ask.start, ask.stop) for ask in planned.ask]


@dataclass
class Situation:
    """Everything a plan depends on."""

    sync: LogSync
    sources: list[Source]
    free: int


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Logs far behind and near, sources with holes and pasts, fetches under way, runs that came early."""
    frontier = draw(st.integers(0, 40))
    sync = state(frontier, range_events=draw(st.sampled_from([1, 5, 10, 30])))
    sources = []
    for number in range(draw(st.integers(0, 4))):
        next_seq = draw(st.integers(0, 100))
        ends = sorted(draw(st.sets(st.integers(0, next_seq), max_size=4)))
        holes = tuple(SeqRange(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False))
        first = draw(st.sampled_from([0, 0, 0, next_seq // 2]))
        status = draw(st.sampled_from([LogState.OK, LogState.OK, LogState.FORKED, LogState.AMNESIAC]))
        if number == 0 and draw(st.booleans()):
            sources.append(Source(1, AUTHOR, LogTip(AUTHOR, Tip(0, next_seq, HASH), first, holes, status)))
        else:
            sources.append(relay(number, next_seq, first_seq=first, holes=holes, state=status))
    links = [source.link for source in sources]
    for link in links:
        if draw(st.integers(0, 3)) == 0:
            sync.refused_until[link] = draw(st.sampled_from([50.0, 150.0, math.inf]))
        if draw(st.integers(0, 3)) == 0:
            sync.stalled_until[link] = draw(st.sampled_from([50.0, 150.0]))
    at = frontier
    for _ in range(draw(st.integers(0, 3)) if links else 0):
        at += draw(st.integers(0, 10))
        start, at = at, at + draw(st.integers(1, 10))
        asked(
            sync,
            draw(st.sampled_from(links)),
            start,
            at,
            waiting_since=draw(st.sampled_from([None, 94.0, 99.0])),
            cancelled=draw(st.booleans()),
        )
    if draw(st.booleans()):
        start = draw(st.integers(frontier + 1, 90))
        stop = draw(st.integers(start + 1, 100))
        sync.intake.add(Early(99, 1, tuple(LOG[start:stop])))
    return Situation(sync, sources, draw(st.integers(-2, 8)))


def decide(situation: Situation) -> Plan:
    return plan(situation.sync, situation.sources, 100.0, ranges_free=situation.free)


@settings(max_examples=150, deadline=None)
@given(situation=situations())
def test_a_plan_is_sound(situation: Situation) -> None:
    """Never what is held or in flight, never what a source does not show, never beyond the limits."""
    sync = situation.sync
    planned = decide(situation)
    cancelled = [fetch for fetch, _ in planned.cancel]
    active = [fetch for fetch in sync.asked if not fetch.cancelled and fetch not in cancelled]
    taken = [missing for fetch in active if (missing := fetch.missing)] + [run.range for run in sync.intake.early]
    bounded = [ask for ask in planned.ask if ask.stop is not None]
    for ask in planned.ask:
        assert ask.start >= sync.intake.frontier.next_seq
        assert ask.source in situation.sources
        assert sync.refused_until.get(ask.source.link, 0) <= 100
        assert ask.source.shown.state is not LogState.FORKED
    for ask in bounded:
        assert ask.stop is not None
        assert ask.stop - ask.start <= sync.range_events
        seqs = range(ask.start, ask.stop)
        assert seqs
        assert all(ask.source.shown.holds(seq) for seq in seqs)
        assert not any(seq in part for part in taken for seq in seqs)
        taken.append(SeqRange(ask.start, ask.stop))
    assert len(planned.ask) - len(bounded) + sum(fetch.live for fetch in active) <= 1
    assert len(bounded) <= max(situation.free, 0)
    assert len(active) + len(bounded) <= max(RANGES_PER_LOG, len(active))
    for source in situation.sources:
        load = sum(fetch.link == source.link for fetch in active)
        new = sum(ask.source.link == source.link for ask in bounded)
        assert new == 0 or load + new <= RANGES_PER_SOURCE


@settings(max_examples=150, deadline=None)
@given(situation=situations())
def test_nothing_is_left_unasked(situation: Situation) -> None:
    """While slots are free, what comes next is asked of somebody who shows it and has a slot.

    Who stalled waits until there is nothing that the others show.
    """
    sync = situation.sync
    planned = decide(situation)
    cancelled = [fetch for fetch, _ in planned.cancel]
    active = [fetch for fetch in sync.asked if not fetch.cancelled and fetch not in cancelled]
    in_flight = [(fetch.link, fetch.missing) for fetch in active] + [
        (ask.source.link, SeqRange(ask.start, ask.stop if ask.stop is not None else 10**6)) for ask in planned.ask
    ]
    bounded = [ask for ask in planned.ask if ask.stop is not None]
    live = len(bounded) < len(planned.ask)
    slots = situation.free - len(bounded) > 0 and len(in_flight) < RANGES_PER_LOG
    taken = [part for _, part in in_flight if part] + [run.range for run in sync.intake.early]
    start = sync.intake.frontier.next_seq
    first = next((seq for seq in range(start, 101) if not any(seq in part for part in taken)), 101)
    able = [
        source
        for source in situation.sources
        if source.link not in sync.refused_until
        and source.shown.state is not LogState.FORKED
        and source.shown.holds(first)
        and (source.link not in sync.stalled_until or not in_flight)
        and sum(link == source.link for link, _ in in_flight) < RANGES_PER_SOURCE
    ]
    in_window = first < start + RANGES_PER_LOG * sync.range_events
    assert live or not slots or not in_window or not able


@settings(max_examples=100, deadline=None)
@given(situation=situations())
def test_identical_inputs_give_identical_plans(situation: Situation) -> None:
    """No hidden state, no order of a set or a memory address."""
    again = copy.deepcopy(situation)
    again.sources.reverse()
    planned, repeated = decide(situation), decide(again)
    assert planned.cancel == repeated.cancel
    assert asks(planned) == asks(repeated)


def test_near_the_end_one_fetch_stays_open() -> None:
    """To the author if it is here, else to whoever has the log."""
    assert asks(plan(state(95), [relay(0, 100), author(100)], 0, ranges_free=8)) == [(1, 95, None)]
    assert asks(plan(state(95), [relay(0, 100), relay(1, 90)], 0, ranges_free=8)) == [(10, 95, None)]
    assert asks(plan(state(100), [author(100)], 0, ranges_free=0)) == [(1, 100, None)]
    assert asks(plan(state(100), [author(99)], 0, ranges_free=8)) == []


def test_who_has_something_new_comes_first() -> None:
    """The author is followed, and what a relay shows beyond it is asked from the relay, at once at first."""
    assert asks(plan(state(95), [author(95), relay(0, 99)], 0, ranges_free=8)) == [(1, 95, None), (10, 95, 99)]
    assert asks(plan(state(95), [author(97), relay(0, 99)], 0, ranges_free=8)) == [(1, 95, None), (10, 97, 99)]


def test_an_author_that_is_followed_gets_a_moment() -> None:
    """Others often have an event a little before its author has sent it here: they are asked after `LAG_S`."""
    sync = state(95)
    asked(sync, 1, 95, None)
    sources = [author(95), relay(0, 99)]
    assert asks(plan(sync, sources, 100, ranges_free=8)) == []
    assert sync.deadline() == 100 + LAG_S
    assert asks(plan(sync, sources, 100 + LAG_S, ranges_free=8)) == [(10, 95, 99)]


def test_a_relay_that_is_followed_gets_none() -> None:
    """It may never have what others show."""
    sync = state(95)
    asked(sync, 10, 95, None)
    assert asks(plan(sync, [relay(0, 95), relay(1, 99)], 100, ranges_free=8)) == [(11, 95, 99)]


def test_far_behind_several_sources_are_used_at_once() -> None:
    """Two ranges each, consecutive, the author first."""
    planned = asks(plan(state(), [author(100), relay(0, 100)], 0, ranges_free=8))
    assert [(start, stop) for _, start, stop in planned] == [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert [link for link, _, _ in planned] == [1, 10, 1, 10]


def test_relays_are_chosen_by_the_seed() -> None:
    """Other seeds, other relays: the members do not all burden the same one."""
    chosen = set()
    for seed in range(20):
        sync = state(95)
        sync.seed = bytes([seed])
        (ask,) = plan(sync, [relay(n, 100) for n in range(4)], 0, ranges_free=8).ask
        chosen.add(ask.source.link)
    assert len(chosen) > 2


def test_an_open_fetch_is_all_there_is() -> None:
    """While a log is followed live nothing else of it is asked."""
    sync = state(10)
    asked(sync, 1, 10, None)
    assert plan(sync, [author(100), relay(0, 100)], 0, ranges_free=8) == Plan()


def test_the_author_takes_over() -> None:
    """A log followed at a relay is followed at its author when that is back and as far."""
    sync = state(50)
    fetch = asked(sync, 10, 50, None)
    assert plan(sync, [relay(0, 50), author(49)], 0, ranges_free=8) == Plan()
    planned = plan(sync, [relay(0, 50), author(50)], 0, ranges_free=8)
    assert planned.cancel == ((fetch, "the author is here"),)
    assert asks(planned) == [(1, 50, None)]


def test_the_author_takes_over_though_it_has_less() -> None:
    """It is followed all the same, and the rest comes from the relay: that ends, whoever is ahead."""
    sync = state(50)
    sources = [relay(0, 60), author(50)]
    fetch = asked(sync, 10, 50, None)
    planned = plan(sync, sources, 0, ranges_free=8)
    assert planned.cancel == ((fetch, "the author is here"),)
    assert asks(planned) == [(1, 50, None), (10, 50, 60)]
    fetch.cancelled = True
    asked(sync, 1, 50, None)
    asked(sync, 10, 50, 60)
    assert plan(sync, sources, 0.1, ranges_free=8) == Plan()


def test_an_author_that_cannot_supply_what_comes_next_takes_nothing_over() -> None:
    """Its own log is damaged there: the relay is followed on, and not left for it again and again."""
    sync = state(50)
    damaged = Source(1, AUTHOR, LogTip(AUTHOR, Tip(0, 60, b"h" * 32), holes=(SeqRange(50, 60),)))
    asked(sync, 10, 50, None)
    assert plan(sync, [relay(0, 50), damaged], 0, ranges_free=8).cancel == ()


def test_a_stalled_source_is_replaced() -> None:
    """No progress for `STALL_S`: cancelled, asked elsewhere, and the last choice for a while."""
    sync = state(95)
    sources = [author(100), relay(0, 100)]
    fetch = asked(sync, 1, 95, None)
    assert plan(sync, sources, 10, ranges_free=8) == Plan()
    assert sync.deadline() == 10 + STALL_S
    assert plan(sync, sources, 9.9 + STALL_S, ranges_free=8) == Plan()
    planned = plan(sync, sources, 10 + STALL_S, ranges_free=8)
    assert planned.cancel == ((fetch, "no progress"),)
    assert asks(planned) == [(10, 95, None)]
    fetch.cancelled = True
    other = asked(sync, 10, 95, None)
    assert plan(sync, sources, 11 + STALL_S, ranges_free=8) == Plan()
    other.waiting_since = None
    other.next_seq = 100
    sync.intake.frontier = Tip(0, 100, HASH)
    assert plan(sync, sources, 10 + STALL_S + STALL_PENALTY_S - 0.1, ranges_free=8) == Plan()
    later = plan(sync, sources, 10 + STALL_S + STALL_PENALTY_S, ranges_free=8)
    assert later.cancel == ((other, "the author is here"),)


def test_who_stalls_again_is_believed_less() -> None:
    """The penalty doubles each time in a row; data that comes, or another connection, forgives."""

    def stall(sync: LogSync) -> float:
        sync.stalled_until.clear()
        fetch = asked(sync, 10, 0, None, waiting_since=0.0)
        plan(sync, [relay(0, 5)], STALL_S, ranges_free=8)
        fetch.cancelled = True
        return sync.stalled_until[10] - STALL_S

    forgiving: tuple[Callable[[LogSync], object], ...] = (
        lambda sync: sync.delivered(10, relay(0, 5).peer, 1, 100),
        lambda sync: sync.forget(10, relay(0, 5).peer),
    )
    for forgive in forgiving:
        sync = state()
        assert [stall(sync) for _ in range(3)] == [STALL_PENALTY_S, 2 * STALL_PENALTY_S, 4 * STALL_PENALTY_S]
        assert max(stall(sync) for _ in range(20)) <= 3600
        forgive(sync)
        assert stall(sync) == STALL_PENALTY_S


def test_who_leaves_again_and_again_what_it_owes_is_the_last_choice() -> None:
    """Each connection is shorter than a stall. Another one does not forgive that; what it delivers does."""
    sync = state(50)
    liar, honest = relay(0, 100).peer, relay(1, 60)

    def breaks(link: int) -> list[int]:
        """Whom we ask while the liar is here on this link, which then goes."""
        sources = [Source(link, liar, LogTip(AUTHOR, Tip(9, 100, HASH))), honest]
        planned = plan(sync, sources, 0, ranges_free=8)
        for ask in planned.ask:
            asked(sync, ask.source.link, ask.start, ask.stop, waiting_since=0.0)
        sync.forget(link, liar)
        sync.asked.clear()
        return [ask.source.link for ask in planned.ask]

    assert [honest.link in breaks(20 + time) for time in range(5)] == [
        *[False] * BROKEN_MAX,
        *[True] * (5 - BROKEN_MAX),
    ]
    sync.delivered(30, liar, 1, 100)
    assert honest.link not in breaks(30)


def test_who_leaves_and_owes_nothing_is_not_believed_less() -> None:
    """However often: a member may be restarted again and again."""
    sync = state(100)
    for link in range(20, 30):
        asked(sync, link, 100, None)
        sync.forget(link, AUTHOR)
    assert sync.broken == {}


def test_of_a_later_epoch_is_asked_first() -> None:
    """Others may go on in what that leaves out."""
    for number in range(4):
        sync = state(50)
        late = Source(20, relay(number, 60).peer, LogTip(AUTHOR, Tip(3, 60, HASH)))
        others = [relay(other, 60) for other in range(4) if other != number]
        assert asks(plan(sync, [*others, late], 0, ranges_free=8)) == [(20, 50, None)]


def test_a_relay_that_was_overtaken_is_left() -> None:
    """Who has less than we do is no source to follow while another one is as far as we are."""
    sync = state(50)
    fetch = asked(sync, 10, 50, None)
    assert plan(sync, [relay(0, 50), relay(1, 50)], 0, ranges_free=8) == Plan()
    assert plan(sync, [relay(0, 40), relay(1, 45)], 0, ranges_free=8) == Plan()
    planned = plan(sync, [relay(0, 40), relay(1, 50)], 0, ranges_free=8)
    assert planned.cancel == ((fetch, "others are ahead"),)
    assert asks(planned) == [(11, 50, None)]


def test_who_stalled_waits_for_what_only_it_shows() -> None:
    """Its claims do not take the slots of what others show; where nobody else shows anything it is asked."""
    sync = state()
    sync.stalled_until[10] = 500
    asks_now = asks(plan(sync, [relay(0, 100), relay(1, 20)], 0, ranges_free=8))
    assert asks_now == [(11, 0, 10), (11, 10, 20)]
    sync = state(20)
    sync.stalled_until[10] = 500
    assert (10, 20, 30) in asks(plan(sync, [relay(0, 100), relay(1, 20)], 0, ranges_free=8))


def test_a_stalled_source_is_better_than_none() -> None:
    """The only source is asked again."""
    sync = state(95)
    sync.stalled_until[1] = 500
    assert asks(plan(sync, [author(100)], 0, ranges_free=8)) == [(1, 95, None)]


def test_refused_sources_wait() -> None:
    """Who said that it cannot supply is asked when its time has come; a forked log never."""
    sync = state(95)
    sync.refused_until[1] = 7
    assert plan(sync, [author(100)], 6.9, ranges_free=8) == Plan()
    assert sync.deadline() == 7
    assert asks(plan(sync, [author(100)], 7, ranges_free=8)) == [(1, 95, None)]
    assert plan(state(95), [relay(0, 100, state=LogState.FORKED)], 0, ranges_free=8) == Plan()


def test_nothing_is_asked_while_our_disk_refuses() -> None:
    """Until the pause is over; then the deadline is gone too."""
    sync = state(95)
    sync.paused_until = 50
    assert plan(sync, [author(100)], 49, ranges_free=8) == Plan()
    assert sync.deadline() == 50
    assert asks(plan(sync, [author(100)], 50, ranges_free=8)) == [(1, 95, None)]
    assert sync.deadline() == math.inf


def test_ranges_stop_before_damage() -> None:
    """A source is asked for what it shows, up to its next hole, and beyond it another one."""
    sync = state()
    holey = relay(0, 100, holes=(SeqRange(4, 6),))
    assert asks(plan(sync, [holey], 0, ranges_free=8)) == [(10, 0, 4)]
    planned = asks(plan(sync, [holey, relay(1, 100, first_seq=4)], 0, ranges_free=8))
    assert (10, 0, 4) in planned
    assert any(link == 11 and start == 4 for link, start, _ in planned)


def test_the_size_of_a_range_follows_the_size_of_events() -> None:
    """A guess at first; then about `RANGE_BYTES_TARGET`, and at least one event."""
    sync = LogSync(AUTHOR, b"", Intake(judge))
    assert sync.range_events == RANGE_EVENTS_FIRST
    sync.events_seen, sync.bytes_seen = 100, 100 * RANGE_BYTES_TARGET * 3
    assert sync.range_events == 1
    sync.events_seen, sync.bytes_seen = 100, RANGE_BYTES_TARGET
    assert sync.range_events == 100


def test_a_link_that_is_gone_is_forgotten() -> None:
    """What it was asked, what it brought early, what was believed of it."""
    sync = state()
    asked(sync, 1, 0, 10)
    kept = asked(sync, 10, 10, 20)
    sync.intake.add(Early(1, 1, tuple(LOG[30:40])))
    sync.refused_until[1] = sync.stalled_until[1] = math.inf
    sync.forget(1, AUTHOR)
    assert (sync.asked, sync.intake.early, sync.refused_until, sync.stalled_until) == ([kept], [], {}, {})


def test_a_source_does_not_stall_by_what_others_claim() -> None:
    """The author, which shows nothing new, is not a stalled source because a relay claims more."""
    sync = state(50)
    asked(sync, 1, 50, None)
    sources = [author(50), relay(0, 60)]
    plan(sync, sources, 0, ranges_free=8)
    plan(sync, sources, STALL_S, ranges_free=8)
    assert 1 not in sync.stalled_until


def test_asks_are_values() -> None:
    """Plans can be compared, which the other tests rely on."""
    assert Ask(author(1), 0, None) == Ask(author(1), 0, None)
