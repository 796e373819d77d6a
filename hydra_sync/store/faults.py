"""Errors of the operating system as errors of the store. No I/O."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hydra_sync.errors import StoreError, StoreFullError

__all__ = ["is_refusal", "translated"]

_FULL: Final = {
    errno.ENOSPC: "no room left on the disk; make room and try again",
    errno.EDQUOT: "this user's share of the disk is used up; make room and try again",
}
_TOO_MANY_FILES: Final = {
    errno.EMFILE: "this process has too many files open; raise its limit (`ulimit -n`) and try again",
    errno.ENFILE: "this machine has too many files open; close some and try again",
}
_REFUSALS: Final = _FULL | _TOO_MANY_FILES


def is_refusal(error: OSError) -> bool:
    """Whether there was no room or no file to be had: nothing is broken, and it passes."""
    return error.errno in _REFUSALS


@contextmanager
def translated(doing: str, *, may_be_full: bool = True) -> Iterator[None]:
    """Raise `StoreFullError` or `StoreError`, saying what was being done, in place of an `OSError`.

    A sync may not be full: after it failed nothing is known, whatever the reason (``may_be_full``).
    Too many open files are met before anything is begun, even a sync.
    """
    try:
        yield
    except OSError as error:
        cause = (_REFUSALS if may_be_full else _TOO_MANY_FILES).get(error.errno or 0)
        if cause is not None:
            raise StoreFullError(f"{doing}: {cause}") from error
        raise StoreError(f"{doing}: {error}") from error
