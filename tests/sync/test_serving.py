"""One fetch that we serve: what is read, sent and said, within the peer's credit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.batch import Batch, parse_batches
from hydra_sync.chain import verify_run
from hydra_sync.errors import PeerError
from hydra_sync.limits import CREDIT_BYTES, CREDIT_BYTES_MAX, DATA_BYTES_TARGET, RECORD_BYTES_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.effects import Explain, Read
from hydra_sync.sync.serving import Serving
from hydra_sync.wire import Credit, Data, End, EndReason, Fetch, LogTip
from tests.sync.pump import GENESIS, make_log, network_of, read_batches, signing_keys, tip_of, unsigned

KEY = signing_keys(1)[0]
NETWORK = network_of([KEY])
LOG = make_log(KEY, NETWORK, 30, events=2, size=100)
TENTHS = make_log(KEY, NETWORK, 40, size=1000, is_signed=lambda number: number % 10 == 9)
BIG = make_log(KEY, NETWORK, 3, size=900_000)


def shown(log: list[Batch], **changes: object) -> LogTip:
    """What we hold of the log."""
    return LogTip(KEY.member, tip_of(log), **changes)  # type: ignore[arg-type]


def fetch(start: int = 0, stop: int | None = None, prev: bytes | None = None, credit: int = CREDIT_BYTES) -> Serving:
    """A peer's fetch."""
    return Serving.of(3, Fetch(9, KEY.member, start, stop, prev, credit))


def serve(serving: Serving, log: list[Batch], *, own: bool = False, grants: int = 0) -> tuple[list[Data], End | None]:
    """Everything that is sent until it ends or waits; ``grants`` is the credit given at each wait, 50 times."""
    sent: list[Data] = []
    granted = 0
    while True:
        step = serving.step(shown(log))
        if isinstance(step, End):
            return sent, step
        if step is None:
            if not grants or granted >= 50 or serving.next_seq == tip_of(log).next_seq:
                return sent, None
            granted += 1
            serving.grant(Credit(9, grants))
            continue
        assert isinstance(step, Read)
        assert step.bytes_max <= RECORD_BYTES_MAX
        answer = serving.read(read_batches(log, step.start, step.stop, step.bytes_max), NETWORK, own=own)
        if isinstance(answer, End):
            return sent, answer
        if answer is not None:
            assert isinstance(answer, Data)
            sent.append(answer)


def sent_batches(sent: list[Data]) -> list[Batch]:
    return [batch for data in sent for batch in parse_batches(data.records)]


def test_a_range_is_served_and_done() -> None:
    """All of it, then End with the first seq not sent."""
    sent, end = serve(fetch(0, 60, GENESIS), LOG)
    assert sent_batches(sent) == LOG
    assert end == End(9, 60, EndReason.DONE)


def test_a_range_inside_batches_is_served_whole() -> None:
    """Batches are the unit: the first contains the start, the last the stop."""
    sent, end = serve(fetch(5, 8), LOG)
    assert sent_batches(sent) == LOG[2:4]
    assert end == End(9, 8, EndReason.DONE)


def test_a_live_fetch_waits_at_the_end_and_goes_on() -> None:
    """No End; what is appended later follows."""
    serving = fetch(0, None, GENESIS)
    sent, end = serve(serving, LOG[:10])
    assert (sent_batches(sent), end) == (LOG[:10], None)
    sent, end = serve(serving, LOG)
    assert (sent_batches(sent), end) == (LOG[10:], None)


def test_one_read_at_a_time() -> None:
    """While a read is under way nothing else is decided."""
    serving = fetch(0, 60)
    assert isinstance(serving.step(shown(LOG)), Read)
    assert serving.step(shown(LOG)) is None


@pytest.mark.parametrize(
    ("serving", "held", "reason", "detail"),
    [
        (fetch(0, 10), shown(LOG, first_seq=4), EndReason.PRUNED, 4),
        (fetch(0), shown(LOG, first_seq=4), EndReason.PRUNED, 4),
        (fetch(60, 70), shown(LOG), EndReason.UNAVAILABLE, 0),
        (fetch(61), shown(LOG), EndReason.UNAVAILABLE, 0),
        (fetch(7, 10), shown(LOG, holes=(SeqRange(6, 9),)), EndReason.UNAVAILABLE, 0),
    ],
)
def test_what_cannot_be_supplied_is_named(serving: Serving, held: LogTip, reason: EndReason, detail: int) -> None:
    """Pruned, not there, damaged, forked: said by name, nothing is skipped."""
    assert serving.step(held) == End(9, serving.next_seq, reason, detail)


def test_a_forked_log_is_supplied_up_to_the_fork() -> None:
    """What all agree on, and then the end, by name."""
    assert fetch(7, 10).step(shown(LOG), 7) == End(9, 7, EndReason.FORKED)
    assert isinstance(fetch(6, 10).step(shown(LOG), 7), Read)


def test_another_history_is_explained() -> None:
    """Whoever stands on another branch is told where ours may part from it, once; nothing is sent meanwhile."""
    serving = fetch(60, None, b"x" * 32)
    assert serving.step(shown(LOG)) == Explain(serving.link, 9, serving.fetch.log, 60)
    assert serving.step(shown(LOG)) is None


@pytest.mark.parametrize("prev", [None, LOG[-1].hash])
def test_at_our_end_a_live_fetch_waits(prev: bytes | None) -> None:
    """A peer as far as we are, on our history, or that does not say."""
    assert fetch(60, None, prev).step(shown(LOG)) is None


def test_another_history_is_noticed_when_read() -> None:
    """The hash before the range must be ours, and a known hash means that a batch begins there."""
    for serving in (fetch(4, None, b"x" * 32), fetch(5, None, LOG[1].hash)):
        serving.step(shown(LOG))
        answer = serving.read(LOG[2:4], NETWORK, own=False)
        assert answer == Explain(serving.link, 9, serving.fetch.log, serving.next_seq)


def test_damaged_records_are_unavailable() -> None:
    """What cannot be read is said so."""
    serving = fetch(0, 10)
    serving.step(shown(LOG))
    assert serving.read((), NETWORK, own=False) == End(9, 0, EndReason.UNAVAILABLE)


@settings(max_examples=60, deadline=None)
@given(credit=st.integers(0, 20_000), grant=st.integers(1, 20_000))
def test_credit_is_never_exceeded(credit: int, grant: int) -> None:
    """Whatever is granted: never a byte more than that, in order, and with enough credit everything."""
    serving = fetch(0, 60, GENESIS, credit)
    sent, end = serve(serving, LOG, grants=grant)
    total = sum(len(data.records) for data in sent)
    assert total + serving.credit <= credit + 50 * grant
    assert serving.credit >= 0
    assert sent_batches(sent) == LOG[: len(sent_batches(sent))]
    if grant >= 2000:
        assert end == End(9, 60, EndReason.DONE)


def test_the_largest_records_wait_for_enough_credit() -> None:
    """A record larger than the credit left is sent whole when there is credit for it."""
    serving = fetch(0, 3, GENESIS, 1000)
    assert serve(serving, BIG) == ([], None)
    serving.grant(Credit(9, len(BIG[0].record) - 1000))
    sent, end = serve(serving, BIG)
    assert (sent_batches(sent), end) == (BIG[:1], None)
    assert serving.credit == 0


def test_endless_credit_is_an_attack() -> None:
    """More than `CREDIT_BYTES_MAX` in all raises `PeerError`."""
    serving = fetch(credit=CREDIT_BYTES_MAX)
    with pytest.raises(PeerError, match="granted"):
        serving.grant(Credit(9, 1))


def test_chunks_are_near_the_target() -> None:
    """Data is cut at `DATA_BYTES_TARGET`: one signature check and one read a chunk."""
    log = make_log(KEY, NETWORK, 400, size=2000)
    sent, _ = serve(fetch(0, 400, GENESIS, CREDIT_BYTES), log)
    sizes = [len(data.records) for data in sent]
    assert max(sizes) <= DATA_BYTES_TARGET
    assert min(sizes[:-1]) > DATA_BYTES_TARGET - 3000


@pytest.mark.parametrize("start", range(0, 40, 7))
@pytest.mark.parametrize("stop", [3, 12, 25, 40, None])
def test_every_run_of_a_careless_author_verifies_by_itself(start: int, stop: int | None) -> None:
    """An author that signs every tenth record: each Data of a relay ends at one that is signed."""
    if stop is not None and stop <= start:
        stop = start + 1
    sent, end = serve(fetch(start, stop), TENTHS)
    assert sent
    for data in sent:
        verify_run(list(parse_batches(data.records)), NETWORK, KEY.member)
    if stop is not None:
        assert end is not None
        assert end.reason is EndReason.DONE
        assert end.next_seq >= stop


def test_a_sparse_signature_is_reached_beyond_the_chunk() -> None:
    """Where no record of a chunk is signed, a larger run is read that reaches one."""
    sparse = make_log(KEY, NETWORK, 12, size=60_000, is_signed=lambda number: number == 11)
    sent, end = serve(fetch(0, 5), sparse)
    assert sent_batches(sent) == sparse
    assert end == End(9, 12, EndReason.DONE)


def test_a_log_without_signatures_is_unavailable() -> None:
    """No run of the largest size verifies: said so, once, instead of sending what blames us."""
    mute = make_log(KEY, NETWORK, 30, size=60_000, is_signed=lambda _: False)
    sent, end = serve(fetch(0, 5), mute)
    assert sent == []
    assert end == End(9, 0, EndReason.UNAVAILABLE)
    assert serve(fetch(0, 1), [unsigned(LOG[0])])[1] == End(9, 0, EndReason.UNAVAILABLE)


def test_our_own_log_is_served_without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record of it is signed: we did it."""
    monkeypatch.setattr("hydra_sync.batch.verify", None)
    sent, _ = serve(fetch(0, 60, GENESIS), LOG, own=True)
    assert sent_batches(sent) == LOG
