"""Frames: messages cut from a stream however it is chopped, in bounded memory and time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.errors import FormatError, PeerError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import CONTROL_BYTES_MAX, FRAME_BYTES_MAX, RECORD_BYTES_MAX, UINT_MAX
from hydra_sync.wire import Data, Fetch, FrameReader, Message, Ping, Pong, encode_frame, frames
from hydra_sync.wire.frames import decode_message

STREAM: list[Message] = [Ping(1), Data(2, bytes(300)), Fetch(3, MemberKey(b"k" * 32), 0, None, None, 5), Pong(4)]


def read(chunks: list[bytes]) -> tuple[list[Message], str | None, int]:
    """The messages before the first fault, the fault, and how much of an unfinished frame is left."""
    reader = FrameReader()
    messages: list[Message] = []
    for chunk in chunks:
        try:
            for message in reader.feed(chunk):
                messages.append(message)  # noqa: PERF402 - those before a fault count
        except PeerError as error:
            return messages, str(error), 0
    return messages, None, reader.partial


def chopped(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` in pieces, some of them empty."""
    ends = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(ends)]


streams = st.lists(
    st.sampled_from(STREAM).map(encode_frame)
    | st.binary(max_size=12)
    | st.binary(max_size=12).map(lambda content: len(content).to_bytes(4) + content),
    max_size=6,
).map(b"".join)


@settings(max_examples=150, deadline=None)
@given(data=streams, cuts=st.lists(st.integers(0, 10_000), max_size=10))
def test_chopping_changes_nothing(data: bytes, cuts: list[int]) -> None:
    """Whole, in pieces or byte by byte: the same messages, then the same fault, the same rest."""
    whole = read([data])
    assert read(chopped(data, cuts)) == whole
    assert read([data[at : at + 1] for at in range(len(data))]) == whole


def test_messages_come_in_order() -> None:
    """All of them, and nothing is left."""
    assert read([b"".join(map(encode_frame, STREAM))]) == (STREAM, None, 0)


def test_a_frame_begun_is_partial() -> None:
    """From its first byte to its last but one."""
    frame = encode_frame(Ping(5))
    reader = FrameReader()
    assert not reader.partial
    for at in range(len(frame) - 1):
        assert list(reader.feed(frame[at : at + 1])) == []
        assert reader.partial
    assert list(reader.feed(frame[-1:])) == [Ping(5)]
    assert not reader.partial


@pytest.mark.parametrize("length", [FRAME_BYTES_MAX + 1, 0xFFFFFFFF])
def test_an_oversize_frame_is_refused_at_its_length(length: int) -> None:
    """Before a byte of its content is waited for."""
    with pytest.raises(PeerError, match="at most"):
        list(FrameReader().feed(length.to_bytes(4)))


def test_the_largest_data_passes() -> None:
    """A Data message with the largest record, in chunks as sockets give them."""
    message = Data(1, bytes(RECORD_BYTES_MAX))
    frame = encode_frame(message)
    chunks = [frame[at : at + 65536] for at in range(0, len(frame), 65536)]
    assert read(chunks) == ([message], None, 0)


def test_an_empty_frame_is_refused() -> None:
    """A message has at least a type."""
    with pytest.raises(PeerError):
        list(FrameReader().feed(bytes(4)))


@pytest.mark.parametrize("item", [b"\xa0", b"\x80", b"\xe0", b"\xa1\x60\x00"])
@pytest.mark.parametrize("start", [b"", b"\x83\x05\x00", b"\x82\x0a", b"\x83\x01\xf5"])
def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch, start: bytes, item: bytes) -> None:
    """A frame stuffed with a million tiny values is not turned into a million objects first."""
    decoded: list[int] = []

    def measuring(content: bytes) -> object:
        decoded.append(len(content))
        raise FormatError("refused")

    monkeypatch.setattr(frames, "decode", measuring)
    count = (FRAME_BYTES_MAX - 16) // len(item)
    with pytest.raises(PeerError):
        decode_message(start + b"\x9a" + count.to_bytes(4) + item * count)
    assert sum(decoded) <= 256 << 10


@pytest.mark.parametrize("request_", [0, 23, 24, 0x5A, 0x5A5A, 1 << 20, 0x5A5A5A5A, UINT_MAX])
@pytest.mark.parametrize("size", [CONTROL_BYTES_MAX, CONTROL_BYTES_MAX + 1, 256 << 10, 1 << 20])
def test_large_data_is_cut_out_as_it_was(request_: int, size: int) -> None:
    """Data comes back the same on both sides of the size from which it is not decoded, whatever its request id."""
    data = Data(request_, b"\x5a" * size)
    assert list(FrameReader().feed(encode_frame(data))) == [data]


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 24), value=st.integers(0, 255))
def test_a_large_frame_has_one_form(at: int, value: int) -> None:
    """Any other head of a large Data is refused, or is the form of what it decodes to."""
    content = bytearray(encode_frame(Data(7, bytes(256 << 10)))[4:])
    content[at] = value
    try:
        message = decode_message(bytes(content))
    except PeerError:
        return
    assert encode_frame(message)[4:] == bytes(content)
