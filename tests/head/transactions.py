"""Real transactions of hydra's benchmark, and transactions made by hand with keys of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cbor2

from hydra_sync.head.conway import read_transaction
from hydra_sync.head.ledger import Ref
from hydra_sync.identity import SigningKey

ALICE, BOB = SigningKey(b"\x0a" * 32), SigningKey(b"\x0b" * 32)
POLICY = bytes(28)
Value = int | tuple[int, dict[bytes, dict[bytes, int]]]


class Dataset:
    """hydra-cluster's ``3-nodes.json``: three clients, each with a chain of 300 transactions."""

    def __init__(self, path: Path) -> None:
        data = json.loads((path / "3-nodes.json").read_text())
        self.funding = bytes.fromhex(data["fundingTransaction"]["cborHex"])
        self.outputs = tuple((ref, output.data) for ref, output in read_transaction(self.funding).outputs)
        clients = [client["txSequence"] for client in data["clientDatasets"]]
        self.clients = [[bytes.fromhex(each["cborHex"]) for each in client] for client in clients]
        self.ids = [[bytes.fromhex(each["txId"]) for each in client] for client in clients]
        self.funding_id = bytes.fromhex(data["fundingTransaction"]["txId"])


def owner(key: SigningKey) -> bytes:
    """Hash of a payment key."""
    return hashlib.blake2b(key.member, digest_size=28).digest()


def address(key: SigningKey) -> bytes:
    """An address without staking (type 6) on a test network."""
    return b"\x60" + owner(key)


def output(key: SigningKey, value: Value) -> bytes:
    """An output of a key."""
    return cbor2.dumps({0: address(key), 1: value})


def body(
    inputs: Sequence[Ref], outputs: Sequence[bytes], *, fee: int = 0, more: Mapping[int, object] | None = None
) -> bytes:
    """A transaction's body."""
    taken = cbor2.CBORTag(258, [[ref[:32], int.from_bytes(ref[32:])] for ref in inputs])
    made = [cbor2.loads(each) for each in outputs]
    return cbor2.dumps({0: taken, 1: made, 2: fee, **(more or {})})


def signed(content: bytes, *keys: SigningKey, valid: bytes = b"\xf5") -> bytes:
    """The transaction that has this body, witnessed."""
    identity = hashlib.blake2b(content, digest_size=32).digest()
    witnesses = {0: [[key.member, key.sign(identity)] for key in keys]} if keys else {}
    return b"\x84" + content + cbor2.dumps(witnesses) + valid + b"\xf6"
