"""What the clients of the demonstration's head pay with: real signed transactions, or generated ones. Reads files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.head.conway import read_transaction
from hydra_sync.head.ledger import Ref
from hydra_sync.identity import SigningKey

__all__ = ["Wallets", "again", "generate", "onward", "payment", "read_wallets"]

COIN: Final = 1_000_000_000
TESTNET_KEY_ADDRESS: Final = b"\x60"  # enterprise address, payment by key, test network
NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class Wallets:
    """What a head opens with, and the transactions of each client, each spending what the one before left."""

    outputs: tuple[tuple[bytes, bytes], ...]
    transactions: tuple[tuple[bytes, ...], ...]
    keys: tuple[SigningKey, ...]
    """Each client's, for what it tries beside those."""


def read_wallets(path: Path) -> Wallets:
    """A dataset file of hydra-node's benchmark. Raises `UsageError` if it is none, or has not three clients."""
    try:
        dataset = json.loads(path.read_text())
        clients = dataset["clientDatasets"]
        transactions = tuple(tuple(bytes.fromhex(tx["cborHex"]) for tx in client["txSequence"]) for client in clients)
        wanted = {_reference(name) for client in clients for name in client["initialUTxO"]}
        funding = read_transaction(bytes.fromhex(dataset["fundingTransaction"]["cborHex"]))
        outputs = tuple((bytes(ref), output.data) for ref, output in funding.outputs if ref in wanted)
        keys = tuple(SigningKey(bytes.fromhex(client["paymentKey"]["cborHex"])[2:]) for client in clients)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, FormatError) as error:
        raise UsageError(f"{path} is no dataset of hydra-node's benchmark: {error!r}") from error
    if len(transactions) != NAMES or len(outputs) != len(wanted):
        raise UsageError(f"{path} does not have {NAMES} clients, or not the outputs that they begin with")
    return Wallets(outputs, transactions, keys)


def generate(count: int) -> Wallets:
    """``count`` payments of each of three clients to itself, signed, as Cardano has them."""
    outputs: list[tuple[bytes, bytes]] = []
    clients: list[tuple[bytes, ...]] = []
    keys = [SigningKey(hashlib.sha256(f"client {number}".encode()).digest()) for number in range(NAMES)]
    for key in keys:
        address = address_of(key)
        spent = (hashlib.blake2b(key.member, digest_size=32).digest(), 0)
        outputs.append((spent[0] + bytes(2), encode((address, COIN))))
        chain: list[bytes] = []
        for _ in range(count):
            transaction, id_ = payment(key, spent, address, COIN)
            chain.append(transaction)
            spent = (id_, 0)
        clients.append(tuple(chain))
    return Wallets(tuple(outputs), tuple(clients), tuple(keys))


def again(key: SigningKey, transaction: bytes, *, fee: int) -> bytes:
    """Another transaction that spends the first input of this one, valid but for that; ``fee`` tells several apart."""
    read = read_transaction(transaction)
    spent = read.inputs[0]
    coin = sum(output.coin for _, output in read.outputs) + read.fee
    return payment(key, (spent[:-2], int.from_bytes(spent[-2:], "big")), address_of(key), coin, fee)[0]


def onward(key: SigningKey, transaction: bytes, *, fee: int) -> bytes:
    """A transaction that spends what this one leaves to the key."""
    read = read_transaction(transaction)
    owner = hashlib.blake2b(key.member, digest_size=28).digest()
    ref, output = next((ref, output) for ref, output in read.outputs if output.owner == owner)
    return payment(key, (ref[:-2], int.from_bytes(ref[-2:], "big")), address_of(key), output.coin, fee)[0]


def address_of(key: SigningKey) -> bytes:
    """Where this key is paid."""
    return TESTNET_KEY_ADDRESS + hashlib.blake2b(key.member, digest_size=28).digest()


def payment(key: SigningKey, spent: tuple[bytes, int], address: bytes, coin: int, fee: int = 0) -> tuple[bytes, bytes]:
    """A transaction that leaves one output of ``coin``, but for the fee, to an address, signed; and its id."""
    body = b"\xa3\x00\x81" + encode(spent) + b"\x01\x81" + encode((address, coin - fee)) + b"\x02" + encode(fee)
    id_ = hashlib.blake2b(body, digest_size=32).digest()
    witnesses = b"\xa1\x00\x81" + encode((bytes(key.member), key.sign(id_)))
    return b"\x84" + body + witnesses + b"\xf5\xf6", id_


def _reference(name: str) -> Ref:
    id_, _, index = name.partition("#")
    return Ref(bytes.fromhex(id_) + int(index).to_bytes(2, "big"))
