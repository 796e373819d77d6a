"""A second, simple-minded fold of a head's records, and of transactions: what the first one is compared with. No I/O.

It shares nothing with `hydra_sync.head` but the forms: no pool, no rounds, no checkpoints, its own way to take
transactions apart. It believes what was decided, and knows nothing of why.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from typing import Any, Final

import cbor2

from hydra_sync.machine import Command, Decided, Heard, Record

__all__ = ["Naive", "apply_all", "outputs_hash"]

_STATUS: Final = {
    "HeadOpened": "open",
    "HeadClosed": "closed",
    "HeadContested": "closed",
    "ReadyToFanout": "fanout possible",
    "FannedOut": "final",
}


class Naive:
    """The four answers, of a head that no rollback undoes."""

    def __init__(self) -> None:
        self.status = "idle"
        self.parties: list[str] = []
        self.number = 0
        self.confirmed: list[str] = []
        """Of the last snapshot."""
        self.fates: dict[str, str] = {}
        self.transactions: dict[str, bytes] = {}
        self._requests: dict[int, list[str]] = {}
        self._in_flight: list[str] = []

    def take(self, record: Record) -> None:
        """Take the next record."""
        match record:
            case Command(("Observed", _, ("HeadOpened", _, parties, *_))):
                self.parties = [party.hex() for party in _items(parties)]
            case Heard(_, ("ReqTx", _, bytes(transaction))):
                id_ = _id(transaction)
                if id_ and self.fates.get(id_, "rejected") == "rejected":
                    self.transactions[id_] = transaction
                    self.fates[id_] = "waiting"
            case Heard(_, ("ReqSn", _, _, int(number), ids)):
                self._requests.setdefault(number, [id_.hex() for id_ in _items(ids)])
            case Decided((str(tag), *fields)):
                self._decided(tag, fields)

    def _decided(self, tag: str, fields: list[Any]) -> None:
        match tag, fields:
            case "Followed", [fact, *_]:
                self.status = _STATUS[fact]
            case "TxApplied", [_, id_]:
                self.fates[id_.hex()] = "applied"
            case "TxWaiting", [_, id_, _]:
                self.fates[id_.hex()] = "waiting"
            case "TxRejected", [_, id_, *_]:
                self.fates[id_.hex()] = "rejected"
            case "SnapshotRequested", [_, _, number, _]:
                self._in_flight = self._requests[number]
                self.fates |= dict.fromkeys(self._in_flight, "in flight")
            case "SnapshotConfirmed", [_, _, number]:
                self.number, self.confirmed = number, self._in_flight
                self.fates |= dict.fromkeys(self._in_flight, "confirmed")

    def answers(self) -> dict[str, object]:
        """What is compared."""
        return {
            "status": self.status,
            "parties": self.parties,
            "snapshot": [self.number, self.confirmed],
            "transactions": dict(sorted(self.fates.items())),
        }


def apply_all(outputs: Iterable[tuple[bytes, bytes]], transactions: Iterable[bytes]) -> dict[bytes, bytes]:
    """What is unspent after transactions, each of which must find what it spends. Raises `KeyError` if one does not."""
    unspent = dict(outputs)
    for transaction in transactions:
        body = _body(transaction)
        fields: Any = cbor2.loads(body)
        id_ = hashlib.blake2b(body, digest_size=32).digest()
        for spent, index in fields[0]:
            del unspent[spent + index.to_bytes(2, "big")]
        for index, output in enumerate(fields[1]):
            unspent[id_ + index.to_bytes(2, "big")] = cbor2.dumps(output)
    return unspent


def outputs_hash(unspent: dict[bytes, bytes]) -> str:
    """As snapshots have it: SHA-256 over ``[[name, bytes], ...]`` in the order of names."""
    return hashlib.sha256(cbor2.dumps([list(pair) for pair in sorted(unspent.items())])).hexdigest()


def _id(transaction: bytes) -> str | None:
    try:
        return hashlib.blake2b(_body(transaction), digest_size=32).hexdigest()
    except Exception:  # whatever cbor2 raises for what is none
        return None


def _body(transaction: bytes) -> bytes:
    rest = io.BytesIO(transaction[1:])
    cbor2.CBORDecoder(rest, read_size=1).decode()
    return transaction[1 : 1 + rest.tell()]


def _items(value: object) -> tuple[bytes, ...]:
    return tuple(value) if isinstance(value, tuple) else ()
