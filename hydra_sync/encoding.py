"""Deterministic CBOR (RFC 8949, 4.2.1): one encoding for each value, and no other accepted. No I/O."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Final, Never

import cbor2

from hydra_sync.errors import FormatError, UsageError
from hydra_sync.limits import DEPTH_MAX, EVENT_BYTES_MAX, EVENT_DEPTH_MAX

__all__ = ["decode", "decode_event", "encode", "encode_event"]


def _refuse(*_: object) -> Never:
    raise ValueError("tags have no place here")


# cbor2 turns these tags into rich objects (regular expressions, for one) before anybody can
# look at them; our own structures use none.
_REFUSED_TAGS: Final = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse,
)


# References let a few bytes stand for a value of any size: who prints it never ends.
_REFUSED_EVENT_TAGS: Final = dict.fromkeys((25, 28, 29, 256), _refuse)


def encode(value: object) -> bytes:
    """The one encoding of a structure of ours; arrays may be lists or tuples.

    cbor2 sorts map keys by length first (RFC 8949, 4.2.3). Our maps have text keys only, for which
    that is the same order as 4.2.1 asks for.

    >>> encode(["hydra", 1]).hex()
    '8265687964726101'
    """
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, depth_max: int = DEPTH_MAX) -> object:
    """The value that `encode` turns into exactly ``data``; arrays come back as tuples.

    Raises `FormatError` for everything else: indefinite lengths, integers or lengths that are
    not minimal, unsorted or duplicate keys, trailing bytes, tags, too deep nesting.

    >>> decode(bytes.fromhex("8265687964726101"))
    ('hydra', 1)
    >>> decode(bytes.fromhex("1801"))
    Traceback (most recent call last):
    hydra_sync.errors.FormatError: CBOR is not in its one deterministic encoding
    """
    try:
        value: object = cbor2.loads(
            data,
            semantic_decoders=_REFUSED_TAGS,
            tag_hook=_refuse,
            max_depth=depth_max,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            immutable=True,
        )
        same = cbor2.dumps(value, canonical=True) == data
    except (cbor2.CBORError, ValueError, OverflowError) as error:
        raise FormatError(f"not CBOR: {error}") from error
    if not same:
        raise FormatError("CBOR is not in its one deterministic encoding")
    return value


def encode_event(value: object) -> bytes:
    """An application value as the bytes that go into the log.

    Raises `UsageError` if the value has no CBOR encoding, none that `decode_event` reads back, or
    one larger than `EVENT_BYTES_MAX`.
    """
    try:
        data = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UsageError(f"this value cannot be an event, CBOR has no form for it: {error}") from error
    if len(data) > EVENT_BYTES_MAX:
        raise UsageError(f"an event has at most {EVENT_BYTES_MAX:,} bytes, this one {len(data):,}: split it")
    try:
        decode_event(data)
    except FormatError as error:  # too deep, or a tag round something else than it promises
        raise UsageError(f"this value cannot be an event, nobody could read it back: {error}") from error
    return data


def decode_event(data: bytes) -> object:
    """The application value of an event. Raises `FormatError` if the author wrote anything but one.

    References to values or strings (tags 25, 28, 29 and 256) are refused: the value is about as large
    as its bytes.
    """
    decoder = cbor2.CBORDecoder(io.BytesIO(data), max_depth=EVENT_DEPTH_MAX, semantic_decoders=_REFUSED_EVENT_TAGS)
    try:
        value: object = decoder.decode()
    except Exception as error:  # decoders of single tags let all sorts of errors through
        raise FormatError(f"the event is not CBOR: {error}") from error
    with suppress(cbor2.CBORDecodeEOF):
        decoder.read(1)
        raise FormatError("the event is more than one CBOR value")
    return value
