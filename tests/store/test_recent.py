"""Promises of `hydra_sync.store.recent`: the end of a log from memory, exactly as from the disk."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.store.recent import Recent
from tests.store.worlds import BOB, run_of

RUN = run_of(BOB, 40, size=100)
SIZE = len(RUN[-1].record)


def test_it_keeps_the_last_batches_only() -> None:
    """Memory is bounded, and the newest batch is there however large it is."""
    recent = Recent(5 * SIZE)
    recent.add(RUN)
    assert recent.read(34, 40, 1 << 20) == []
    assert recent.read(35, 40, 1 << 20) == RUN[35:]
    tiny = Recent(1)
    tiny.add(RUN)
    assert tiny.read(39, 40, 1) == RUN[39:]


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, 45), stop=st.integers(0, 45), bytes_max=st.integers(0, 50 * SIZE))
def test_it_reads_as_a_log_does(start: int, stop: int, bytes_max: int) -> None:
    """From the batch of the start on, at least one, whole, none at the stop or later, within the bytes."""
    recent = Recent(20 * SIZE)
    recent.add(RUN)
    found = recent.read(start, stop, bytes_max)
    if start < 20 or start >= min(stop, 40):
        assert found == []
        return
    assert found[0].header.first_seq == start
    assert found == RUN[start : start + len(found)]
    assert len(found) <= min(stop, 40) - start
    size = sum(len(batch.record) for batch in found)
    assert len(found) == 1 or size <= bytes_max
    following = RUN[start + len(found) : min(stop, 40)]
    assert not following or size + len(following[0].record) > bytes_max
