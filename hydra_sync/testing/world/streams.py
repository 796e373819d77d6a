"""Named streams of random numbers, all of one seed. No I/O.

Every source of chance has a stream of its own, so that taking one fault out of a plan does not
shift the numbers that another one sees. Only integers are drawn, and never through the C maths
library, so that a seed means the same on every machine and Python.
"""

from __future__ import annotations

import random
from collections.abc import MutableSequence, Sequence
from typing import Final, TypeVar

__all__ = ["MILLION", "Stream", "Streams"]

T = TypeVar("T")

MILLION: Final = 1_000_000  # probabilities are integers, in parts per million

# Quantiles of the exponential distribution at (i + 1/2) / 32, as 1024ths of its mean.
_EXPONENTIAL: Final = (
    *(16, 49, 83, 119, 155, 193, 233, 273, 316, 361, 407, 456, 507, 561, 618, 678),
    *(742, 811, 884, 963, 1048, 1141, 1244, 1357, 1486, 1632, 1803, 2009, 2266, 2611, 3134, 4259),
)


class Stream:
    """Draws integers; equal (seed, name) give equal draws, whatever else is drawn elsewhere.

    >>> [Stream(7, "dice").below(6) for _ in range(3)]
    [3, 3, 3]
    """

    __slots__ = ("_generator", "bits", "name")

    def __init__(self, seed: int, name: str) -> None:
        self.name = name
        # Seeding by text goes through SHA-512 and never through hash(), which varies by process.
        self._generator = random.Random(f"{seed}/{name}")  # noqa: S311 (chance to be replayed, not a secret)
        self.bits = self._generator.getrandbits

    def below(self, limit: int) -> int:
        """An integer from 0 up to, but not including, ``limit``."""
        return self.bits(64) * limit >> 64

    def between(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def chance(self, parts_per_million: int) -> bool:
        """True so many times in a million."""
        return parts_per_million > 0 and self.below(MILLION) < parts_per_million

    def exponential(self, mean: int) -> int:
        """About exponentially distributed (32 steps of a table): for the times between faults."""
        return mean * _EXPONENTIAL[self.below(32)] >> 10

    def pick(self, choices: Sequence[T]) -> T:
        """One of ``choices``, all equally likely."""
        return choices[self.below(len(choices))]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put ``items`` into a random order, in place."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]

    def bytes(self, count: int) -> bytes:
        """``count`` bytes: what a host gets where it asks for entropy."""
        return self.bits(8 * count).to_bytes(count, "big") if count else b""


class Streams:
    """The streams of one seed, each made when first named."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Stream] = {}

    def __getitem__(self, name: str) -> Stream:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Stream(self.seed, name)
        return stream
