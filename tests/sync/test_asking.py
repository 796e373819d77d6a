"""One fetch that we asked for: only what was asked, authentic, within credit, and in time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hydra_sync.batch import Batch
from hydra_sync.chain import DivergedError, Tip
from hydra_sync.errors import PeerError
from hydra_sync.limits import CREDIT_BYTES, FRAME_BYTES_MAX, PROGRESS_BYTES, STALL_S
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.asking import Asked
from hydra_sync.wire import Data, Fetch
from tests.sync.pump import GENESIS, make_log, network_of, next_batch, records, signing_keys, tip_of, unsigned

KEY, OTHER = signing_keys(2)
NETWORK = network_of([KEY, OTHER])
LOG = make_log(KEY, NETWORK, 10, events=2)


def asked(start: int = 0, stop: int | None = None, *, prev: bytes | None = None, credit: int = CREDIT_BYTES) -> Asked:
    """A fetch under way."""
    return Asked(link=1, request=5, log=KEY.member, next_seq=start, stop=stop, prev_hash=prev, credit=credit)


def data(batches: list[Batch]) -> Data:
    """These batches in one message."""
    return Data(5, records(batches))


def test_the_message_asks_for_it() -> None:
    """Log, place, hash before it, credit."""
    assert asked(4, 9, prev=b"h" * 32).message() == Fetch(5, KEY.member, 4, 9, b"h" * 32, CREDIT_BYTES)


def test_data_moves_the_fetch_on() -> None:
    """Batches come out, place and credit follow, the stall clock stops."""
    fetch = asked(prev=GENESIS)
    fetch.watch(20, 100.0)
    assert fetch.deadline == 100 + STALL_S
    assert fetch.receive(data(LOG[:3]), NETWORK) == tuple(LOG[:3])
    assert (fetch.next_seq, fetch.prev_hash) == (6, LOG[2].hash)
    assert fetch.credit == CREDIT_BYTES - len(records(LOG[:3]))
    assert fetch.receive(data(LOG[3:5]), NETWORK) == tuple(LOG[3:5])
    fetch.watch(10, 101.0)
    assert fetch.deadline == math.inf


def test_a_drip_of_true_data_is_no_progress() -> None:
    """The clock goes on while a source that has much more sends a little; enough at once starts it again."""
    fetch = asked(prev=GENESIS)
    fetch.watch(20, 100.0)
    fetch.receive(data(LOG[:1]), NETWORK)
    fetch.watch(20, 104.0)
    assert fetch.deadline == 100 + STALL_S
    fetch.window_bytes = PROGRESS_BYTES
    fetch.receive(data(LOG[1:2]), NETWORK)
    fetch.watch(20, 104.5)
    assert fetch.deadline == 104.5 + STALL_S


def test_a_fetch_in_the_middle_takes_the_batch_around_it() -> None:
    """Without a known hash the first batch may begin before the first event asked for."""
    fetch = asked(5, 8)
    assert fetch.missing == SeqRange(5, 8)
    assert fetch.receive(data(LOG[2:4]), NETWORK) == tuple(LOG[2:4])
    assert not fetch.live
    assert fetch.missing is None


def test_a_run_may_end_beyond_the_stop() -> None:
    """A relay that must reach a signed record overshoots; more after that is not asked for."""
    fetch = asked(0, 5, prev=GENESIS)
    fetch.receive(data(LOG[:8]), NETWORK)
    assert fetch.missing is None
    with pytest.raises(PeerError, match="was asked for"):
        fetch.receive(data(LOG[8:]), NETWORK)


FOREIGN = make_log(OTHER, NETWORK, 2)
LATER = next_batch(KEY, NETWORK, Tip(0, 0, GENESIS), epoch=1)


@pytest.mark.parametrize(
    ("fetch", "content", "words"),
    [
        (asked(prev=GENESIS), b"", "without records"),
        (asked(prev=GENESIS), b"garbage", "not authentic"),
        (asked(prev=GENESIS), records(LOG[:2])[:-1], "not authentic"),
        (asked(prev=GENESIS), records(LOG[:2]) + b"\0", "not authentic"),
        (asked(prev=GENESIS), records(LOG[1:3]), "was asked for"),
        (asked(4), records(LOG[:3]), "was asked for"),
        (asked(4), records(LOG[3:4]), "was asked for"),
        (asked(4, prev=LOG[1].hash), records(LOG[1:3]), "was asked for"),
        (asked(4, prev=LOG[1].hash), records(make_log(KEY, NETWORK, 2, events=3, salt=1)[1:]), "was asked for"),
        (asked(prev=GENESIS), records([LOG[0], LOG[2]]), "not authentic"),
        (asked(prev=GENESIS), records([LOG[0], LOG[0]]), "not authentic"),
        (asked(prev=GENESIS), records(FOREIGN), "no valid signature"),
        (asked(prev=GENESIS), records([LOG[0], unsigned(LOG[1])]), "no valid signature"),
        (asked(prev=GENESIS), records([unsigned(LOG[0]), LOG[1]]), "not authentic"),
        (asked(prev=GENESIS), LOG[0].record[:-1] + b"\xff", "not authentic"),
        (asked(prev=GENESIS, credit=100), records(LOG[:1]), "credit left"),
    ],
)
def test_anything_else_is_the_senders_fault(fetch: Asked, content: bytes, words: str) -> None:
    """Unasked, broken, unsigned, of another author or epoch, over credit: `PeerError`."""
    with pytest.raises(PeerError, match=words):
        replace(fetch).receive(Data(5, content), NETWORK)


def test_another_history_is_the_authors_fault() -> None:
    """Signed, at the right place, on another batch than ours: the sender is not blamed."""
    other = make_log(KEY, NETWORK, 4, events=2, salt=1)
    fetch = asked(4, prev=LOG[1].hash)
    with pytest.raises(DivergedError):
        fetch.receive(data(other[2:]), NETWORK)
    forged = [unsigned(batch) for batch in other[2:]]
    with pytest.raises(PeerError):
        replace(fetch, credit=CREDIT_BYTES).receive(data(forged), NETWORK)


def test_credit_returns_in_quarters() -> None:
    """Small returns are saved up; nothing is lost; what is left always fits the largest frame."""
    fetch = asked()
    fetch.credit = CREDIT_BYTES
    returned = 0
    for _ in range(100):
        size = CREDIT_BYTES // 10
        assert fetch.credit >= FRAME_BYTES_MAX
        fetch.credit -= size
        returned += fetch.durable(size)
        assert fetch.credit + fetch.unreturned == CREDIT_BYTES
    assert returned + fetch.unreturned == 100 * (CREDIT_BYTES // 10)


def test_the_clock_runs_only_while_something_is_due() -> None:
    """Not when all is here, not while we grant no credit; once started it is not started again."""
    live, bounded = asked(20), asked(0, 10)
    live.watch(20, 100.0)
    assert live.deadline == math.inf
    live.watch(21, 101.0)
    live.watch(22, 103.0)
    assert live.deadline == 101 + STALL_S
    live.watch(20, 104.0)
    assert live.deadline == math.inf
    bounded.watch(0, 100.0)
    assert bounded.deadline == 100 + STALL_S
    bounded.credit = FRAME_BYTES_MAX - 1
    bounded.watch(0, 101.0)
    assert bounded.deadline == math.inf
    assert tip_of(LOG).next_seq == 20
