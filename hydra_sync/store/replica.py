"""A copy of another member's log: verified batches, many calls to a sync. Does I/O through `Log`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip, link
from hydra_sync.errors import StoreError
from hydra_sync.limits import COMMIT_BYTES_MAX
from hydra_sync.store.group import GroupCommit, Piece
from hydra_sync.store.log import Log

__all__ = ["Replica"]


class Replica:
    """Appends batches that the caller has verified to another member's log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._submitted = log.tip
        self._group: GroupCommit[Sequence[Batch]] = GroupCommit(
            self._commit, bytes_max=COMMIT_BYTES_MAX, count_max=COMMIT_BYTES_MAX, in_order=True
        )

    @property
    def submitted(self) -> Tip:
        """What the next append must stand on: the tip, once everything that waits is committed."""
        return self._submitted

    async def append(self, batches: Sequence[Batch]) -> None:
        """Append a run whose last batch carries a signature that the caller has checked; durable on return.

        Runs that come while a sync is under way share the next one. A run of more than `COMMIT_BYTES_MAX`
        bytes takes several commits, each ending with a signature that verifies.

        Raises `DivergedError` unless the run follows what was `submitted` before, and `StoreError` if it
        cannot be committed: then all that wait behind it fail too, and fetching starts again from the
        log's tip. If cancelled, the run may be committed nevertheless.
        """
        assert batches
        tip = self._submitted
        for batch in batches:
            tip = link(tip, batch)
        self._submitted = tip
        await self._group.submit([Piece(part, _size(part), len(part)) for part in self._parts(batches)])

    def _parts(self, batches: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
        while _size(batches) > COMMIT_BYTES_MAX:
            size = most = 0
            while (size := size + len(batches[most].record)) <= COMMIT_BYTES_MAX:
                most += 1
            # The tip may be shown, and cut at, after every commit: see `Survey.cut_unsigned`.
            cut = next((at for at in range(most, 0, -1) if self.log.signed(batches[at - 1])), most)
            yield batches[:cut]
            batches = batches[cut:]
        yield batches

    async def run(self) -> None:
        """Commit what is appended, until cancelled."""
        await self._group.run()

    async def _commit(self, runs: Sequence[Sequence[Batch]]) -> None:
        try:
            await self.log.commit([batch for run in runs for batch in run])
        except StoreError:
            self._submitted = self.log.tip
            raise


def _size(batches: Sequence[Batch]) -> int:
    return sum(len(batch.record) for batch in batches)
