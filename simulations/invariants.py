"""What we check of our own product: invariants of `hydra_sync.testing`, as far as it is ready for them. No I/O."""

from __future__ import annotations

from typing import Final

from hydra_sync.testing.cluster.cluster import INVARIANTS
from hydra_sync.testing.cluster.invariant import Invariant

__all__ = ["FEATURES", "INVARIANTS", "by_name"]

FEATURES: Final[tuple[str, ...]] = ("recovery", "uniform")
"""Of `hydra_sync.testing.cluster.invariant.FEATURES`, those that this release has."""


def by_name(name: str) -> type[Invariant]:
    """The invariant that the study calls so.

    >>> by_name("S4").promise
    'nothing is delivered that its author did not write: nothing forged, nothing rotten'
    """
    return next(invariant for invariant in INVARIANTS if invariant.name == name)
