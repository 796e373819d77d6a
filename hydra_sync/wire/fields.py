"""Checks of single fields of a decoded message: a value of the right type and size, or blame. No I/O."""

from __future__ import annotations

from hydra_sync.errors import PeerError
from hydra_sync.limits import UINT_MAX

__all__ = ["array", "boolean", "byte_string", "sized_array", "text", "uint"]


def uint(value: object, *, most: int = UINT_MAX) -> int:
    """``value`` as an integer from 0 to ``most``."""
    if type(value) is not int or not 0 <= value <= most:
        raise PeerError(f"expected an integer from 0 to {most}, got {_shown(value)}")
    return value


def boolean(value: object) -> bool:
    """``value`` as a boolean."""
    if type(value) is not bool:
        raise PeerError(f"expected true or false, got {_shown(value)}")
    return value


def byte_string(value: object, *, size: int | None = None, most: int | None = None) -> bytes:
    """``value`` as a byte string of exactly ``size`` or at most ``most`` bytes."""
    if type(value) is not bytes:
        raise PeerError(f"expected a byte string, got {_shown(value)}")
    if (size is not None and len(value) != size) or (most is not None and len(value) > most):
        raise PeerError(f"a byte string of {len(value)} bytes, where {size or most} are due")
    return value


def text(value: object, *, most: int) -> str:
    """``value`` as a text of at most ``most`` bytes of UTF-8 that can be shown on a terminal as it is."""
    if type(value) is not str or len(value.encode()) > most or not value.isprintable():
        raise PeerError(f"expected a printable text of at most {most} bytes, got {_shown(value)}")
    return value


def sized_array(value: object, size: int) -> tuple[object, ...]:
    """``value`` as an array of exactly ``size`` items."""
    items = array(value, most=size)
    if len(items) != size:
        raise PeerError(f"expected an array of {size} items, got {len(items)}")
    return items


def array(value: object, *, most: int) -> tuple[object, ...]:
    """``value`` as an array of at most ``most`` items."""
    if type(value) is not tuple or len(value) > most:
        raise PeerError(f"expected an array of at most {most} items, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
