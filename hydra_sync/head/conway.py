"""Real transactions of Cardano (Conway era) as their bytes: names, inputs, outputs, witnesses. No I/O.

The form is the CDDL of the ledger's specification (cardano-ledger, ``eras/conway/impl/cddl-files``):
``[body, witnesses, is valid, auxiliary data]``. The id of a transaction is the BLAKE2b-256 hash of the body as
it was received. What this reader does not understand in full it refuses: a head must never agree on a
transaction that moves value in ways that it cannot follow.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head.bounds import TRANSACTION_BYTES_MAX
from hydra_sync.head.cbor_items import ARRAY, UINT, Items
from hydra_sync.head.ledger import Output, Ref, Transaction, TxId
from hydra_sync.head.shapes import blob
from hydra_sync.limits import KEY_BYTES, SIGNATURE_BYTES

__all__ = ["read_output", "read_transaction", "reference"]

TX_ID_BYTES: Final = 32
KEY_HASH_BYTES: Final = 28
POLICY_BYTES: Final = 28
ASSET_NAME_BYTES_MAX: Final = 32
INDEX_MAX: Final = 0xFFFF
TRUE: Final = 0xF5

_Value = tuple[int, tuple[tuple[bytes, int], ...]]
"""Coin, and assets with their amounts."""

INPUTS, OUTPUTS, FEE, REQUIRED_SIGNERS = 0, 1, 2, 14
UNDERSTOOD: Final = {7: "auxiliary data hash", 15: "network id"}  # read past: they move nothing
REFUSED: Final = {
    3: "a time to live",  # a head has no clock that all its members agree on
    8: "a start of validity",
    4: "certificates",
    5: "withdrawals",
    9: "minting",  # needs scripts
    11: "a hash of script data",
    13: "collateral",
    16: "a return of collateral",
    17: "a total of collateral",
    18: "reference inputs",  # with them the order of transactions matters that spend nothing of one another
    19: "votes",
    20: "proposals",
    21: "a value of the treasury",
    22: "a donation",
}


def reference(transaction: bytes, index: int) -> Ref:
    """The name of an output: the id of its transaction and two bytes of index."""
    if len(transaction) != TX_ID_BYTES or index > INDEX_MAX:
        raise FormatError("an input is a transaction's id of 32 bytes and an index of at most 65535")
    return Ref(transaction + index.to_bytes(2, "big"))


@dataclass(slots=True)
class _Body:
    inputs: tuple[Ref, ...] | None = None
    outputs: tuple[Output, ...] | None = None
    fee: int | None = None
    required: tuple[bytes, ...] = ()
    seen: set[int] = field(default_factory=set)


@lru_cache(maxsize=4096)  # read when it is submitted, when it is heard, and when either is folded
def read_transaction(data: bytes) -> Transaction:
    """The transaction that these bytes are. Raises `FormatError`; witnesses are not verified."""
    items = Items(blob(data, TRANSACTION_BYTES_MAX))
    body = witnesses = b""
    count = 0
    for place in items.array():
        count += 1
        if place == 0:
            body = items.raw()
        elif place == 1:
            witnesses = items.raw()
        elif place == 2:
            if not items.is_next(TRUE):
                raise FormatError("a transaction whose scripts fail moves nothing in a head")
        else:
            items.raw()
    items.end()
    if count != 4:
        raise FormatError(f"a transaction is an array of 4 items, not {count}")
    return _assembled(data, body, _witnesses(witnesses))


def read_output(data: bytes) -> Output:
    """The output that these bytes are. Raises `FormatError`."""
    items = Items(data)
    output = _output(items)
    items.end()
    return output


def _assembled(data: bytes, body_bytes: bytes, witnesses: tuple[tuple[bytes, bytes], ...]) -> Transaction:
    body = _body(Items(body_bytes))
    if body.inputs is None or body.outputs is None or body.fee is None:
        raise FormatError("a transaction has inputs, outputs and a fee")
    signers = frozenset(hashlib.blake2b(key, digest_size=KEY_HASH_BYTES).digest() for key, _ in witnesses)
    for required in body.required:
        if required not in signers:
            raise FormatError(f"key {required.hex()} is a required signer and did not sign")
    identity = TxId(hashlib.blake2b(body_bytes, digest_size=TX_ID_BYTES).digest())
    outputs = tuple((reference(identity, index), output) for index, output in enumerate(body.outputs))
    return Transaction(identity, data, body.inputs, outputs, body.fee, signers, witnesses)


def _body(items: Items) -> _Body:
    body = _Body()
    for _ in items.map():
        key = items.uint()
        if key in body.seen:
            raise FormatError(f"the field {key} of a transaction is there twice")
        body.seen.add(key)
        if key == INPUTS:
            body.inputs = _inputs(items)
        elif key == OUTPUTS:
            body.outputs = tuple(_output(items) for _ in items.array())
        elif key == FEE:
            body.fee = items.uint()
        elif key == REQUIRED_SIGNERS:
            body.required = tuple(_sized(items.blob(), KEY_HASH_BYTES) for _ in items.set())
        elif key in UNDERSTOOD:
            items.raw()
        else:
            raise FormatError(f"a transaction with {REFUSED.get(key, f'a field {key}')} cannot be judged in a head")
    items.end()
    return body


def _inputs(items: Items) -> tuple[Ref, ...]:
    refs: list[Ref] = []
    for _ in items.set():
        parts: list[bytes | int] = [items.uint() if place else items.blob() for place in items.array()]
        if len(parts) != 2:
            raise FormatError("an input is a transaction's id and an index")
        identity, index = parts
        assert isinstance(identity, bytes)
        assert isinstance(index, int)
        refs.append(reference(identity, index))
    if not refs or len(set(refs)) != len(refs):
        raise FormatError("a transaction has inputs, each once")
    return tuple(refs)


def _output(items: Items) -> Output:
    start = items.at
    address, value = _old_output(items) if items.major() == ARRAY else _new_output(items)
    if value is None:
        raise FormatError("an output has an address and a value")
    return Output(items.data[start : items.at], _owner(address), *value)


def _old_output(items: Items) -> tuple[bytes, _Value | None]:
    """``[address, value, ? datum hash]``."""
    address, value = b"", None
    for place in items.array():
        if place == 0:
            address = items.blob()
        elif place == 1:
            value = _value(items)
        elif place == 2:
            _sized(items.blob(), 32)
        else:
            raise FormatError("an output is an array of 2 or 3 items, or a map")
    return address, value


def _new_output(items: Items) -> tuple[bytes, _Value | None]:
    """``{0: address, 1: value, ? 2: datum, ? 3: script}``."""
    address, value, last = b"", None, -1
    for _ in items.map():
        key = items.uint()
        if key <= last or key > 3:
            raise FormatError("an output has the fields 0 to 3, each once and in order")
        last = key
        if key == 0:
            address = items.blob()
        elif key == 1:
            value = _value(items)
        else:
            items.raw()
    return address, value


def _owner(address: bytes) -> bytes | None:
    """The payment key hash of a Shelley address (CIP-19); none for scripts, and for Byron's addresses."""
    kind = address[0] >> 4 if address else 15
    if kind == 8:
        return None
    lengths = {0: 57, 1: 57, 2: 57, 3: 57, 6: 29, 7: 29}
    if kind in (4, 5):
        if not 32 <= len(address) <= 64:
            raise FormatError("a pointer address has 32 to 64 bytes")
    elif len(address) != lengths.get(kind):
        raise FormatError(f"no output can be at the address {address[:64].hex() or 'without bytes'}")
    return None if kind & 1 else address[1 : 1 + KEY_HASH_BYTES]


def _value(items: Items) -> _Value:
    if items.major() == UINT:
        return items.uint(), ()
    coin, assets = 0, dict[bytes, int]()
    count = 0
    for place in items.array():
        count += 1
        if place == 0:
            coin = items.uint()
        elif place == 1:
            assets = _assets(items)
    if count != 2:
        raise FormatError("a value is a coin, or a coin and assets")
    return coin, tuple(sorted(assets.items()))


def _assets(items: Items) -> dict[bytes, int]:
    assets: dict[bytes, int] = {}
    for _ in items.map():
        policy = _sized(items.blob(), POLICY_BYTES)
        for _ in items.map():
            name = items.blob()
            amount = items.uint()
            if len(name) > ASSET_NAME_BYTES_MAX or policy + name in assets or amount == 0:
                raise FormatError("an asset has a short name, is there once, and is there at all")
            assets[policy + name] = amount
    return assets


def _witnesses(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    items = Items(data)
    pairs: tuple[tuple[bytes, bytes], ...] = ()
    for number in items.map():
        if items.uint() != 0 or number:
            raise FormatError("only verification keys can be witnesses in a head")
        pairs = tuple(_witness(items) for _ in items.set())
    items.end()
    return pairs


def _witness(items: Items) -> tuple[bytes, bytes]:
    parts = [items.blob() for _ in items.array()]
    if len(parts) != 2:
        raise FormatError("a witness is a verification key and a signature")
    return _sized(parts[0], KEY_BYTES), _sized(parts[1], SIGNATURE_BYTES)


def _sized(data: bytes, count: int) -> bytes:
    if len(data) != count:
        raise FormatError(f"{count} bytes are needed, not {len(data)}")
    return data
