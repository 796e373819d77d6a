"""The hash chain of batches: what may follow, and what one signature proves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync import batch as batch_module
from hydra_sync.batch import GENESIS_HASH, Batch, parse_batch, seal_batch
from hydra_sync.chain import EMPTY, DivergedError, Tip, link, signed_prefix, verify_run
from hydra_sync.errors import FormatError, SignatureError
from hydra_sync.identity import NetworkId, SigningKey, network_id, verify

KEY = SigningKey(b"\x01" * 32)
OTHER = SigningKey(b"\x02" * 32)
NETWORK = network_id("chain", [KEY.member, OTHER.member])


def follow(tip: Tip, *, events: int = 1, epoch: int = 0, salt: bytes = b"", key: SigningKey = KEY) -> Batch:
    """The batch that stands on ``tip``."""
    return seal_batch(
        key,
        NETWORK,
        [salt + bytes([n]) for n in range(events)],
        epoch=epoch,
        first_seq=tip.next_seq,
        time_us=0,
        prev_hash=tip.hash,
    )


def chain(length: int, is_signed: Callable[[int], bool] = lambda _: True) -> list[Batch]:
    """So many batches of two events."""
    batches: list[Batch] = []
    tip = EMPTY
    for number in range(length):
        batch = follow(tip, events=2)
        if not is_signed(number):
            end = 4 + batch.cose_size
            batch = parse_batch(batch.record[: end - 64] + bytes(64) + batch.record[end:])
        batches.append(batch)
        tip = Tip.after(batch)
    return batches


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The signatures checked so far."""
    seen: list[bytes] = []

    def counting(member: object, message: bytes, signature: bytes) -> None:
        seen.append(signature)
        verify(member, message, signature)  # type: ignore[arg-type]

    monkeypatch.setattr(batch_module, "verify", counting)
    return seen


def test_a_log_begins_at_genesis() -> None:
    """The first batch of a log is of seq 0 and names 32 zero bytes before it."""
    assert Tip(0, 0, bytes(32)) == EMPTY
    assert bytes(32) == GENESIS_HASH
    first = follow(EMPTY, events=3)
    assert link(EMPTY, first) == Tip(0, 3, first.hash) == Tip.after(first)


@pytest.mark.parametrize(
    "tip",
    [
        Tip(0, 1, bytes(32)),
        Tip(0, 3, b"\x01" * 32),
        Tip(2, 3, bytes(32)),
        EMPTY,
    ],
    ids=["another seq", "another hash", "a later epoch", "the start"],
)
def test_only_the_next_batch_links(tip: Tip) -> None:
    """A batch that leaves a gap, overlaps, stands on another one or goes back in epochs raises."""
    batch = follow(Tip(1, 3, bytes(32)), epoch=1)
    assert link(Tip(1, 3, bytes(32)), batch).next_seq == 4
    assert link(Tip(0, 3, bytes(32)), batch).epoch == 1
    with pytest.raises(DivergedError):
        link(tip, batch)


def test_one_signature_authenticates_a_run(checks: list[bytes]) -> None:
    """A run of any length costs one check: that of its last batch."""
    run = chain(50)
    verify_run(run, NETWORK, KEY.member)
    assert checks == [run[-1].cose[-64:]]


def test_a_run_is_proven_by_its_end_alone() -> None:
    """Unsigned batches before a signed one are authentic; at the end they are not."""
    run = chain(10, lambda number: number == 8)
    verify_run(run[:9], NETWORK, KEY.member)
    with pytest.raises(SignatureError):
        verify_run(run, NETWORK, KEY.member)
    with pytest.raises(SignatureError):
        verify_run(run[:8], NETWORK, KEY.member)


@settings(deadline=None)
@given(data=st.data())
def test_a_run_with_anything_out_of_place_is_refused(data: st.DataObject) -> None:
    """Dropped inside, swapped, repeated or replaced batches do not verify."""
    run = chain(5)
    at = data.draw(st.integers(0, 3))
    broken = {
        "drop": run[: at + 1] + run[at + 2 :] if at < 3 else [*run[:3], run[4]],
        "swap": [*run[:at], run[at + 1], run[at], *run[at + 2 :]],
        "repeat": [*run[: at + 1], *run[at:]],
        "replace": [*run[:at], follow(Tip(0, 2 * at, run[at].header.prev_hash), events=2, salt=b"x"), *run[at + 1 :]],
    }[data.draw(st.sampled_from(["drop", "swap", "repeat", "replace"]))]
    with pytest.raises(FormatError):
        verify_run(broken, NETWORK, KEY.member)


@pytest.mark.parametrize("network", [NETWORK, network_id("other", [KEY.member, OTHER.member])])
@pytest.mark.parametrize("author", [KEY, OTHER])
def test_a_signature_is_for_one_network_and_one_author(network: NetworkId, author: SigningKey) -> None:
    """The same bytes prove nothing in another network or about another author."""
    run = chain(2)
    if (network, author) == (NETWORK, KEY):
        verify_run(run, network, author.member)
    else:
        with pytest.raises(SignatureError):
            verify_run(run, network, author.member)


@settings(deadline=None)
@given(signed=st.sets(st.integers(0, 29)), length=st.integers(0, 30))
def test_the_signed_prefix_is_the_longest_that_verifies(signed: set[int], length: int) -> None:
    """It ends at the last batch that is signed itself, and is empty where none is."""
    run = chain(30, signed.__contains__)[:length]
    prefix = signed_prefix(run, NETWORK, KEY.member)
    assert len(prefix) == max((number + 1 for number in signed if number < length), default=0)
    assert list(prefix) == run[: len(prefix)]


def test_a_run_whose_end_is_signed_is_cut_by_one_check(checks: list[bytes]) -> None:
    """A relay pays one signature check a run for an author that signs everything."""
    signed_prefix(chain(20), NETWORK, KEY.member)
    assert len(checks) == 1


def test_a_tip_says_where_the_batch_ends() -> None:
    """Epoch, stop and hash of the batch."""
    batch = follow(Tip(0, 7, b"\x05" * 32), events=4, epoch=3)
    assert Tip.after(batch) == Tip(3, 11, batch.hash)
    assert replace(Tip.after(batch), epoch=0) != Tip.after(batch)
