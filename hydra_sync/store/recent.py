"""The last batches of a log, kept in memory: those that nearly every reader wants. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hydra_sync.batch import Batch

__all__ = ["Recent"]


class Recent:
    """Consecutive batches up to the tip, as many as fit into ``bytes_max``, and at least the last one."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._batches: deque[Batch] = deque()
        self._size = 0

    def add(self, batches: Iterable[Batch]) -> None:
        """Take batches that became durable, behind those that are here."""
        for batch in batches:
            self._batches.append(batch)
            self._size += len(batch.record)
        while self._size > self._bytes_max and len(self._batches) > 1:
            self._size -= len(self._batches.popleft().record)

    def read(self, start_seq: int, stop_seq: int, bytes_max: int) -> list[Batch]:
        """What `Log.read` promises, if the batch of ``start_seq`` is here; nothing otherwise."""
        if not self._batches or start_seq < self._batches[0].header.first_seq:
            return []
        first = len(self._batches)
        while first and self._batches[first - 1].header.stop > start_seq:  # readers are near the end
            first -= 1
        found: list[Batch] = []
        size = 0
        for at in range(first, len(self._batches)):
            batch = self._batches[at]
            size += len(batch.record)
            if batch.header.first_seq >= stop_seq or (found and size > bytes_max):
                break
            found.append(batch)
        return found
