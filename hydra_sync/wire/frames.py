"""Frames: a length of four bytes, then one CBOR array ``[type, ...]``. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, PeerError
from hydra_sync.limits import CONTROL_BYTES_MAX, FRAME_BYTES_MAX
from hydra_sync.wire.messages import MESSAGE_TYPES, Data, Message

__all__ = ["FrameReader", "decode_message", "encode_frame"]

_LENGTH_BYTES: Final = 4
_UINT_BYTES: Final = {24: 2, 25: 3, 26: 5, 27: 9}  # of an integer, by its first byte (RFC 8949, 3); else 1
_RECORDS_HEAD_BYTES: Final = 5  # 5a and the length, of any byte string that is so large


def encode_frame(message: Message) -> bytes:
    """The bytes of ``message`` on the wire, length included."""
    content = encode((message.TYPE, *message.fields()))
    assert len(content) <= FRAME_BYTES_MAX
    return len(content).to_bytes(_LENGTH_BYTES) + content


def decode_message(content: bytes) -> Message:
    """The message in one frame, length not included. Raises `PeerError`."""
    if len(content) > CONTROL_BYTES_MAX:
        return _decode_data(content)
    try:
        fields = decode(content)
    except FormatError as error:
        raise PeerError(f"a frame of {len(content)} bytes is no message: {error}") from error
    if type(fields) is not tuple or not fields or type(fields[0]) is not int:
        raise PeerError("a frame is not an array that starts with a message type")
    kind = MESSAGE_TYPES.get(fields[0])
    if kind is None:
        raise PeerError(f"a message of unknown type {fields[0]}")
    try:
        return kind.parse(fields[1:])
    except PeerError as error:
        raise PeerError(f"a broken {kind.__name__}: {error}") from error


def _decode_data(content: bytes) -> Data:
    """The one message that may be large, cut out without a CBOR parser: its records are one byte string.

    Its head must be byte for byte what `encode_frame` makes of the message.
    """
    records_at = 2 + _UINT_BYTES.get(content[2], 1) + _RECORDS_HEAD_BYTES
    try:
        # The same head before no records at all is small, and has one form.
        fields = decode(content[: records_at - _RECORDS_HEAD_BYTES] + b"\x40")
    except FormatError as error:
        raise PeerError(f"a large frame is no Data: {error}") from error
    records = content[records_at:]
    head = b"\x5a" + len(records).to_bytes(_RECORDS_HEAD_BYTES - 1)
    if type(fields) is not tuple or fields[0] != Data.TYPE or content[records_at - _RECORDS_HEAD_BYTES :][:5] != head:
        raise PeerError(f"a frame of {len(content):,} bytes that is no Data; others have at most {CONTROL_BYTES_MAX:,}")
    return Data.parse((*fields[1:-1], records))


class FrameReader:
    """Cuts a byte stream into messages, however the stream is chopped.

    >>> from hydra_sync.wire import Ping, encode_frame
    >>> reader = FrameReader()
    >>> list(reader.feed(encode_frame(Ping(7)) + b"\\0"))
    [Ping(nonce=7)]
    >>> reader.partial
    1
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def partial(self) -> int:
        """Bytes that have arrived of a frame that has not ended; 0 if there is none."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that ``data`` completes. Raises `PeerError` at the first broken one.

        Holds at most one frame's bytes beyond ``data``: a length above the limit is refused at once.
        """
        if not self._buffer and len(data) - _LENGTH_BYTES == int.from_bytes(data[:_LENGTH_BYTES]) <= FRAME_BYTES_MAX:
            yield decode_message(data[_LENGTH_BYTES:])  # nearly always one frame comes, and all of it
            return
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES])
            if length > FRAME_BYTES_MAX:
                raise PeerError(f"a frame of {length:,} bytes; at most {FRAME_BYTES_MAX:,} are allowed")
            stop = _LENGTH_BYTES + length
            if len(self._buffer) < stop:
                return
            content = bytes(memoryview(self._buffer)[_LENGTH_BYTES:stop])
            del self._buffer[:stop]
            yield decode_message(content)
