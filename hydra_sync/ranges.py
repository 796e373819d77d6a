"""Half-open ranges of seq, the unit in which events are asked for. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hydra_sync.limits import UINT_MAX

__all__ = ["SeqRange", "subtract"]


@dataclass(frozen=True, slots=True, order=True)
class SeqRange:
    """Events ``start`` up to, but not including, ``stop``.

    >>> SeqRange(3, 5).count
    2
    >>> print(SeqRange(3, 5))
    [3, 5)
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop <= UINT_MAX:
            raise ValueError(f"[{self.start}, {self.stop}) is not a range of seqs")

    @property
    def count(self) -> int:
        return self.stop - self.start

    def __contains__(self, seq: int) -> bool:
        return self.start <= seq < self.stop

    def __str__(self) -> str:
        return f"[{self.start}, {self.stop})"


def subtract(whole: SeqRange, taken: Iterable[SeqRange]) -> list[SeqRange]:
    """What of ``whole`` is in none of ``taken``, in order; ``taken`` may overlap.

    >>> subtract(SeqRange(0, 10), [SeqRange(6, 8), SeqRange(0, 2)])
    [SeqRange(start=2, stop=6), SeqRange(start=8, stop=10)]
    """
    gaps = []
    start = whole.start
    for part in sorted(taken):
        if part.stop <= start:
            continue
        if part.start >= whole.stop:
            break
        if part.start > start:
            gaps.append(SeqRange(start, part.start))
        start = part.stop
    if start < whole.stop:
        gaps.append(SeqRange(start, whole.stop))
    return gaps
