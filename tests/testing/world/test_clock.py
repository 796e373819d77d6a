"""Times are exact."""

from __future__ import annotations

from hydra_sync.testing.world.clock import nanoseconds
from hydra_sync.testing.world.links import next_retry_ns


def test_nanoseconds_are_never_early() -> None:
    """A timer must not fire before its deadline, whatever floats do."""
    for seconds in (0.1, 0.3, 1 / 3, 1e-9, 12345.678901234567, 86400 * 365.25):
        time_ns = nanoseconds(seconds)
        assert time_ns / 1e9 >= seconds
        assert (time_ns - 10) / 1e9 < seconds  # a year is not exact to the nanosecond in a float


def test_retries_double_up_to_two_minutes() -> None:
    """As Linux retries a segment."""
    times, now_ns = [], 1
    for _ in range(13):
        now_ns = next_retry_ns(0, now_ns) + 1
        times.append(now_ns // 100_000_000)
    assert times == [2, 6, 14, 30, 62, 126, 254, 510, 1022, 2046, 3246, 4446, 5646]
