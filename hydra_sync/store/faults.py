"""Errors of the operating system as errors of the store. No I/O."""

from __future__ import annotations

import errno
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


class translated:  # noqa: N801  to be used as one uses a function
    """Raise `StoreFullError` or `StoreError`, saying what was being done, in place of an `OSError`.

    ``doing`` may have a place for ``what`` it is done to. A sync may not be full: after it failed nothing
    is known, whatever the reason (``may_be_full``). Too many open files are met before anything is begun,
    even a sync.
    """

    __slots__ = ("_doing", "_may_be_full", "_what")

    def __init__(self, doing: str, what: object = "", *, may_be_full: bool = True) -> None:
        self._doing = doing
        self._what = what
        self._may_be_full = may_be_full

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, OSError):
            return
        doing = self._doing.format(self._what) if self._what else self._doing
        cause = (_REFUSALS if self._may_be_full else _TOO_MANY_FILES).get(error.errno or 0)
        if cause is not None:
            raise StoreFullError(f"{doing}: {cause}") from error
        raise StoreError(f"{doing}: {error}") from error
