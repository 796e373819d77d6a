"""One log on its way in: where it ends, and what arrived ahead of its turn. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip, link
from hydra_sync.errors import FormatError
from hydra_sync.ranges import SeqRange

__all__ = ["Early", "Intake"]


@dataclass(frozen=True, slots=True)
class Early:
    """Verified batches whose turn has not come, and the request that brought them."""

    link: int
    request: int
    batches: tuple[Batch, ...]

    @property
    def range(self) -> SeqRange:
        return SeqRange(self.batches[0].header.first_seq, self.batches[-1].header.stop)

    @property
    def size(self) -> int:
        return sum(len(batch.record) for batch in self.batches)


@dataclass(slots=True)
class Intake:
    """Puts runs in order. Holds in memory at most what credit allows to be in flight."""

    judge: Callable[[Batch, Tip], object]
    """Raises `FormatError` where a batch may not follow a tip: it begins an epoch that nobody granted."""
    durable: Tip = EMPTY
    frontier: Tip = EMPTY
    """The end of what was handed to the store, which `durable` follows; or where we left our branch for another."""
    early: list[Early] = field(default_factory=list)

    def add(self, run: Early) -> None:
        """Take a verified run, whatever its place."""
        self.early.append(run)
        self.early.sort(key=lambda run: run.range)

    def drain(self) -> tuple[list[tuple[Early, tuple[Batch, ...]]], tuple[Early, FormatError] | None]:
        """The runs whose turn has come, each with what of it is new, and the first that does not fit, with the reason.

        Of a run that is old news nothing is new; it comes back all the same, its credit is free again.
        """
        ready: list[tuple[Early, tuple[Batch, ...]]] = []
        while self.early and self.early[0].range.start <= self.frontier.next_seq:
            run = self.early.pop(0)
            try:
                ready.append((run, self._fresh(run.batches)))
            except FormatError as error:
                return ready, (run, error)
        return ready, None

    def rewind(self) -> None:
        """Forget all that is not durable: an append failed."""
        self.frontier = self.durable
        self.early.clear()

    def _fresh(self, batches: Iterable[Batch]) -> tuple[Batch, ...]:
        fresh = []
        tip = self.frontier
        for batch in batches:
            if batch.header.stop <= tip.next_seq:
                continue
            after = link(tip, batch)
            self.judge(batch, tip)
            tip = after
            fresh.append(batch)
        self.frontier = tip
        return tuple(fresh)
