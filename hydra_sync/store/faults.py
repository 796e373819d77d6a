"""Errors of the operating system as errors of the store. No I/O."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hydra_sync.errors import StoreError, StoreFullError

__all__ = ["is_full", "translated"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: OSError) -> bool:
    """Whether the disk, or this user's share of it, is full: the one failure that passes."""
    return error.errno in _FULL


@contextmanager
def translated(doing: str, *, may_be_full: bool = True) -> Iterator[None]:
    """Raise `StoreFullError` or `StoreError`, saying what was being done, in place of an `OSError`.

    A sync may not be full: after it failed nothing is known, whatever the reason (``may_be_full``).
    """
    try:
        yield
    except OSError as error:
        if may_be_full and is_full(error):
            raise StoreFullError(f"{doing}: no room left on the disk; make room and try again") from error
        raise StoreError(f"{doing}: {error}") from error
