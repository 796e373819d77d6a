"""What parties sign."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hydra_sync.head.ledger import TxId
from hydra_sync.head.snapshot import Content, Snapshot, leader, signed_by
from tests.head.network import HEAD, KEYS

CONTENT = Content(0, 3, b"\x01" * 32, b"\x02" * 32)
PARTIES = [key.member for key in KEYS[:3]]


def test_the_golden_signed_bytes() -> None:
    """Head, version, number and four hashes, each a CBOR value: assembled here byte by byte."""
    nothing = hashlib.sha256(b"\x80").digest()
    hashes = (b"\x01" * 32, nothing, nothing, b"\x02" * 32)
    expected = b"\x44head" + b"\x00" + b"\x03" + b"".join(b"\x58\x20" + each for each in hashes)
    assert CONTENT.signable(b"head") == expected
    assert CONTENT.digest(b"head") == hashlib.sha256(expected).digest()


def test_everything_is_signed() -> None:
    """Another head, version, number, outputs or transactions: other bytes."""
    changes = [{"version": 1}, {"number": 4}, {"utxo_hash": bytes(32)}, {"transactions_hash": bytes(32)}]
    others = [replace(CONTENT, **change) for change in changes]  # type: ignore[arg-type]
    messages = [CONTENT.signable(b"other"), *(each.signable(HEAD) for each in (CONTENT, *others))]
    assert len(set(messages)) == 6
    names = [Snapshot(0, 1, ids, bytes(32)).content for ids in ((TxId(b"ab"),), (TxId(b"a"), TxId(b"b")))]
    assert names[0] != names[1]


def test_a_multisignature_is_a_list_in_the_order_of_the_parties() -> None:
    """One out of place, or missing, holds for nobody."""
    signatures = [key.sign(CONTENT.signable(HEAD)) for key in KEYS[:3]]
    assert signed_by(HEAD, CONTENT, PARTIES, signatures) == tuple(PARTIES)
    assert signed_by(HEAD, CONTENT, PARTIES, signatures[:2]) == tuple(PARTIES[:2])
    assert signed_by(HEAD, CONTENT, PARTIES, [signatures[1], signatures[0], signatures[2]]) == (PARTIES[2],)
    assert signed_by(b"other", CONTENT, PARTIES, signatures) == ()


def test_leaders_take_turns() -> None:
    """parties[(number - 1) mod n]."""
    assert [PARTIES.index(leader(PARTIES, number)) for number in range(1, 6)] == [0, 1, 2, 0, 1]
