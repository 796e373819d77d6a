"""Ballots, answers and epoch batches: read as written, judged by the rules, and nothing else passes for one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync import cose
from hydra_sync.batch import GENESIS_HASH, Batch, parse_batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.encoding import encode
from hydra_sync.epoch import (
    Answer,
    Ballot,
    Grant,
    answers_needed,
    check_epoch,
    enough,
    epoch_event,
    is_epoch_batch,
    is_epoch_event,
    majority,
    open_answer,
    open_ballot,
    order,
    wanted,
)
from hydra_sync.errors import FormatError, SignatureError
from hydra_sync.identity import MemberKey, SigningKey, network_id
from hydra_sync.limits import MEMBERS_MAX, UINT_MAX

GOLDEN = Path(__file__).parent / "fixtures" / "format-1" / "epoch.txt"
KEYS = sorted((SigningKey(bytes([n]) * 32) for n in range(1, 6)), key=lambda key: key.member)
MEMBERS = [key.member for key in KEYS]
AUTHOR, OTHERS = KEYS[0], KEYS[1:]
LOG = AUTHOR.member
NETWORK = network_id("golden", MEMBERS)
ELSEWHERE = network_id("elsewhere", MEMBERS)
START, STORE = b"\x05" * 16, b"\x06" * 16
TIP = Tip(3, 10, b"\x07" * 32)
BALLOT = Ballot(9, START, STORE)
ANSWER = Answer(9, START, TIP, known=True, store_id=STORE)

ids = st.binary(min_size=16, max_size=16)
numbers = st.integers(1, UINT_MAX)
ballots = st.builds(Ballot, numbers, ids, ids, st.booleans())


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    number = draw(numbers)
    hashes = st.binary(min_size=32, max_size=32)
    tip = Tip(draw(st.integers(0, number - 1)), draw(st.integers(0, UINT_MAX)), draw(hashes))
    return Answer(number, draw(ids), tip, draw(st.booleans()), draw(ids))


# Ballots and answers


@settings(max_examples=50)
@given(ballots)
def test_a_ballot_is_read_as_written(ballot: Ballot) -> None:
    """By whoever knows the network and the log; it means nothing for another."""
    signed = ballot.sign(AUTHOR, NETWORK)
    assert open_ballot(signed, NETWORK, LOG) == ballot
    for network, log in ((ELSEWHERE, LOG), (NETWORK, MEMBERS[1])):
        with pytest.raises(SignatureError):
            open_ballot(signed, network, log)


@settings(max_examples=50)
@given(answers())
def test_an_answer_is_read_as_written(answer: Answer) -> None:
    """It names its network, log and witness, and is no ballot."""
    signed = answer.sign(OTHERS[0], NETWORK, LOG)
    assert open_answer(signed, NETWORK, LOG, MEMBERS[1]) == answer
    for network, log, witness in (
        (ELSEWHERE, LOG, MEMBERS[1]),
        (NETWORK, MEMBERS[2], MEMBERS[1]),
        (NETWORK, LOG, MEMBERS[2]),
    ):
        with pytest.raises(SignatureError):
            open_answer(signed, network, log, witness)
    with pytest.raises(FormatError):
        open_ballot(signed, NETWORK, MEMBERS[1])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_ballot_and_an_answer_or_neither(data: bytes) -> None:
    """One error for all that is neither."""
    with pytest.raises(FormatError):
        open_ballot(data, NETWORK, LOG)
    with pytest.raises(FormatError):
        open_answer(data, NETWORK, LOG, MEMBERS[1])


BALLOT_FIELDS = [1, 9, START, STORE, False]
ANSWER_FIELDS = [1, 9, START, 3, 10, b"\x07" * 32, True, STORE]
BEYOND = UINT_MAX + 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, value) for value in (0, 2, True, "1", None)),
        *((1, value) for value in (0, -1, True, BEYOND, 9.0, b"9")),
        *((2, value) for value in (bytes(15), bytes(17), "x" * 16)),
        *((3, value) for value in (bytes(15), bytes(17), "x" * 16)),
        *((4, value) for value in (0, 1, None)),
    ],
)
def test_a_signed_ballot_with_one_wrong_field_is_none(place: int, value: object) -> None:
    """Though its author signed it."""
    fields = [*BALLOT_FIELDS[:place], value, *BALLOT_FIELDS[place + 1 :]]
    signed = cose.sign(AUTHOR, encode(("hydra-sync ballot", 1, NETWORK, LOG)), encode(fields))
    with pytest.raises(FormatError, match="a ballot is not"):
        open_ballot(signed, NETWORK, LOG)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, value) for value in (0, 2, True, "1")),
        *((1, value) for value in (0, -1, 3, BEYOND, 9.0)),
        *((2, value) for value in (bytes(15), bytes(17))),
        *((3, value) for value in (-1, 9, 10, True, 3.0)),
        *((4, value) for value in (-1, BEYOND, False)),
        *((5, value) for value in (bytes(31), bytes(33))),
        *((6, value) for value in (0, 1, None)),
        *((7, value) for value in (bytes(15), bytes(17))),
    ],
)
def test_a_signed_answer_with_one_wrong_field_is_none(place: int, value: object) -> None:
    """Above all, no witness can promise an epoch that it is past already."""
    fields = [*ANSWER_FIELDS[:place], value, *ANSWER_FIELDS[place + 1 :]]
    signed = cose.sign(OTHERS[0], encode(("hydra-sync answer", 1, NETWORK, LOG)), encode(fields))
    with pytest.raises(FormatError, match="an answer is not"):
        open_answer(signed, NETWORK, LOG, MEMBERS[1])


@pytest.mark.parametrize("fields", [BALLOT_FIELDS, ANSWER_FIELDS])
def test_fields_cannot_be_added_or_left_out(fields: list[object]) -> None:
    """A later version has another number."""
    for payload in (fields[:-1], [*fields, 0]):
        for kind in ("ballot", "answer"):
            signed = cose.sign(AUTHOR, encode((f"hydra-sync {kind}", 1, NETWORK, LOG)), encode(payload))
            with pytest.raises(FormatError):
                open_ballot(signed, NETWORK, LOG) if kind == "ballot" else open_answer(signed, NETWORK, LOG, LOG)


# How many


@pytest.mark.parametrize("members", range(2, 10))
def test_answers_meet_every_majority(members: int) -> None:
    """R others and q - 1 others have one in common, and one fewer need not."""
    others, q, needed = members - 1, majority(members), answers_needed(members)
    assert needed + (q - 1) > others
    assert needed - 1 + (q - 1) <= others
    assert enough((), MEMBERS[:members], founding=False) == answers_needed(min(members, 5))


@pytest.mark.parametrize("members", range(2, 6))
def test_who_is_left_meets_every_majority(members: int) -> None:
    """However many are given up, those who are waited for have one in common with who is left of a majority."""
    whole, others, q = MEMBERS[:members], members - 1, majority(members)
    for lost in range(others + 1):
        needed = wanted((), whole, founding=False, without=whole[1 : 1 + lost])
        holders, left = max(0, q - 1 - lost), others - lost
        assert not holders or needed + holders > left
        assert enough((), whole, founding=False, without=whole[1 : 1 + lost]) <= needed <= left


def test_a_founding_author_needs_all_others() -> None:
    """Members that the operator gave up are not waited for, but those who answer nevertheless count."""
    assert enough((), MEMBERS, founding=True) == 4
    assert enough((), MEMBERS, founding=False, without=MEMBERS[1:3]) == 1
    assert enough(MEMBERS[1:2], MEMBERS, founding=False, without=MEMBERS[1:3]) == 2
    assert enough((), MEMBERS, founding=False, without=MEMBERS) == 0


def test_epoch_comes_before_length() -> None:
    """A short log of a later epoch is the higher one."""
    assert order(Tip(1, 5, b"")) < order(Tip(1, 6, b"")) < order(Tip(2, 0, b""))


# Epoch batches


def answered(
    *tips: Tip, number: int = 9, start: bytes = START, known: bool = True, keys: Sequence[SigningKey] = OTHERS
) -> dict[MemberKey, bytes]:
    """What these witnesses answered, each with its tip."""
    return {
        key.member: Answer(number, start, tip, known, STORE).sign(key, NETWORK, LOG)
        for key, tip in zip(keys, tips, strict=False)
    }


def sealed(event: bytes, *, after: Tip = TIP, epoch: int = 9, more: Sequence[bytes] = ()) -> Batch:
    return seal_batch(
        AUTHOR, NETWORK, [event, *more], epoch=epoch, first_seq=after.next_seq, time_us=1, prev_hash=after.hash
    )


def judge(batch: Batch, before: Tip = TIP) -> Grant | None:
    return check_epoch(batch, before, network=NETWORK, log=LOG, members=MEMBERS)


def granted(grant: Grant, *, after: Tip = TIP, epoch: int = 9) -> Grant | None:
    return judge(sealed(epoch_event(grant), after=after, epoch=epoch), after)


GRANT = Grant(9, START, founding=False, answers=answered(TIP, EMPTY, EMPTY))
LOWER, LONGER = Tip(3, 9, b"\x08" * 32), Tip(3, 11, b"\x08" * 32)
LATER, SIDE = Tip(4, 1, b"\x08" * 32), Tip(3, 10, b"\x08" * 32)


def test_a_grant_is_read_as_written() -> None:
    """With the answers in the order of their witnesses; whatever goes on in an epoch has none."""
    assert granted(GRANT) == GRANT
    assert list(GRANT.answers) == sorted(GRANT.answers)
    assert judge(sealed(encode("an event"), epoch=3)) is None
    assert is_epoch_batch(sealed(epoch_event(GRANT)))
    assert not is_epoch_batch(sealed(encode("an event")))


def test_the_event_of_an_epoch_batch_is_no_application_value() -> None:
    """It is told by its first bytes, wherever else they stand."""
    event = epoch_event(GRANT)
    assert is_epoch_event(event)
    assert not is_epoch_event(encode([event]))
    inner = sealed(encode([event]))
    assert not is_epoch_batch(inner)
    assert not is_epoch_batch(sealed(event, more=[event]))


@pytest.mark.parametrize("before", [TIP, LONGER, LATER])
def test_a_log_may_go_on_above_what_was_answered(before: Tip) -> None:
    """The author's own disk may hold more than all others."""
    assert granted(GRANT, after=before) == GRANT


@pytest.mark.parametrize("before", [EMPTY, LOWER, SIDE, Tip(2, 99, b"\x08" * 32)])
def test_no_log_leaves_out_what_was_answered(before: Tip) -> None:
    """So history cannot be rewritten by a new epoch."""
    with pytest.raises(FormatError, match="does not stand on the log"):
        granted(GRANT, after=before)


def test_the_highest_answer_counts() -> None:
    """Wherever it comes in the order of witnesses."""
    for tips in ((LATER, TIP, EMPTY), (EMPTY, LATER, TIP), (TIP, EMPTY, LATER)):
        grant = replace(GRANT, answers=answered(*tips))
        assert granted(grant, after=LATER) == grant
        with pytest.raises(FormatError, match="does not stand"):
            granted(grant, after=TIP)


def test_too_few_answers_grant_nothing() -> None:
    """Unless the operator gave others up, by name."""
    two = replace(GRANT, answers=answered(TIP, EMPTY))
    with pytest.raises(FormatError, match="has 2 answers, and needs 3"):
        granted(two)
    given_up = replace(two, without=(MEMBERS[4],))
    assert granted(given_up) == given_up
    with pytest.raises(FormatError, match="has 2 answers, and needs 3"):
        granted(replace(two, without=(MEMBERS[1],)))  # who answered is not given up
    none = replace(GRANT, answers={}, without=tuple(MEMBERS[1:]))
    assert granted(none) == none


@pytest.mark.parametrize(
    "given", [answered(TIP, EMPTY, EMPTY, number=10), answered(TIP, EMPTY, EMPTY, start=bytes(16))]
)
def test_answers_are_to_this_ballot_of_this_start(given: Mapping[MemberKey, bytes]) -> None:
    """An older answer, on its way for long, grants nothing to another start."""
    with pytest.raises(FormatError, match="another ballot, or to another start"):
        granted(replace(GRANT, answers=given))


def test_one_answer_to_another_ballot_spoils_all() -> None:
    """The author knows which ones it needs."""
    mixed = {**GRANT.answers, **answered(EMPTY, start=bytes(16), keys=OTHERS[3:])}
    with pytest.raises(FormatError, match="another start"):
        granted(replace(GRANT, answers=mixed))


def test_nobody_answers_for_another() -> None:
    """Neither the author itself, nor a stranger, nor one member for two."""
    stranger = SigningKey(b"\x09" * 32)
    for key in (AUTHOR, stranger):
        with pytest.raises(FormatError, match="its author, or of a stranger"):
            granted(replace(GRANT, answers={**GRANT.answers, **answered(EMPTY, keys=[key])}))
    copied = {**GRANT.answers, MEMBERS[4]: GRANT.answers[MEMBERS[3]]}
    with pytest.raises(SignatureError):
        granted(replace(GRANT, answers=copied))


def test_an_epoch_begins_with_an_epoch_batch_and_only_there() -> None:
    """And is the one that was granted."""
    with pytest.raises(FormatError, match="does not begin with an epoch batch"):
        judge(sealed(encode("an event")))
    with pytest.raises(FormatError, match="or one is in its middle"):
        judge(sealed(epoch_event(GRANT), epoch=3))
    with pytest.raises(FormatError, match="or one is in its middle"):
        judge(sealed(epoch_event(GRANT), after=Tip(9, 10, TIP.hash)), Tip(9, 10, TIP.hash))
    with pytest.raises(FormatError, match="does not begin"):
        judge(sealed(epoch_event(GRANT), more=[encode(1)]))
    with pytest.raises(FormatError, match="was granted as epoch 9"):
        granted(GRANT, epoch=10)


FOUNDING = Grant(1, START, founding=True, answers=answered(EMPTY, EMPTY, EMPTY, EMPTY, number=1, known=False))


def test_a_first_epoch_is_granted_by_all_who_know_nothing() -> None:
    """All four others, on an empty log."""
    assert granted(FOUNDING, after=EMPTY, epoch=1) == FOUNDING
    for answers_given, after, why in (
        (answered(EMPTY, EMPTY, EMPTY, number=1, known=False), EMPTY, "has 3 answers, and needs 4"),
        (answered(EMPTY, EMPTY, EMPTY, EMPTY, number=1, known=True), EMPTY, "known before"),
        (FOUNDING.answers, Tip(0, 5, b"\x01" * 32), "known before"),
    ):
        with pytest.raises(FormatError, match=why):
            granted(replace(FOUNDING, answers=answers_given), after=after, epoch=1)


def event_fields(**changes: object) -> list[object]:
    """The fields of `GRANT`'s event, some of them changed."""
    fields: dict[str, object] = {
        "mark": "hydra-sync epoch",
        "version": 1,
        "number": 9,
        "start": START,
        "founding": False,
        "answers": [[member, signed] for member, signed in sorted(GRANT.answers.items())],
        "without": [],
    }
    return list({**fields, **changes}.values())


ONE, TWO, THREE = [[member, signed] for member, signed in sorted(GRANT.answers.items())]


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": True},
        {"number": 0},
        {"number": True},
        {"number": BEYOND},
        {"start": bytes(15)},
        {"founding": 0},
        {"answers": b""},
        {"answers": [TWO, ONE]},
        {"answers": [ONE, ONE, TWO, THREE]},
        {"answers": [[*ONE, 1]]},
        {"answers": [[ONE[0], "signed"]]},
        {"answers": [["witness", ONE[1]]]},
        {"answers": [[b"\x01" * 31, ONE[1]]]},
        {"answers": [1]},
        {"answers": [ONE] * (MEMBERS_MAX + 1)},
        {"without": None},
        {"without": [b"\x01" * 31]},
        {"without": [7]},
        {"without": [MEMBERS[2], MEMBERS[1]]},
        {"without": [MEMBERS[1], MEMBERS[1]]},
        {"without": [b"\x01" * 32]},
        {"without": [b"\x01" * 32] * (MEMBERS_MAX + 1)},
    ],
)
def test_a_signed_epoch_event_with_one_wrong_field_is_none(changes: dict[str, object]) -> None:
    """Though its author signed the batch, and named it an epoch."""
    with pytest.raises(FormatError):
        judge(sealed(encode(event_fields(**changes))))
    assert judge(sealed(encode(event_fields()))) == GRANT


values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, BEYOND) | st.binary(max_size=40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100)
@given(fields=st.lists(values, min_size=6, max_size=6), place=st.integers(1, 6))
def test_any_epoch_event_is_a_grant_or_a_format_error(fields: list[object], place: int) -> None:
    """All of it invented, or one field of a good one: no other error escapes."""
    good = event_fields()
    for event in (["hydra-sync epoch", *fields], [*good[:place], fields[place - 1], *good[place + 1 :]]):
        with contextlib.suppress(FormatError):
            grant = judge(sealed(encode(event)))
            assert grant is not None
            assert epoch_event(grant) == encode(event)


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_after_the_mark_are_a_grant_or_a_format_error(data: bytes) -> None:
    """Cut off, or garbage."""
    event = epoch_event(GRANT)
    for made in (event[:18] + data, event + data[:1], event[: len(data)]):
        with contextlib.suppress(FormatError):
            judge(sealed(made))


# Golden vectors


def golden() -> dict[str, bytes]:
    """A signed ballot, a signed answer and an epoch batch, from fixed keys, made anew."""
    return {
        "ballot": BALLOT.sign(AUTHOR, NETWORK),
        "founding ballot": Ballot(1, START, STORE, founding=True).sign(AUTHOR, NETWORK),
        "answer": ANSWER.sign(OTHERS[0], NETWORK, LOG),
        "epoch batch": sealed(epoch_event(GRANT)).record,
        "first epoch batch": sealed(epoch_event(FOUNDING), after=Tip(0, 0, GENESIS_HASH), epoch=1).record,
        "epoch batch without a member": sealed(
            epoch_event(replace(GRANT, answers=answered(TIP, EMPTY), without=(MEMBERS[4],)))
        ).record,
    }


def test_golden_vectors_are_written_and_read() -> None:
    """The same keys and values give the same bytes, for ever, and the bytes give the values."""
    lines = dict(line.split(": ") for line in GOLDEN.read_text().splitlines())
    found = {name: bytes.fromhex(line) for name, line in lines.items()}
    assert golden() == found
    assert open_ballot(found["ballot"], NETWORK, LOG) == BALLOT
    assert open_ballot(found["founding ballot"], NETWORK, LOG).founding
    assert open_answer(found["answer"], NETWORK, LOG, MEMBERS[1]) == ANSWER
    assert judge(parse_batch(found["epoch batch"])) == GRANT
    assert judge(parse_batch(found["first epoch batch"]), EMPTY) == FOUNDING
    without = judge(parse_batch(found["epoch batch without a member"]))
    assert without is not None
    assert without.without == (MEMBERS[4],)
