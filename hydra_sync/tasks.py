"""Nurseries whose one error comes out as itself. Does I/O only by trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

__all__ = ["open_tasks"]


@asynccontextmanager
async def open_tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery that is an inner matter: a single error is raised as it is, not in a group.

    Callers who open a node or a store do not know that there are tasks behind it, and want to write
    ``except StoreError``. Several errors at once still come as a group.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        error = _only(group)
        if error is None:
            raise
        raise error  # noqa: B904  the group is this error and nothing else


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) > 1:
            return None
        error = error.exceptions[0]
    return error
