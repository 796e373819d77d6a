"""The batch record: events committed together, signed once, the same bytes everywhere. No I/O.

    record = 82  59 hh hh <cose>  5a bb bb bb bb <body>
    cose   = COSE_Sign1 (RFC 9052, tag 18): [ << {1: -19} >>, {}, << header >>, signature ]
    header = [1, epoch, first_seq, count, time_us, prev_hash, body_hash]
    body   = CBOR array of `count` byte strings, each one encoded event

Lengths of the two outer strings are fixed-width, so that a record is cut without a CBOR parser.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from hydra_sync import cose as envelope
from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, NewerFormatError
from hydra_sync.identity import (
    MemberKey,
    NetworkId,
    SigningKey,
    cose_signed_bytes,
    verify,
)
from hydra_sync.limits import (
    BODY_BYTES_MAX,
    COSE_BYTES_MAX,
    EVENT_BYTES_MAX,
    EVENTS_PER_BATCH_MAX,
    HASH_BYTES,
    HEADER_BYTES_MAX,
    MEMBERS_MAX,
    UINT_MAX,
)
from hydra_sync.ranges import SeqRange

__all__ = [
    "GENESIS_HASH",
    "Batch",
    "Header",
    "SignedHeader",
    "body_size",
    "parse_batch",
    "parse_batches",
    "parse_signed_header",
    "record_size",
    "seal_batch",
]

FORMAT_VERSION: Final = 1
GENESIS_HASH: Final = bytes(HASH_BYTES)
"""``prev_hash`` of the first batch of a log."""

RECORD_HEAD_BYTES: Final = 4  # 82 59 hh hh
BODY_HEAD_BYTES: Final = 5  # 5a bb bb bb bb


@dataclass(frozen=True, slots=True)
class Header:
    """What the author signs of a batch; ``time_us`` is its wall clock, microseconds since 1970."""

    epoch: int
    first_seq: int
    count: int
    time_us: int
    prev_hash: bytes
    body_hash: bytes
    stop: int = field(init=False, repr=False, compare=False)  # kept, because nothing else is asked for so often

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", self.first_seq + self.count)

    @property
    def range(self) -> SeqRange:
        return SeqRange(self.first_seq, self.stop)

    def encode(self) -> bytes:
        return encode(
            (
                FORMAT_VERSION,
                self.epoch,
                self.first_seq,
                self.count,
                self.time_us,
                self.prev_hash,
                self.body_hash,
            )
        )


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A header as its author sent it out, of the right form. Whether the signature holds, `verify` says."""

    header: Header
    cose: bytes
    hash: bytes
    """SHA-256 of ``cose``, signature included: what the next batch names as ``prev_hash``."""

    def verify(self, network: NetworkId, author: MemberKey) -> None:
        """Raise `SignatureError` unless ``author`` signed this header for ``network``."""
        _verify(self.cose, network, author)


@dataclass(frozen=True, slots=True)
class Batch:
    """One record whose form and body hash are right. Whether its author signed it, `verify` says."""

    header: Header
    record: bytes
    cose_size: int
    hash: bytes
    """As in `SignedHeader`."""

    @property
    def signed_header(self) -> SignedHeader:
        """Proof of what the author said, without the events themselves."""
        return SignedHeader(self.header, self.cose, self.hash)

    @property
    def cose(self) -> bytes:
        return self.record[RECORD_HEAD_BYTES : RECORD_HEAD_BYTES + self.cose_size]

    @property
    def body(self) -> bytes:
        return self.record[RECORD_HEAD_BYTES + self.cose_size + BODY_HEAD_BYTES :]

    def body_start(self) -> bytes:
        """The first 64 bytes of the body, to look at without a copy of it all."""
        start = RECORD_HEAD_BYTES + self.cose_size + BODY_HEAD_BYTES
        return self.record[start : start + 64]

    def events(self) -> tuple[bytes, ...]:
        """The encoded events, in order of seq."""
        return _parse_body(self.body, self.header.count)

    def verify(self, network: NetworkId, author: MemberKey) -> None:
        """Raise `SignatureError` unless ``author`` signed this batch for ``network``."""
        _verify(self.cose, network, author)


def body_size(events: Sequence[bytes]) -> int:
    """Bytes of the body that would hold these encoded events."""
    return _head_size(len(events)) + sum(_head_size(len(event)) + len(event) for event in events)


def seal_batch(
    key: SigningKey,
    network: NetworkId,
    events: Sequence[bytes],
    *,
    epoch: int,
    first_seq: int,
    time_us: int,
    prev_hash: bytes,
) -> Batch:
    """Sign ``events`` (already encoded, at least one) as the next batch of the key's own log."""
    assert 1 <= len(events) <= EVENTS_PER_BATCH_MAX
    body = encode(events)
    assert len(body) <= BODY_BYTES_MAX
    header = Header(epoch, first_seq, len(events), time_us, prev_hash, hashlib.sha256(body).digest())
    payload = header.encode()
    cose = envelope.join(payload, key.sign(_signed_bytes(network, key.member, payload)))
    record = b"".join((b"\x82\x59", len(cose).to_bytes(2), cose, b"\x5a", len(body).to_bytes(4), body))
    return Batch(header, record, len(cose), hashlib.sha256(cose).digest())


def record_size(data: bytes | bytearray | memoryview, offset: int = 0) -> int | None:
    """Bytes of the record that starts at ``offset``, or None where ``data`` ends before that is known.

    Raises `FormatError` if no record can start there.
    """
    head = bytes(data[offset : offset + RECORD_HEAD_BYTES])
    if head[:2] != b"\x82\x59"[: len(head)]:
        raise FormatError(f"no batch record starts with {head.hex()}")
    if len(head) < RECORD_HEAD_BYTES:
        return None
    cose_size = int.from_bytes(head[2:])
    if not envelope.OVERHEAD_BYTES < cose_size <= COSE_BYTES_MAX:
        raise FormatError(f"a batch record has no COSE part of {cose_size} bytes")
    body_at = offset + RECORD_HEAD_BYTES + cose_size
    head = bytes(data[body_at : body_at + BODY_HEAD_BYTES])
    if len(head) < BODY_HEAD_BYTES:
        return None
    size = int.from_bytes(head[1:])
    if head[0] != 0x5A or not 1 <= size <= BODY_BYTES_MAX:
        raise FormatError(f"a batch record has no body that starts with {head.hex()}")
    return RECORD_HEAD_BYTES + cose_size + BODY_HEAD_BYTES + size


def parse_batch(record: bytes) -> Batch:
    """The batch in these bytes, a whole record. Raises `FormatError` for anything else."""
    if record_size(record) != len(record):
        raise FormatError("the bytes are not one whole batch record")
    cose_size = int.from_bytes(record[2:RECORD_HEAD_BYTES])
    cose = record[RECORD_HEAD_BYTES : RECORD_HEAD_BYTES + cose_size]
    header = _parse_cose(cose)
    body = record[RECORD_HEAD_BYTES + cose_size + BODY_HEAD_BYTES :]
    if hashlib.sha256(body).digest() != header.body_hash:
        raise FormatError(f"the events of {header.range} are not the ones their header names")
    _parse_body(body, header.count)
    return Batch(header, record, cose_size, hashlib.sha256(cose).digest())


def parse_signed_header(cose: bytes) -> SignedHeader:
    """The header in these COSE bytes. Raises `FormatError` for anything else."""
    return SignedHeader(_parse_cose(cose), cose, hashlib.sha256(cose).digest())


def parse_batches(data: bytes) -> Iterator[Batch]:
    """The batches in a CBOR Sequence of whole records (RFC 8742). Raises `FormatError`."""
    offset = 0
    while offset < len(data):
        size = record_size(data, offset)
        if size is None or offset + size > len(data):
            raise FormatError("the bytes end inside a batch record")
        yield parse_batch(data[offset : offset + size])
        offset += size


def _verify(cose: bytes, network: NetworkId, author: MemberKey) -> None:
    payload, signature = envelope.split(cose)
    verify(author, _signed_bytes(network, author, payload), signature)


def _signed_bytes(network: NetworkId, author: MemberKey, payload: bytes) -> bytes:
    return cose_signed_bytes(_aad(network, author), payload)


@lru_cache(MEMBERS_MAX)
def _aad(network: NetworkId, author: MemberKey) -> bytes:
    return encode(["hydra-sync batch", FORMAT_VERSION, network, author])


def _parse_cose(cose: bytes) -> Header:
    try:
        payload, _ = envelope.split(cose)
    except FormatError as error:
        raise FormatError("a batch header is not a COSE_Sign1 of format version 1") from error
    return _parse_header(payload)


def _parse_header(payload: bytes) -> Header:
    # Plain comparisons: a pattern match on classes costs more than decoding and encoding together.
    fields = decode(payload, depth_max=1) if len(payload) <= HEADER_BYTES_MAX else None
    if type(fields) is tuple and len(fields) == 7:
        version, epoch, first, count, time_us, prev, body = fields
        if (
            type(version) is type(epoch) is type(first) is type(count) is type(time_us) is int
            and type(prev) is type(body) is bytes
            and version == FORMAT_VERSION
            and 0 <= epoch <= UINT_MAX
            and 1 <= count <= EVENTS_PER_BATCH_MAX
            and 0 <= first <= UINT_MAX - count
            and 0 <= time_us <= UINT_MAX
            and len(prev) == len(body) == HASH_BYTES
        ):
            return Header(epoch, first, count, time_us, prev, body)
    if type(fields) is tuple and fields and type(fields[0]) is int and fields[0] > FORMAT_VERSION:
        raise NewerFormatError(f"a batch of format version {fields[0]}; this release reads version {FORMAT_VERSION}")
    raise FormatError("a batch header is not [1, epoch, first_seq, count, time_us, prev_hash, body_hash]")


def _parse_body(body: bytes, count: int) -> tuple[bytes, ...]:
    events = decode(body, depth_max=1)
    if type(events) is not tuple or len(events) != count:
        raise FormatError(f"a batch body is not an array of {count} events")
    for event in events:
        if type(event) is not bytes or len(event) > EVENT_BYTES_MAX:
            raise FormatError(f"a batch body holds something else than byte strings of {EVENT_BYTES_MAX:,} bytes")
    return events


def _head_size(length: int) -> int:
    """Bytes of a CBOR head with this argument (RFC 8949, 3)."""
    return 1 if length < 24 else 2 if length < 1 << 8 else 3 if length < 1 << 16 else 5
