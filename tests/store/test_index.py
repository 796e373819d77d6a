"""Promises of `hydra_sync.store.index`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.chain import Tip
from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey
from hydra_sync.ranges import SeqRange
from hydra_sync.store.index import Index, Mark, encode_index, parse_index

AUTHOR = MemberKey(b"k" * 32)


def example() -> bytes:
    index = Index(7, Mark(300_000, Tip(2, 100, b"h" * 32)), (SeqRange(1, 3), SeqRange(8, 9)))
    for seq in range(7, 100):
        index.add(seq, (seq - 7) * 3000)
    return encode_index(index, AUTHOR)


def test_an_index_comes_back() -> None:
    """`parse_index` undoes `encode_index`."""
    assert encode_index(parse_index(example(), AUTHOR, 7), AUTHOR) == example()


def test_every_flipped_bit_is_noticed() -> None:
    """An index with any other byte is refused, as is one of another segment or author."""
    data = example()
    for at in range(len(data)):
        with pytest.raises(FormatError):
            parse_index(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], AUTHOR, 7)
    for author, first_seq in ((AUTHOR, 8), (MemberKey(b"x" * 32), 7)):
        with pytest.raises(FormatError):
            parse_index(data, author, first_seq)


@given(st.binary())
def test_any_bytes_are_an_index_or_refused(data: bytes) -> None:
    """Any bytes raise the one declared error."""
    with pytest.raises(FormatError):
        parse_index(data, AUTHOR, 7)


def test_find_gives_the_last_entry_at_or_before() -> None:
    """A seek begins at or before the record, by less than a step and a record."""
    index = parse_index(example(), AUTHOR, 7)
    for seq in range(7, 100):
        found, offset = index.find(seq)
        assert found <= seq
        assert offset == (found - 7) * 3000
        assert (seq - found) * 3000 < (64 << 10) + 3000
