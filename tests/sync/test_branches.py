"""Branches of several epochs: which is followed, from where, and what a liar about epochs can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.limits import LAG_S, PARTINGS_MAX, STALL_S
from hydra_sync.ranges import SeqRange
from hydra_sync.sync import (
    Append,
    Diverged,
    Drop,
    Effect,
    Explain,
    Fetched,
    Locate,
    Orphaned,
    Read,
    Send,
    SourceReplaced,
)
from hydra_sync.sync.intake import Early
from hydra_sync.wire import Cancel, Credit, Data, End, EndReason, Fetch, Hello, LogState, LogTip, Prepare, Role, Tips
from tests.currently import currently
from tests.sync.pump import Rig, begin_epoch, next_batch, records, sends, tip_of

AUTHOR, RELAY = 1, 2
"""Members of a rig of three, by place; 0 is the core under test."""
RIG = Rig()
KEY = RIG.keys[AUTHOR]
WITNESSES = [RIG.keys[0], RIG.keys[RELAY]]


def grown(log: Sequence[Batch], *epochs: int, size: int = 8, salt: int = 0) -> list[Batch]:
    """``log`` and a batch more of each of these epochs; a new one begins as it must."""
    log = list(log)
    for epoch in epochs:
        tip = tip_of(log)
        if epoch == tip.epoch:
            log.append(next_batch(KEY, RIG.network, tip, epoch=epoch, size=size, salt=salt))
        else:
            log.append(begin_epoch(KEY, WITNESSES, RIG.network, tip, epoch))
    return log


TRUNK = grown([], 0, 0, 0)
OURS = grown(TRUNK, 3, 3, 3)
LATER = grown(TRUNK, 5, 5)
BESIDE = grown(TRUNK, 2, 2, 2, 5, 5)
"""Parts from ours where epoch 2 began, and has come to a later one."""


def joined(rig: Rig, log: Sequence[Batch]) -> list[Effect]:
    """A relay joins on link 1 that shows this log, and sends the record of the later epoch that it is asked for."""
    (probe,) = requests(rig.join(1, RELAY, {AUTHOR: log}))
    assert probe.start == len(log) - 1
    return rig.say(1, said(log, probe))


def led_off(rig: Rig, log: Sequence[Batch]) -> Fetch:
    """A relay of this log on link 1 leads us off our branch; what it is asked for then."""
    effects = rig.join(1, RELAY, {AUTHOR: log})
    while rig.core._fetcher._logs[rig.members[AUTHOR]].base is None:
        (fetch,) = requests(effects)
        effects = rig.say(1, said(log, fetch))
        for effect in list(effects):
            if isinstance(effect, Locate):
                effects += rig.core.located(effect, located(effect.seq, of_epoch=effect.of_epoch), rig.now)
    (fetch,) = requests(effects)
    return fetch


def requests(effects: Sequence[Effect]) -> list[Fetch]:
    return sends(effects, Fetch)


def answered(rig: Rig, log: Sequence[Batch], effects: Sequence[Effect], *, link: int) -> list[Effect]:
    """Serve all that is asked of one link, as a peer would that holds this log; all effects."""
    done: list[Effect] = []
    todo = list(effects)
    while todo:
        effect = todo.pop(0)
        done.append(effect)
        match effect:
            case Send(number, Fetch() as fetch) if number == link:
                todo += rig.say(link, said(log, fetch))
            case Locate(member, seq, of_epoch):
                todo += rig.core.located(effect, located(seq, of_epoch=of_epoch), rig.now)
            case Append(member, batches):
                todo += rig.core.orphaned(member, SeqRange(batches[0].header.first_seq, 99))
                todo += rig.core.appended(member, Tip.after(batches[-1]), rig.now)
    return done


def said(log: Sequence[Batch], fetch: Fetch) -> Data | End:
    """What a peer with this log says to a fetch first."""
    stop = fetch.stop if fetch.stop is not None else len(log)
    hashes = {0: EMPTY.hash} | {batch.header.stop: batch.hash for batch in log}
    if fetch.prev_hash not in (None, hashes.get(fetch.start)):
        epoch = log[min(fetch.start, len(log)) - 1].header.epoch
        first = next(batch.header.first_seq for batch in log if batch.header.epoch == epoch)
        return End(fetch.request, first, EndReason.DIVERGED, epoch)
    run = log[fetch.start : stop]
    return Data(fetch.request, records(run)) if run else End(fetch.request, fetch.start, EndReason.UNAVAILABLE)


def located(seq: int, *, of_epoch: bool) -> Tip:
    """What our store, which holds `OURS`, answers to a `Locate`."""
    if of_epoch:
        epoch = OURS[seq - 1].header.epoch
        seq = next(batch.header.first_seq for batch in OURS if batch.header.epoch == epoch)
    return tip_of([batch for batch in OURS if batch.header.stop <= seq])


@pytest.mark.parametrize("peer", [AUTHOR, RELAY])
@pytest.mark.parametrize("theirs", [LATER, BESIDE, grown(TRUNK[:1], 4), grown([], 7, 7), grown(OURS, 6)])
def test_a_branch_of_a_later_epoch_takes_the_place_of_ours(theirs: list[Batch], peer: int) -> None:
    """Shorter or longer, from wherever the two part; the store is told once, with all that is new."""
    rig = Rig(held={AUTHOR: OURS})
    effects = answered(rig, theirs, rig.join(1, peer, {AUTHOR: theirs}), link=1)
    (append,) = [effect for effect in effects if isinstance(effect, Append)]
    parting = append.batches[0].header.first_seq
    assert [*OURS[:parting], *append.batches] == theirs
    assert not [effect for effect in effects if isinstance(effect, Drop | Diverged)]


def test_another_branch_is_not_held_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it proves to be of a later epoch: it is dropped from memory, and our branch stays."""
    monkeypatch.setattr("hydra_sync.sync.fetching.REBASE_BYTES_MAX", 3000)
    theirs = grown(TRUNK, *[2] * 12, 5, size=500)
    rig = Rig(held={AUTHOR: OURS})
    fetch = led_off(rig, theirs)
    state = rig.core._fetcher._logs[rig.members[AUTHOR]]
    for batch in theirs[fetch.start : -1]:
        assert state.base is not None
        effects = rig.say(1, Data(fetch.request, batch.record))
        assert not [effect for effect in effects if isinstance(effect, Append)]
        if state.base is None:
            break  # type: ignore[unreachable]  # what the peer said has changed it
        assert sum(len(one.record) for one in state.other) <= 3000
    assert (state.base, state.other, state.intake.frontier) == (None, [], tip_of(OURS))
    assert len(sends(effects, Cancel)) == 1
    assert [effect.why for effect in effects if isinstance(effect, SourceReplaced)] == [
        "it holds another branch, and too much of it"
    ]
    assert requests(rig.show(1, {AUTHOR: theirs})) == []


def test_runs_of_a_branch_that_was_given_up_do_not_reach_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those whose turn came at the same moment."""
    monkeypatch.setattr("hydra_sync.sync.fetching.REBASE_BYTES_MAX", 3000)
    theirs = grown(TRUNK, *[2] * 12, 5, size=500)
    rig = Rig(held={AUTHOR: OURS})
    rig.join(1, RELAY, {AUTHOR: OURS[:1]})
    state = rig.core._fetcher._logs[rig.members[AUTHOR]]
    state.leave_branch(tip_of(TRUNK))
    for start in (9, 6, 3):
        state.intake.add(Early(1, 1, tuple(theirs[start : start + 3])))
    effects = rig.core._fetcher._drain(state, rig.now)
    assert not [effect for effect in effects if isinstance(effect, Append)]
    assert state.intake.frontier == tip_of(OURS)
    assert state.intake.early == []


def test_credit_does_not_wait_for_a_branch_that_came_to_nothing() -> None:
    """What its source brought is never durable; the author, whom we follow now, is paid nevertheless."""
    theirs = grown(TRUNK, *[2] * 12, 5)
    rig = Rig(held={AUTHOR: OURS})
    fetch = led_off(rig, theirs)
    rig.say(1, Data(fetch.request, records(theirs[fetch.start : -1])))
    rig.core.disconnect(1, "gone", rig.now)
    more = grown(OURS, 3, size=600_000)
    (fetch,) = requests(rig.join(2, AUTHOR, {AUTHOR: more}))
    effects = rig.say(2, Data(fetch.request, records(more[fetch.start :])))
    assert sends(rig.append_all(effects), Credit)


def test_what_a_later_epoch_leaves_out_is_no_fork_if_it_was_asked_for_before() -> None:
    """It waits for what comes before it, and then that is of the later epoch, which our disk does not have yet."""
    older = grown(TRUNK, 0, 0)
    rig = Rig(held={AUTHOR: TRUNK})
    effects = rig.join(1, AUTHOR, {AUTHOR: LogTip(rig.members[AUTHOR], tip_of(older[:4]), state=LogState.RECOVERING)})
    effects += rig.join(2, RELAY, {AUTHOR: older})
    rig.now += LAG_S
    effects += rig.core.tick(rig.now)
    live, rest = requests(effects)
    assert (rest.start, rest.stop) == (4, 5)
    rig.say(2, Data(rest.request, records(older[4:])))
    effects = rig.say(1, Data(live.request, records(LATER[3:4])))
    assert [effect for effect in effects if isinstance(effect, Append)]
    assert not [effect for effect in effects if isinstance(effect, Drop | Diverged)]


def test_who_parts_from_us_again_and_again_takes_nobody_elses_time() -> None:
    """It shows ever later epochs, and has another branch whenever it is asked: the others are asked then."""
    rig = Rig(held={AUTHOR: TRUNK})
    more = grown(TRUNK, 0, 0)
    effects = rig.join(1, RELAY, {AUTHOR: more})
    asked = 0
    for epoch in range(1, 30):
        effects = rig.join(2, AUTHOR, {}) if epoch == 1 else []
        effects += rig.show(2, {AUTHOR: LogTip(rig.members[AUTHOR], Tip(epoch, 9, bytes([epoch]) * 32))})
        for effect in effects:
            if isinstance(effect, Send) and effect.link == 2 and isinstance(effect.message, Fetch):
                asked += 1
                rig.say(2, End(effect.message.request, 0, EndReason.DIVERGED, 0))
    assert 0 < asked <= PARTINGS_MAX + 2


def test_a_branch_is_left_for_nothing_when_its_source_goes() -> None:
    """Ours is kept, and what came is forgotten."""
    rig = Rig(held={AUTHOR: OURS})
    (locate,) = [effect for effect in joined(rig, grown(TRUNK, 5)) if isinstance(effect, Locate)]
    rig.core.located(locate, tip_of(TRUNK), rig.now)
    state = rig.core._fetcher._logs[rig.members[AUTHOR]]
    assert state.intake.frontier == tip_of(TRUNK)
    rig.core.disconnect(1, "gone", rig.now)
    assert (state.base, state.intake.frontier) == (None, tip_of(OURS))


def test_nothing_is_asked_while_our_log_is_searched() -> None:
    """The answer decides from where on."""
    rig = Rig(held={AUTHOR: OURS})
    effects = joined(rig, LATER)
    (locate,) = [effect for effect in effects if isinstance(effect, Locate)]
    assert requests(rig.join(2, AUTHOR, {AUTHOR: LATER})) == []
    effects = rig.core.located(locate, tip_of(TRUNK), rig.now)
    assert requests(effects)


def test_where_our_log_cannot_be_read_it_is_searched_again_later() -> None:
    """Our branch is kept meanwhile, and nobody's disk is read again and again."""
    rig = Rig(held={AUTHOR: OURS})
    (locate,) = [effect for effect in joined(rig, LATER) if isinstance(effect, Locate)]
    assert rig.core.located(locate, None, rig.now) == []
    state = rig.core._fetcher._logs[rig.members[AUTHOR]]
    assert (state.base, state.intake.frontier) == (None, tip_of(OURS))
    rig.now += STALL_S - 0.1
    assert requests(rig.core.tick(rig.now)) == []
    rig.now += 0.2
    assert locate in [*rig.core.tick(rig.now), *rig.core.tick(rig.now)]
    assert requests(rig.core.located(locate, tip_of(TRUNK), rig.now))


@pytest.mark.parametrize(
    ("shown", "end"),
    [
        (LATER, End(1, 0, EndReason.DIVERGED, 3)),  # it would have the epoch that we have
        (LATER, End(1, 99, EndReason.DIVERGED, 5)),  # it began after what we hold
        (LATER, End(1, 3, EndReason.FORKED, 0)),
    ],
)
def test_an_answer_that_helps_nobody_is_no_proof(shown: list[Batch], end: End) -> None:
    """Of another epoch, a branch is orphaned, and its holder not to blame: another source, and this one later."""
    longer = grown(shown, *[5] * 5)
    rig = Rig(held={AUTHOR: OURS})
    (fetch,) = requests(rig.join(1, RELAY, {AUTHOR: longer}))
    effects = rig.say(1, replace(end, request=fetch.request))
    assert [effect.why for effect in effects if isinstance(effect, SourceReplaced)] == [
        "it holds a branch of another epoch"
    ]
    assert not [effect for effect in effects if isinstance(effect, Diverged | Drop | Locate)]


def test_sources_of_an_older_epoch_are_not_asked() -> None:
    """They may go on in what the latest one left out. The author is asked in any case."""
    rig = Rig(held={AUTHOR: TRUNK})
    old = grown(TRUNK, *[0] * 5)
    effects = rig.join(1, AUTHOR, {AUTHOR: LATER})
    assert requests(effects)
    assert requests(rig.join(2, RELAY, {AUTHOR: old})) == []
    rig = Rig(held={AUTHOR: LATER})
    assert requests(rig.join(2, RELAY, {AUTHOR: old})) == []
    assert rig.core.target(rig.members[AUTHOR]) == 0
    assert requests(rig.join(1, AUTHOR, {AUTHOR: old}))


@pytest.mark.parametrize("honest", [AUTHOR, RELAY])
def test_a_liar_about_epochs_stops_no_honest_source(honest: int) -> None:
    """It claims the latest of all epochs, and never delivers: it is asked last from then on."""
    rig = Rig(4, held={AUTHOR: TRUNK})
    liar = LogTip(rig.members[AUTHOR], Tip(1 << 40, 50, b"?" * 32))
    rig.join(1, 3, {AUTHOR: liar})
    log = grown_for(rig)
    effects = rig.join(2, honest, {AUTHOR: log})
    for _ in range(40):
        if any(isinstance(effect, Fetched) for effect in effects):
            return
        for effect in effects:
            if isinstance(effect, Locate):
                effects = [*effects, *rig.core.located(effect, tip_of(TRUNK), rig.now)]
        for effect in effects:
            if isinstance(effect, Send) and effect.link == 2 and isinstance(effect.message, Fetch):
                effects = rig.say(2, Data(effect.message.request, records(log[effect.message.start :])))
                break
            if isinstance(effect, Send) and effect.link == 1 and isinstance(effect.message, Cancel):
                rig.say(1, End(effect.message.request, 0, EndReason.CANCELLED))
        else:
            rig.now += 1
            for link in (1, 2):
                rig.core.heard(link, rig.now, partial=0)
            effects = rig.core.tick(rig.now)
    raise AssertionError("nobody else was asked")


def grown_for(rig: Rig) -> list[Batch]:
    """`TRUNK`, which does not depend on the network here, and more of it."""
    log = list(TRUNK)
    for _ in range(3):
        log.append(next_batch(rig.keys[AUTHOR], rig.network, tip_of(log)))
    return log


def test_who_was_followed_and_shows_a_fork_is_left() -> None:
    """The next plan is made anew, and does not ask it."""
    rig = Rig(held={AUTHOR: TRUNK})
    rig.join(1, AUTHOR, {AUTHOR: TRUNK})
    forked = LogTip(rig.members[AUTHOR], tip_of(grown(TRUNK, 0, 0)), state=LogState.FORKED)
    assert requests(rig.show(1, {AUTHOR: forked})) == []


# Serving


def serving(log: Sequence[Batch], fetch: Fetch) -> tuple[Rig, list[Effect]]:
    """A core that holds this log, and what it does for this fetch of a connected member."""
    rig = Rig(held={AUTHOR: log})
    rig.join(1, RELAY, {})
    return rig, rig.say(1, fetch)


def test_who_stands_on_another_branch_is_told_where_ours_began() -> None:
    """Once the store has found it; at most one answer, and none to who has gone."""
    fetch = Fetch(7, RIG.members[AUTHOR], len(OURS), None, b"?" * 32, 1 << 20)
    rig, (explain,) = serving(OURS, fetch)
    assert explain == Explain(1, 7, RIG.members[AUTHOR], len(OURS))
    assert isinstance(explain, Explain)
    assert rig.core.explained(explain, 3, 3) == [Send(1, End(7, 3, EndReason.DIVERGED, 3))]
    assert rig.core.explained(explain, 3, 3) == []
    rig.core.disconnect(1, "gone", rig.now)
    assert rig.core.explained(explain, 3, 3) == []


def test_another_branch_is_noticed_in_its_middle() -> None:
    """Where the batch that was read stands on another one, or begins before what was asked."""
    for start, prev_hash in ((4, b"?" * 32), (0, b"?" * 32)):
        rig, (read,) = serving(OURS, Fetch(7, RIG.members[AUTHOR], start, None, prev_hash, 1 << 20))
        assert isinstance(read, Read)
        assert rig.core.read(read, OURS[start:]) == [Explain(1, 7, RIG.members[AUTHOR], start)]


def test_damage_is_shown_to_all() -> None:
    """What is shown ends there; what is orphaned has no holes any more."""
    rig = Rig(held={AUTHOR: OURS})
    rig.join(1, RELAY, {})
    log = rig.members[AUTHOR]
    hurt = replace(rig.core.held[log], holes=(SeqRange(1, 2), SeqRange(4, 5)))
    assert rig.core.damaged(hurt)
    tips = rig.core.take_tips(1, rig.now)
    assert isinstance(tips, Tips)
    assert [tip.holes for tip in tips.logs if tip.log == log] == [hurt.holes]
    assert rig.core.orphaned(log, SeqRange(3, 6)) == [Orphaned(log, SeqRange(3, 6))]
    assert rig.core.held[log].holes == (SeqRange(1, 2),)


# Who may speak


def test_tools_take_no_part_in_agreement() -> None:
    """A promise or a ballot of a tool is a broken protocol; whoever broke it has to wait."""
    rig = Rig()
    rig.core.connect(1, rig.members[RELAY], dialed=False, now=rig.now)
    rig.say(1, Hello(network=rig.network, agent="tool", role=Role.TOOL, store_id=bytes(16), founding=False))
    rig.say(1, Tips(True, ()))
    (drop,) = rig.say(1, Prepare(rig.members[RELAY], b"anything"))
    assert isinstance(drop, Drop)
    assert drop.fault == "Prepare of a tool"
    assert rig.core.blame(99, "unknown links are no news") == []


def test_who_broke_the_protocol_has_to_wait() -> None:
    """For a while; and while its connection is being closed nothing more is sent on it."""
    rig = Rig(held={AUTHOR: TRUNK})
    rig.join(1, RELAY, {})
    assert requests([Send(1, message) for message in sends(rig.say(1, fetch_all()), Fetch)]) == []
    (drop,) = rig.say(1, Prepare(rig.members[RELAY], b"garbage"))
    assert isinstance(drop, Drop)
    more = grown_for(rig)
    effects = rig.core.appended(rig.members[AUTHOR], tip_of(more), rig.now)
    assert not [effect for effect in effects if isinstance(effect, Send | Read)]
    rig.core.disconnect(1, "dropped", rig.now)
    rig.core.connect(2, rig.members[RELAY], dialed=False, now=rig.now)
    (drop,) = rig.say(2, hello_of(rig))
    assert isinstance(drop, Drop)
    assert "you broke the protocol" in drop.goodbye.text


def fetch_all() -> Fetch:
    return Fetch(7, RIG.members[AUTHOR], 0, None, EMPTY.hash, 1 << 20)


def hello_of(rig: Rig) -> Hello:
    return Hello(network=rig.network, agent="again", role=Role.NODE, store_id=bytes(16), founding=False)


def test_a_search_that_finds_nothing_to_leave_goes_on_where_it_was() -> None:
    """The other branch stands on our tip."""
    rig = Rig(held={AUTHOR: OURS})
    effects = joined(rig, LATER)
    (locate,) = [effect for effect in effects if isinstance(effect, Locate)]
    rig.core.located(locate, tip_of(OURS), rig.now)
    state = rig.core._fetcher._logs[rig.members[AUTHOR]]
    assert (state.base, state.intake.frontier) == (None, tip_of(OURS))


def test_the_line_of_one_peer_is_no_progress_of_another() -> None:
    """And none where nothing was waited for."""
    rig = Rig(held={AUTHOR: TRUNK})
    rig.join(1, AUTHOR, {AUTHOR: TRUNK})
    rig.join(2, RELAY, {AUTHOR: TRUNK})
    (asked,) = rig.core._fetcher._logs[rig.members[AUTHOR]].asked
    assert currently(asked.waiting_since) is None
    for link in (1, 2):
        rig.core._fetcher.progress(link, rig.now + 1)
    assert currently(asked.waiting_since) is None
    rig.show(1, {AUTHOR: grown_for(rig)})
    assert asked.waiting_since == rig.now
    rig.core._fetcher.progress(2, rig.now + 1)
    assert asked.waiting_since == rig.now
    rig.core._fetcher.progress(1, rig.now + 1)
    assert asked.waiting_since == rig.now + 1


# Lies about epochs


@pytest.mark.parametrize("claimed", [0, 1, 3, 50])
def test_a_claim_of_a_later_epoch_keeps_nothing_from_us(claimed: int) -> None:
    """Who claims it is asked for a record of it, and until that is here, all goes on as if nothing were claimed."""
    rig = Rig(4, held={AUTHOR: TRUNK})
    log = grown_for(rig)
    lie = LogTip(rig.members[AUTHOR], Tip(99, claimed, b"?" * 32))
    rig.join(1, 3, {AUTHOR: lie})
    effects = rig.join(2, AUTHOR, {AUTHOR: log})
    assert not [effect for effect in effects if isinstance(effect, Locate)]
    (fetch,) = [e.message for e in effects if isinstance(e, Send) and e.link == 2 and isinstance(e.message, Fetch)]
    effects = rig.say(2, Data(fetch.request, records(log[3:5])))
    assert [effect.batches for effect in effects if isinstance(effect, Append)] == [tuple(log[3:5])]
    rig.append_all(effects)
    effects = rig.show(1, {AUTHOR: lie})
    effects = rig.say(2, Data(fetch.request, records(log[5:])))
    assert [effect.batches for effect in effects if isinstance(effect, Append)] == [tuple(log[5:])]


@pytest.mark.parametrize("has_older", [True, False])
def test_who_has_no_record_of_the_epoch_that_it_claims_is_passed_over(has_older: bool) -> None:
    """It is asked again later and later, however often it says so; the notice says why."""
    rig = Rig(held={AUTHOR: TRUNK})
    lie = LogTip(rig.members[AUTHOR], Tip(99, 2, b"?" * 32))
    asked, whys = 0, []
    effects = rig.join(1, RELAY, {AUTHOR: lie})
    for _ in range(20):
        for fetch in requests(effects):
            asked += 1
            assert (fetch.start, fetch.stop) == (1, 2)
            effects = rig.say(1, Data(fetch.request, records(TRUNK[1:2]))) if has_older else []
            effects += rig.say(1, End(fetch.request, 1, EndReason.DONE))
            whys += [effect.why for effect in effects if isinstance(effect, SourceReplaced)]
            assert not [effect for effect in effects if isinstance(effect, Locate | Drop | Diverged)]
        effects = rig.show(1, {AUTHOR: lie})
    assert 1 < asked <= PARTINGS_MAX + 2
    assert whys == ["it has no record of the later epoch that it shows"] * asked


def test_who_leads_us_off_our_branch_and_stalls_is_left() -> None:
    """It has a record of a later epoch, and nothing more: we are back on ours, which the author supplies."""
    rig = Rig(held={AUTHOR: OURS})
    effects = joined(rig, LATER)
    (locate,) = [effect for effect in effects if isinstance(effect, Locate)]
    assert requests(rig.core.located(locate, tip_of(TRUNK), rig.now))
    more = grown(OURS, 3)
    rig.join(2, AUTHOR, {AUTHOR: more})
    for _ in range(8):
        rig.now += 1
        for link in (1, 2):
            rig.core.heard(link, rig.now, partial=0)
        effects = rig.core.tick(rig.now)
        if fetches := requests(effects):
            break
    (fetch,) = fetches
    assert fetch.start == len(OURS)
    effects = rig.say(2, Data(fetch.request, records(more[-1:])))
    assert [effect.batches for effect in effects if isinstance(effect, Append)] == [tuple(more[-1:])]


def test_who_shows_something_else_by_now_did_not_lie() -> None:
    """What it was asked for went with another branch, perhaps: it is asked for what it shows now, at once."""
    rig = Rig(held={AUTHOR: TRUNK})
    (first,) = requests(rig.join(1, RELAY, {AUTHOR: LogTip(rig.members[AUTHOR], Tip(5, 2, b"?" * 32))}))
    assert requests(rig.show(1, {AUTHOR: LogTip(rig.members[AUTHOR], Tip(6, 1, b"!" * 32))})) == []
    effects = rig.say(1, End(first.request, 1, EndReason.UNAVAILABLE))
    assert [(fetch.start, fetch.stop) for fetch in requests(effects)] == [(0, 1)]
    assert not [effect for effect in effects if isinstance(effect, SourceReplaced)]


def test_a_record_that_comes_when_we_have_left_changes_nothing() -> None:
    """Another peer's was here first, and our log is searched, or the other branch is asked for already."""
    rig = Rig(held={AUTHOR: OURS})
    (one,) = requests(rig.join(1, RELAY, {AUTHOR: LATER}))
    (two,) = requests(rig.join(2, AUTHOR, {AUTHOR: LATER}))
    (locate,) = [effect for effect in rig.say(1, said(LATER, one)) if isinstance(effect, Locate)]
    assert requests(rig.core.located(locate, tip_of(TRUNK), rig.now))
    effects = rig.say(2, said(LATER, two))
    assert not [effect for effect in effects if isinstance(effect, Locate)]
    (fetch,) = requests(effects)  # as the author's it is the better source
    effects = rig.say(2, said(LATER, fetch))
    assert [effect.batches for effect in effects if isinstance(effect, Append)] == [tuple(LATER[3:])]


@pytest.mark.parametrize("claimed", [0, 1, 3])
def test_a_claimed_epoch_shuts_no_relay_out(claimed: int) -> None:
    """The author is away; who claims a later epoch of its log is not the only one who is asked then."""
    rig = Rig(4, held={AUTHOR: TRUNK})
    rig.join(1, 3, {AUTHOR: LogTip(rig.members[AUTHOR], Tip(99, claimed, b"?" * 32))})
    log = grown_for(rig)
    effects = rig.join(2, RELAY, {AUTHOR: log})
    rig.now += LAG_S
    effects += rig.core.tick(rig.now)
    (fetch,) = [e.message for e in effects if isinstance(e, Send) and e.link == 2 and isinstance(e.message, Fetch)]
    effects = rig.say(2, Data(fetch.request, records(log[fetch.start :])))
    assert [effect.batches for effect in effects if isinstance(effect, Append)] == [tuple(log[3:])]


@pytest.mark.parametrize("theirs", [LATER, grown(OURS[:4], 6, 6, 6, 6)])
def test_the_last_choice_leads_us_off_our_branch_all_the_same(theirs: list[Batch]) -> None:
    """Its connection went again and again when it owed us something; but it is the one that has the later epoch."""
    rig = Rig(held={AUTHOR: OURS})
    for link in range(10, 14):
        rig.join(link, AUTHOR, {AUTHOR: grown(OURS, 3)})
        rig.leave(link)
    assert rig.core._fetcher._logs[rig.members[AUTHOR]].broken
    effects = answered(rig, theirs, rig.join(1, AUTHOR, {AUTHOR: theirs}), link=1)
    (append,) = [effect for effect in effects if isinstance(effect, Append)]
    assert [*OURS[: append.batches[0].header.first_seq], *append.batches] == theirs
