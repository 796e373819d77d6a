"""What a node promises about others' logs, and what of its word counts: by itself, call by call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.epoch import Answer, Ballot, open_answer
from hydra_sync.ranges import SeqRange
from hydra_sync.standing import Standing
from hydra_sync.sync import Effect, Persist, Remembers
from hydra_sync.sync.witness import Witness
from hydra_sync.wire import LogState, LogTip, Promise, Refuse
from tests.sync.pump import network_of, signing_keys

AUTHOR, ME, *_ = KEYS = signing_keys(5)
LOG = AUTHOR.member
NETWORK = network_of(KEYS)
START, OTHER_START, STORE, OTHER_STORE = (bytes([n]) * 16 for n in (1, 2, 3, 4))
TIP = Tip(2, 7, b"\x07" * 32)


def witness(standing: Standing | None = None, *, founding: bool = False, unknown: bool | None = None) -> Witness:
    return Witness(
        key=ME,
        network=NETWORK,
        members=5,
        store_id=STORE,
        standings={LOG: standing or Standing()},
        founding=founding,
        unknown=founding if unknown is None else unknown,
    )


def ask(
    one: Witness, number: int = 5, *, start: bytes = START, tip: Tip = TIP, founding: bool = False, store: bytes = STORE
) -> tuple[Promise | Refuse | None, list[Effect]]:
    ballot = Ballot(number, start, store, founding)
    return one.prepare(LOG, ballot.sign(AUTHOR, NETWORK), ballot, tip)


def persist(one: Witness, effects: list[Effect]) -> None:
    for effect in effects:
        assert isinstance(effect, Persist)
        one.persisted(effect.log, effect.standing)


def answer(one: Witness) -> Answer | None:
    """What it may say by now."""
    promise = one.promised(LOG)
    return None if promise is None else open_answer(promise.answer, NETWORK, LOG, ME.member)


def test_a_promise_is_durable_before_it_is_given() -> None:
    """Nor is it given again before that, to whoever asks again; and then always in the same bytes."""
    one = witness()
    said, effects = ask(one)
    assert said is None
    assert ask(one) == (None, [])
    assert answer(one) is None
    persist(one, effects)
    assert answer(one) == Answer(5, START, TIP, known=True, store_id=STORE)
    again = ask(one, tip=Tip(2, 9, b"\x09" * 32))
    assert again == (one.promised(LOG), [])


def test_a_later_promise_takes_the_earlier_ones_place() -> None:
    """The earlier one is given no more, for the later one may be durable already."""
    one = witness()
    persist(one, ask(one)[1])
    _, later = ask(one, 6, start=OTHER_START)
    assert answer(one) is None
    persist(one, later)
    given = answer(one)
    assert given is not None
    assert (given.number, given.start) == (6, OTHER_START)


@pytest.mark.parametrize(("number", "start"), [(5, OTHER_START), (4, OTHER_START), (1, OTHER_START)])
def test_nothing_is_promised_up_to_a_promise(number: int, start: bytes) -> None:
    """The refusal carries the ballot, so that the author may believe it."""
    one = witness()
    persist(one, ask(one)[1])
    said, effects = ask(one, number, start=start)
    assert effects == []
    assert said == Refuse(LOG, ME.member, 5, Ballot(5, START, STORE).sign(AUTHOR, NETWORK))


@pytest.mark.parametrize("number", [1, 4])
def test_an_older_ballot_of_the_same_start_came_late(number: int) -> None:
    """It is not even refused: its author has asked for more since, and would ask again for nothing."""
    one = witness()
    persist(one, ask(one)[1])
    assert ask(one, number, start=START) == (None, [])


@pytest.mark.parametrize("number", [1, 2])
def test_nothing_is_promised_up_to_the_epoch_that_is_held(number: int) -> None:
    """An epoch that has begun is granted already."""
    assert ask(witness(), number) == (Refuse(LOG, ME.member, 2, b""), [])
    assert ask(witness(), 3)[1]


def test_what_is_staged_counts_from_its_epoch_on() -> None:
    """After a promise what is shown stays where it was, until the promised epoch or a later one has come."""
    one = witness()
    persist(one, ask(one)[1])
    for tip in (TIP, Tip(2, 9, b"\x09" * 32), Tip(4, 3, b"\x04" * 32)):
        assert one.counted(LOG, tip) == TIP
    for tip in (Tip(5, 4, b"\x05" * 32), Tip(6, 1, b"\x06" * 32)):
        assert one.counted(LOG, tip) == tip
    shorter = Tip(2, 6, b"\x06" * 32)
    assert one.counted(LOG, shorter) == shorter  # a tail was cut
    persist(one, ask(one, 8, tip=Tip(4, 3, b"\x04" * 32))[1])
    given = answer(one)
    assert given is not None
    assert given.tip == TIP


def test_known_is_who_holds_or_promised() -> None:
    """A promise to this very store of the author is no sign that there was another."""
    for tip, standing, known in (
        (EMPTY, Standing(), False),
        (TIP, Standing(), True),
        (EMPTY, Standing(promised=3, start=OTHER_START, store_id=STORE), False),
        (EMPTY, Standing(promised=3, start=OTHER_START, store_id=OTHER_STORE), True),
    ):
        one = witness(standing)
        persist(one, ask(one, tip=tip, founding=True)[1])
        given = answer(one)
        assert given is not None
        assert given.known == known


@pytest.mark.parametrize("founding", [False, True])
def test_an_amnesiac_promises_only_where_nobody_knows_anything(founding: bool) -> None:
    """To a founding author, and if it knows nothing itself."""
    amnesiac = Standing(amnesiac=True)
    assert bool(ask(witness(amnesiac), tip=EMPTY, founding=founding)[1]) == founding
    assert ask(witness(amnesiac), tip=TIP, founding=founding) == (None, [])
    knows = replace(amnesiac, promised=3, start=OTHER_START, store_id=OTHER_STORE)
    assert ask(witness(knows), tip=EMPTY, founding=founding) == (None, [])


@pytest.mark.parametrize(("founding", "unknown"), [(True, True), (False, True)])
def test_who_is_unknown_promises_only_to_who_is_new(founding: bool, unknown: bool) -> None:
    """And its word is no receipt."""
    one = witness(founding=founding, unknown=unknown)
    assert ask(one, tip=EMPTY) == (None, [])
    assert ask(one, tip=EMPTY, founding=True)[1]
    assert one.state(LOG, TIP) is LogState.FOUNDING


def test_the_state_of_a_log_is_that_of_its_worst_trouble() -> None:
    """Forgotten, then reminded of less than promised, then unknown."""
    for standing, state in (
        (Standing(), LogState.OK),
        (Standing(promised=3, reminded=True), LogState.RECOVERING),
        (Standing(promised=2, reminded=True), LogState.OK),
        (Standing(promised=3), LogState.OK),
        (Standing(promised=3, reminded=True, amnesiac=True), LogState.AMNESIAC),
    ):
        assert witness(standing).state(LOG, TIP) is state
    assert witness(Standing(promised=3, reminded=True), founding=True).state(LOG, TIP) is LogState.RECOVERING
    assert witness(Standing(amnesiac=True), founding=True).state(LOG, TIP) is LogState.AMNESIAC


def test_a_promise_keeps_who_was_reminded_silent() -> None:
    """But only if the epoch before it has not come."""
    one = witness(Standing(promised=3, reminded=True))
    ask(one)
    assert one.state(LOG, TIP) is LogState.RECOVERING
    one = witness(Standing(promised=2, reminded=True))
    ask(one)
    assert one.state(LOG, TIP) is LogState.OK


# Refusing an epoch that cannot be followed


def test_an_author_below_our_promise_is_told() -> None:
    """With its own ballot, and only while it appends."""
    one = witness()
    persist(one, ask(one)[1])
    refusal = Refuse(LOG, ME.member, 5, Ballot(5, START, STORE).sign(AUTHOR, NETWORK))
    assert one.behind_us(LogTip(LOG, Tip(4, 9, b"\x04" * 32)), TIP) == refusal
    assert one.behind_us(LogTip(LOG, Tip(5, 9, b"\x04" * 32)), TIP) is None
    assert one.behind_us(LogTip(LOG, Tip(4, 9, b"\x04" * 32), state=LogState.RECOVERING), TIP) is None
    assert one.behind_us(LogTip(LOG, Tip(4, 9, b"\x04" * 32)), Tip(5, 1, b"\x05" * 32)) is None  # it has begun
    one.forget("test")
    assert one.behind_us(LogTip(LOG, Tip(4, 9, b"\x04" * 32)), TIP) is None
    assert witness(Standing(promised=5)).behind_us(LogTip(LOG, Tip(4, 9, b"\x04" * 32)), TIP) is None


# The end of amnesia

FORGOT = Standing(amnesiac=True, why="test")
BALLOT = Ballot(6, START, STORE)
SIGNED = BALLOT.sign(AUTHOR, NETWORK)


def remembered(
    shown: LogTip,
    *,
    standing: Standing = FORGOT,
    held: LogTip | None = None,
    ballot: Ballot | None = None,
    amnesiacs: int = 2,
) -> Standing | None:
    """How a witness of five stands that could be reminded, None if it was not."""
    one = witness(standing)
    signed = SIGNED if ballot else b""
    effects = one.remember(held or LogTip(LOG, TIP), shown, signed, ballot, amnesiacs)
    if not effects:
        return None
    persisted, notice = effects
    assert notice == Remembers(LOG)
    assert isinstance(persisted, Persist)
    assert persisted.standing == one.standings[LOG]
    return persisted.standing


APPENDS, STARTS = LogTip(LOG, TIP), LogTip(LOG, TIP, state=LogState.RECOVERING)


def test_the_tip_of_an_author_that_appends_ends_amnesia() -> None:
    """However few have forgotten; its epoch is promised from now on."""
    assert remembered(APPENDS, amnesiacs=1) == Standing(promised=2, counted=TIP)
    granted = remembered(APPENDS, ballot=Ballot(2, START, STORE))
    assert granted is not None
    assert (granted.promised, granted.start, granted.store_id) == (2, START, STORE)


def test_the_tip_of_an_author_that_starts_ends_amnesia_where_too_few_remember() -> None:
    """With its ballot as a promise, below which nothing is a receipt. Of five, four others: R is three."""
    assert remembered(STARTS, ballot=BALLOT, amnesiacs=1) is None
    assert remembered(STARTS, amnesiacs=2) is None
    assert remembered(STARTS, ballot=BALLOT) == Standing(
        promised=6, start=START, store_id=STORE, ballot=SIGNED, counted=TIP, reminded=True
    )


@pytest.mark.parametrize("state", [LogState.AMNESIAC, LogState.FOUNDING, LogState.FORKED])
def test_other_tips_end_no_amnesia(state: LogState) -> None:
    """A lost disk does not know what its log was."""
    assert remembered(LogTip(LOG, TIP, state=state), ballot=BALLOT) is None


def test_who_remembers_is_not_reminded() -> None:
    """Its promise stands."""
    assert remembered(APPENDS, standing=Standing()) is None


@pytest.mark.parametrize(
    "held",
    [
        LogTip(LOG, Tip(2, 6, b"\x06" * 32)),
        LogTip(LOG, Tip(1, 9, b"\x06" * 32)),
        LogTip(LOG, Tip(3, 9, b"\x06" * 32)),
        LogTip(LOG, TIP, holes=(SeqRange(1, 2),)),
    ],
)
def test_what_is_shown_must_be_held(held: LogTip) -> None:
    """All of it, in the same epoch, without holes."""
    assert remembered(APPENDS, held=held) is None


def test_a_higher_promise_is_kept() -> None:
    """With its answer; it is silent until that epoch comes."""
    promised = replace(FORGOT, promised=9, start=OTHER_START, answer=b"said", ballot=b"asked")
    for shown in (APPENDS, STARTS):
        stands = remembered(shown, standing=promised, ballot=BALLOT)
        assert stands == replace(promised, amnesiac=False, why="", counted=TIP, reminded=True)
    equal = replace(promised, promised=2)
    assert remembered(APPENDS, standing=equal) == replace(equal, amnesiac=False, why="", counted=TIP)


def test_more_than_the_author_shows_counts_only_in_its_epoch() -> None:
    """Under its new ballot what it does not have is only staged."""
    longer = LogTip(LOG, Tip(2, 9, b"\x09" * 32))
    one = witness(FORGOT)
    one.remember(longer, STARTS, SIGNED, BALLOT, 2)
    assert one.counted(LOG, longer.tip) == TIP
    one = witness(FORGOT)
    one.remember(longer, APPENDS, b"", None, 2)
    assert one.counted(LOG, longer.tip) == longer.tip


def test_forgetting_is_of_all_logs_but_one() -> None:
    """Once, with the reason."""
    one = witness()
    one.standings[ME.member] = Standing(promised=4)
    effects = one.forget("why", but=LOG)
    assert effects == [Persist(ME.member, Standing(promised=4, amnesiac=True, why="why"))]
    assert one.forget("again", but=LOG) == []
    assert [effect.log for effect in one.forget("again") if isinstance(effect, Persist)] == [LOG]
