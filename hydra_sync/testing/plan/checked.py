"""Dataclasses from what JSON has for them, with every field checked. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from math import inf
from types import UnionType
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra_sync.errors import UsageError

__all__ = ["build"]

T = TypeVar("T")

_hints = cache(get_type_hints)


def build(kind: type[T], values: object) -> T:
    """The dataclass with these fields, lists as tuples. `UsageError` for wrong names or types, which it names."""
    hints = _hints(kind)  # type: ignore[arg-type]  # types are hashable
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # it is a dataclass
    if not isinstance(values, dict):
        raise UsageError(f"{kind.__name__} has fields {names}, not {values!r}")
    ready = {name: _tuples(value) for name, value in values.items()}
    for name, value in ready.items():
        if name not in names or not _fits(value, hints[name]):
            raise UsageError(f"{kind.__name__} has no field {name} of value {value!r}")
    try:
        return kind(**ready)
    except TypeError as error:
        raise UsageError(f"{kind.__name__}: {error}") from error


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _fits(value: object, hint: object) -> bool:
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in options
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, options[0]) for item in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(item, options[1]) for item in value.values())
    if origin in {UnionType, Union}:
        return any(_fits(value, option) for option in options)
    if isinstance(value, bool):
        return False
    if hint is float:
        return isinstance(value, int | float) and -inf < value < inf
    return isinstance(hint, type) and isinstance(value, hint)
