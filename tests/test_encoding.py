"""Deterministic CBOR: one encoding a value, one error for all else."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.encoding import decode, decode_event, encode, encode_event
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.limits import DEPTH_MAX, EVENT_BYTES_MAX, EVENT_DEPTH_MAX

UINT64 = (1 << 64) - 1

scalars = st.integers(-UINT64 - 1, UINT64) | st.binary(max_size=40) | st.text(max_size=40) | st.booleans() | st.none()
structures = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.binary(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth(value: object) -> int:
    """How many containers enclose the innermost value."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@settings(deadline=None)
@given(value=structures)
def test_what_is_encoded_comes_back(value: object) -> None:
    """`decode` undoes `encode`, and arrays come back as tuples."""
    try:
        decoded = decode(encode(value))
    except FormatError:
        assert depth(value) > DEPTH_MAX  # the strategy nests deeper than our structures may
    else:
        assert decoded == value


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_value_or_the_one_error(data: bytes) -> None:
    """Arbitrary bytes decode to the value that encodes to exactly them, or raise `FormatError`."""
    try:
        value = decode(data)
    except FormatError:
        return
    assert encode(value) == data


@settings(max_examples=120, deadline=None)
@given(value=structures, data=st.data())
def test_changed_bytes_are_another_value_or_the_one_error(value: object, data: st.DataObject) -> None:
    """No two encodings mean the same: a changed byte gives another value or `FormatError`."""
    encoded = bytearray(encode(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode(bytes(encoded))
    except FormatError:
        return
    assert repr(changed) != repr(value)


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("", "nothing"),
        ("1801", "an integer in two bytes that fits one"),
        ("190001", "an integer in three bytes that fits one"),
        ("5801aa", "a length in two bytes that fits one"),
        ("fa3f800000", "a float in five bytes that fits three"),
        ("9f01ff", "an array of indefinite length"),
        ("5f41aaff", "a byte string of indefinite length"),
        ("7f6161ff", "a text of indefinite length"),
        ("bf616101ff", "a map of indefinite length"),
        ("a2616100616101", "a key twice"),
        ("a2616201616100", "keys out of order"),
        ("a1820102f6", "a key that is an array"),
        ("0101", "a byte after the end"),
        ("4101ff", "another value after the end"),
        ("8201", "an array that ends early"),
        ("9b7fffffffffffffff", "an array of more items than there are bytes in the world"),
        ("5b7fffffffffffffff", "a byte string likewise"),
        ("61ff", "a text that is not UTF-8"),
        ("1c", "a reserved head"),
        ("ff", "a break alone"),
    ],
)
def test_other_forms_are_refused(encoded: str, why: str) -> None:
    """Only the deterministic form of RFC 8949, 4.2.1, is accepted."""
    with pytest.raises(FormatError):
        decode(bytes.fromhex(encoded))


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 55799])
@pytest.mark.parametrize("content", ["00", "60", "40", "820102", "6161", "a0"])
def test_rich_tags_are_refused(tag: int, content: str) -> None:
    """Tags that cbor2 would turn into dates, fractions, regular expressions or references raise."""
    encoded = cbor2.dumps(cbor2.CBORTag(tag, cbor2.loads(bytes.fromhex(content))))
    with pytest.raises(FormatError):
        decode(encoded)


@pytest.mark.parametrize("tag", [6, 18, 24, 32, 42, 99, 255, 65535])
def test_unknown_tags_are_refused(tag: int) -> None:
    """Our own structures hold no tags at all, wherever in them."""
    for value in (cbor2.CBORTag(tag, 0), ["x", cbor2.CBORTag(tag, b"")], {"x": cbor2.CBORTag(tag, 0)}):
        with pytest.raises(FormatError):
            decode(cbor2.dumps(value, canonical=True))


def test_nesting_is_bounded() -> None:
    """As deep as `DEPTH_MAX` decodes, one deeper does not, and a bomb costs no stack."""
    assert decode(b"\x81" * (DEPTH_MAX - 1) + b"\x80") is not None
    for depth in (DEPTH_MAX + 1, 1000, 100_000):
        with pytest.raises(FormatError):
            decode(b"\x81" * depth + b"\x00")


def test_keys_are_in_order_of_their_bytes() -> None:
    """Maps are sorted as RFC 8949, 4.2.1, says, whatever order the program put them in."""
    assert encode({"b": 1, "a": 2, "aa": 3}).hex() == "a361610261620162616103"
    assert decode(bytes.fromhex("a361610261620162616103")) == {"a": 2, "b": 1, "aa": 3}


events = st.recursive(
    scalars | st.floats(allow_nan=False) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(value=events)
def test_an_event_comes_back(value: object) -> None:
    """What an application appends is what it reads."""
    assert decode_event(encode_event(value)) == value


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_event_is_a_value_or_the_one_error(data: bytes) -> None:
    """Events are other people's bytes: a value or `FormatError`."""
    with contextlib.suppress(FormatError):
        decode_event(data)


def test_events_may_be_rich() -> None:
    """Applications may use dates, big integers and sets; only our own structures may not."""
    value = {"at": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), "sum": 1 << 80, "who": frozenset(["a"])}
    assert decode_event(encode_event(value)) == value


@pytest.mark.parametrize("value", [object(), {"a": print}, bytes(EVENT_BYTES_MAX)])
def test_what_cannot_be_an_event_is_a_usage_error(value: object) -> None:
    """No CBOR form, or too large: the caller hears what to do, nothing is written."""
    with pytest.raises(UsageError):
        encode_event(value)


def test_the_largest_event_fits() -> None:
    """`EVENT_BYTES_MAX` counts the encoded event, head included."""
    assert len(encode_event(bytes(EVENT_BYTES_MAX - 5))) == EVENT_BYTES_MAX
    with pytest.raises(UsageError):
        encode_event(bytes(EVENT_BYTES_MAX - 4))


def test_a_value_that_contains_itself_is_no_event() -> None:
    """A cycle has no encoding."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(UsageError):
        encode_event(loop)


@pytest.mark.parametrize("depth", [EVENT_DEPTH_MAX - 1, EVENT_DEPTH_MAX + 1, 200])
def test_what_can_be_written_can_be_read(depth: int) -> None:
    """An event nested so deep that readers would refuse it is refused when it is written."""
    value: object = 0
    for _ in range(depth):
        value = [value]
    try:
        data = encode_event(value)
    except UsageError:
        assert depth > EVENT_DEPTH_MAX
    else:
        assert decode_event(data) == value


def test_an_event_has_no_second_value_behind_it() -> None:
    """Trailing bytes are not CBOR of one value (RFC 8949, 5.1): refused, not ignored."""
    with pytest.raises(FormatError):
        decode_event(b"\x01\x02")


def test_hydra_nodes_own_events_are_events(hydra_data: Path) -> None:
    """State events that hydra-node itself wrote pass through the event coding."""
    data = (hydra_data / "golden" / "StateEvent.cbor").read_bytes()
    value = cbor2.loads(data)
    assert decode_event(encode_event(value)) == value or isinstance(value, Mapping)


def _array(items: list[bytes]) -> bytes:
    return bytes([0x98, len(items)]) + b"".join(items)


def test_an_event_refers_to_nothing() -> None:
    """References make a value of any size out of a few bytes: whoever prints it would never end."""
    pairs = [b"\xd8\x1c\x82\x00\x00"]  # each a shared pair (28) of references (29) to the pair before it
    pairs += [b"\xd8\x1c\x82" + b"\xd8\x1d\x18" + bytes([n]) + b"\xd8\x1d\x18" + bytes([n]) for n in range(60)]
    itself = b"\xd8\x1c\x81\xd8\x1d\x00"
    strings = b"\xd9\x01\x00" + _array([b"\x64long", *[b"\xd8\x19\x00"] * 60])  # 256, and 25 in it
    for data in (_array(pairs), itself, strings):
        with pytest.raises(FormatError):
            decode_event(data)
