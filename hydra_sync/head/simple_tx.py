"""Hydra's SimpleTx: a ledger of numbers, for tests and simulations. No I/O.

As in hydra-node (``Hydra/Ledger/Simple.hs``) a transaction has a number, takes numbers and makes numbers; it is
valid if those it takes are there and those it makes are not. Two things are stricter, because anybody may
choose any number: a transaction's name also holds a hash of its content, so that no two can share one, and a
number that was ever there cannot be made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError
from hydra_sync.head.bounds import TRANSACTION_BYTES_MAX
from hydra_sync.head.ledger import Output, Ref, Transaction, TxId
from hydra_sync.head.shapes import array, blob, fields, number

__all__ = ["SimpleLedger", "simple_ref", "simple_transaction"]


def simple_ref(value: int) -> Ref:
    """The name of the output that this number is."""
    return Ref(encode(value))


def simple_transaction(identity: int, inputs: Iterable[int], outputs: Iterable[int]) -> bytes:
    """The bytes of a transaction: ``[number, [inputs], [outputs]]``."""
    return encode((identity, tuple(inputs), tuple(outputs)))


@dataclass(frozen=True, slots=True)
class SimpleLedger:
    """Rules of SimpleTx.

    >>> ledger = SimpleLedger()
    >>> transaction = ledger.read(simple_transaction(7, [1], [2, 3]))
    >>> transaction.id[:2], transaction.inputs
    (b'7-', (b'\\x01',))
    """

    @property
    def name(self) -> str:
        return "simple"

    def read(self, data: bytes) -> Transaction:
        identity, inputs, outputs = fields(decode(blob(data, TRANSACTION_BYTES_MAX)), 3)
        taken, made = _numbers(inputs), _numbers(outputs)
        if not taken:
            raise FormatError("a transaction takes something: else it could be applied for ever")
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        return Transaction(
            TxId(f"{number(identity)}-{digest}".encode()), data, taken, tuple((ref, Output(b"")) for ref in made)
        )

    def witnessed(self, transaction: Transaction) -> str | None:
        del transaction
        return None

    def balanced(self, transaction: Transaction, spent: Sequence[Output]) -> str | None:
        del transaction, spent
        return None

    def read_output(self, data: bytes) -> Output:
        return Output(blob(data, 0))

    def maker(self, ref: Ref) -> TxId | None:
        del ref
        return None

    def shown(self, transaction: TxId) -> str:
        return transaction.decode(errors="replace")


def _numbers(value: object) -> tuple[Ref, ...]:
    refs = tuple(simple_ref(number(item)) for item in array(value))
    if len(set(refs)) != len(refs):
        raise FormatError("a transaction names a number twice")
    return refs
