"""Signatures are made and checked once in a process: they are pure, and a third of what simulation costs. No I/O.

In a world every replica checks the signature that every other one has checked. What a check says
depends on nothing but its arguments, so a world may remember it, and no run comes out otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from nacl import bindings

__all__ = ["remembered_signatures"]

_REMEMBERED: Final = 1 << 13  # of the last signatures; a record in a world of many nodes is checked soon or never

_sign = lru_cache(_REMEMBERED)(bindings.crypto_sign)
_open = lru_cache(_REMEMBERED)(bindings.crypto_sign_open)  # a failure is an error, and is not remembered


@contextmanager
def remembered_signatures() -> Iterator[None]:
    """Let PyNaCl's Ed25519 remember, until the block ends."""
    before = bindings.crypto_sign, bindings.crypto_sign_open
    bindings.crypto_sign, bindings.crypto_sign_open = _sign, _open
    try:
        yield
    finally:
        bindings.crypto_sign, bindings.crypto_sign_open = before
