"""What a hostile member can do with the messages of agreement: be dropped, or nothing much."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.epoch import Answer, Ballot, open_ballot
from hydra_sync.identity import MemberKey
from hydra_sync.limits import BALLOT_JUMP_MAX, DOUBT_S, PASS_AGAIN_S, UINT_MAX
from hydra_sync.standing import Standing
from hydra_sync.sync import (
    Append,
    BecameStable,
    BeginEpoch,
    Drop,
    Effect,
    EndFounding,
    LostDisk,
    OwnLogAhead,
    OwnLogTaken,
    Persist,
    Send,
)
from hydra_sync.wire import Cancel, Data, Fetch, LogState, LogTip, Message, Prepare, Promise, Refuse, Stable
from tests.currently import currently
from tests.sync.pump import Net, Node, Rig, hello, records, sends, tip_of

START, STORE = b"\x05" * 16, bytes(16)
STRANGER = MemberKey(b"\x77" * 32)


def rig(*, peers: Sequence[int] = (1, 2), starts: bool = False, founding: bool = False, count: int = 4) -> Rig:
    """A core with members connected, each on the link of its number."""
    one = Rig(count, start=START if starts else None, founding=founding)
    for peer in peers:
        one.join(peer, peer, {})
    return one


def ballot(one: Rig, author: int, number: int = 1, *, key: int | None = None) -> Prepare:
    signer = one.keys[author if key is None else key]
    return Prepare(one.members[author], Ballot(number, START, STORE).sign(signer, one.network))


def answer(one: Rig, witness: int, author: int, number: int = 1, *, known: bool = False, tip: Tip = EMPTY) -> Promise:
    made = Answer(number, START, tip, known, STORE)
    return Promise(
        one.members[author], one.members[witness], made.sign(one.keys[witness], one.network, one.members[author])
    )


def faults(effects: Sequence[Effect]) -> list[str]:
    return [effect.fault or "" for effect in effects if isinstance(effect, Drop)]


def told(effects: Sequence[Effect], kind: type[Message]) -> list[int]:
    """Whom a message of this kind goes to."""
    return [effect.link for effect in effects if isinstance(effect, Send) and isinstance(effect.message, kind)]


def test_what_was_signed_wrongly_is_its_bringers_fault() -> None:
    """A ballot or an answer is checked by every relay, so whoever brings a bad one made it."""
    for number, why in enumerate(
        (
            "a ballot of log",
            "a ballot of log",
            "an answer that its witness",
            "an answer that its witness",
            "an answer of",
        )
    ):
        one = rig(starts=True)
        message = (
            ballot(one, 3, key=2),
            Prepare(one.members[3], b"garbage"),
            Promise(one.members[3], one.members[2], answer(one, 1, 3).answer),
            Promise(one.members[3], one.members[2], b"garbage"),
            Promise(one.members[0], one.members[2], b"garbage"),
        )[number]
        (fault,) = faults(one.say(1, message))
        assert fault.startswith(why)


def test_strangers_take_no_part() -> None:
    """Whose log or whose word it is said to be."""
    for make in (
        lambda one: Prepare(STRANGER, ballot(one, 1).ballot),
        lambda one: Promise(STRANGER, one.members[1], b""),
        lambda one: Promise(one.members[3], STRANGER, b""),
        lambda one: Refuse(STRANGER, one.members[1], 1),
        lambda one: Refuse(one.members[3], STRANGER, 1),
    ):
        one = rig()
        (fault,) = faults(one.say(1, make(one)))
        assert fault == f"{STRANGER.hex()[:8]} is no member"


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=200),
    number=st.integers(0, UINT_MAX),
    log=st.integers(0, 3),
    witness=st.integers(0, 3),
    starts=st.booleans(),
)
def test_nothing_else_escapes(data: bytes, number: int, log: int, witness: int, starts: bool) -> None:
    """Whatever bytes or numbers: it is taken, or the peer is dropped; our own start asks on within bounds."""
    for kind in range(5):
        one = rig(starts=starts)
        message = (
            Prepare(one.members[log], data),
            Promise(one.members[log], one.members[witness], data),
            Refuse(one.members[log], one.members[witness], number, data),
            Refuse(one.members[log], one.members[witness], number),
            Stable(one.members[log], number, number),
        )[kind]
        effects = one.say(1, message)
        assert not [effect for effect in effects if isinstance(effect, Persist | BeginEpoch | BecameStable)]
        starting = one.core.agreement.starting
        if starting is not None:
            assert starting.number <= 2 + BALLOT_JUMP_MAX


def test_our_own_ballot_and_our_own_answer_mean_nothing_from_others() -> None:
    """Somebody sends us what we said, or says it for us."""
    one = rig(starts=True)
    assert one.say(1, ballot(one, 0)) == []
    assert one.say(1, answer(one, 0, 0)) == []


def test_a_word_reaches_only_as_far_as_we_hold() -> None:
    """And counts only in the epoch in which it was counted."""
    log = Rig(4).log(1, 3)
    one = Rig(4, held={1: log})
    author = one.members[1]
    one.join(1, 1, {1: log})
    assert one.say(1, Stable(author, 1, 3)) == []
    assert BecameStable(author, 3) in one.say(1, Stable(author, 0, UINT_MAX))


def test_others_are_believed_about_a_log_while_its_author_is_silent() -> None:
    """Not while it is here and knows better, nor about our own log, and not in another epoch; nor is a stranger's."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={0: log, 1: log})
    author = one.members[1]
    one.join(1, 1, {1: log})
    one.join(2, 2, {})
    assert one.say(2, Stable(author, 0, 2)) == []
    assert one.say(2, Stable(one.members[0], 0, 3)) == []
    assert faults(one.say(2, Stable(STRANGER, 0, 2)))
    one.join(3, 3, {})
    assert one.say(3, Stable(author, 1, 3)) == []
    assert BecameStable(author, 2) in one.leave(1)
    one.join(4, 4, {})
    assert BecameStable(author, 3) in one.say(4, Stable(author, 0, 3))


def test_others_are_not_believed_while_an_author_starts_only_because_it_is_connected() -> None:
    """It does not know itself what is stable, and may never."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log})
    author = one.members[1]
    one.join(1, 1, {1: LogTip(author, tip_of(log), state=LogState.RECOVERING)})
    one.join(2, 2, {})
    assert BecameStable(author, 3) in one.say(2, Stable(author, 0, 3))


def test_nobody_is_believed_about_a_forked_log() -> None:
    """Who holds another branch than ours would mislead us."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log})
    one.join(2, 2, {})
    one.core.agreement.stability.told(one.members[2], one.members[1], 0, 3)
    assert one.core.agreement.stability.update(tip_of(log), one.core.held[one.members[1]], 3, is_silent=True) is None


def test_our_word_is_given_to_who_connects() -> None:
    """Where a member needs to hear of more than the author and itself; as soon as something is stable."""
    log = Rig(5).log(0, 3)
    one = Rig(5, held={0: log})
    one.join(1, 1, {0: log})
    assert one.words(1) == []
    one.join(2, 2, {0: log})
    one.join(3, 3, {})
    assert one.words(3) == [Stable(one.members[0], 0, 3)]


def test_what_we_know_of_a_log_is_told_when_its_author_leaves() -> None:
    """Once on each connection, and to who comes later, and to none that said so itself; not to the author."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log})
    word = Stable(one.members[1], 0, 3)
    one.join(1, 1, {1: log})
    one.join(2, 2, {1: log})
    one.join(3, 3, {})
    assert [one.words(link) for link in (1, 2, 3)] == [[], [], []]
    one.leave(1)
    assert [one.words(link) for link in (2, 3)] == [[word], [word]]
    one.join(4, 4, {})
    assert one.words(4) == [word]
    one.say(2, word)
    assert [one.words(link) for link in (2, 3, 4)] == [[], [], []]
    one.join(5, 1, {1: LogTip(one.members[1], tip_of(log), state=LogState.RECOVERING)})
    assert one.words(5) == []


def test_what_we_know_of_a_log_is_told_when_its_author_knows_no_more() -> None:
    """Its connection stays: it has started again beside the old one, or climbs to a later epoch."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log})
    one.join(1, 1, {1: log})
    one.join(2, 2, {1: log})
    one.show(1, {1: LogTip(one.members[1], tip_of(log), state=LogState.RECOVERING)})
    assert (one.words(1), one.words(2)) == ([], [Stable(one.members[1], 0, 3)])


def test_a_word_of_an_older_epoch_counts_in_later_ones() -> None:
    """They contain what was stable before. Not the other way round, and no weaker word hides a stronger one."""
    one = Rig(5)
    author, other, third = one.members[1:4]
    stability, mine = one.core.agreement.stability, LogTip(one.members[1], EMPTY)
    stability.told(other, author, 1, 4)
    stability.told(other, author, 1, 2)
    stability.told(third, author, 3, 9)
    assert stability.update(Tip(2, 7, bytes(32)), mine, is_silent=True) == 4
    assert one.core.agreement.word(author) == Stable(author, 2, 4)
    assert stability.update(Tip(3, 7, bytes(32)), mine, is_silent=True) == 7


def test_a_word_about_anothers_log_counts_from_any_process() -> None:
    """Which of two with one key is the later one says nothing about what the other saw."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log})
    for link, start in ((2, bytes(16)), (3, START)):
        one.core.connect(link, one.members[2], dialed=False, now=one.now)
        one.say(link, hello(one.network).of_start(start))
        one.show(link, {}, full=True)
    assert one.core.nodes[one.members[2]] == 2
    assert BecameStable(one.members[1], 3) in one.say(3, Stable(one.members[1], 0, 3))


def test_what_we_know_of_a_log_is_told_though_its_author_never_came_back_to_us() -> None:
    """A connection that took the place of its old one ended before it showed anything."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log})
    one.join(1, 1, {1: log})
    one.join(2, 2, {1: log})
    one.core.connect(3, one.members[1], dialed=False, now=one.now)
    one.say(3, hello(one.network))
    one.leave(1)
    assert one.words(2) == []
    one.leave(3)
    assert one.words(2) == [Stable(one.members[1], 0, 3)]


def test_what_our_application_took_is_stable() -> None:
    """It outlives the process; of no more than we hold, and not where what we hold may be another branch."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log})
    author = one.members[1]
    one.join(2, 2, {})
    assert BecameStable(author, 2) in one.core.agreement.taken(author, 2)
    assert one.words(2) == [Stable(author, 0, 2)]
    assert BecameStable(author, 3) in one.core.agreement.taken(author, 9)
    doubtful = Rig(5, held={1: log}, standings={1: Standing(amnesiac=True)})
    assert doubtful.core.agreement.taken(author, 2) == []


def adopting(*, now: float = 100.0) -> tuple[Rig, list[Batch], list[Effect]]:
    """A start that was promised an epoch by three who hold this of its log, and what followed from the last of them."""
    one = Rig(5, start=START)
    one.now = now
    log = one.log(0, 3)
    for link in (1, 2, 3):
        one.join(link, link, {0: log})
        effects = one.say(link, answer(one, link, 0, tip=tip_of(log)))
    return one, log, effects


def test_who_has_just_answered_is_not_doubted() -> None:
    """However long the start has waited for others before: what they hold has not had the time to come."""
    one, _, _ = adopting(now=1e5)
    starting = one.core.agreement.starting
    assert starting is not None
    assert one.core.agreement.adopts
    assert not sends(one.core.agreement.tick(one.now + DOUBT_S - 1), Prepare)
    assert not starting.doubted
    asked = sends(one.core.agreement.tick(one.now + DOUBT_S), Prepare)
    assert len(asked) == 3
    assert list(starting.doubted) == one.members[1:4]


def test_what_comes_in_is_waited_for() -> None:
    """As long as our own log grows."""
    one, log, _ = adopting()
    one.now += DOUBT_S - 1
    one.core.appended(one.members[0], tip_of(log[:1]), one.now)
    assert not sends(one.core.agreement.tick(one.now + DOUBT_S - 1), Prepare)
    assert sends(one.core.agreement.tick(one.now + DOUBT_S), Prepare)


def test_a_start_whose_epoch_is_overtaken_asks_above() -> None:
    """Another process with its key began a later one, which came with what was to be adopted."""
    one, _, _ = adopting()
    effects = one.core.appended(one.members[0], Tip(7, 4, b"?" * 32), one.now)
    assert not [effect for effect in effects if isinstance(effect, BeginEpoch)]
    (asked, *_) = sends(effects, Prepare)
    assert isinstance(asked, Prepare)
    assert open_ballot(asked.ballot, one.network, one.members[0]).number == 8


def test_an_epoch_that_was_overtaken_before_it_was_written_is_asked_for_anew() -> None:
    """Another process with its key began a later one, which came in one commit with what was to be adopted."""
    one, log, _ = adopting()
    own = one.members[0]
    (begin,) = [effect for effect in one.core.appended(own, tip_of(log), one.now) if isinstance(effect, BeginEpoch)]
    one.core.appended(own, Tip(7, 4, b"?" * 32), one.now)
    asked = sends(one.core.epoch_void(begin, one.now), Prepare)
    assert [open_ballot(prepare.ballot, one.network, own).number for prepare in asked] == [8, 8, 8]
    assert one.core.epoch_void(begin, one.now) == []  # another one is asked for already


def test_who_has_to_stop_asks_for_no_epoch_in_place_of_a_void_one() -> None:
    """Its log is forked, or somebody else has begun a later epoch of it."""
    one, log, _ = adopting()
    own = one.members[0]
    (begin,) = [effect for effect in one.core.appended(own, tip_of(log), one.now) if isinstance(effect, BeginEpoch)]
    one.core.agreement.end()
    assert one.core.epoch_void(begin, one.now) == []


@pytest.mark.parametrize("state", LogState)
def test_a_start_without_most_begins_when_nobody_here_remembers(state: LogState) -> None:
    """Those who were not given up have to say so: one that is away, or only silent, may."""
    given_up = tuple(Rig(4).members[2:])
    one = Rig(4, start=START, standings={0: Standing(amnesiac=True, without=given_up)})

    def begun() -> list[Effect]:
        return [effect for effect in one.core.tick(one.now + 1) if isinstance(effect, BeginEpoch)]

    one.join(3, 3, {0: LogTip(one.members[0], EMPTY, state=LogState.AMNESIAC)})
    assert begun() == []
    one.join(1, 1, {0: LogTip(one.members[0], EMPTY, state=state)})
    assert len(begun()) == (state is LogState.AMNESIAC)


def test_what_comes_of_our_own_log_while_others_are_asked_changes_nothing() -> None:
    """It was asked for before that, be it another history or a later epoch."""
    one, _, effects = adopting()
    other = one.log(0, 3, salt=1)
    ((link, fetch),) = [
        (one.link, one.message) for one in effects if isinstance(one, Send) and isinstance(one.message, Fetch)
    ]
    one.core.agreement.tick(one.now + DOUBT_S)
    assert not one.core.agreement.adopts
    effects = one.say(link, Data(fetch.request, records(other[fetch.start :])))
    assert sends(effects, Cancel)
    assert not [effect for effect in effects if isinstance(effect, OwnLogAhead | OwnLogTaken | Append | Drop)]


def test_a_claimed_epoch_of_our_log_pushes_our_ballot_only_so_far() -> None:
    """Numbers last for ever."""
    one = Rig(4, start=START)
    effects = one.join(1, 1, {0: LogTip(one.members[0], Tip(UINT_MAX, 5, b"?" * 32))})
    (asked,) = sends(effects, Prepare)
    assert isinstance(asked, Prepare)
    assert open_ballot(asked.ballot, one.network, one.members[0]).number == BALLOT_JUMP_MAX + 1


# Passing on


def test_what_is_signed_is_passed_on_once() -> None:
    """To everybody but who brought it; who connects later gets it when it comes again."""
    one = rig(peers=(1, 2))
    message = ballot(one, 3)
    assert told(one.say(1, message), Prepare) == [2]
    assert told(one.say(1, message), Prepare) == []
    assert told(one.say(2, message), Prepare) == []
    one.join(4, 3, {})
    assert told(one.say(4, message), Prepare) == []


def test_a_relay_brings_answers_to_the_author_or_to_all() -> None:
    """Not back to who brought it."""
    one = rig(peers=(1, 2))
    message = answer(one, 2, 3)
    assert told(one.say(2, message), Promise) == [1]
    one.join(3, 3, {})
    assert told(one.say(1, answer(one, 1, 3)), Promise) == [3]
    assert told(one.say(3, answer(one, 1, 3)), Promise) == []
    assert told(one.say(1, Refuse(one.members[3], one.members[1], 4)), Refuse) == [3]


def test_of_many_refusals_the_highest_goes_on_at_its_time() -> None:
    """Whomever they name, and however many there are: what waits is one, and so is what is remembered."""
    one = rig(peers=(1, 2))
    relaying = one.core.agreement._relaying
    said = [
        effect
        for number in range(5000)
        for effect in one.say(1, Refuse(one.members[3], one.members[1 + number % 2], number))
    ]
    assert said == [Send(2, Refuse(one.members[3], one.members[1], 0))]
    assert (len(relaying._passed), len(relaying._late)) == (1, 1)
    assert one.core.deadline() == one.now + PASS_AGAIN_S
    assert told(one.core.tick(one.now + PASS_AGAIN_S - 0.1), Refuse) == []
    one.now += PASS_AGAIN_S
    assert sends(one.core.tick(one.now), Refuse) == [Refuse(one.members[3], one.members[2], 4999)]
    for number in (17, 4999):
        assert told(one.say(1, Refuse(one.members[3], one.members[2], number)), Refuse) == []
    one.now += 10 * PASS_AGAIN_S
    assert told(one.core.tick(one.now), Refuse) == []


def test_who_lacks_the_highest_refusal_gets_it_when_a_lower_one_comes() -> None:
    """A lie that went before this connection was there would hide the truth from it else."""
    one = rig(peers=(1,))
    lie = Refuse(one.members[3], one.members[1], UINT_MAX)
    assert one.say(1, lie) == []
    one.join(2, 2, {})
    assert one.say(1, Refuse(one.members[3], one.members[1], 50)) == [Send(2, lie)]
    assert one.say(1, Refuse(one.members[3], one.members[1], 50)) == []


def test_a_lie_hides_no_refusal_of_the_next_ballot() -> None:
    """Nor one that shows what the author signed, nor a promise."""
    one = rig(peers=(1, 2))
    log, witness = one.members[3], one.members[1]
    one.say(1, ballot(one, 3, 1))
    assert told(one.say(1, Refuse(log, witness, UINT_MAX)), Refuse) == [2]
    assert told(one.say(1, Refuse(log, witness, 50, ballot(one, 3, 50).ballot)), Refuse) == [2]
    assert told(one.say(1, answer(one, 1, 3)), Promise) == [2]
    one.now += PASS_AGAIN_S
    assert told(one.say(1, ballot(one, 3, 2)), Prepare) == [2]
    assert told(one.say(1, Refuse(log, witness, 50)), Refuse) == [2]
    assert told(one.say(1, Refuse(log, witness, 1)), Refuse) == []  # it helps nobody


def test_ballots_and_promises_go_on_one_in_a_while_each() -> None:
    """However many an author or a witness signs; the newest waits, and what is older is void."""
    one = rig(peers=(1, 2))
    promises = [effect for number in range(1, 50) for effect in one.say(1, answer(one, 1, 3, number))]
    assert promises == [Send(2, answer(one, 1, 3, 1))]
    ballots = [effect for number in range(1, 49) for effect in one.say(1, ballot(one, 3, number))]
    assert sends(ballots, Prepare) == [ballot(one, 3, 1)]
    one.now += PASS_AGAIN_S
    effects = one.core.tick(one.now)
    assert sends(effects, Prepare) == [ballot(one, 3, 48)]
    assert sends(effects, Promise) == [answer(one, 1, 3, 49)]


def test_a_promise_that_waits_goes_on_with_the_ballot_that_it_answers() -> None:
    """Both came too soon after an earlier ballot and its promise, which are void now."""
    one = rig(peers=(1, 2))
    for number in (1, 2):
        one.say(1, ballot(one, 3, number))
        one.now += 0.25
        one.say(2, answer(one, 2, 3, number))
    one.now += PASS_AGAIN_S - 0.5
    effects = one.core.tick(one.now)
    assert effects == [Send(2, ballot(one, 3, 2)), Send(1, answer(one, 2, 3, 2))]
    assert one.core.deadline() > one.now


def test_who_has_forgotten_shows_an_author_that_it_asked_for_more() -> None:
    """Its older ballot goes no further, so those behind could not say so; none of the same start is meant."""
    one = Rig(4, standings={3: Standing(amnesiac=True)})
    one.join(1, 1, {})
    one.join(2, 2, {})
    log, newest = one.members[3], ballot(one, 3, 50)
    assert told(one.say(1, newest), Prepare) == [2]
    other = Prepare(log, Ballot(6, b"other start".ljust(16), STORE).sign(one.keys[3], one.network))
    assert one.say(2, other) == [Send(2, Refuse(log, one.members[0], 50, newest.ballot))]
    assert one.say(2, ballot(one, 3, 6)) == []


def liars_line(count: int) -> tuple[Net, Node, Node, Node]:
    """Members in a row, the last of which has promised more to another start; the second to last reaches a liar."""
    net = Net(count, proves=True)
    net.connect_all()
    net.run(20, until=lambda: all(node.is_ready for node in net.nodes))
    author, *relays, witness, liar = net.nodes
    for node in net.nodes:
        for line in list(node.lines.values()):
            net.cut(line)
    before = witness.standings[author.me]
    witness.standings[author.me] = replace(before, promised=77, start=bytes(16), answer=b"", ballot=b"")
    witness.restart()
    author.restart()
    for one, other in itertools.pairwise((author, *relays, witness)):
        net.connect(one, other)
    net.connect(relays[-1], liar)
    return net, author, witness, liar


@pytest.mark.parametrize("step", [0, 1, 1 << 40])
def test_a_liar_hides_no_refusal_from_an_author(step: int) -> None:
    """Whatever it refuses in the name of the only witness, ten times a second, and however much more each time."""
    net, author, witness, liar = liars_line(5)
    (line,) = liar.lines.values()
    liar.mangle = lambda message: () if isinstance(message, Promise | Prepare) else (message,)
    for number in range(3000):
        starting = author.replicator.agreement.starting
        assert starting is not None
        if author.is_ready:
            break
        if number % 2:
            line.send(liar, Refuse(author.me, witness.me, min(UINT_MAX, starting.number + number * step)))
        net.run(0.1)
    assert author.is_ready


def test_nothing_that_a_liar_says_goes_in_circles() -> None:
    """Of thousands of refusals of an absent author, those who all reach one another pass on a few, and then none."""
    net = Net(5)
    author, liar, *others = net.nodes
    for one, other in itertools.combinations((liar, *others), 2):
        net.connect(one, other)
    net.run(1)
    for line in list(liar.lines.values()):
        for number in range(3000):
            line.send(liar, Refuse(author.me, liar.me, number))
    net.run(3 * PASS_AGAIN_S)
    passed_on = sum(len(node.sent(Refuse)) for node in others)
    assert passed_on <= 2 * 3 * len(others)
    net.run(20)
    assert sum(len(node.sent(Refuse)) for node in others) == passed_on


# Who takes itself for new


@pytest.mark.parametrize("by_tips", [False, True])
def test_who_is_known_starts_anew_and_forgets(by_tips: bool) -> None:
    """One tip or one answer is enough; its old answers are void, as its start has another name."""
    one = rig(peers=(1, 2), starts=True, founding=True)
    before = one.core.agreement.starting
    assert before is not None
    start = before.start
    if by_tips:
        effects = one.show(1, {0: LogTip(one.members[0], Tip(1, 5, b"?" * 32))})
    else:
        effects = one.say(1, answer(one, 1, 0, known=True))
    forgot = [effect.log for effect in effects if isinstance(effect, Persist) and effect.standing.amnesiac]
    assert sorted(forgot) == one.members
    assert [effect for effect in effects if isinstance(effect, LostDisk)]
    assert EndFounding() in effects
    asked = open_ballot(sends(effects, Prepare)[0].ballot, one.network, one.members[0])
    assert (asked.number, asked.founding) == (2, False)
    assert asked.start == before.start != start
    assert one.say(2, answer(one, 2, 0)) == []
    assert before.answers == {}


def test_silence_is_asked_again_in_time() -> None:
    """By all who are connected, and only while answers are wanted."""
    one = rig(peers=(1, 2), starts=True)
    agreement = one.core.agreement
    due = agreement.deadline()
    assert agreement.tick(due - 0.01) == []
    assert told(agreement.tick(due), Prepare) == [1, 2]
    assert agreement.deadline() > due
    for witness in (1, 2):
        one.say(witness, answer(one, witness, 0))
    assert agreement.deadline() == float("inf")
    assert agreement.tick(1e9) == []
    assert rig().core.agreement.deadline() == float("inf")
    unasked = Rig(4, start=START).core.agreement
    assert (unasked.tick(1e9), unasked.deadline()) == ([], float("inf"))


def test_a_store_that_trusts_its_disk_or_is_alone_appends_at_once() -> None:
    """It asks nobody, and a refusal is nothing to it."""
    assert Rig(4).core.agreement.is_ready
    alone = Rig(1, start=START, founding=True)
    assert alone.core.agreement.is_ready
    assert not alone.core.agreement.witness.unknown
    one = rig()
    assert one.say(1, Refuse(one.members[0], one.members[1], 1)) == []
    assert one.say(1, answer(one, 1, 0)) == []


def test_a_recovered_store_that_proves_is_unknown_until_it_is_shown_its_log() -> None:
    """One that trusts its disk never begins an epoch: it would be silent for ever."""
    lost = {0: Standing(amnesiac=True)}
    assert not Rig(4, standings=lost).core.agreement.witness.unknown
    one = Rig(4, standings=lost, start=START)
    assert currently(one.core.agreement.witness.unknown)
    one.join(1, 1, {0: []})
    assert currently(one.core.agreement.witness.unknown)
    effects = one.join(2, 2, {0: one.log(0, 2)})
    assert not one.core.agreement.witness.unknown
    assert not [effect for effect in effects if isinstance(effect, LostDisk)]
    held = Rig(4, standings=lost, start=START, held={0: one.log(0, 2)})
    assert not held.core.agreement.witness.unknown


# What counts as the author's own word


def standings(effects: Sequence[Effect]) -> list[Standing]:
    return [effect.standing for effect in effects if isinstance(effect, Persist)]


def test_only_the_author_is_refused_its_epoch() -> None:
    """Another member that shows a tip of the log below our promise may just be behind."""
    log = Rig(4).log(1, 3)
    one = Rig(4, held={1: log}, standings={1: Standing(promised=5, ballot=b"signed")})
    assert told(one.join(2, 2, {1: log}), Refuse) == []
    assert told(one.join(1, 1, {1: log}), Refuse) == [1]


def test_a_ballot_through_a_relay_does_not_take_the_place_of_the_authors_own() -> None:
    """It may be old. Two of five must have forgotten before an author that starts can remind us."""
    log = Rig(5).log(1, 3)
    one = Rig(5, held={1: log}, standings={1: Standing(amnesiac=True)})
    tip = tip_of(log)
    one.join(1, 1, {1: LogTip(one.members[1], tip, state=LogState.RECOVERING)})
    own = ballot(one, 1, 7)
    assert standings(one.say(1, own)) == []
    one.join(2, 2, {})
    assert standings(one.say(2, ballot(one, 1, 3))) == []
    (stands,) = standings(one.join(3, 3, {1: LogTip(one.members[1], EMPTY, state=LogState.AMNESIAC)}))
    assert (stands.promised, stands.ballot, stands.counted) == (7, own.ballot, tip)


def test_a_ballot_is_not_taken_for_that_of_another_epoch() -> None:
    """Of an author that appends the epoch counts, and the ballot only if it is that one's."""
    log = Rig(5).log(1, 3)
    for number, start in ((7, b""), (4, START)):
        one = Rig(5, held={1: log}, standings={1: Standing(amnesiac=True)})
        one.core.held[one.members[1]] = LogTip(one.members[1], Tip(4, 3, log[-1].hash))
        one.join(1, 1, {1: LogTip(one.members[1], Tip(4, 3, log[-1].hash), state=LogState.FOUNDING)})
        assert standings(one.say(1, ballot(one, 1, number))) == []
        (stands,) = standings(one.show(1, {1: LogTip(one.members[1], Tip(4, 3, log[-1].hash))}))
        assert (stands.promised, stands.start) == (4, start)
        assert bool(stands.ballot) == bool(start)


def test_a_disk_that_went_back_may_have_lost_replicas_too() -> None:
    """An author that starts and gets more than its disk holds forgets what it held for others, not its own log: durably
    before its own log grows, or the next start would not know it any more. Until it gets that, it says nothing."""
    one, log, effects = adopting()
    ((link, fetch),) = [
        (one.link, one.message) for one in effects if isinstance(one, Send) and isinstance(one.message, Fetch)
    ]
    assert LostDisk(3) in effects
    assert forgotten(effects) == []
    assert one.core.agreement.shown(one.members[1]).state is LogState.RECOVERING
    assert standings(one.say(1, ballot(one, 1, 7))) == []

    effects = one.say(link, Data(fetch.request, records(log[fetch.start :])))
    assert forgotten(effects) == one.members[1:]
    for persist in [effect for effect in effects if isinstance(effect, Persist)]:
        assert not [effect for effect in effects if isinstance(effect, Append)]
        effects = one.core.persisted(persist.log, persist.standing, one.now)
    assert [effect.log for effect in effects if isinstance(effect, Append)] == one.members[:1]


def test_who_only_says_that_our_disk_went_back_makes_us_forget_nothing() -> None:
    """What it says that it holds does not come, others are enough, and the epoch begins: we count as before."""
    one = Rig(5, start=START)
    for link in (1, 2, 3, 4):
        one.join(link, link, {})
    for link, tip in ((1, Tip(0, 9, b"?" * 32)), (2, EMPTY), (3, EMPTY)):
        effects = one.say(link, answer(one, link, 0, tip=tip))
    assert LostDisk(9) in effects
    assert one.core.agreement.shown(one.members[2]).state is LogState.RECOVERING
    one.now += DOUBT_S
    (asked, *_) = sends(one.core.agreement.tick(one.now), Prepare)
    number = open_ballot(asked.ballot, one.network, one.members[0]).number
    for link in (2, 3, 4):
        effects = one.say(link, answer(one, link, 0, number=number))
    (begin,) = [effect for effect in effects if isinstance(effect, BeginEpoch)]
    effects += one.core.appended(one.members[0], Tip(begin.epoch, 1, b"!" * 32), one.now)
    assert forgotten(effects) == []
    assert one.core.agreement.shown(one.members[2]).state is LogState.OK


def forgotten(effects: Sequence[Effect]) -> list[MemberKey]:
    """Whose logs our word counts for nothing about any more."""
    return sorted(effect.log for effect in effects if isinstance(effect, Persist) and effect.standing.amnesiac)


def test_a_promise_is_given_to_who_asks() -> None:
    """Not when something else about the log has become durable."""
    promised = Standing(promised=5, start=START, answer=b"answer", ballot=b"signed")
    one = Rig(4, standings={1: promised})
    one.join(1, 1, {})
    assert told(one.core.persisted(one.members[1], promised, one.now), Promise) == []
