"""Half-open ranges of seq."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.limits import UINT_MAX
from hydra_sync.ranges import SeqRange, subtract

ranges = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda ends: SeqRange(min(ends), max(ends)))


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3), (0, UINT_MAX + 1)])
def test_what_is_no_range_cannot_be_made(start: int, stop: int) -> None:
    """A range starts at 0 or later and does not stop before it starts."""
    with pytest.raises(ValueError, match="not a range"):
        SeqRange(start, stop)


def test_a_range_is_half_open() -> None:
    """The start is in, the stop is not; an empty range holds nothing."""
    assert [seq for seq in range(8) if seq in SeqRange(3, 5)] == [3, 4]
    assert 3 not in SeqRange(3, 3)
    assert SeqRange(0, UINT_MAX).count == UINT_MAX
    assert str(SeqRange(3, 5)) == "[3, 5)"


@settings(deadline=None)
@given(whole=ranges, taken=st.lists(ranges, max_size=6))
def test_subtract_leaves_exactly_what_is_not_taken(whole: SeqRange, taken: list[SeqRange]) -> None:
    """Seq by seq: in the gaps if in the whole and in nothing taken; gaps are in order and not empty."""
    gaps = subtract(whole, taken)
    left = [seq for seq in range(31) if seq in whole and not any(seq in part for part in taken)]
    assert [seq for gap in gaps for seq in range(gap.start, gap.stop)] == left
    assert all(gap.count for gap in gaps)
    assert all(one.stop <= two.start for one, two in itertools.pairwise(gaps))
