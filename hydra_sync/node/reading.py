"""Events out of a log, for whoever asks: a range, or everything from somewhere on. Does I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from hydra_sync.errors import ForkedError, OrphanedError, UnavailableError
from hydra_sync.limits import DATA_BYTES_TARGET
from hydra_sync.node.events import Event, events_of
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Log
from hydra_sync.tasks import Signal

__all__ = ["Durable", "Events", "Reach", "Stable"]


class Reach(Protocol):
    """How far a log may be delivered."""

    @property
    def next_seq(self) -> int:
        """The first seq that may not."""

    async def wait_change(self) -> None:
        """Wait until that may have changed."""


class Durable:
    """Deliver what is durable here: eager delivery, and all reading."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @property
    def next_seq(self) -> int:
        return self._log.tip.next_seq

    async def wait_change(self) -> None:
        await self._log.wait_change()


class Stable:
    """Deliver what is durable on a majority, and here: uniform delivery.

    A log may be shorter than it was once stable, if the operator accepted that loss, or its author lies.
    """

    def __init__(self, log: Log, reach: Callable[[], int], changed: Signal) -> None:
        self._log = log
        self._reach = reach
        self._changed = changed

    @property
    def next_seq(self) -> int:
        return min(self._reach(), self._log.tip.next_seq)

    async def wait_change(self) -> None:
        if self._reach() > self._log.tip.next_seq:
            await self._log.wait_change()
        else:
            await self._changed.wait()


class Events:
    """The application's events of a log from ``start`` to ``stop``, each once, in order; without a stop, for ever.

    An iterator and no generator, so that a loop may be left early without closing anything. ``orphaned``
    is what later epochs have left out of the log so far, where that may happen; with ``epochs`` the events
    that begin epochs come, too. From ``forked_at`` on there are none, and `ForkedError` says so.
    """

    def __init__(
        self,
        log: Log,
        alias: str,
        start: int,
        stop: int | None,
        *,
        reach: Reach | None = None,
        orphaned: Sequence[SeqRange] = (),
        epochs: bool = False,
        forked_at: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._log = log
        self._alias = alias
        self._next = start
        self._given = start
        self._stop = stop
        self._reach = reach or Durable(log)
        self._epochs = epochs
        self._forked_at = forked_at
        self._orphaned = orphaned
        self._orphans_seen = len(orphaned)
        self._ready: deque[Event] = deque()
        self._waited = False  # others have had their turn: what is in memory needs no checkpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._orphans_seen < len(self._orphaned):
                self._look_for_orphans()
            if self._stop is not None and self._next >= self._stop:
                raise StopAsyncIteration
            await self._fill(self._stop)
        if self._orphans_seen < len(self._orphaned):
            self._look_for_orphans()
        event = self._ready.popleft()
        self._given = event.seq + 1
        return event

    async def _fill(self, stop: int | None) -> None:
        tip, forked_at = self._reach.next_seq, self._forked_at()
        if forked_at is not None:
            tip = min(tip, forked_at)
            if self._next >= forked_at:
                whose = f"{self._alias}'s log is forked at event {forked_at}"
                raise ForkedError(f"{whose}: {self._alias} signed two histories from there on")
        if self._next >= tip:
            if stop is None:
                await self._reach.wait_change()
                self._waited = True
                return
            missing = SeqRange(self._next, stop)
            raise UnavailableError(f"events {missing} of {self._alias} are not here: its log reaches {tip}")
        until = tip if stop is None else min(stop, tip)
        batches = self._log.recent(self._next, until, DATA_BYTES_TARGET) if self._waited else []
        self._waited = False
        seen = len(self._orphaned)
        for batch in batches or await self._log.read(self._next, until, DATA_BYTES_TARGET):
            if len(self._orphaned) != seen:
                return  # the log has changed while it was read
            limit = until if self._stop is None else min(until, self._stop)
            self._ready.extend(events_of(self._log.author, batch, start=self._next, stop=limit, epochs=self._epochs))
            self._next = min(batch.header.stop, limit)

    def _look_for_orphans(self) -> None:
        """What was not given yet is read again; what was is told."""
        while self._orphans_seen < len(self._orphaned):
            gone = self._orphaned[self._orphans_seen]
            self._orphans_seen += 1
            if gone.start >= self._next:
                continue
            self._ready = deque(event for event in self._ready if event.seq < gone.start)
            self._next = gone.start
            if gone.start < self._given:
                start, stop, self._given = self._next, self._given, self._next
                raise OrphanedError(
                    f"events {SeqRange(start, stop)} of {self._alias} were delivered and never stable: a later epoch "
                    f"of {self._alias} goes on without them",
                    start,
                    stop,
                )
