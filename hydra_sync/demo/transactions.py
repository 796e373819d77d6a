"""What the demonstration appends: a generated chain of payments, or real signed transactions. Reads files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hydra_sync.encoding import encode
from hydra_sync.errors import UsageError

__all__ = ["generate", "read_dataset"]


def generate(name: str, count: int) -> list[bytes]:
    """``count`` transactions of one wallet, each spending the output of the one before."""
    transactions: list[bytes] = []
    spent = hashlib.sha256(name.encode()).digest()
    for number in range(count):
        value = 1_000_000 * (count - number)
        transaction = encode({"inputs": [[spent, 0]], "outputs": [[name, value]], "fee": 170_000})
        spent = hashlib.sha256(transaction).digest()
        transactions.append(transaction)
    return transactions


def read_dataset(path: Path) -> list[list[bytes]]:
    """The transactions of each client in a dataset file of hydra-node's benchmark, as CBOR bytes.

    Raises `UsageError` if the file is not one.
    """
    try:
        dataset = json.loads(path.read_text())
        return [
            [bytes.fromhex(transaction["cborHex"]) for transaction in client["txSequence"]]
            for client in dataset["clientDatasets"]
        ]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no dataset of hydra-node's benchmark: {error!r}") from error
