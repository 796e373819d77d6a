"""The seam of ledgers: what a head asks of one, and the outputs that transactions take and make. No I/O.

A ledger reads transactions and judges each against the outputs it spends. That these are there is the same
question for every ledger, and is answered here: an output is unspent, or was spent by a transaction, or has
never been heard of. The last may yet come; the others tell a conflict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NewType, Protocol

from hydra_sync.encoding import encode
from hydra_sync.head.layered import Layered

__all__ = ["Bad", "Ledger", "Missing", "Output", "Outputs", "Ref", "Transaction", "Trial", "TxId", "judged"]

TxId = NewType("TxId", bytes)
"""The name of a transaction. Different transactions have different ones, whoever writes them."""

Ref = NewType("Ref", bytes)
"""The name of an output."""

UNNAMED: Final = TxId(b"")
"""Who spent an output, where only a snapshot tells that it is gone."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output as its bytes, and what its ledger reads in them."""

    data: bytes
    owner: bytes | None = None
    """Hash of the key that may spend it; none if no single key may."""
    coin: int = 0
    assets: tuple[tuple[bytes, int], ...] = ()
    """Of each other asset (policy and name), how much."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is well formed. Its witnesses are checked by `Ledger.witnessed`."""

    id: TxId
    data: bytes
    inputs: tuple[Ref, ...]
    outputs: tuple[tuple[Ref, Output], ...]
    fee: int = 0
    signers: frozenset[bytes] = frozenset()
    """Hashes of the keys that witness it."""
    witnesses: tuple[tuple[bytes, bytes], ...] = ()
    """Verification keys, and their signatures of the id."""


class Ledger(Protocol):
    """Rules of one kind of transaction. Pure: the same bytes, the same answer."""

    @property
    def name(self) -> str:
        """For checkpoints: a head goes on with the ledger it began with."""

    def read(self, data: bytes) -> Transaction:
        """The transaction. Raises `FormatError` if it is malformed, or asks for what this ledger cannot judge."""

    def witnessed(self, transaction: Transaction) -> str | None:
        """Why its witnesses do not hold, none if they do: the costly check, made once for each transaction."""

    def balanced(self, transaction: Transaction, spent: Sequence[Output]) -> str | None:
        """Why it may not spend these outputs, its inputs, in their order; none if it may."""

    def read_output(self, data: bytes) -> Output:
        """The output that has these bytes. Raises `FormatError`."""

    def maker(self, ref: Ref) -> TxId | None:
        """The one transaction that can ever make this output, if its name tells."""

    def shown(self, transaction: TxId) -> str:
        """The name of a transaction, for people."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A transaction is wrong whatever else happens."""

    why: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A transaction cannot be applied to these outputs: some input is not there, or an output is already."""

    refs: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What transactions may spend, and what was spent already, and by whom.

    >>> first = Outputs.opening([(b"a", Output(b""))])
    >>> then = first.after([Transaction(TxId(b"t"), b"", (Ref(b"a"),), ((Ref(b"b"), Output(b"")),))])
    >>> then.unspent.sorted()[0][0], then.spent.get(b"a"), first.spent.get(b"a")
    (b'b', b't', None)
    """

    unspent: Layered[Output]
    spent: Layered[TxId]

    @classmethod
    def opening(cls, unspent: Iterable[tuple[bytes, Output]]) -> Outputs:
        """The outputs that a head opens with."""
        return cls(Layered.of(dict[bytes, Output](unspent)), Layered())

    def after(self, transactions: Iterable[Transaction]) -> Outputs:
        """The outputs after transactions that were judged before; nothing is checked."""
        made: dict[bytes, Output] = {}
        taken: dict[bytes, TxId] = {}
        for transaction in transactions:
            for ref in transaction.inputs:
                made.pop(ref, None)
                taken[ref] = transaction.id
            made.update(transaction.outputs)
        return Outputs(self.unspent.changed(made, taken), self.spent.changed(taken))

    def hash(self) -> bytes:
        """SHA-256 of the unspent outputs, as ``[[name, bytes], ...]`` in the order of their names."""
        return hashlib.sha256(encode(self.pairs())).digest()

    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """The unspent outputs: each one's name and its bytes, in the order of the names."""
        return tuple((ref, output.data) for ref, output in self.unspent.sorted())


class Trial:
    """Transactions tried one after the other, on outputs that stay what they are."""

    def __init__(self, ledger: Ledger, outputs: Outputs) -> None:
        self._ledger = ledger
        self._outputs = outputs
        self._made: dict[bytes, Output] = {}
        self._taken: set[bytes] = set()

    def add(self, transaction: Transaction) -> Bad | Missing | None:
        """Why it cannot be applied after the ones added before; none if it can, and is added."""
        spent: list[Output] = []
        missing: list[Ref] = []
        for ref in transaction.inputs:
            if (output := self._unspent(ref)) is not None:
                spent.append(output)
            else:
                missing.append(ref)
        missing += [ref for ref, _ in transaction.outputs if self._was_there(ref)]
        if missing:
            return Missing(tuple(missing))
        if (why := self._ledger.balanced(transaction, spent)) is not None:
            return Bad(why)
        for ref in transaction.inputs:
            self._made.pop(ref, None)
            self._taken.add(ref)
        self._made.update(transaction.outputs)
        return None

    def _unspent(self, ref: Ref) -> Output | None:
        if ref in self._taken:
            return None
        return self._made.get(ref) or self._outputs.unspent.get(ref)

    def _was_there(self, ref: Ref) -> bool:
        """An output that comes back would make the order of transactions matter: its name is used up."""
        made = ref in self._made or ref in self._taken
        return made or ref in self._outputs.unspent or self._outputs.spent.get(ref) is not None


def judged(ledger: Ledger, outputs: Outputs, transaction: Transaction) -> Bad | Missing | None:
    """Why a transaction cannot be applied to these outputs; none if it can."""
    return Trial(ledger, outputs).add(transaction)
