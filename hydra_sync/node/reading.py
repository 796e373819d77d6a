"""Events out of a log, for whoever asks: a range, or everything from somewhere on. Does I/O."""

from __future__ import annotations

from collections import deque
from typing import Self

from hydra_sync.errors import UnavailableError
from hydra_sync.limits import DATA_BYTES_TARGET
from hydra_sync.node.events import Event, events_of
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Log

__all__ = ["Events"]


class Events:
    """The events of a log from ``start`` to ``stop``, each once, in order; without a stop, for ever.

    An iterator and no generator, so that a loop may be left early without closing anything.
    """

    def __init__(self, log: Log, alias: str, start: int, stop: int | None) -> None:
        self._log = log
        self._alias = alias
        self._next = start
        self._stop = stop
        self._ready: deque[Event] = deque()
        self._waited = False  # others have had their turn: what is in memory needs no checkpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._stop is not None and self._next >= self._stop:
                raise StopAsyncIteration
            await self._fill(self._stop)
        event = self._ready.popleft()
        self._next = event.seq + 1
        return event

    async def _fill(self, stop: int | None) -> None:
        tip = self._log.tip.next_seq
        if self._next >= tip:
            if stop is None:
                await self._log.wait_past(self._next)
                self._waited = True
                return
            missing = SeqRange(self._next, stop)
            raise UnavailableError(f"events {missing} of {self._alias} are not here: its log reaches {tip}")
        until = tip if stop is None else min(stop, tip)
        batches = self._log.recent(self._next, until, DATA_BYTES_TARGET) if self._waited else []
        self._waited = False
        for batch in batches or await self._log.read(self._next, until, DATA_BYTES_TARGET):
            self._ready.extend(events_of(self._log.author, batch, start=self._next, stop=stop))
