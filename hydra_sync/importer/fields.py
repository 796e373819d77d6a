"""JSON as hydra-node writes it: parsed strictly, and taken apart with checks. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Never, TypeAlias, TypeVar, cast

from hydra_sync.errors import FormatError

__all__ = [
    "Json",
    "JsonObject",
    "RecordError",
    "as_object",
    "flag",
    "hexadecimal",
    "items",
    "natural",
    "optional",
    "parse_json",
    "render_json",
    "text",
    "value",
]

Json: TypeAlias = "bool | int | Decimal | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]

NATURAL_MAX: Final = (1 << 64) - 1  # event ids are Word64, and no snapshot number comes near it

T = TypeVar("T")


class RecordError(FormatError):
    """A record of hydra-node's is damaged, or of a form that is not known; the message says what is wrong."""


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no JSON number")


def parse_json(data: bytes) -> Json:
    """One JSON value. Numbers with a fraction keep every digit. Raises `RecordError`.

    >>> parse_json(b'{"drift": 0.10}')
    {'drift': Decimal('0.10')}
    """
    try:
        return cast("Json", json.loads(data.decode(), parse_float=Decimal, parse_constant=_refuse))
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise RecordError(f"not JSON: {error}") from error


def render_json(value: Json) -> str:
    """The JSON text of a value that `parse_json` gives, with the fields in their order.

    >>> render_json(parse_json(b'{"b": [1.50, null], "a": true}'))
    '{"b":[1.50,null],"a":true}'
    """
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(key)}:{render_json(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ",".join(map(render_json, value)) + "]"
        case Decimal():
            return str(value)
        case _:
            return json.dumps(value)


def as_object(value: Json, what: str) -> JsonObject:
    """``value``, if it is an object."""
    if not isinstance(value, dict):
        raise RecordError(f"{what} is no object")
    return value


def value(fields: JsonObject, *names: str) -> Json:
    """The field with the first of these names that is there: fields were renamed between releases."""
    for name in names:
        if name in fields:
            return fields[name]
    raise RecordError(f"the field {' or '.join(names)} is missing")


def optional(fields: JsonObject, take: Callable[..., T], *names: str) -> T | None:
    """What ``take`` makes of a field, or None if it is missing or null."""
    return None if all(fields.get(name) is None for name in names) else take(fields, *names)


def text(fields: JsonObject, *names: str) -> str:
    found = value(fields, *names)
    if not isinstance(found, str):
        raise RecordError(f"{names[0]} is no text")
    return found


def hexadecimal(fields: JsonObject, *names: str) -> str:
    """Bytes as text: keys, head ids, hashes. Lower case, as hydra-node writes them."""
    found = text(fields, *names)
    try:
        return bytes.fromhex(found).hex()
    except ValueError as error:
        raise RecordError(f"{names[0]} is not hexadecimal") from error


def natural(fields: JsonObject, *names: str) -> int:
    found = value(fields, *names)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= NATURAL_MAX:
        raise RecordError(f"{names[0]} is no natural number")
    return found


def flag(fields: JsonObject, *names: str) -> bool:
    found = value(fields, *names)
    if not isinstance(found, bool):
        raise RecordError(f"{names[0]} is neither true nor false")
    return found


def items(fields: JsonObject, *names: str) -> list[Json]:
    found = value(fields, *names)
    if not isinstance(found, list):
        raise RecordError(f"{names[0]} is no list")
    return found
