"""The protocol core against peers that the test plays, word by word; most of them hostile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.identity import MemberKey
from hydra_sync.limits import (
    CREDIT_BYTES,
    CREDIT_BYTES_MAX,
    FETCHES_PER_SESSION_MAX,
    FRAME_S,
    NEWS_S,
    PROGRESS_BYTES,
    RANGES_PER_NODE,
    SILENCE_S,
    STALL_S,
    TEXT_BYTES_MAX,
    TOOLS_MAX,
)
from hydra_sync.sync import (
    Append,
    CaughtUp,
    Connected,
    Disconnected,
    Diverged,
    Drop,
    Effect,
    Fetched,
    OwnLogAhead,
    Read,
    SourceReplaced,
    TipsDue,
)
from hydra_sync.sync.agreement import Agreement
from hydra_sync.wire import (
    Cancel,
    Credit,
    Data,
    End,
    EndReason,
    Fetch,
    Fork,
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
from tests.sync.pump import (
    GENESIS,
    Rig,
    hello,
    make_log,
    network_of,
    next_batch,
    read_batches,
    records,
    sends,
    signing_keys,
    tip_of,
    unsigned,
)

ME, A, B = 0, 1, 2
LINK_A, LINK_B = 11, 22


def fault_of(effects: list[Effect]) -> str:
    """The fault of the one peer that was dropped."""
    (drop,) = [effect for effect in effects if isinstance(effect, Drop)]
    assert drop.fault is not None
    return drop.fault


def kinds(effects: list[Effect], *wanted: type[Effect]) -> list[Effect]:
    """The effects of these kinds."""
    return [effect for effect in effects if isinstance(effect, wanted)]


def fetches(effects: list[Effect]) -> list[Fetch]:
    """The fetches that were sent."""
    return sends(effects, Fetch)


def serve(rig: Rig, read: Effect, log: Sequence[Batch]) -> list[Effect]:
    """Answer a read from this log."""
    assert isinstance(read, Read)
    return rig.core.read(read, read_batches(log, read.start, read.stop, read.bytes_max))


@pytest.fixture
def rig() -> Rig:
    """A core without events, of a network of three."""
    return Rig()


@pytest.fixture
def log(rig: Rig) -> list[Batch]:
    """Twenty batches of member A's log."""
    return rig.log(A, 20, events=2)


# Greeting


def test_both_sides_greet_and_show_all_their_tips(rig: Rig) -> None:
    """Hello at once, full tips after theirs, and the peer is connected once it has shown its own."""
    assert sends(rig.core.connect(LINK_A, rig.members[A], dialed=True, now=0), Hello) == [hello(rig.network)]
    (tips,) = sends(rig.say(LINK_A, hello(rig.network)), Tips)
    assert tips == Tips(True, tuple(LogTip(member, tip_of([])) for member in rig.members))
    effects = rig.show(LINK_A, {}, full=True)
    assert Connected(rig.members[A], tool=False) in effects
    assert rig.core.nodes == {rig.members[A]: LINK_A}


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"network": bytes(32)}, GoodbyeReason.WRONG_NETWORK, "wrong network"),
        ({"versions": (2, 3)}, GoodbyeReason.VERSION, "version"),
        ({"versions": ()}, GoodbyeReason.VERSION, "version"),
    ],
)
def test_strange_greetings_end_the_connection(
    rig: Rig, change: dict[str, object], reason: GoodbyeReason, words: str
) -> None:
    """Another network or no common version: said to the peer, in words for people."""
    rig.core.connect(LINK_A, rig.members[A], dialed=False, now=0)
    effects = rig.say(LINK_A, replace(hello(rig.network), **change))  # type: ignore[arg-type]
    (drop,) = effects
    assert isinstance(drop, Drop)
    assert drop.goodbye.reason is reason
    assert words in fault_of(effects)
    assert rig.core.nodes == {}


def test_a_peer_of_a_later_version_is_welcome(rig: Rig) -> None:
    """As long as it speaks ours too; limits that we do not know are ignored."""
    rig.core.connect(LINK_A, rig.members[A], dialed=False, now=0)
    effects = rig.say(LINK_A, replace(hello(rig.network), versions=(1, 2), limits={"later": 1}))
    assert sends(effects, Tips)


def test_our_own_key_elsewhere_is_not_a_peer(rig: Rig) -> None:
    """A node with our key is sent away, a tool with it is served."""
    rig.core.connect(LINK_A, rig.members[ME], dialed=False, now=0)
    (drop,) = rig.say(LINK_A, hello(rig.network))
    assert isinstance(drop, Drop)
    assert drop.goodbye.reason is GoodbyeReason.DUPLICATE
    rig.core.connect(LINK_B, rig.members[ME], dialed=False, now=0)
    assert sends(rig.say(LINK_B, hello(rig.network, role=Role.TOOL)), Tips)


def test_tools_are_served_and_never_counted(rig: Rig, log: list[Batch]) -> None:
    """A tool replaces no node, is asked nothing, and its tips are no receipts."""
    own = rig.log(ME, 3)
    rig.core.appended(rig.members[ME], tip_of(own), 0)
    rig.join(LINK_A, A, {A: []})
    rig.core.connect(LINK_B, rig.members[A], dialed=False, now=0)
    rig.say(LINK_B, hello(rig.network, role=Role.TOOL))
    effects = rig.show(LINK_B, {A: log, ME: own}, full=True)
    assert effects == [Connected(rig.members[A], tool=True)]
    assert rig.show(LINK_B, {A: log}) == []
    assert rig.core.nodes == {rig.members[A]: LINK_A}
    assert rig.core.receipts == {}
    (read,) = rig.say(LINK_B, Fetch(1, rig.members[ME], 0, 3, None, CREDIT_BYTES))
    assert sends(serve(rig, read, own), Data)
    assert rig.core.disconnect(LINK_B, "bye", 0)[0] == Disconnected(rig.members[A], tool=True, why="bye")
    assert rig.core.nodes == {rig.members[A]: LINK_A}


def test_tools_are_bounded(rig: Rig) -> None:
    """The one too many is told to come back, without blame."""
    for number in range(TOOLS_MAX + 1):
        rig.core.connect(number, rig.members[A], dialed=False, now=0)
        effects = rig.say(number, hello(rig.network, role=Role.TOOL))
    (drop,) = effects
    assert isinstance(drop, Drop)
    assert (drop.goodbye.reason, drop.fault) == (GoodbyeReason.BUSY, None)


# Hostile peers


STRANGER = MemberKey(bytes(32))
OTHERS = make_log(signing_keys(3)[B], network_of(signing_keys(3)), 3)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (hello(network_of(signing_keys(3))), "Hello while"),
        (Tips(True, ()), "full Tips come once"),
        (Tips(False, (LogTip(STRANGER, tip_of([])),)), "no member"),
        (Fetch(1, STRANGER, 0, None, None, 0), "no member"),
        (Data(99, records(OTHERS)), "never made"),
        (Data(2**60, b""), "never made"),
        (End(99, 0, EndReason.DONE), "never made"),
    ],
)
def test_what_has_no_place_ends_the_session(rig: Rig, message: Message, words: str) -> None:
    """A second Hello or full Tips, strangers' logs, data and ends that nobody asked for: dropped, with evidence."""
    rig.join(LINK_A, A, {A: []})
    effects = rig.say(LINK_A, message)
    assert words in fault_of(effects)
    assert rig.core.nodes == {}
    assert rig.say(LINK_A, Ping(1)) == []  # nothing is answered any more


@pytest.mark.parametrize("message", [Fetch(1, signing_keys(3)[A].member, 0, None, None, 0), Data(1, b""), Cancel(1)])
def test_tips_come_before_anything_else(rig: Rig, message: Message) -> None:
    """Between Hello and Tips nothing is asked or sent."""
    rig.core.connect(LINK_A, rig.members[A], dialed=False, now=0)
    rig.say(LINK_A, hello(rig.network))
    assert "waiting for the full Tips" in fault_of(rig.say(LINK_A, message))


def test_first_tips_are_full(rig: Rig) -> None:
    """Deltas of nothing mean nothing."""
    rig.core.connect(LINK_A, rig.members[A], dialed=False, now=0)
    rig.say(LINK_A, hello(rig.network))
    assert "full Tips" in fault_of(rig.say(LINK_A, Tips(False, ())))


def test_a_request_id_is_used_once_at_a_time(rig: Rig) -> None:
    """A second fetch with an open id is a fault; after its end the id is free."""
    rig.join(LINK_A, A)
    fetch = Fetch(1, rig.members[ME], 0, None, None, 0)
    assert rig.say(LINK_A, fetch) == []
    assert sends(rig.say(LINK_A, Cancel(1)), End) == [End(1, 0, EndReason.CANCELLED)]
    assert rig.say(LINK_A, Cancel(1)) == []
    rig.say(LINK_A, fetch)
    assert "in use" in fault_of(rig.say(LINK_A, fetch))


def test_fetches_at_once_are_bounded(rig: Rig) -> None:
    """One fetch too many is a fault."""
    rig.join(LINK_A, A)
    for request in range(FETCHES_PER_SESSION_MAX):
        assert rig.say(LINK_A, Fetch(request, rig.members[ME], 0, None, None, 0)) == []
    effects = rig.say(LINK_A, Fetch(FETCHES_PER_SESSION_MAX, rig.members[ME], 0, None, None, 0))
    assert "at once" in fault_of(effects)


def test_endless_credit_is_a_fault(rig: Rig) -> None:
    """For one fetch at most `CREDIT_BYTES_MAX`; for fetches that ended it is no news."""
    rig.join(LINK_A, A)
    rig.say(LINK_A, Fetch(1, rig.members[ME], 0, None, None, CREDIT_BYTES_MAX))
    assert rig.say(LINK_A, Credit(77, CREDIT_BYTES_MAX)) == []
    assert "granted" in fault_of(rig.say(LINK_A, Credit(1, 1)))


def unhappy(rig: Rig, log: list[Batch]) -> dict[str, bytes]:
    """Contents that no honest peer sends for a fetch of A's log from its start."""
    other = make_log(rig.keys[B], rig.network, 3)
    foreign = make_log(rig.keys[A], network_of(rig.keys[:2]), 3)
    late = next_batch(rig.keys[A], rig.network, tip_of([]), epoch=3)
    return {
        "nothing": b"",
        "garbage": bytes(100),
        "cut off": records(log)[:-1],
        "the wrong range": records(log[1:]),
        "a gap": records([log[0], *log[2:]]),
        "another author": records(other),
        "another network": records(foreign),
        "no signature": records([*log[:3], unsigned(log[3])]),
        "a changed event": records(log[:3])[:-1] + b"!",
        "an epoch that nobody granted": records([late]),
    }


@pytest.mark.parametrize("what", list(unhappy(Rig(), Rig().log(A, 20, events=2))))
def test_data_that_is_not_true_ends_the_session(rig: Rig, log: list[Batch], what: str) -> None:
    """Nothing of it is stored, the sender is dropped with evidence, the next source is asked the same."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B, {A: log})
    effects = rig.say(LINK_A, Data(1, unhappy(rig, log)[what]))
    assert fault_of(effects)
    assert not kinds(effects, Append, Fetched)
    (fetch,) = fetches(rig.core.disconnect(LINK_A, "dropped", rig.now))
    assert (fetch.start, fetch.stop) == (0, None)


def test_data_over_credit_ends_the_session(rig: Rig) -> None:
    """What is sent beyond the window is a fault, before it is looked at."""
    log = make_log(rig.keys[A], rig.network, 12, size=200_000)
    rig.join(LINK_A, A, {A: log})
    effects: list[Effect] = []
    for batch in log:
        effects += rig.say(LINK_A, Data(1, batch.record))  # nothing becomes durable, so no credit returns
    assert "of credit left" in fault_of(effects)
    assert sum(len(e.batches) for e in effects if isinstance(e, Append)) == CREDIT_BYTES // len(log[1].record)


def test_data_of_a_cancelled_fetch_is_bounded_too(rig: Rig) -> None:
    """What was under way when we cancelled is ignored; more than its credit is a fault."""
    log = make_log(rig.keys[A], rig.network, 12, size=200_000)
    rig.join(LINK_A, A, {A: log})
    rig.now += STALL_S
    assert sends(rig.core.tick(rig.now), Cancel) == [Cancel(1)]
    effects: list[Effect] = []
    for batch in log:
        effects += rig.say(LINK_A, Data(1, batch.record))
    assert not kinds(effects, Append, Fetched)
    assert "credit" in fault_of(effects)


def test_credit_comes_back_when_data_is_durable(rig: Rig) -> None:
    """Not before: what a slow disk has not written is not asked for again."""
    log = make_log(rig.keys[A], rig.network, 20, size=100_000)
    rig.join(LINK_A, A, {A: log})
    appends = [effect for batch in log for effect in rig.say(LINK_A, Data(1, batch.record))]
    assert not sends(appends, Credit)
    paid = sends(rig.append_all(appends), Credit)
    assert len(paid) >= 3
    assert all(isinstance(credit, Credit) and credit.credit >= CREDIT_BYTES // 4 for credit in paid)


def test_the_end_of_a_peer_frees_what_it_was_asked(rig: Rig, log: list[Batch]) -> None:
    """A goodbye or a lost connection: others are asked at once, and nothing is believed any more."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B, {A: log[:10]})
    assert rig.say(LINK_A, Goodbye(GoodbyeReason.CLOSING)) == []
    effects = rig.core.disconnect(LINK_A, "gone", rig.now)
    assert effects[0] == Disconnected(rig.members[A], tool=False, why="gone")
    assert [fetch.log for fetch in fetches(effects)] == [rig.members[A]]
    assert rig.core.target(rig.members[A]) == 20
    assert rig.core.disconnect(LINK_A, "gone", rig.now) == []
    assert rig.say(LINK_A, Ping(1)) == []


def test_news_of_unknown_links_is_none(rig: Rig) -> None:
    """What still arrives of a connection that was given up changes nothing."""
    rig.core.heard(99, rig.now, partial=True)
    assert rig.say(99, Ping(1)) == []
    assert rig.core.disconnect(99, "gone", rig.now) == []
    assert rig.core.deadline() == math.inf


@pytest.mark.parametrize("trouble", ["full disk", "stall"])
def test_cancelling_many_logs_at_once_blames_nobody(trouble: str) -> None:
    """A relay of forty logs, all cancelled in one moment, has had no time yet to end them."""
    rig = Rig(42)
    logs = {index: make_log(rig.keys[index], rig.network, 1) for index in range(2, 42)}
    asked = fetches(rig.join(LINK_A, A, dict(logs)))
    assert len(asked) >= 40
    effects: list[Effect] = []
    if trouble == "full disk":
        for index in logs:
            effects += rig.core.append_failed(rig.members[index], rig.now + 5, rig.now)
    else:
        rig.now += STALL_S
        rig.core.heard(LINK_A, rig.now, partial=0)
        effects = rig.core.tick(rig.now)
    assert len(sends(effects, Cancel)) >= 40
    assert not kinds(effects, Drop)


def test_a_node_that_stops_says_so(rig: Rig, log: list[Batch]) -> None:
    """Everybody hears goodbye, once, without blame, and nobody is asked for anything any more."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B, {A: log})
    effects = rig.core.stop()
    drops = [(effect.link, effect.goodbye.reason, effect.fault) for effect in effects if isinstance(effect, Drop)]
    assert drops == [(LINK_A, GoodbyeReason.CLOSING, None), (LINK_B, GoodbyeReason.CLOSING, None)]
    assert len(effects) == len(drops)
    assert not fetches(rig.core.disconnect(LINK_A, "stopped", rig.now) + rig.core.tick(rig.now + STALL_S))
    assert rig.say(LINK_B, Data(1, records(log))) == []


def test_evidence_fits_a_goodbye(rig: Rig) -> None:
    """However long the fault, the goodbye that quotes it can be sent."""
    rig.join(LINK_A, A)
    (drop,) = rig.core.blame(LINK_A, "\N{EM DASH}" * 1000)
    assert isinstance(drop, Drop)
    assert len(drop.goodbye.text.encode()) <= TEXT_BYTES_MAX


def test_a_proof_that_proves_nothing_is_a_fault(rig: Rig) -> None:
    """Whoever accuses an author has to show two histories."""
    rig.join(LINK_A, A)
    assert "proves nothing" in fault_of(rig.say(LINK_A, Fork(rig.members[B], (), ())))


def test_pings_are_answered(rig: Rig) -> None:
    """With the same nonce; an answer needs none."""
    rig.join(LINK_A, A)
    assert rig.say(LINK_A, Pong(5)) == []
    assert sends(rig.say(LINK_A, Ping(5)), Pong) == [Pong(5)]


# One connection a pair


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_that_cross_both_keep_the_same(first: int, order: tuple[int, int]) -> None:
    """Whatever arrives first on either side: the dial of the lower key stays."""
    kept = []
    for me in (0, 1):
        rig = Rig(me=me)
        dialer_of = {7: 0, 8: 1}  # link 7 was dialed by the lower key
        for number in (7, 8) if order[me] == 0 else (8, 7):
            rig.core.connect(number, rig.members[1 - me], dialed=dialer_of[number] == me, now=0)
        for number in (7, 8) if order[me] == first else (8, 7):
            rig.say(number, hello(rig.network))
        kept.append(rig.core.nodes[rig.members[1 - me]])
    assert kept == [7, 7]


@pytest.mark.parametrize("dialed", [True, False])
def test_who_dials_again_has_lost_the_old_connection(rig: Rig, dialed: bool) -> None:
    """A second dial from the same side replaces the first at once."""
    rig.join(LINK_A, A, dialed=dialed)
    rig.core.connect(99, rig.members[A], dialed=dialed, now=0)
    effects = rig.say(99, hello(rig.network))
    (drop,) = kinds(effects, Drop)
    assert isinstance(drop, Drop)
    assert (drop.link, drop.goodbye.reason, drop.fault) == (LINK_A, GoodbyeReason.DUPLICATE, None)
    assert rig.core.nodes == {rig.members[A]: 99}


def test_a_connection_that_loses_probes_the_one_that_stays() -> None:
    """Perhaps the old one is dead and only we do not know: it must answer at once."""
    rig = Rig(me=1)  # the higher key
    rig.join(7, 0, dialed=False)
    rig.core.connect(8, rig.members[0], dialed=True, now=rig.now)
    effects = rig.say(8, hello(rig.network))
    assert sends(effects, Ping)
    (drop,) = kinds(effects, Drop)
    assert isinstance(drop, Drop)
    assert drop.link == 8
    rig.core.disconnect(8, "duplicate", rig.now)
    timeouts = kinds(rig.core.tick(rig.now + 2), Drop)
    assert [effect.link for effect in timeouts if isinstance(effect, Drop)] == [7]
    assert rig.core.nodes == {}


def test_a_member_whose_connection_was_replaced_is_not_gone(rig: Rig) -> None:
    """People see that a member is gone only when no connection to it is left."""
    rig.join(LINK_A, A, dialed=False)
    rig.join(99, A, dialed=False)
    assert not kinds(rig.core.disconnect(LINK_A, "a newer connection takes over", 0), Disconnected)
    assert kinds(rig.core.disconnect(99, "gone", 0), Disconnected)


def test_who_was_never_here_is_not_gone(rig: Rig) -> None:
    """Each Disconnected follows a Connected."""
    rig.core.connect(LINK_A, rig.members[A], dialed=False, now=0)
    assert rig.core.disconnect(LINK_A, "never greeted", 0) == []


# Fetching


def test_a_log_is_followed_from_the_end_of_ours(rig: Rig, log: list[Batch]) -> None:
    """One open fetch, on our history; what comes is appended and announced."""
    rig.join(LINK_A, A, {A: []})
    effects = rig.show(LINK_A, {A: log[:3]})
    assert not fetches(effects)  # the fetch was open before: it follows from the start
    effects = rig.say(LINK_A, Data(1, records(log[:3])))
    assert kinds(effects, Append) == [Append(rig.members[A], tuple(log[:3]))]
    rig.join(LINK_B, B)
    after = rig.append_all(effects)
    assert {effect.link for effect in after if isinstance(effect, TipsDue)} == {LINK_A}  # its receipt
    assert rig.core.take_tips(LINK_B, rig.now) is None
    rig.now += NEWS_S
    assert TipsDue(LINK_B) in rig.core.tick(rig.now)
    tips = rig.core.take_tips(LINK_B, rig.now)
    assert tips == Tips(False, (LogTip(rig.members[A], tip_of(log[:3])),))
    assert rig.core.take_tips(LINK_B, rig.now) is None
    assert rig.core.take_tips(12345, rig.now) is None


def test_a_late_comer_asks_on_its_own_history() -> None:
    """The fetch names the hash of our last batch."""
    log = Rig().log(A, 10)
    rig = Rig(held={A: log[:4]})
    (fetch,) = fetches(rig.join(LINK_A, A, {A: log}))
    assert (fetch.start, fetch.stop, fetch.prev_hash) == (4, None, log[3].hash)
    effects = rig.append_all(rig.say(LINK_A, Data(fetch.request, records(log[4:]))))
    assert CaughtUp(rig.members[A], 10) in effects


def test_tips_wait_until_durable(rig: Rig, log: list[Batch]) -> None:
    """Nothing is shown or served of what is only in memory."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B)
    rig.say(LINK_B, Fetch(1, rig.members[A], 0, None, None, CREDIT_BYTES))
    effects = rig.say(LINK_A, Data(1, records(log)))
    assert not kinds(effects, TipsDue, Read)
    assert rig.core.take_tips(LINK_B, rig.now) is None
    assert kinds(rig.append_all(effects), Read)


@pytest.mark.parametrize("reason", [EndReason.BUSY, EndReason.UNAVAILABLE, EndReason.PRUNED, EndReason.CANCELLED])
def test_a_source_that_cannot_is_replaced(rig: Rig, log: list[Batch], reason: EndReason) -> None:
    """Another one is asked at once; this one again after a while."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B, {A: log})
    effects = rig.say(LINK_A, End(1, 0, reason, 3000))
    assert kinds(effects, SourceReplaced)
    assert [fetch.start for fetch in fetches(effects)] == [0]
    assert rig.core.sessions[LINK_A].state.name == "SYNCING"


@pytest.mark.parametrize("reason", list(EndReason))
def test_ends_cause_no_tight_loop(rig: Rig, log: list[Batch], reason: EndReason) -> None:
    """A source that answers every fetch with an End is asked a bounded number of times a minute."""
    asked = fetches(rig.join(LINK_A, A, {A: log}))
    count = 0
    stop = rig.now + 60
    while rig.now < stop and count < 1000:
        count += len(asked)
        effects = [
            effect for fetch in asked for effect in rig.say(LINK_A, End(fetch.request, fetch.start, reason, 1000))
        ]
        asked = fetches(effects)
        if not asked:
            rig.now = max(rig.now + 0.001, min(rig.core.deadline(), rig.now + 1))
            rig.core.heard(LINK_A, rig.now, partial=False)
            asked = fetches(rig.core.tick(rig.now))
            assert rig.core.deadline() > rig.now
    assert count <= 60 / STALL_S * 10


def test_a_source_that_only_promises_costs_bounded_memory(rig: Rig, log: list[Batch]) -> None:
    """It answers pings, ends no fetch and sends nothing, for an hour."""
    rig.join(LINK_A, A, {A: log})
    for _ in range(3600):
        rig.now += 1
        rig.core.heard(LINK_A, rig.now, partial=False)
        rig.core.tick(rig.now)
    assert len(rig.core._fetcher._asked) <= 16


def test_a_drip_is_no_progress(rig: Rig, log: list[Batch]) -> None:
    """A source that feeds pings byte by byte, and never the data due, is replaced like a silent one."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B, {A: log})
    replaced: list[Effect] = []
    while rig.now < 100 + 3 * FRAME_S and not replaced:
        rig.now += 1
        if int(rig.now) % 20 == 0:
            rig.say(LINK_A, Ping(1))
        rig.core.heard(LINK_A, rig.now, partial=True)
        rig.core.heard(LINK_B, rig.now, partial=False)
        replaced = kinds(rig.core.tick(rig.now), SourceReplaced, Drop)
    assert replaced


def test_a_frame_that_drips_is_no_progress(rig: Rig, log: list[Batch]) -> None:
    """However large a frame was announced and has become: a byte now and then is not data arriving."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B, {A: log})
    replaced: list[Effect] = []
    while rig.now < 100 + 3 * STALL_S and not replaced:
        rig.now += 1
        rig.core.heard(LINK_A, rig.now, partial=100_000 + int(rig.now))
        rig.core.heard(LINK_B, rig.now, partial=False)
        replaced = kinds(rig.core.tick(rig.now), SourceReplaced)
    assert replaced


def test_a_growing_frame_is_progress(rig: Rig, log: list[Batch]) -> None:
    """A large frame on a slow line is waited for, as long as it grows."""
    rig.join(LINK_A, A, {A: log})
    rig.join(LINK_B, B, {A: log})
    for second in range(1, int(FRAME_S)):
        rig.now += 1
        rig.core.heard(LINK_A, rig.now, partial=second * PROGRESS_BYTES)
        rig.core.heard(LINK_B, rig.now, partial=False)
        assert not kinds(rig.core.tick(rig.now), SourceReplaced, Drop)


def test_our_disk_refuses_and_recovers(rig: Rig, log: list[Batch]) -> None:
    """After `append_failed` nothing of the log is asked until the time given, then all of it again."""
    rig.join(LINK_A, A, {A: log})
    rig.say(LINK_A, Data(1, records(log[:5])))
    effects = rig.core.append_failed(rig.members[A], rig.now + 5, rig.now)
    assert sends(effects, Cancel) == [Cancel(1)]
    assert not fetches(effects)
    assert rig.say(LINK_A, Data(1, records(log[5:9]))) == []
    assert not fetches(rig.say(LINK_A, End(1, 18, EndReason.CANCELLED)))
    assert not fetches(rig.core.tick(rig.now + 4.9))
    assert rig.core.deadline() == rig.now + 5
    (fetch,) = fetches(rig.core.tick(rig.now + 5))
    assert (fetch.start, fetch.prev_hash) == (0, GENESIS)
    assert rig.core.deadline() > rig.now + 5


def test_credit_returns_after_a_full_disk(rig: Rig) -> None:
    """What was paid for before the append failed does not stand in the way of what comes after."""
    log = make_log(rig.keys[A], rig.network, 20, size=100_000)
    rig.join(LINK_A, A, {A: log})
    for batch in log[:15]:
        rig.say(LINK_A, Data(1, batch.record))
    rig.core.append_failed(rig.members[A], rig.now + 5, rig.now)
    rig.say(LINK_A, End(1, 15, EndReason.CANCELLED))
    rig.now += 5
    fetch = fetches(rig.core.tick(rig.now))[0]
    assert fetch.start == 0
    appends = [effect for batch in log[:8] for effect in rig.say(LINK_A, Data(fetch.request, batch.record))]
    assert sends(rig.append_all(appends), Credit)


def test_a_pause_without_sources_is_no_busy_loop(rig: Rig, log: list[Batch]) -> None:
    """The pause ends by itself, though nobody is connected who could be asked."""
    rig.join(LINK_A, A, {A: log})
    rig.core.append_failed(rig.members[A], rig.now + 5, rig.now)
    rig.core.disconnect(LINK_A, "gone", rig.now)
    rig.core.tick(rig.now + 5)
    assert rig.core.deadline() == math.inf


# Serving


def test_a_live_fetch_is_pushed_what_becomes_durable() -> None:
    """No asking again: our own appends go out at once, within credit."""
    rig = Rig()
    own = rig.log(ME, 4)
    rig.join(LINK_A, A)
    assert rig.say(LINK_A, Fetch(8, rig.members[ME], 0, None, GENESIS, CREDIT_BYTES)) == []
    for count in (1, 2, 3, 4):
        (read,) = kinds(rig.core.appended(rig.members[ME], tip_of(own[:count]), 0), Read)
        (data,) = sends(serve(rig, read, own[:count]), Data)
        assert data == Data(8, own[count - 1].record)


def test_a_range_is_served_and_ended(log: list[Batch]) -> None:
    """Data, then End; what we cannot read is unavailable; answers to who has left are dropped."""
    rig = Rig(held={A: log})
    rig.join(LINK_B, B)
    (read,) = rig.say(LINK_B, Fetch(1, rig.members[A], 0, 40, GENESIS, CREDIT_BYTES))
    effects = serve(rig, read, log)
    assert sends(effects, Data) == [Data(1, records(log))]
    assert sends(effects, End) == [End(1, 40, EndReason.DONE)]
    (read,) = rig.say(LINK_B, Fetch(2, rig.members[A], 0, 40, GENESIS, CREDIT_BYTES))
    assert isinstance(read, Read)
    assert sends(rig.core.read(read, ()), End) == [End(2, 0, EndReason.UNAVAILABLE)]
    (read,) = rig.say(LINK_B, Fetch(3, rig.members[A], 0, 40, GENESIS, CREDIT_BYTES))
    rig.say(LINK_B, Cancel(3))
    assert serve(rig, read, log) == []
    rig.core.disconnect(LINK_B, "gone", 0)
    assert serve(rig, read, log) == []


def test_credit_wakes_a_waiting_fetch(log: list[Batch]) -> None:
    """Sent when there is room for it."""
    rig = Rig(held={A: log})
    rig.join(LINK_B, B)
    assert rig.say(LINK_B, Fetch(1, rig.members[A], 0, 40, GENESIS, 0)) == []
    (read,) = rig.say(LINK_B, Credit(1, 100))
    assert serve(rig, read, log) == []
    (read,) = rig.say(LINK_B, Credit(1, 100_000))
    assert sends(serve(rig, read, log), Data)


# Our own log


def test_proof_that_our_log_was_longer_is_reported() -> None:
    """A peer sends what we signed and do not have: appending would fork, the node must know."""
    own = Rig().log(ME, 10)
    rig = Rig(held={ME: own[:4]})
    (fetch,) = fetches(rig.join(LINK_A, A, {ME: own}))
    assert fetch.log == rig.members[ME]
    effects = rig.say(LINK_A, Data(fetch.request, records(own[4:])))
    assert OwnLogAhead(rig.members[A], 10) in effects
    assert not kinds(effects, Append, Drop)
    assert not fetches(rig.core.tick(rig.now + 60))  # said once, not asked again


def test_proof_that_our_log_was_another_is_reported() -> None:
    """A restored backup that has gone on: what the peer has stands on another batch than ours."""
    before = Rig().log(ME, 10)
    after = Rig().log(ME, 5, salt=1)
    rig = Rig(held={ME: after})
    (fetch,) = fetches(rig.join(LINK_A, A, {ME: before}))
    effects = rig.say(LINK_A, Data(fetch.request, records(before[5:])))
    assert kinds(effects, OwnLogAhead)
    assert not kinds(effects, Append, Drop)


def test_an_older_epoch_that_reaches_further_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """This start has begun an epoch that leaves it out; the peer sends more of the old one over an open fetch."""
    monkeypatch.setattr(Agreement, "has_begun", True)
    own = Rig().log(ME, 10)
    rig = Rig(held={ME: own[:4]})
    (fetch,) = fetches(rig.join(LINK_A, A, {ME: own}))
    effects = rig.say(LINK_A, Data(fetch.request, records(own[4:])))
    assert not kinds(effects, OwnLogAhead, Append, Drop)
    assert [sent.request for sent in sends(effects, Cancel)] == [fetch.request]


@pytest.mark.parametrize("answer", ["silence", "an end", "another history", "garbage", "forgery"])
def test_a_claim_about_our_log_is_no_proof(answer: str) -> None:
    """Anybody can show a tip: only what we signed ourselves is believed."""
    own = Rig().log(ME, 10)
    rig = Rig(held={ME: own[:4]})
    (fetch,) = fetches(rig.join(LINK_A, A, {ME: rig.claim(ME, 1000)}))
    forged = [unsigned(batch) for batch in own[4:]]
    effects = {
        "silence": lambda: rig.core.tick(rig.now + STALL_S),
        "an end": lambda: rig.say(LINK_A, End(fetch.request, 4, EndReason.UNAVAILABLE)),
        "another history": lambda: rig.say(LINK_A, End(fetch.request, 4, EndReason.DIVERGED)),
        "garbage": lambda: rig.say(LINK_A, Data(fetch.request, b"garbage")),
        "forgery": lambda: rig.say(LINK_A, Data(fetch.request, records(forged))),
    }[answer]()
    assert not kinds(effects, OwnLogAhead)


def test_our_own_new_events_are_no_proof_against_us() -> None:
    """A peer claims more, waits until we append, and sends us our own: nothing is wrong with our log."""
    own = Rig().log(ME, 10)
    rig = Rig(held={ME: own[:4]})
    (fetch,) = fetches(rig.join(LINK_A, A, {ME: rig.claim(ME, 5)}))
    rig.core.appended(rig.members[ME], tip_of(own[:5]), rig.now)
    effects = rig.say(LINK_A, Data(fetch.request, own[4].record))
    assert not kinds(effects, OwnLogAhead)


def test_a_stale_question_about_our_log_is_no_busy_loop() -> None:
    """We asked on a claim, then our log passed it: the unanswered fetch still ends."""
    own = Rig().log(ME, 10)
    rig = Rig(held={ME: own[:4]})
    rig.join(LINK_A, A, {ME: rig.claim(ME, 5)})
    rig.core.appended(rig.members[ME], tip_of(own), rig.now)
    for _ in range(20):
        rig.now += 1
        rig.core.heard(LINK_A, rig.now, partial=False)
        rig.core.tick(rig.now)
        assert rig.core.deadline() > rig.now


def test_receipts_count_on_our_own_chain_only() -> None:
    """A tip of our log with another hash, or of a damaged or forgetful peer, is no receipt."""
    own = Rig().log(ME, 10)
    rig = Rig()
    for count in range(1, 11):
        rig.core.appended(rig.members[ME], tip_of(own[:count]), rig.now)
    member = rig.members[A]
    rig.join(LINK_A, A, {ME: own[:3]})
    assert rig.core.receipts == {member: 3}
    rig.show(LINK_A, {ME: own[:7]})
    assert rig.core.receipts == {member: 7}
    rig.show(LINK_A, {ME: rig.claim(ME, 9)})
    assert rig.core.receipts == {member: 7}
    rig.show(LINK_A, {ME: replace(LogTip(rig.members[ME], tip_of(own[:9])), state=LogState.AMNESIAC)})
    assert rig.core.receipts == {member: 7}
    rig.show(LINK_A, {ME: LogTip(rig.members[ME], Tip(1, 9, own[8].hash))})
    rig.show(LINK_A, {ME: rig.claim(ME, 2)})
    assert rig.core.receipts == {member: 0}
    rig.show(LINK_A, {ME: own})
    assert rig.core.receipts == {member: 10}


def test_receipts_of_the_past_are_forgotten_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes at hand are bounded; the newest count."""
    monkeypatch.setattr("hydra_sync.sync.receipts.RECEIPT_BATCHES_MAX", 3)
    own = Rig().log(ME, 10)
    rig = Rig()
    for count in range(1, 11):
        rig.core.appended(rig.members[ME], tip_of(own[:count]), rig.now)
    rig.join(LINK_A, A, {ME: own[:5]})
    assert rig.core.receipts == {}
    rig.show(LINK_A, {ME: own[:8]})
    assert rig.core.receipts == {rig.members[A]: 8}


# Histories that differ


def test_two_histories_keep_ours_and_blame_no_relay() -> None:
    """An author signed two: the relay of the other one stays connected, and is not asked for that log again."""
    mine = Rig().log(A, 10)
    theirs = Rig().log(A, 20, salt=1)
    rig = Rig(held={A: mine})
    (fetch,) = fetches(rig.join(LINK_B, B, {A: theirs}))
    effects = rig.say(LINK_B, Data(fetch.request, records(theirs[10:])))
    assert Diverged(rig.members[A], rig.members[B], 10, proven=True) in effects
    assert not kinds(effects, Append, Drop)
    assert sends(effects, Cancel) == [Cancel(fetch.request)]
    later = rig.say(LINK_B, End(fetch.request, 20, EndReason.CANCELLED))
    later += rig.show(LINK_B, {A: Rig().log(A, 21, salt=1)})
    for _ in range(100):
        rig.now += 1
        rig.core.heard(LINK_B, rig.now, partial=False)
        later += rig.core.tick(rig.now)
    assert not fetches(later)
    assert rig.core.nodes == {rig.members[B]: LINK_B}


@pytest.mark.parametrize("reason", [EndReason.DIVERGED, EndReason.FORKED])
def test_a_server_that_says_so_is_believed_without_blame(rig: Rig, log: list[Batch], reason: EndReason) -> None:
    """Its answer ends the asking, not the connection."""
    rig.join(LINK_A, A, {A: log})
    effects = rig.say(LINK_A, End(1, 0, reason))
    assert kinds(effects, Diverged)
    assert not kinds(effects, Drop)
    assert not fetches(effects + rig.core.tick(rig.now + 60))


def test_a_conflict_that_shows_late_is_reported(rig: Rig) -> None:
    """Ranges that came ahead of their turn and do not fit then: kept out, nobody dropped, all asked again."""
    mine = Rig().log(A, 12, events=1024)
    theirs = Rig().log(A, 12, events=1024, salt=1)
    asked = fetches(rig.join(LINK_A, A, {A: mine}))
    asked_b = fetches(rig.join(LINK_B, B, {A: theirs}))
    assert [fetch.start for fetch in asked + asked_b] == [0, 1024, 2048, 3072]
    early = rig.say(LINK_B, Data(asked_b[0].request, theirs[2].record))
    early += rig.say(LINK_B, Data(asked_b[1].request, theirs[3].record))
    assert not kinds(early, Append)
    effects = rig.say(LINK_A, Data(asked[0].request, mine[0].record))
    assert len(kinds(effects, Append)) == 1
    effects = rig.say(LINK_A, Data(asked[1].request, mine[1].record))
    assert Diverged(rig.members[A], rig.members[B], 2048, proven=True) in effects
    assert not kinds(effects, Drop)
    for fetch in asked:
        effects += rig.say(LINK_A, End(fetch.request, 2048, EndReason.DONE))
    probe, *asked = fetches(effects)
    assert (probe.start, probe.stop) == (2047, 2048)  # B is asked what it holds there, for the proof
    assert [fetch.start for fetch in asked] == [2048]
    # Nothing of the other history waits in memory to get in the way once more.
    effects = rig.say(LINK_A, Data(asked[0].request, mine[2].record))
    (append,) = kinds(effects, Append)
    assert append == Append(rig.members[A], (mine[2],))
    assert not kinds(effects, Diverged)


# Limits of a node


def test_a_liar_does_not_take_every_slot() -> None:
    """One peer that claims enormous logs and serves none leaves slots for the logs that honest peers have."""
    rig = Rig(8)
    logs = {index: rig.claim(index, 10**9) for index in range(1, 8)}
    liar = fetches(rig.join(LINK_A, A, logs))
    assert len(liar) <= RANGES_PER_NODE
    honest = rig.log(7, 5, events=1024)
    asked = fetches(rig.join(LINK_B, B, {7: honest}))
    for _ in range(60):
        rig.now += 1
        for number in (LINK_A, LINK_B):
            rig.core.heard(number, rig.now, partial=False)
        effects = rig.core.tick(rig.now)
        for cancel in sends(effects, Cancel):
            assert isinstance(cancel, Cancel)
            effects += rig.say(LINK_A, End(cancel.request, 0, EndReason.CANCELLED))
        asked += [e.message for e in effects if getattr(e, "link", 0) == LINK_B and isinstance(e.message, Fetch)]  # type: ignore[union-attr]
    assert asked


def test_cancelled_ranges_hold_no_slots(rig: Rig) -> None:
    """A source that stalls and does not even end what we cancelled does not starve the others."""
    log = make_log(rig.keys[A], rig.network, 40, events=1024)
    rig.join(LINK_A, A, {A: log})
    for _ in range(int(10 * STALL_S)):
        rig.now += 1
        rig.core.heard(LINK_A, rig.now, partial=False)
        rig.core.tick(rig.now)
    assert fetches(rig.join(LINK_B, B, {A: log}))


def test_the_deadline_is_never_in_the_past(rig: Rig, log: list[Batch]) -> None:
    """After a tick the next one is due later: a node never spins."""
    rig.join(LINK_A, A, {A: log, B: rig.claim(B, 50), ME: rig.claim(ME, 3)})
    rig.join(LINK_B, B, {A: log})
    while rig.core.sessions and rig.now < 100 + 3 * SILENCE_S:
        rig.now = min(rig.core.deadline(), rig.now + 3)
        for effect in rig.core.tick(rig.now):
            if isinstance(effect, Drop):
                rig.core.disconnect(effect.link, "", rig.now)
        assert rig.core.deadline() > rig.now
    assert not rig.core.sessions
