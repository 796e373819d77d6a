"""Just as much of a ledger as the fold takes: which outputs a transaction takes away and which it adds. No I/O.

Of an output only its name is kept: a Cardano output is ``<transaction id>#<index>``, one of hydra-node's
``SimpleTx`` ledger is a number. hydra-node's own fold (``applyTxTo``) decides nothing either: what it applies
was checked before the event was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from hydra_sync.importer.cbor import ARRAY, MAP, TAG, CborReader
from hydra_sync.importer.fields import Json, RecordError, hexadecimal, items, value

__all__ = [
    "Outputs",
    "Transaction",
    "apply_to",
    "cardano_transaction_id",
    "parse_outputs",
    "parse_transaction",
    "parse_transaction_id",
    "utxo_hash",
]

CACHED: Final = 1024  # hydra-node puts so many transactions into a snapshot at most

Outputs: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction's id, and what it does to the outputs; None where its JSON does not tell that."""

    id: str
    spends: Outputs | None
    adds: Outputs | None


def apply_to(outputs: set[str], transaction: Transaction) -> bool:
    """Apply a transaction to the outputs; False if its JSON does not tell how."""
    if transaction.spends is None or transaction.adds is None:
        return False
    outputs -= transaction.spends
    outputs |= transaction.adds
    return True


def parse_transaction(found: Json) -> Transaction:
    """A transaction in any form that hydra-node wrote one. Raises `RecordError`.

    >>> parse_transaction({"id": 1, "inputs": [3], "outputs": [4, 5]}) == Transaction(
    ...     "1", frozenset({"3"}), frozenset({"4", "5"}))
    True
    """
    if not isinstance(found, dict):
        return Transaction(parse_transaction_id(found), None, None)  # early snapshots had ids only
    if "cborHex" in found:
        transaction = _cardano(hexadecimal(found, "cborHex"))
        if "txId" in found and hexadecimal(found, "txId") != transaction.id:
            raise RecordError(f"a transaction's txId is not the hash of its body, {transaction.id}")
        return transaction
    tx_id = parse_transaction_id(value(found, "id", "txId"))
    if isinstance(found.get("inputs"), list) and isinstance(found.get("outputs"), list):
        return Transaction(tx_id, parse_outputs(found["inputs"]), parse_outputs(found["outputs"]))
    return Transaction(tx_id, None, None)


def parse_transaction_id(found: Json) -> str:
    """Hexadecimal for Cardano, decimal for ``SimpleTx``."""
    if isinstance(found, int) and not isinstance(found, bool):
        return _decimal(found)
    if isinstance(found, str):
        return found if found.lstrip("-").isdecimal() and found.isascii() else hexadecimal({"txId": found}, "txId")
    raise RecordError("a transaction id is neither a text nor a number")


def parse_outputs(found: Json) -> Outputs:
    """The names of a UTxO's outputs. Raises `RecordError`."""
    if isinstance(found, dict):
        return frozenset(found)
    numbers = items({"utxo": found}, "utxo")
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise RecordError("a UTxO is neither an object nor a list of numbers")
    return frozenset(_decimal(number) for number in numbers if isinstance(number, int))


def utxo_hash(outputs: Iterable[str]) -> str:
    """SHA-256 over the sorted names of the outputs, a line each.

    A Cardano output's name holds the hash of the transaction that made it, and a ``SimpleTx`` output is
    nothing but its name: two nodes with the same hash have the same UTxO. It is no hash of hydra-node's.
    """
    digest = hashlib.sha256()
    for name in sorted(outputs):
        digest.update(name.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def cardano_transaction_id(data: bytes) -> str:
    """Blake2b-256 of the transaction's body, as it is written. Raises `RecordError`."""
    return _id_of(_body(data))


@lru_cache(CACHED)  # received, applied and confirmed, one transaction is in at least three records
def _cardano(cbor_hex: str) -> Transaction:
    body = _body(bytes.fromhex(cbor_hex))
    tx_id = _id_of(body)
    spends, outputs = _effect(body)
    return Transaction(tx_id, spends, frozenset(f"{tx_id}#{index}" for index in range(outputs)))


def _body(data: bytes) -> bytes:
    cbor = CborReader(data)
    if cbor.expect(ARRAY) == 0:
        raise cbor.fail("a transaction is a list that begins with its body")
    return cbor.slice()


def _id_of(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=32).hexdigest()


def _effect(body: bytes) -> tuple[Outputs, int]:
    """The inputs (key 0 of the body) and how many outputs (key 1) there are."""
    cbor = CborReader(body)
    spends: Outputs = frozenset()
    outputs = 0
    count = cbor.expect(MAP)
    done = 0
    while not cbor.at_break() if count is None else done < count:
        match cbor.integer():
            case 0:
                spends = _inputs(cbor)
            case 1:
                outputs = _count(cbor)
            case _:
                cbor.skip()
        done += 1
    return spends, outputs


def _inputs(cbor: CborReader) -> Outputs:
    if cbor.peek() >> 5 == TAG:  # 258, a set, in later eras
        cbor.head()
    found: set[str] = set()
    count, done = cbor.expect(ARRAY), 0
    while not cbor.at_break() if count is None else done < count:
        if cbor.expect(ARRAY) != 2:
            raise cbor.fail("an input is a list of two")
        found.add(f"{cbor.byte_string().hex()}#{cbor.integer()}")
        done += 1
    return frozenset(found)


def _count(cbor: CborReader) -> int:
    count, done = cbor.expect(ARRAY), 0
    while not cbor.at_break() if count is None else done < count:
        cbor.skip()
        done += 1
    return done


def _decimal(number: int) -> str:
    try:
        return str(number)
    except ValueError as error:  # more digits than Python writes out
        raise RecordError("a number has too many digits") from error
