"""A snapshot: what all parties of a head sign, and how it is known that they did. No I/O.

The signed bytes follow hydra-node up to 2.1 (``hydra-tx/src/Hydra/Tx/Snapshot.hs``), with two deviations. The
outputs are hashed with SHA-256 over their CBOR. And a hash of the confirmed transactions' names is signed too:
otherwise one multisignature could be shown with two lists of transactions that leave the same outputs.
Multisignatures of hydra-node can therefore not be verified here, nor ours there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync.encoding import encode
from hydra_sync.errors import SignatureError
from hydra_sync.head.ledger import TxId
from hydra_sync.identity import MemberKey, verify

__all__ = ["Content", "Snapshot", "leader", "signed_by"]

NOTHING_HASH: Final = hashlib.sha256(encode(())).digest()
"""Of outputs that are committed or decommitted: this head does neither, once it is open."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is signed, but for the head: two different ones of one version and number contradict each other."""

    version: int
    number: int
    utxo_hash: bytes
    transactions_hash: bytes

    def signable(self, head_id: bytes) -> bytes:
        """The bytes that parties sign: CBOR values, one after the other.

        >>> Content(0, 1, bytes(32), bytes(32)).signable(b"head").hex()[:14]
        '44686561640001'
        """
        hashes = (self.utxo_hash, NOTHING_HASH, NOTHING_HASH, self.transactions_hash)
        return b"".join(encode(item) for item in (head_id, self.version, self.number, *hashes))

    def digest(self, head_id: bytes) -> bytes:
        """SHA-256 of the signed bytes: what a party decides to sign."""
        return hashlib.sha256(self.signable(head_id)).digest()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot: the transactions since the one before it, and the outputs after them."""

    version: int
    number: int
    transactions: tuple[TxId, ...]
    utxo_hash: bytes

    @property
    def content(self) -> Content:
        """What of it is signed."""
        return Content(self.version, self.number, self.utxo_hash, hashlib.sha256(encode(self.transactions)).digest())


def leader(parties: Sequence[MemberKey], number: int) -> MemberKey:
    """Who requests the snapshot with this number, 1 or more.

    >>> leader([MemberKey(b"alice"), MemberKey(b"bob")], 3)
    b'alice'
    """
    return parties[(number - 1) % len(parties)]


def signed_by(
    head_id: bytes, content: Content, parties: Sequence[MemberKey], signatures: Sequence[bytes]
) -> tuple[MemberKey, ...]:
    """The parties whose signatures hold; a multisignature is a list in the order of the parties."""
    message = content.signable(head_id)
    return tuple(
        party for party, signature in zip(parties, signatures, strict=False) if holds(party, message, signature)
    )


def holds(party: MemberKey, message: bytes, signature: bytes) -> bool:
    """Whether this is the party's signature."""
    try:
        verify(party, message, signature)
    except SignatureError:
        return False
    return True
