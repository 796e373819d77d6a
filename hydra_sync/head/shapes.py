"""What a CBOR value must be to be read as a field: the checks that all contents share. No I/O.

An array may have come back as a tuple or a list; ``True`` is no number. Everything else is a `FormatError`.
"""

from __future__ import annotations

from hydra_sync.errors import FormatError
from hydra_sync.head.bounds import HEAD_ID_BYTES_MAX, REASON_CHARS_MAX, TRANSACTION_ID_BYTES_MAX
from hydra_sync.identity import MemberKey, member_key
from hydra_sync.limits import HASH_BYTES, MEMBERS_MAX, SIGNATURE_BYTES, UINT_MAX

__all__ = [
    "array",
    "blob",
    "fields",
    "hash_",
    "head_id",
    "ids",
    "number",
    "pairs",
    "parties",
    "party",
    "signature",
    "text",
    "transaction_id",
]


def array(value: object) -> tuple[object, ...]:
    """An array's items."""
    if isinstance(value, (tuple, list)):
        return tuple(value)
    raise FormatError(f"an array is needed, not {_kind(value)}")


def fields(value: object, count: int) -> tuple[object, ...]:
    """The items of an array of just so many."""
    items = array(value)
    if len(items) != count:
        raise FormatError(f"an array of {count} is needed, not of {len(items)}")
    return items


def blob(value: object, bytes_max: int) -> bytes:
    """A byte string no longer than that."""
    if type(value) is not bytes:
        raise FormatError(f"a byte string is needed, not {_kind(value)}")
    if len(value) > bytes_max:
        raise FormatError(f"{len(value):,} bytes are more than {bytes_max:,}")
    return value


def number(value: object) -> int:
    """An unsigned number that fits 63 bits."""
    if type(value) is not int or not 0 <= value <= UINT_MAX:
        raise FormatError(f"an unsigned number is needed, not {_kind(value)}")
    return value


def text(value: object) -> str:
    """A text of the length of a reason, or a tag."""
    if type(value) is not str or len(value) > REASON_CHARS_MAX:
        raise FormatError(f"a text of at most {REASON_CHARS_MAX} characters is needed, not {_kind(value)}")
    return value


def hash_(value: object) -> bytes:
    """32 bytes."""
    return _exactly(value, HASH_BYTES)


def signature(value: object) -> bytes:
    """64 bytes."""
    return _exactly(value, SIGNATURE_BYTES)


def party(value: object) -> MemberKey:
    """A member's key."""
    return member_key(_exactly(value, 32))


def parties(value: object) -> tuple[MemberKey, ...]:
    """Different members, at least one, in their order."""
    keys = tuple(party(each) for each in array(value))
    if not 1 <= len(keys) <= MEMBERS_MAX or len(set(keys)) != len(keys):
        raise FormatError(f"a head has 1 to {MEMBERS_MAX} different parties")
    return keys


def head_id(value: object) -> bytes:
    """The name of a head: some bytes."""
    if not (named := blob(value, HEAD_ID_BYTES_MAX)):
        raise FormatError("a head's id is not empty")
    return named


def transaction_id(value: object) -> bytes:
    """The name of a transaction: some bytes."""
    return blob(value, TRANSACTION_ID_BYTES_MAX)


def ids(value: object, count_max: int) -> tuple[bytes, ...]:
    """Different names of transactions."""
    items = array(value)
    if len(items) > count_max:
        raise FormatError(f"{len(items):,} transactions are more than {count_max:,}")
    named = tuple(transaction_id(item) for item in items)
    if len(set(named)) != len(named):
        raise FormatError("a transaction is named twice")
    return named


def pairs(value: object) -> tuple[tuple[bytes, bytes], ...]:
    """Outputs: each one's name, and its bytes."""
    return tuple(_pair(item) for item in array(value))


def _pair(value: object) -> tuple[bytes, bytes]:
    name, data = fields(value, 2)
    return blob(name, TRANSACTION_ID_BYTES_MAX), blob(data, 1 << 20)


def _exactly(value: object, count: int) -> bytes:
    if len(data := blob(value, count)) != count:
        raise FormatError(f"{count} bytes are needed, not {len(data)}")
    return data


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
