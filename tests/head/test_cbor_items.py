"""The cursor over CBOR: what it cuts out is what is there."""

from __future__ import annotations

import io

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.errors import FormatError
from hydra_sync.head.bounds import DEPTH_MAX
from hydra_sync.head.cbor_items import Items

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.binary(max_size=40),
    st.text(max_size=40),
    st.floats(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.integers(), inner, max_size=5),
        inner.map(lambda value: cbor2.CBORTag(500, value)),
    ),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=5), st.booleans())
def test_items_are_cut_where_they_end(values: list[object], indefinite: bool) -> None:
    """The pieces of an array are the encodings of its items, byte for byte."""
    pieces = [cbor2.dumps(value) for value in values]
    head, tail = (b"\x9f", b"\xff") if indefinite else (bytes([0x80 + len(pieces)]), b"")
    items = Items(head + b"".join(pieces) + tail)
    assert [items.raw() for _ in items.array()] == pieces
    items.end()


@given(st.binary(max_size=60))
def test_any_bytes_are_an_item_or_an_error(data: bytes) -> None:
    """Bytes that cbor2 reads are cut as far as it reads; bytes that are no item raise the one error."""
    items = Items(data)
    try:
        raw = items.raw()
    except FormatError:
        return
    stream = io.BytesIO(data)
    try:
        cbor2.CBORDecoder(stream).decode()
    except Exception:  # a rule of some tag or string, not of the form
        return
    assert data.startswith(raw)
    assert len(raw) == len(data) - len(stream.read()) or len(raw) <= len(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [("4161", b"a"), ("5f4161426263ff", b"abc"), ("5fff", b""), ("580161", b"a")],
)
def test_a_byte_string_may_come_in_pieces(data: str, expected: bytes) -> None:
    """Definite, indefinite, and with a length that is not minimal: Cardano takes them all."""
    assert Items(bytes.fromhex(data)).blob() == expected


@pytest.mark.parametrize(
    "data",
    ["", "1c", "ff", "5f01ff", "5f5f4161ffff", "82", "9f01", "bf0101", "5801", "1f", "81" * (DEPTH_MAX + 1) + "01"],
)
def test_what_is_no_item_is_refused(data: str) -> None:
    """Cut short, a break out of place, strings of the wrong kind, nested too deep."""
    with pytest.raises(FormatError):
        Items(bytes.fromhex(data)).raw()


def test_a_set_may_be_marked_as_one() -> None:
    """Conway marks sets by tag 258, and older forms do not."""
    for data in ("d901028101", "8101"):
        items = Items(bytes.fromhex(data))
        assert [items.uint() for _ in items.set()] == [1]
    with pytest.raises(FormatError, match="258"):
        list(Items(bytes.fromhex("d901038101")).set())
