"""Keys, networks and hydra-node's envelopes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nacl.signing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.errors import FormatError, SignatureError, UsageError
from hydra_sync.identity import (
    MemberKey,
    SigningKey,
    cose_signed_bytes,
    member_key,
    network_id,
    parse_signing_envelope,
    parse_verification_envelope,
    signing_envelope,
    verification_envelope,
    verify,
)
from hydra_sync.limits import MEMBERS_MAX

GOLDEN = Path(__file__).parent / "fixtures" / "format-1"
ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)


def test_the_golden_network_id() -> None:
    """SHA-256 of the array that design section 2 gives, assembled here byte by byte."""
    low, high = sorted([ALICE.member, BOB.member])
    assembled = b"\x83" + b"\x72hydra-sync network" + b"\x66golden" + b"\x82\x58\x20" + low + b"\x58\x20" + high
    golden = bytes.fromhex((GOLDEN / "network-id.hex").read_text())
    assert golden == hashlib.sha256(assembled).digest()
    assert (
        network_id("golden", [BOB.member, ALICE.member]) == network_id("golden", [ALICE.member, BOB.member]) == golden
    )


def test_networks_differ_by_name_and_members() -> None:
    """Any change of name or membership is another network."""
    names = [
        network_id("a", [ALICE.member]),
        network_id("b", [ALICE.member]),
        network_id("a", [BOB.member]),
        network_id("a", [ALICE.member, BOB.member]),
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("n", []),
        ("", [ALICE.member]),
        ("x" * 257, [ALICE.member]),
        ("\ud800", [ALICE.member]),
        ("n", [ALICE.member, BOB.member, ALICE.member]),
        ("n", [MemberKey(n.to_bytes(32)) for n in range(MEMBERS_MAX + 1)]),
    ],
)
def test_what_is_no_network(name: str, members: list[MemberKey]) -> None:
    """No members, too many, one twice, or a name that is none: `UsageError`."""
    with pytest.raises(UsageError):
        network_id(name, members)


def test_the_largest_network() -> None:
    """`MEMBERS_MAX` members and a name of 256 bytes are accepted."""
    assert network_id("x" * 256, [MemberKey(n.to_bytes(32)) for n in range(MEMBERS_MAX)])


@settings(deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=100))
def test_signatures_are_ed25519(seed: bytes, message: bytes) -> None:
    """Key, signature and check agree with another interface to RFC 8032."""
    key, theirs = SigningKey(seed), nacl.signing.SigningKey(seed)
    assert key.member == bytes(theirs.verify_key)
    assert key.sign(message) == theirs.sign(message).signature
    verify(key.member, message, key.sign(message))


@settings(deadline=None)
@given(at=st.integers(0, 63), flip=st.integers(1, 255), message=st.binary(min_size=1, max_size=40))
def test_a_changed_signature_is_refused(at: int, flip: int, message: bytes) -> None:
    """Any changed byte of signature or message, another member, or another length raises `SignatureError`."""
    signature = bytearray(ALICE.sign(message))
    with pytest.raises(SignatureError):
        verify(BOB.member, message, bytes(signature))
    with pytest.raises(SignatureError):
        verify(ALICE.member, message + b"\0", bytes(signature))
    with pytest.raises(SignatureError):
        verify(ALICE.member, message, bytes(signature[:at]))
    signature[at] ^= flip
    with pytest.raises(SignatureError):
        verify(ALICE.member, message, bytes(signature))


def test_a_key_that_is_none_verifies_nothing() -> None:
    """Wrong sizes and the identity point, for which anybody could sign, raise `SignatureError`."""
    for member in (b"", bytes(31), bytes(33), b"\x01" + bytes(31)):
        with pytest.raises(SignatureError):
            verify(MemberKey(member), b"m", b"\x01" + bytes(63))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_have_32_bytes(size: int) -> None:
    """Anything else is a `FormatError`."""
    for make in (SigningKey, member_key):
        with pytest.raises(FormatError):
            make(bytes(size))
    assert member_key(bytearray(32)) == bytes(32)  # type: ignore[arg-type]


def test_a_private_key_is_not_shown() -> None:
    """Neither repr nor str of a signing key holds its secret."""
    assert "01" * 8 not in repr(ALICE)
    assert repr(ALICE.seed) not in repr(ALICE)


def test_the_sig_structure_is_rfc_9052s() -> None:
    """Section 4.4: the array of context, protected header, external data and payload."""
    assert cose_signed_bytes(b"aad", b"payload") == bytes.fromhex("84") + (
        b"\x6aSignature1" + b"\x43\xa1\x01\x32" + b"\x43aad" + b"\x47payload"
    )


def test_the_golden_envelopes() -> None:
    """Key files as hydra-node writes them, byte for byte, in both directions."""
    for name, key in (("alice", ALICE), ("bob", BOB)):
        secret, public = ((GOLDEN / f"{name}.{end}").read_text() for end in ("sk", "vk"))
        assert signing_envelope(key) == secret
        assert parse_signing_envelope(secret) == key
        assert verification_envelope(key.member) == public
        assert parse_verification_envelope(public) == key.member


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_hydra_nodes_demo_keys(hydra_data: Path, name: str) -> None:
    """Files that hydra-node itself wrote are read, and their halves belong together."""
    secret = (hydra_data / f"{name}.sk").read_text()
    public = (hydra_data / f"{name}.vk").read_text()
    key = parse_signing_envelope(secret)
    assert key.member == parse_verification_envelope(public)
    assert json.loads(signing_envelope(key)) == json.loads(secret)


GOOD = json.loads(signing_envelope(ALICE))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        json.dumps(GOOD | {"type": "HydraVerificationKey_ed25519"}),
        json.dumps(GOOD | {"type": None}),
        json.dumps({"type": GOOD["type"]}),
        json.dumps(GOOD | {"cborHex": 5}),
        json.dumps(GOOD | {"cborHex": None}),
        json.dumps(GOOD | {"cborHex": "xyz"}),
        json.dumps(GOOD | {"cborHex": ""}),
        json.dumps(GOOD | {"cborHex": "581f" + "00" * 31}),
        json.dumps(GOOD | {"cborHex": "5821" + "00" * 33}),
        json.dumps(GOOD | {"cborHex": GOOD["cborHex"] + "00"}),
        json.dumps(GOOD | {"cborHex": "590020" + "00" * 32}),
        json.dumps(GOOD | {"cborHex": "7820" + "61" * 32}),
    ],
)
def test_what_is_no_key_file(text: str) -> None:
    """Any other text is a `FormatError`, for both kinds of key."""
    for parse in (parse_signing_envelope, parse_verification_envelope):
        if parse is parse_verification_envelope and "HydraVerificationKey" in text:
            continue
        with pytest.raises(FormatError):
            parse(text)


fields = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["HydraSigningKey_ed25519", "HydraVerificationKey_ed25519"]) | st.text(max_size=5),
        "cborHex": st.text(max_size=8) | st.binary(max_size=36).map(lambda data: "5820" + data.hex()) | st.integers(),
    },
).map(json.dumps)


@settings(max_examples=120, deadline=None)
@given(text=st.text(max_size=20) | fields)
def test_any_text_is_a_key_or_the_one_error(text: str) -> None:
    """Arbitrary text gives a key of 32 bytes or `FormatError`."""
    for parse in (parse_signing_envelope, parse_verification_envelope):
        try:
            key = parse(text)
        except FormatError:
            continue
        assert len(key.seed if isinstance(key, SigningKey) else key) == 32
