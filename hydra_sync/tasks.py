"""Small things that trio leaves to us: errors out of inner nurseries, and what happens again and again. No I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import trio
from trio.lowlevel import Abort, Task

__all__ = ["Flag", "Signal", "Turn", "leaves", "open_tasks"]


class Signal:
    """An event that happens again and again; who waits is woken by the next time."""

    def __init__(self) -> None:
        self._next: trio.Event | None = None  # there is one while somebody waits

    def fire(self) -> None:
        """It happened: wake all who wait."""
        if self._next is not None:
            self._next.set()
            self._next = None

    async def wait(self) -> None:
        """Return when it happens next. Look at the state itself before and after: signals are not counted."""
        if self._next is None:
            self._next = trio.Event()
        await self._next.wait()


class Flag:
    """Tells one task that there is something to do. Raised more than once, it is still one thing.

    >>> flag = Flag()
    >>> flag.set(), flag.set()
    (None, None)
    >>> trio.run(flag.wait)
    """

    __slots__ = ("_is_set", "_task")

    def __init__(self) -> None:
        self._is_set = False
        self._task: Task | None = None

    def set(self) -> None:
        """There is something to do."""
        self._is_set = True
        task = self._task
        if task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)

    async def wait(self) -> None:
        """Return when it is set, and take it down: look at what there is to do before waiting again."""
        if not self._is_set:
            assert self._task is None, "one task waits for a flag"
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        self._is_set = False

    def _abort(self, _: object) -> Abort:
        self._task = None
        return Abort.SUCCEEDED


class Turn:
    """A lock, first come, first served; where it is free, it is taken without letting others run.

    trio's own gives way each time, and costs a step of the loop for what nobody waits for.
    """

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        if self._is_taken:
            await self._waiting.park()  # whoever leaves hands it over
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._is_taken = True

    async def __aexit__(self, *_: object) -> None:
        if self._waiting:
            self._waiting.unpark()
        else:
            self._is_taken = False


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


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, however deep, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) > 1:
            return None
        error = error.exceptions[0]
    return error
