"""Schemas for hydra-node's unframed CBOR: small readers that are put together to large ones. No I/O.

Each reads one logical element and gives the JSON that hydra-node writes for the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from hydra_sync.importer.cbor import ARRAY, MAP, CborReader
from hydra_sync.importer.fields import Json, RecordError

__all__ = ["Codec", "Fields", "choice", "keyed", "listed", "maybe", "named", "product", "record"]

Codec: TypeAlias = Callable[[CborReader], Json]
Fields: TypeAlias = Sequence[tuple[str, Codec]]


def named(name: str, codec: Codec) -> Codec:
    """A newtype: its constructor's name, then what it holds."""

    def read(cbor: CborReader) -> Json:
        _expect(cbor, name)
        return codec(cbor)

    return read


def product(name: str, fields: Fields, *, name_optional: bool = False) -> Codec:
    """A type with one constructor: its name, then its fields; some releases leave the name out."""

    def read(cbor: CborReader) -> Json:
        if not (name_optional and not _is_next(cbor, name)):
            _expect(cbor, name)
        return record(cbor, fields)

    return read


def record(cbor: CborReader, fields: Fields) -> dict[str, Json]:
    return {name: codec(cbor) for name, codec in fields}


def choice(what: str, constructors: dict[str, Fields]) -> Codec:
    """A type with several constructors; JSON has the name as ``tag``."""

    def read(cbor: CborReader) -> Json:
        start = cbor.offset
        name = cbor.text()
        if name not in constructors:
            cbor.offset = start
            raise cbor.fail(f"no known {what}: {name[:80]!r}")
        return {"tag": name, **record(cbor, constructors[name])}

    return read


def maybe(codec: Codec) -> Codec:
    """A list of none or one."""

    def read(cbor: CborReader) -> Json:
        match cbor.expect(ARRAY):
            case 0:
                return None
            case 1:
                return codec(cbor)
            case count:
                raise cbor.fail(f"an optional value is a list of none or one, not of {count}")

    return read


def listed(codec: Codec) -> Codec:
    """A list, of either kind of length."""

    def read(cbor: CborReader) -> Json:
        found: list[Json] = []
        count = cbor.expect(ARRAY)
        while not cbor.at_break() if count is None else len(found) < count:
            found.append(codec(cbor))
        return found

    return read


def keyed(key: Callable[[CborReader], str], codec: Codec) -> Codec:
    """A map, whose keys JSON has as texts."""

    def read(cbor: CborReader) -> Json:
        found: dict[str, Json] = {}
        count = cbor.expect(MAP)
        done = 0
        while not cbor.at_break() if count is None else done < count:
            name = key(cbor)
            found[name] = codec(cbor)
            done += 1
        return found

    return read


def _expect(cbor: CborReader, name: str) -> None:
    start = cbor.offset
    found = cbor.text()
    if found != name:
        cbor.offset = start
        raise cbor.fail(f"{found[:80]!r}, not {name!r}")


def _is_next(cbor: CborReader, name: str) -> bool:
    start = cbor.offset
    try:
        return cbor.text() == name
    except RecordError:
        return False
    finally:
        cbor.offset = start
