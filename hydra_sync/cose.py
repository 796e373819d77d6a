"""COSE_Sign1 in the one form that we use (RFC 9052, 4.2): Ed25519, payload inside, nothing unprotected. No I/O.

[ << {1: -19} >>, {}, payload, signature ]   tag 18
"""

from __future__ import annotations

from typing import Final

from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError
from hydra_sync.identity import COSE_PROTECTED, MemberKey, SigningKey, cose_signed_bytes, verify
from hydra_sync.limits import COSE_PAYLOAD_BYTES_MAX, SIGNATURE_BYTES

__all__ = ["OVERHEAD_BYTES", "join", "open_signed", "sign", "split"]

_HEAD: Final = b"\xd2\x84" + encode(COSE_PROTECTED) + b"\xa0\x58"  # then one length byte
_SIGNATURE_HEAD: Final = b"\x58\x40"
OVERHEAD_BYTES: Final = len(_HEAD) + 1 + len(_SIGNATURE_HEAD) + SIGNATURE_BYTES
"""What an envelope has besides its payload."""
_PAYLOAD_BYTES_MIN: Final = 24  # shorter ones would have another head


def join(payload: bytes, signature: bytes) -> bytes:
    """The envelope of a payload and its signature."""
    return b"".join((_HEAD, len(payload).to_bytes(1), payload, _SIGNATURE_HEAD, signature))


def split(cose: bytes) -> tuple[bytes, bytes]:
    """Payload and signature, which is not checked. Raises `FormatError`: the template fixes every other byte."""
    start, stop = len(_HEAD) + 1, len(cose) - len(_SIGNATURE_HEAD) - SIGNATURE_BYTES
    if (
        not cose.startswith(_HEAD)
        or cose[stop : stop + len(_SIGNATURE_HEAD)] != _SIGNATURE_HEAD
        or cose[start - 1] != stop - start
    ):
        raise FormatError("this is no COSE_Sign1 of our form")
    return cose[start:stop], cose[-SIGNATURE_BYTES:]


def sign(key: SigningKey, external_aad: bytes, payload: bytes) -> bytes:
    """``payload``, signed; what the signature is about besides goes into ``external_aad``."""
    assert _PAYLOAD_BYTES_MIN <= len(payload) <= COSE_PAYLOAD_BYTES_MAX
    return join(payload, key.sign(cose_signed_bytes(external_aad, payload)))


def open_signed(member: MemberKey, external_aad: bytes, cose: bytes) -> bytes:
    """The payload, which ``member`` signed. Raises `FormatError`, or `SignatureError` if it did not."""
    payload, signature = split(cose)
    if len(payload) < _PAYLOAD_BYTES_MIN:
        raise FormatError("this is no COSE_Sign1 of our form")
    verify(member, cose_signed_bytes(external_aad, payload), signature)
    return payload
