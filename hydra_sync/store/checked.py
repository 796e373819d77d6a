"""Small files that notice their own damage: what they are, version, content, checksum. No I/O.

file = CBOR array [kind, version, << content >>, SHA-256(<< content >>)]
"""

from __future__ import annotations

import hashlib

from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, NewerFormatError

__all__ = ["check", "seal"]


def seal(kind: str, version: int, content: object) -> bytes:
    """The bytes of a file of this kind."""
    payload = encode(content)
    return encode([kind, version, payload, hashlib.sha256(payload).digest()])


def check(data: bytes, kind: str, version: int) -> object:
    """The content that `seal` turns into exactly ``data``; arrays come back as tuples.

    Raises `NewerFormatError` for a later version, whatever follows it, and `FormatError` for all else.
    """
    match decode(data):
        case (str(found), int(number), *_) if found == kind and type(number) is int and number > version:
            raise NewerFormatError(f"it is of format {number}, this release reads format {version}: upgrade hydra-sync")
        case (str(found), int(number), bytes(payload), bytes(digest)) if (
            (found, number) == (kind, version) and type(number) is int and hashlib.sha256(payload).digest() == digest
        ):
            return decode(payload)
    raise FormatError(f"it is no {kind} file, or its checksum is wrong")
