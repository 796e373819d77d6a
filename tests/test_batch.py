"""The batch record: layout, signature, and that nothing else passes for one."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path

import cbor2
import nacl.signing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.batch import (
    GENESIS_HASH,
    Batch,
    Header,
    body_size,
    parse_batch,
    parse_batches,
    parse_signed_header,
    record_size,
    seal_batch,
)
from hydra_sync.chain import Tip, verify_run
from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError, NewerFormatError, SignatureError
from hydra_sync.identity import NetworkId, SigningKey, network_id
from hydra_sync.limits import BODY_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_PER_BATCH_MAX, UINT_MAX

GOLDEN = Path(__file__).parent / "fixtures" / "format-1"
ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
NETWORK = network_id("golden", [ALICE.member, BOB.member])
EVENTS = ([encode({"tx": 1}), encode("two")], [encode(3)], [encode([4, None]), b"\xf6", encode(b"6" * 30)])

FILES = {
    "alice.sk": "fd4975c725af5acbb3d6ef7002f13f43ca047627dadf6536837b0d69b5353084",
    "alice.vk": "54931e402245abad5d7d5ce5161f37df0bc3c68bf58982276f013922bb7316d3",
    "bob.sk": "cb04211dbb0a53675a17192e761df7d9338a8c6a58918c7c835fec93942aab18",
    "bob.vk": "b07ac0935ca80908b08b63d97157c9a4cec64f31004b106e7cfb94aeb0a6640d",
    "chain.hex": "5062aaac5aee4e0b4a3c8ab498fbce52cdd4bf5191ee459e44e15ffd69a32c5a",
    "epoch.txt": "6668958a4b4a4c5695c2ab2c3e0be7a21311038f2004c5575b90a85059f0319a",
    "messages.txt": "f992c0f42f40e89d40174c2d751dfed77c9175d0eda9d9f8f5da9194284cc7b7",
    "network-id.hex": "c83d922b206d4aeec69132133d3f0ba287094c940da8d5d482440865e1896886",
}


def golden_chain() -> list[Batch]:
    """The batches of the golden chain, made anew."""
    chain: list[Batch] = []
    for number, events in enumerate(EVENTS):
        tip = Tip.after(chain[-1]) if chain else Tip(0, 0, GENESIS_HASH)
        batch = seal_batch(
            ALICE,
            NETWORK,
            events,
            epoch=0,
            first_seq=tip.next_seq,
            time_us=1_700_000_000_000_000 + number,
            prev_hash=tip.hash,
        )
        chain.append(batch)
    return chain


def golden_records() -> list[bytes]:
    """The records of the golden chain, from the file."""
    return [bytes.fromhex(line) for line in (GOLDEN / "chain.hex").read_text().split()]


CHAIN = golden_chain()
RECORD = CHAIN[0].record


def test_golden_files_never_change() -> None:
    """Format 1 is what these files say; another format gets a directory of its own."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(GOLDEN.glob("*.*"))}
    assert {name: found.get(name) for name in FILES} == FILES


def test_the_golden_chain_is_written_and_read() -> None:
    """The same keys, events and times give the same bytes, and the bytes give the same batches."""
    records = golden_records()
    assert [batch.record for batch in CHAIN] == records
    assert [parse_batch(record) for record in records] == CHAIN
    assert list(parse_batches(b"".join(records))) == CHAIN
    assert [batch.events() for batch in CHAIN] == [tuple(events) for events in EVENTS]
    verify_run(CHAIN, NETWORK, ALICE.member)


def test_the_golden_record_is_as_designed() -> None:
    """Design section 4, cut by hand and checked with other tools than ours (RFC 9052, RFC 8032)."""
    record = golden_records()[1]
    assert record[:2] == b"\x82\x59"
    size = int.from_bytes(record[2:4])
    cose, rest = record[4 : 4 + size], record[4 + size :]
    assert rest[0] == 0x5A
    body = rest[5:]
    assert int.from_bytes(rest[1:5]) == len(body)

    tagged = cbor2.loads(cose)
    assert tagged.tag == 18
    protected, unprotected, payload, signature = tagged.value
    assert (protected, unprotected) == (bytes.fromhex("a10132"), {})
    header = cbor2.loads(payload)
    first = golden_records()[0]
    prev_hash = hashlib.sha256(first[4 : 4 + int.from_bytes(first[2:4])]).digest()
    assert header == [1, 0, 2, 1, 1_700_000_000_000_001, prev_hash, hashlib.sha256(body).digest()]
    assert cbor2.loads(body) == [b"\x03"]

    aad = b"\x84\x70hydra-sync batch\x01\x58\x20" + NETWORK + b"\x58\x20" + ALICE.member
    signed = (
        b"\x84\x6aSignature1\x43\xa1\x01\x32" + bytes([0x58, len(aad)]) + aad + bytes([0x58, len(payload)]) + payload
    )
    nacl.signing.VerifyKey(ALICE.member).verify(signed, signature)


def test_records_are_a_cbor_sequence() -> None:
    """Any CBOR tool reads a file of records: two byte strings each (RFC 8742)."""
    first, second = (cbor2.loads(record) for record in golden_records()[:2])
    assert first == [CHAIN[0].cose, CHAIN[0].body]
    assert second == [CHAIN[1].cose, CHAIN[1].body]


sealed = st.builds(
    lambda events, epoch, first, time_us, prev: seal_batch(
        ALICE, NETWORK, events, epoch=epoch, first_seq=first, time_us=time_us, prev_hash=prev
    ),
    st.lists(st.binary(max_size=300), min_size=1, max_size=30),
    st.integers(0, UINT_MAX),
    st.integers(0, UINT_MAX - 30),
    st.integers(0, UINT_MAX),
    st.binary(min_size=32, max_size=32),
)


@settings(deadline=None)
@given(batch=sealed)
def test_what_is_sealed_comes_back(batch: Batch) -> None:
    """A record parses to the batch it was made from, verifies, and is as large as announced."""
    assert parse_batch(batch.record) == batch
    batch.verify(NETWORK, ALICE.member)
    assert record_size(batch.record) == len(batch.record)
    assert body_size(batch.events()) == len(batch.body)
    assert batch.hash == hashlib.sha256(batch.cose).digest()
    assert batch.header.range.count == len(batch.events())


@settings(max_examples=150, deadline=None)
@given(batch=sealed, data=st.data())
def test_every_changed_byte_is_noticed(batch: Batch, data: st.DataObject) -> None:
    """One changed byte anywhere is no batch any more, or one that its author did not sign."""
    changed = bytearray(batch.record)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FormatError):
        parse_batch(bytes(changed)).verify(NETWORK, ALICE.member)


def test_every_bit_of_the_golden_record_counts() -> None:
    """Each of its bits, flipped, is refused."""
    record = golden_records()[1]
    for bit in range(len(record) * 8):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            parse_batch(bytes(changed)).verify(NETWORK, ALICE.member)


@pytest.mark.parametrize(
    ("network", "author"),
    [(network_id("other", [ALICE.member]), ALICE), (NETWORK, BOB)],
    ids=["another network", "another author"],
)
def test_a_batch_is_signed_for_its_network_and_author(network: NetworkId, author: SigningKey) -> None:
    """The signature holds nowhere else."""
    with pytest.raises(SignatureError):
        CHAIN[0].verify(network, author.member)


damage = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda tail: b"\x82\x59" + tail),
    st.tuples(st.integers(0, len(RECORD)), st.binary(max_size=10), st.integers(0, 20)).map(
        lambda cut: RECORD[: cut[0]] + cut[1] + RECORD[cut[0] + cut[2] :]
    ),
)


@settings(max_examples=200, deadline=None)
@given(data=damage)
def test_any_bytes_are_batches_or_the_one_error(data: bytes) -> None:
    """Arbitrary bytes give batches whose records are those bytes, or `FormatError`."""
    try:
        batches = list(parse_batches(data))
    except FormatError:
        pass
    else:
        assert b"".join(batch.record for batch in batches) == data
    with contextlib.suppress(FormatError):
        assert parse_batch(data).record == data


@settings(max_examples=150, deadline=None)
@given(data=damage, offset=st.integers(0, 5))
def test_record_size_is_sure_or_silent(data: bytes, offset: int) -> None:
    """What it says of a prefix stays true when more arrives: a size, not yet known, or `FormatError`."""

    def said(length: int) -> int | str | None:
        try:
            return record_size(memoryview(b"?" * offset + data[:length]), offset)
        except FormatError:
            return "refused"

    final = said(len(data))
    for length in range(len(data)):
        assert said(length) in (None, final)


def test_a_run_cut_anywhere_inside_a_record_is_refused() -> None:
    """Only whole records are a run."""
    data = b"".join(golden_records())
    ends = {sum(map(len, golden_records()[:count])) for count in range(4)}
    for length in range(len(data) + 1):
        if length in ends:
            assert b"".join(batch.record for batch in parse_batches(data[:length])) == data[:length]
        else:
            with pytest.raises(FormatError):
                list(parse_batches(data[:length]))


def rebuilt(
    *,
    payload: bytes | None = None,
    body: bytes | None = None,
    head: bytes = bytes.fromhex("d28443a10132a0"),
    outer: bytes = b"\x82\x59",
    body_head: bytes = b"\x5a",
) -> bytes:
    """A record signed by alice over whatever its parts are said to be."""
    body = CHAIN[0].body if body is None else body
    if payload is None:
        payload = replace(CHAIN[0].header, body_hash=hashlib.sha256(body).digest()).encode()
    aad = encode(["hydra-sync batch", 1, NETWORK, ALICE.member])
    signed = encode(["Signature1", bytes.fromhex("a10132"), aad, payload])
    cose = head + b"\x58" + bytes([len(payload)]) + payload + b"\x58\x40" + ALICE.sign(signed)
    return outer + len(cose).to_bytes(2) + cose + body_head + len(body).to_bytes(4) + body


def header_of(*items: object) -> bytes:
    """The golden header with its first items replaced."""
    header = (1, 0, 0, 2, 5, bytes(32), hashlib.sha256(CHAIN[0].body).digest())
    return encode((*items, *header[len(items) :]))


def test_what_rebuilt_makes_is_a_record() -> None:
    """The next test fails for the reasons it names only."""
    assert rebuilt() == RECORD
    parse_batch(rebuilt(payload=header_of()))


@pytest.mark.parametrize(
    "record",
    [
        rebuilt(payload=header_of(True)),
        rebuilt(payload=header_of(1.0)),
        rebuilt(payload=header_of(0)),
        rebuilt(payload=header_of(1, -1)),
        rebuilt(payload=header_of(1, False)),
        rebuilt(payload=header_of(1, UINT_MAX + 1)),
        rebuilt(payload=header_of(1, 0, -1)),
        rebuilt(payload=header_of(1, 0, UINT_MAX - 1)),
        rebuilt(payload=header_of(1, 0, 0, 0)),
        rebuilt(payload=header_of(1, 0, 0, 1)),
        rebuilt(payload=header_of(1, 0, 0, 3)),
        rebuilt(payload=header_of(1, 0, 0, EVENTS_PER_BATCH_MAX + 1)),
        rebuilt(payload=header_of(1, 0, 0, 2, -1)),
        rebuilt(payload=header_of(1, 0, 0, 2, 5.5)),
        rebuilt(payload=header_of(1, 0, 0, 2, 5, bytes(31))),
        rebuilt(payload=header_of(1, 0, 0, 2, 5, "x" * 32)),
        rebuilt(payload=header_of(1, 0, 0, 2, 5, bytes(32), bytes(32))),
        rebuilt(payload=header_of() + b"\0"),
        rebuilt(payload=b"\x87\x18\x01" + header_of()[2:]),
        rebuilt(payload=b"\x9f" + header_of()[1:] + b"\xff"),
        rebuilt(payload=encode({"version": 1})),
        rebuilt(payload=b""),
        rebuilt(payload=bytes(129)),
        rebuilt(body=encode([])),
        rebuilt(body=encode([b"1", b"2", b"3"])),
        rebuilt(body=encode([b"1", "2"])),
        rebuilt(body=encode([b"1", [b"2"]])),
        rebuilt(body=encode({b"1": b"2"})),
        rebuilt(body=encode([b"1", b"2"]) + b"\0"),
        rebuilt(body=b"\x82\x58\x01\x31\x41\x32"),
        rebuilt(body=b"\x82\x5f\x41\x31\xff\x41\x32"),
        rebuilt(body=b"\x81" * 200),
        rebuilt(body=encode([b"", bytes(EVENT_BYTES_MAX + 1)])),
        rebuilt(head=bytes.fromhex("d28443a10127a0")),
        rebuilt(head=bytes.fromhex("8443a10132a0")),
        rebuilt(head=bytes.fromhex("d28443a10132a10102")),
        rebuilt(outer=b"\x82\x58"),
        rebuilt(outer=b"\x83\x59"),
        rebuilt(body_head=b"\x7a"),
        RECORD + b"\0",
        RECORD[:-1],
        b"",
    ],
)
def test_what_is_no_record(record: bytes) -> None:
    """Signed or not, any other form than that of format version 1 is a `FormatError`."""
    with pytest.raises(FormatError):
        parse_batch(record)


def test_a_newer_format_is_named() -> None:
    """A record of a later version says so, whatever else is in its header."""
    for payload in (header_of(2), encode((2, "other things", 7)), encode((3,))):
        with pytest.raises(NewerFormatError, match="this release reads version 1"):
            parse_batch(rebuilt(payload=payload))


def test_sizes_that_cannot_be_are_refused_from_the_head_alone() -> None:
    """No length beyond the limits makes anybody wait for, or allocate, that much."""
    for cose_size in (0, 75, 257, 65535):
        with pytest.raises(FormatError):
            record_size(b"\x82\x59" + cose_size.to_bytes(2))
    for size in (0, BODY_BYTES_MAX + 1, 0xFFFFFFFF):
        head = RECORD[: 4 + CHAIN[0].cose_size]
        with pytest.raises(FormatError):
            record_size(head + b"\x5a" + size.to_bytes(4))


def test_the_largest_batches() -> None:
    """One event of the largest size, and the largest number of events."""
    for events in ([bytes(EVENT_BYTES_MAX)], [b""] * EVENTS_PER_BATCH_MAX):
        batch = seal_batch(ALICE, NETWORK, events, epoch=0, first_seq=0, time_us=0, prev_hash=GENESIS_HASH)
        assert parse_batch(batch.record) == batch
        assert body_size(events) == len(batch.body)


def test_a_header_knows_its_range() -> None:
    """First seq and count, half-open."""
    header = Header(0, 5, 3, 0, bytes(32), bytes(32))
    assert (header.range.start, header.range.stop, header.stop) == (5, 8, 8)


def test_a_header_stands_alone() -> None:
    """Its COSE bytes are enough: the same header, hash and signature as those of the whole record."""
    for batch in CHAIN:
        signed = parse_signed_header(batch.cose)
        assert signed == batch.signed_header
        assert (signed.header, signed.cose, signed.hash) == (batch.header, batch.cose, batch.hash)
        signed.verify(NETWORK, ALICE.member)
        with pytest.raises(SignatureError):
            signed.verify(NETWORK, BOB.member)
        assert Tip.after(signed) == Tip.after(batch)


def test_every_bit_of_a_header_counts() -> None:
    """Each bit of the COSE bytes, flipped, is refused, and so is every other length of them."""
    cose = CHAIN[1].cose
    for bit in range(len(cose) * 8):
        changed = bytearray(cose)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            parse_signed_header(bytes(changed)).verify(NETWORK, ALICE.member)
    for length in range(len(cose)):
        with pytest.raises(FormatError):
            parse_signed_header(cose[:length])
    with pytest.raises(FormatError):
        parse_signed_header(cose + b"\0")


@settings(max_examples=150, deadline=None)
@given(
    cose=st.binary(max_size=300)
    | st.tuples(st.integers(0, len(CHAIN[0].cose)), st.binary(max_size=10), st.integers(0, 20)).map(
        lambda cut: CHAIN[0].cose[: cut[0]] + cut[1] + CHAIN[0].cose[cut[0] + cut[2] :]
    )
)
def test_any_bytes_are_a_header_or_the_one_error(cose: bytes) -> None:
    """Arbitrary bytes give the header that encodes to them, or `FormatError`."""
    with contextlib.suppress(FormatError):
        signed = parse_signed_header(cose)
        assert signed.cose == cose
        assert signed.header.encode() in cose
