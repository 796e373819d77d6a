"""Events out of a log, for whoever asks: a range, or everything from somewhere on. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hydra_sync.errors import UnavailableError
from hydra_sync.limits import DATA_BYTES_TARGET
from hydra_sync.node.events import Event, events_of
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Log

__all__ = ["follow_log", "read_log"]


async def read_log(log: Log, alias: str, seqs: SeqRange) -> AsyncIterator[Event]:
    """The events of a range, all of them, or `UnavailableError` at the first that is not here."""
    start = seqs.start
    while start < seqs.stop:
        if start >= log.tip.next_seq:
            raise UnavailableError(
                f"events {SeqRange(start, seqs.stop)} of {alias} are not here: its log reaches {log.tip.next_seq}"
            )
        for batch in await log.read(start, min(seqs.stop, log.tip.next_seq), DATA_BYTES_TARGET):
            for event in events_of(log.author, batch, start=start, stop=seqs.stop):
                yield event
            start = batch.header.stop


async def follow_log(log: Log, alias: str, start: int) -> AsyncIterator[Event]:
    """Every event from ``start`` on, as it becomes durable here."""
    while True:
        async for event in read_log(log, alias, SeqRange(start, max(start, log.tip.next_seq))):
            yield event
            start = event.seq + 1
        await log.wait_past(start)
