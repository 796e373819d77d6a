"""The small values in hydra-node's CBOR and JSON: times, numbers, depth."""

from __future__ import annotations

from decimal import Decimal

import cbor2
import pytest

from hydra_sync.importer.cbor import CborReader
from hydra_sync.importer.events_cbor import read_state_event
from hydra_sync.importer.fields import RecordError, as_object, parse_json, render_json


def event(*, time: tuple[int, int, int] = (2026, 1, 0), drift: int = 0) -> dict[str, object]:
    parts = ["StateEvent", 7, "NodeSynced", "ChainSlot", 5, time, drift, time]
    found = dict(as_object(read_state_event(b"".join(map(cbor2.dumps, parts))), "an event"))
    return {"time": found["time"], **as_object(found["stateChanged"], "a change")}


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ((2026, 1, 0), "2026-01-01T00:00:00Z"),
        ((2024, 366, 86_399 * 10**12), "2024-12-31T23:59:59Z"),
        ((2026, 60, 1), "2026-03-01T00:00:00.000000000001Z"),
        ((2026, 59, 3_661_500_000_000_000), "2026-02-28T01:01:01.5Z"),
        ((2016, 366, 86_400 * 10**12), "2016-12-31T23:59:60Z"),  # a leap second
    ],
)
def test_times(time: tuple[int, int, int], text: str) -> None:
    """Year, day of the year, picoseconds of the day: as hydra-node's JSON has them."""
    assert event(time=time)["time"] == text


@pytest.mark.parametrize("time", [(0, 1, 0), (10_000, 1, 0), (2026, 0, 0), (2026, 367, 0), (2026, 1, 10**18)])
def test_no_times(time: tuple[int, int, int]) -> None:
    """What no calendar has."""
    with pytest.raises(RecordError, match="no time"):
        event(time=time)


def test_day_366_of_a_year_that_has_none() -> None:
    """It is no day, not the first of the next year."""
    for year in (2025, 9999):
        with pytest.raises(RecordError, match="no time"):
            event(time=(year, 366, 0))


@pytest.mark.parametrize(
    ("picoseconds", "seconds"), [(0, 0), (-1_500_000_000_000, Decimal("-1.5")), (10**12, 1), (1, Decimal("1e-12"))]
)
def test_drifts(picoseconds: int, seconds: object) -> None:
    """Exact, with a fraction only where there is one."""
    assert event(drift=picoseconds)["drift"] == seconds


def test_numbers_keep_their_digits() -> None:
    """No number goes through a float."""
    for text in ("0.1234567890123456789012345", "1e400", "-3.333333333334", "123456789012345678901234567890"):
        assert Decimal(render_json(parse_json(text.encode()))) == Decimal(text)
    for text in ("NaN", "Infinity", "1" * 5000):
        with pytest.raises(RecordError):
            parse_json(text.encode())


@pytest.mark.parametrize("start", [b"\x81", b"\xc6", b"\xa1\x01", b"\x9f"])
def test_depth_is_bounded(start: bytes) -> None:
    """However deep it is nested: the declared error."""
    with pytest.raises(RecordError, match="deeply"):
        CborReader(start * 100_000).skip()


def test_lengths_are_not_believed() -> None:
    """A string, a list and a map that say they have more than there is."""
    for data in (b"\x5b" + b"\xff" * 8, b"\x9b" + b"\xff" * 8, b"\xbb" + b"\xff" * 8, b"\x1b\x00", b"\xf8"):
        with pytest.raises(RecordError):
            CborReader(data).skip()
