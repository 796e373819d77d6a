"""Events as the application gets them. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hydra_sync.batch import Batch
from hydra_sync.encoding import decode_event
from hydra_sync.epoch import is_epoch_batch, is_epoch_event
from hydra_sync.identity import MemberKey

__all__ = ["Event", "events_of"]


@dataclass(frozen=True, slots=True)
class Event:
    """One application value of one log, and where it stands.

    ``(epoch, seq)`` is the position that clients resume from; ``time_us`` is the author's wall
    clock at the commit, in microseconds since 1970.
    """

    log: MemberKey
    epoch: int
    seq: int
    time_us: int
    batch_hash: bytes
    data: bytes

    @property
    def begins_epoch(self) -> bool:
        """Whether this is no event of the application but the one that begins an epoch of the log (design: 7)."""
        return is_epoch_event(self.data)

    @property
    def value(self) -> object:
        """The decoded value. Raises `FormatError` if the author wrote bytes that are no CBOR."""
        return decode_event(self.data)


def events_of(
    log: MemberKey, batch: Batch, *, start: int, stop: int | None = None, epochs: bool = False
) -> Iterator[Event]:
    """The application's events of ``batch`` from ``start`` on, up to ``stop``; with ``epochs`` all of them."""
    header = batch.header
    if is_epoch_batch(batch) and not epochs:
        return
    for seq, data in enumerate(batch.events(), header.first_seq):
        if start <= seq and (stop is None or seq < stop):
            yield Event(log, header.epoch, seq, header.time_us, batch.hash, data)
