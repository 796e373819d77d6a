"""Signatures that a world remembers say what signatures say."""

from __future__ import annotations

import pytest
from nacl import bindings

from hydra_sync.errors import SignatureError
from hydra_sync.identity import SigningKey, verify
from hydra_sync.testing.world.remembered import remembered

KEY = SigningKey(b"r" * 32)


def test_a_remembered_signature_is_the_same() -> None:
    plain = KEY.sign(b"once")
    with remembered():
        assert KEY.sign(b"once") == KEY.sign(b"once") == plain
        verify(KEY.member, b"once", plain)
        verify(KEY.member, b"once", plain)


def test_what_nobody_signed_is_refused_every_time() -> None:
    """Also after the same bytes were accepted of somebody else, and for other bytes after these."""
    signature, other = KEY.sign(b"once"), SigningKey(b"o" * 32)
    with remembered():
        verify(KEY.member, b"once", signature)
        for member, message in ((other.member, b"once"), (KEY.member, b"twice")) * 2:
            with pytest.raises(SignatureError):
                verify(member, message, signature)


def test_pynacl_is_itself_again() -> None:
    before = bindings.crypto_sign, bindings.crypto_sign_open
    with remembered():
        assert bindings.crypto_sign_open is not before[1]
    assert (bindings.crypto_sign, bindings.crypto_sign_open) == before
