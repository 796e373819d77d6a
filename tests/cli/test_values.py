"""Events of any member on a terminal: whatever bytes and times it signed, they are shown."""

from __future__ import annotations

import json

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.cli.values import event_json, event_line
from hydra_sync.identity import MemberKey
from hydra_sync.limits import UINT_MAX
from hydra_sync.node import Event

YEAR_10000_US = 253_402_300_800 * 1_000_000


def event(data: bytes, time_us: int = 0) -> Event:
    return Event(MemberKey(bytes(32)), 0, 7, time_us, bytes(32), data)


@pytest.mark.parametrize("time_us", [YEAR_10000_US, UINT_MAX])
def test_a_time_that_no_calendar_has(time_us: int) -> None:
    """Shown as the number it is."""
    assert event_line(event(b"\x01", time_us)).split() == ["7", str(time_us), "us", "1"]
    assert event_line(event(b"\x01", YEAR_10000_US - 1_000_000)).split()[1:3] == ["9999-12-31", "23:59:59"]


@pytest.mark.parametrize("value", [1 << 20_000, [1 << 20_000]], ids=["alone", "inside"])
def test_an_integer_of_too_many_digits(value: object) -> None:
    """A person gets its bytes, a program null and its bytes."""
    data = cbor2.dumps(value)
    assert data.hex() in event_line(event(data))
    fields = event_json(event(data), "alice")
    assert (fields["value"], fields["cbor"]) == (None, data.hex())


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), [1, {"a": float("inf")}]])
def test_what_json_has_no_number_for(value: object) -> None:
    """Null, and not a word that parsers of JSON refuse."""
    data = cbor2.dumps(value)
    fields = event_json(event(data), "alice")
    assert (fields["value"], fields["cbor"]) == (None, data.hex())


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60), time_us=st.integers(0, UINT_MAX))
def test_any_event_is_one_line(data: bytes, time_us: int) -> None:
    """Never an error, never a second line, and always JSON."""
    shown = event(data, time_us)
    assert len(event_line(shown).splitlines()) == 1
    json.dumps(event_json(shown, "alice"), allow_nan=False)
