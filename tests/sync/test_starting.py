"""One start of an author: which answers count, what it stands on, and that nobody can push it about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.epoch import Answer, Ballot, Grant, answers_needed, epoch_event, open_ballot
from hydra_sync.errors import PeerError
from hydra_sync.identity import SigningKey
from hydra_sync.limits import ASK_AGAIN_S, BALLOT_JUMP_MAX
from hydra_sync.sync import BeginEpoch
from hydra_sync.sync.starting import Phase, Starting
from hydra_sync.wire import Promise, Refuse
from tests.sync.pump import network_of, signing_keys

KEYS = signing_keys(5)
MEMBERS = [key.member for key in KEYS]
NETWORK = network_of(KEYS)
ME, *OTHERS = KEYS
START, STORE = b"\x05" * 16, b"\x06" * 16
TIP, LONGER, LATER = (Tip(1, 4, b"\x01" * 32), Tip(1, 5, b"\x02" * 32), Tip(2, 1, b"\x03" * 32))


def starting(*, above: int = 2, founding: bool = False, without: tuple[int, ...] = (), count: int = 5) -> Starting:
    """A start that has asked for the number above ``above``."""
    given_up = [MEMBERS[index] for index in without]
    one = Starting(ME, NETWORK, MEMBERS[:count], STORE, START, founding, given_up)
    one.ask(above, 10.0)
    return one


def promise(
    witness: SigningKey, number: int = 3, *, tip: Tip = EMPTY, start: bytes = START, known: bool = False
) -> Promise:
    signed = Answer(number, start, tip, known, bytes(16)).sign(witness, NETWORK, ME.member)
    return Promise(ME.member, witness.member, signed)


def refusal(number: int, *, ballot: bytes = b"") -> Refuse:
    return Refuse(ME.member, MEMBERS[1], number, ballot)


def ballot(number: int, *, key: SigningKey = ME) -> bytes:
    return Ballot(number, bytes(16), STORE).sign(key, NETWORK)


def ready(number: int = 3) -> Starting:
    """A start that was granted what it asked for."""
    one = starting(above=number - 1)
    for witness in OTHERS:
        one.take(promise(witness, number))
    one.step(EMPTY)
    one.step(Tip(number, 1, b"\x09" * 32))
    assert one.is_ready
    return one


def test_a_ballot_names_the_start_and_its_store() -> None:
    """Signed by the author, one above what it was to be above."""
    one = starting(above=6, founding=True)
    asked = open_ballot(one.prepare(11.0).ballot, NETWORK, ME.member)
    assert asked == Ballot(7, START, STORE, founding=True)
    assert one.number == 7
    assert not one.is_ready


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_r_answers_begin_an_epoch(count: int) -> None:
    """One fewer does nothing."""
    one = starting(count=count)
    needed = answers_needed(count)
    for witness in OTHERS[: needed - 1]:
        assert one.take(promise(witness))
        assert one.step(EMPTY) == []
    assert one.take(promise(OTHERS[needed - 1]))
    (begin,) = one.step(EMPTY)
    assert isinstance(begin, BeginEpoch)
    assert begin.epoch == 3
    assert one.phase is Phase.SEALING
    assert one.step(EMPTY) == []
    assert not one.is_ready  # until the epoch batch is durable
    assert one.step(Tip(3, 1, b"\x09" * 32)) == []
    assert one.is_ready


def test_founding_waits_for_all() -> None:
    """And those whom the operator gave up are not waited for."""
    assert starting(founding=True).needed == 4
    assert starting(without=(3, 4)).needed == 2
    one = starting(without=(3, 4))
    one.take(promise(OTHERS[3]))
    assert one.needed == 3  # who answers was not given up for nothing


def test_who_is_waited_for_is_said() -> None:
    """All others who have not answered."""
    one = starting(count=3)
    one.take(promise(OTHERS[1]))
    assert one.silent() == [MEMBERS[1]]


def test_answers_count_once_and_for_this_ballot() -> None:
    """Not a second one of a witness, none to another ballot or start, none of our own, none when nothing is asked."""
    one = starting()
    assert one.take(promise(OTHERS[0]))
    assert not one.take(promise(OTHERS[0], tip=TIP))
    assert not one.take(promise(OTHERS[1], number=4))
    assert not one.take(promise(OTHERS[1], start=bytes(16)))
    assert not one.take(promise(ME))
    assert list(one.answers) == [MEMBERS[1]]
    assert not ready().take(promise(OTHERS[1]))


def test_who_signs_no_answer_is_to_blame() -> None:
    """A stranger's answer, one in another's name, garbage: `PeerError`."""
    one = starting()
    stranger = SigningKey(b"\x77" * 32)
    for message in (
        promise(stranger),
        replace(promise(OTHERS[0]), witness=MEMBERS[2]),
        Promise(ME.member, MEMBERS[1], b"garbage"),
    ):
        with pytest.raises(PeerError, match="answer"):
            one.take(message)
    assert one.answers == {}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_it_stands_on_the_highest_answer(order: tuple[int, ...]) -> None:
    """What its own disk lacks is fetched first; anything at least as high will do."""
    tips = (TIP, LONGER, LATER)
    one = starting()
    for place, index in enumerate(order):
        one.take(promise(OTHERS[place], tip=tips[index]))
    for short in (EMPTY, TIP, LONGER):
        assert one.step(short) == []
        assert one.phase is Phase.ADOPTING
        assert one.target == LATER
    (begin,) = one.step(LATER)
    assert isinstance(begin, BeginEpoch)


def test_its_own_disk_may_hold_more() -> None:
    """Then nothing is adopted."""
    one = starting()
    for witness in OTHERS[:3]:
        one.take(promise(witness, tip=TIP))
    assert one.step(LONGER) != []


def test_refusals_make_it_ask_above() -> None:
    """Of as many as leave too few to answer. Answers to the ballot that was given up are void."""
    one = starting()
    one.take(promise(OTHERS[1]))
    assert one.refused(refusal(5), MEMBERS[1], 12.0) is None
    assert one.answers != {}
    again = one.refused(refusal(4), MEMBERS[3], 12.0)
    assert again is not None
    assert open_ballot(again.ballot, NETWORK, ME.member).number == 6
    assert one.answers == {}
    assert not one.take(promise(OTHERS[1], number=3))
    assert one.take(promise(OTHERS[1], number=6))
    assert one.refused(refusal(6), MEMBERS[1], 12.0) is None  # the old refusals are as void


def test_one_member_cannot_refuse_for_all() -> None:
    """Whatever it says, and in whose name: the others are waited for, and then asked above it."""
    one = starting()
    for number in range(3, 9):
        assert one.refused(refusal(number), MEMBERS[1], 12.0) is None
    for witness in OTHERS[1:]:
        one.take(promise(witness))
    assert one.step(EMPTY) != []


def test_who_refuses_all_cannot_hurry_us_on() -> None:
    """Answers may take as long as they need: each ballot that is refused by few is waited for twice as long."""
    one = starting()
    climbed = []
    for seconds in range(10, 200):
        one.refused(refusal(one.number + 1), MEMBERS[1], seconds)
        before = one.number
        one.ask_again(seconds)
        if one.number > before:
            climbed.append(seconds)
    assert climbed == [12, 16, 24, 40, 72, 136]


def test_nobody_waits_for_the_answers_of_who_was_given_up() -> None:
    """Of three one is given up: where the other refuses, nobody is left who may answer this ballot."""
    one = starting(without=(1,), count=3)
    assert one.refused(refusal(5), MEMBERS[2], 12.0) is not None


def test_who_has_promised_and_brings_refusals_of_others_still_counts() -> None:
    """It is a relay."""
    one = starting(count=3)
    one.take(promise(OTHERS[0]))
    assert one.refused(refusal(5), MEMBERS[1], 12.0) is None
    assert one.refused(refusal(5), MEMBERS[2], 12.0) is not None


def test_numbers_cannot_be_used_up() -> None:
    """Nobody pushes a ballot down, or up by more than `BALLOT_JUMP_MAX` at once; far is reached in steps."""
    one = starting(count=2)
    assert one.refused(refusal(2), MEMBERS[1], 11.0) is None
    assert one.number == 3
    assert one.refused(refusal(3), MEMBERS[1], 11.0) is not None
    assert one.number == 4
    far = 3 * BALLOT_JUMP_MAX
    for number in (5 + BALLOT_JUMP_MAX, 6 + 2 * BALLOT_JUMP_MAX, far + 1):
        one.hurries = 0
        assert one.refused(refusal(far), MEMBERS[1], 11.0) is not None
        assert one.number == number
    assert one.refused(refusal(far), MEMBERS[1], 11.0) is None


def test_who_refuses_whatever_is_asked_does_not_set_the_pace() -> None:
    """As many ballots at once as there are members, who may each have promised more; then one in a while."""
    one = starting(count=3)
    asked = [one.refused(refusal(one.number), MEMBERS[1], 11.0) for _ in range(100)]
    assert len(list(filter(None, asked))) == 3
    number = one.number
    again = one.ask_again(11.0 + ASK_AGAIN_S)
    assert open_ballot(again.ballot, NETWORK, ME.member).number == one.number == number + 1


def test_who_answered_with_what_cannot_be_had_is_believed_only_in_need() -> None:
    """Others' answers are enough, in whatever order they come, and the grant does without the doubtful one."""
    one = starting()
    for place, witness in enumerate(OTHERS[:3]):
        one.take(promise(witness, tip=LATER if place == 0 else TIP))
    assert one.step(TIP) == []
    one.doubt()
    one.ask(one.number, 12.0)
    for place, witness in enumerate(OTHERS):
        assert one.take(promise(witness, 4, tip=LATER if place == 0 else TIP))
        begun = one.step(TIP)
        assert bool(begun) == (place == 3), "the doubtful answer first: it is enough to wait with, not to begin on"
    (begin,) = begun
    assert isinstance(begin, BeginEpoch)
    grant = Grant(4, START, founding=False, answers={w.member: promise(w, 4, tip=TIP).answer for w in OTHERS[1:]})
    assert begin.event == epoch_event(grant)
    few = starting(count=3)
    for place, witness in enumerate(OTHERS[:2]):
        few.take(promise(witness, tip=LATER if place == 0 else TIP))
    few.step(TIP)
    few.doubt()
    few.ask(few.number, 12.0)
    for place, witness in enumerate(OTHERS[:2]):
        few.take(promise(witness, 4, tip=LATER if place == 0 else TIP))
    assert few.step(TIP) == []
    assert few.target == LATER


@pytest.mark.parametrize("target", [EMPTY, TIP])
def test_an_epoch_that_is_granted_is_begun(target: Tip) -> None:
    """A refusal comes too late while the log is adopted or the epoch batch is written."""
    one = starting()
    for witness in OTHERS[:3]:
        one.take(promise(witness, tip=target))
    one.step(EMPTY)
    assert one.phase in (Phase.ADOPTING, Phase.SEALING)
    assert one.refused(refusal(5, ballot=ballot(5)), MEMBERS[1], 12.0) is None
    assert one.floor == (5 if one.phase is Phase.ADOPTING else 3)  # of the next, if what is to be adopted never comes


@pytest.mark.parametrize(
    "message",
    [
        refusal(5),
        refusal(5, ballot=b"garbage"),
        refusal(5, ballot=ballot(5, key=OTHERS[0])),
        refusal(5, ballot=ballot(4)),
        refusal(5, ballot=ballot(6)),
        refusal(3, ballot=ballot(3)),
        refusal(2, ballot=ballot(2)),
    ],
)
def test_who_appends_stops_only_for_what_it_asked_itself(message: Refuse) -> None:
    """It needs its own signature under just that number, above its epoch."""
    one = ready()
    assert one.refused(message, MEMBERS[1], 12.0) is None
    assert one.is_ready


def test_who_appends_climbs_above_what_it_once_asked() -> None:
    """A witness that promised more could never follow it."""
    one = ready()
    again = one.refused(refusal(5, ballot=ballot(5)), MEMBERS[1], 12.0)
    assert again is not None
    assert one.number == 6
    assert one.phase is Phase.ASKING


def test_another_end_of_our_own_log_is_a_lie() -> None:
    """Nobody would take an epoch that names it as the highest answer: others' answers are waited for."""
    lie = replace(TIP, hash=b"?" * 32)
    one = starting()
    for place, witness in enumerate(OTHERS[:3]):
        one.take(promise(witness, tip=lie if place == 0 else TIP))
    assert one.step(TIP) == []
    assert one.phase is Phase.ADOPTING
    one.take(promise(OTHERS[3], tip=TIP))
    (begin,) = one.step(TIP)
    assert isinstance(begin, BeginEpoch)
    grant = Grant(3, START, founding=False, answers={w.member: promise(w, tip=TIP).answer for w in OTHERS[1:]})
    assert begin.event == epoch_event(grant)
    late = starting()
    for place, witness in enumerate(OTHERS):
        late.take(promise(witness, tip=replace(LATER, hash=b"?" * 32) if place == 0 else LATER))
        assert late.step(TIP) == []
    assert late.step(LATER) != []


def test_who_was_given_up_and_has_answered_is_needed() -> None:
    """In doubt it stays so: it may be the only one that remembers."""
    one = starting(without=(1,), count=3)
    one.take(promise(OTHERS[0], tip=LATER))
    one.take(promise(OTHERS[1], tip=TIP))
    one.step(TIP)
    one.doubt()
    one.ask(one.number, 12.0)
    one.take(promise(OTHERS[0], 4, tip=LATER))
    one.take(promise(OTHERS[1], 4, tip=TIP))
    assert one.step(TIP) == []
    assert one.target == LATER


def test_who_answers_counts_though_nobody_need() -> None:
    """With so many given up that nobody is waited for, the one that is left may be the only one that remembers."""
    one = starting(without=(2, 3, 4))
    assert one.may_begin_alone
    assert one.step(EMPTY) == []
    one.take(promise(OTHERS[0], tip=LATER))
    assert one.step(TIP) == []
    assert one.target == LATER
    assert starting(without=(2, 3, 4)).begin_alone(TIP) != []


def test_who_is_known_has_been_here_before() -> None:
    """One answer that says so is enough, for an author that takes itself for new."""
    for founding in (True, False):
        one = starting(founding=founding)
        one.take(promise(OTHERS[0]))
        assert not one.was_known
        one.take(promise(OTHERS[1], known=True))
        assert one.was_known == founding


def test_silence_is_asked_again() -> None:
    """After a while, and only while answers are wanted."""
    one = starting()
    assert not one.is_due(10.0 + ASK_AGAIN_S - 0.001)
    assert one.is_due(10.0 + ASK_AGAIN_S)
    one.prepare(11.0)
    assert not one.is_due(10.0 + ASK_AGAIN_S)
    assert not ready().is_due(1e9)
