"""What the members of a head tell one another: the four contents that are heard. No I/O.

Three are hydra's (``Hydra/Network/Message.hs``), and every one names its head, so that nothing said in one can
be replayed in another. The fourth, ``Signing``, is for its own author: a signature is made only after the
decision to make it is stable, so that not even a lost disk lets a party sign two contents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head import shapes
from hydra_sync.head.bounds import SNAPSHOT_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX
from hydra_sync.head.ledger import TxId
from hydra_sync.head.snapshot import Content

__all__ = ["AckSn", "Message", "ReqSn", "ReqTx", "Signing", "is_message", "parse_message"]


@dataclass(frozen=True, slots=True)
class ReqTx:
    """``("ReqTx", head, transaction)``: a transaction for all to apply."""

    head: bytes
    transaction: bytes

    def content(self) -> tuple[object, ...]:
        return ("ReqTx", self.head, self.transaction)


@dataclass(frozen=True, slots=True)
class ReqSn:
    """``("ReqSn", head, version, number, (id, ...))``: the leader asks all to sign a snapshot."""

    head: bytes
    version: int
    number: int
    transactions: tuple[TxId, ...]

    def content(self) -> tuple[object, ...]:
        return ("ReqSn", self.head, self.version, self.number, self.transactions)


@dataclass(frozen=True, slots=True)
class Signing:
    """``("Signing", head, version, number, digest)``: the author will sign this, and nothing else, in this place."""

    head: bytes
    version: int
    number: int
    digest: bytes

    def content(self) -> tuple[object, ...]:
        return ("Signing", self.head, self.version, self.number, self.digest)


@dataclass(frozen=True, slots=True)
class AckSn:
    """``("AckSn", head, version, number, utxo hash, transactions hash, signature)``: the author signed."""

    head: bytes
    signed: Content
    signature: bytes

    def content(self) -> tuple[object, ...]:
        signed = self.signed
        hashes = (signed.utxo_hash, signed.transactions_hash)
        return ("AckSn", self.head, signed.version, signed.number, *hashes, self.signature)


Message = ReqTx | ReqSn | Signing | AckSn

TAGS: Final = ("ReqTx", "ReqSn", "Signing", "AckSn")


def is_message(content: object) -> bool:
    """Whether a content is told to all, by its tag."""
    return isinstance(content, (tuple, list)) and len(content) > 0 and _in(content[0])


def _in(tag: object) -> bool:
    return type(tag) is str and tag in TAGS


def parse_message(content: object) -> Message:
    """The message. Raises `FormatError` for anything else: any member may have written any CBOR."""
    items = shapes.array(content)
    match items:
        case ("ReqTx", head, transaction):
            return ReqTx(shapes.head_id(head), shapes.blob(transaction, TRANSACTION_BYTES_MAX))
        case ("ReqSn", head, version, number, ids):
            named = tuple(TxId(each) for each in shapes.ids(ids, SNAPSHOT_TRANSACTIONS_MAX))
            return ReqSn(shapes.head_id(head), shapes.number(version), shapes.number(number), named)
        case ("Signing", head, version, number, digest):
            return Signing(shapes.head_id(head), shapes.number(version), shapes.number(number), shapes.hash_(digest))
        case ("AckSn", head, version, number, utxo, transactions, signature):
            content_ = Content(
                shapes.number(version), shapes.number(number), shapes.hash_(utxo), shapes.hash_(transactions)
            )
            return AckSn(shapes.head_id(head), content_, shapes.signature(signature))
        case _:
            raise FormatError("this is no message of a head")
