"""The one form of COSE_Sign1 that ballots and answers have: read as written, and nothing else passes for one."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hydra_sync import cose
from hydra_sync.errors import FormatError, SignatureError
from hydra_sync.identity import SigningKey, cose_signed_bytes
from hydra_sync.limits import COSE_PAYLOAD_BYTES_MAX

KEY, OTHER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
AAD = b"what it is about"
SIGNED = cose.sign(KEY, AAD, b"p" * 30)


@given(st.binary(min_size=24, max_size=COSE_PAYLOAD_BYTES_MAX))
@example(bytes(24))
@example(bytes(COSE_PAYLOAD_BYTES_MAX))
def test_what_is_signed_can_be_opened(payload: bytes) -> None:
    """It is tag 18 of four items, as RFC 9052 has it."""
    signed = cose.sign(KEY, AAD, payload)
    assert cose.open_signed(KEY.member, AAD, signed) == payload
    tagged = cbor2.loads(signed)
    assert tagged.tag == 18
    assert tagged.value[0] == bytes.fromhex("a10132")
    assert tuple(tagged.value[1:3]) == ({}, payload)


@given(st.binary(max_size=300))
@example(b"")
@example(SIGNED[:10])
def test_any_other_bytes_are_refused(data: bytes) -> None:
    """By the one error there is."""
    with pytest.raises(FormatError):
        cose.open_signed(KEY.member, AAD, data)


@settings(max_examples=60)
@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_every_byte_counts(place: int, change: int) -> None:
    """None can be changed, added or left out."""
    changed = SIGNED[:place] + bytes([SIGNED[place] ^ change]) + SIGNED[place + 1 :]
    for data in (changed, SIGNED[:place], SIGNED[:place] + SIGNED[place + 1 :], SIGNED + bytes([change])):
        with pytest.raises(FormatError):
            cose.open_signed(KEY.member, AAD, data)


def test_who_signed_and_about_what_is_covered() -> None:
    """Another member's key or another purpose is no valid signature."""
    for member, aad in ((OTHER.member, AAD), (KEY.member, b"something else")):
        with pytest.raises(SignatureError):
            cose.open_signed(member, aad, SIGNED)


@pytest.mark.parametrize("size", [0, 23])
def test_payloads_of_another_head_have_another_form(size: int) -> None:
    """Ours are at least 24 bytes long; shorter ones are refused though they are signed."""
    payload = bytes(size)
    signature = KEY.sign(cose_signed_bytes(AAD, payload))
    for head in (bytes([0x58, size]), bytes([0x40 + size])):
        data = b"\xd2\x84\x43\xa1\x01\x32\xa0" + head + payload + b"\x58\x40" + signature
        with pytest.raises(FormatError, match="no COSE_Sign1 of our form"):
            cose.open_signed(KEY.member, AAD, data)
