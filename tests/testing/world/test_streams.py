"""Random streams mean the same for ever, and do not disturb one another."""

from __future__ import annotations

import pytest

from hydra_sync.testing import Stream

GOLDEN: dict[str, object] = {
    "below": [731, 54, 294, 868, 321],
    "between": [1, 1, -1, 1, -2, -2, -1, 1],
    "exponential": [2549804, 940429, 1325195],
    "bytes": "f8592bbbe1136ea5",
    "shuffle": [6, 0, 2, 5, 7, 1, 3, 4],
    "pick": "b",
}


def test_streams_are_fixed_for_ever() -> None:
    """These numbers never change: seeds that are written down must mean the same tomorrow."""
    stream = Stream(42, "golden")
    assert [stream.below(1000) for _ in range(5)] == GOLDEN["below"]
    assert [stream.between(-2, 2) for _ in range(8)] == GOLDEN["between"]
    assert [stream.exponential(1_000_000) for _ in range(3)] == GOLDEN["exponential"]
    assert stream.bytes(8).hex() == GOLDEN["bytes"]
    items = list(range(8))
    stream.shuffle(items)
    assert items == GOLDEN["shuffle"]
    assert stream.pick("abc") == GOLDEN["pick"]


def test_streams_do_not_disturb_one_another() -> None:
    """What is drawn from one does not show in another; seeds and names both matter."""
    alone = Stream(1, "a")
    expected = [alone.below(1 << 30) for _ in range(10)]
    one, other = Stream(1, "a"), Stream(1, "b")
    drawn = []
    for _ in range(10):
        other.below(7)
        drawn.append(one.below(1 << 30))
    assert drawn == expected
    assert Stream(2, "a").below(1 << 60) != Stream(1, "a").below(1 << 60) != Stream(1, "b").below(1 << 60)


def test_chances_and_means_are_about_right() -> None:
    """A tenth is a tenth, never is never, always is always, and the mean is the mean."""
    stream = Stream(3, "chance")
    assert 900 < sum(stream.chance(100_000) for _ in range(10_000)) < 1100
    assert not any(stream.chance(0) for _ in range(100))
    assert all(stream.chance(1_000_000) for _ in range(100))
    assert sum(stream.exponential(1000) for _ in range(10_000)) == pytest.approx(10_000_000, rel=0.05)
    assert stream.bytes(0) == b""
