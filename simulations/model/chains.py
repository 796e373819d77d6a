"""Batches and the hash chains they form, as the model sees them: identities, no bytes. No I/O."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

__all__ = ["Batch", "Chain", "common", "conflict", "epoch_of", "holds", "key_of", "longest", "show"]


class Batch(NamedTuple):
    """One signed batch of one event. Two batches are the same only if everything before them is, too.

    ``grounds`` stands for the answers in the body of an epoch batch: the (epoch, next) of the highest.
    It is left out, as (0, 0), where the author is correct.
    """

    epoch: int
    event: int
    opens: bool = False  # an epoch batch
    grounds: tuple[int, int] = (0, 0)


Chain: TypeAlias = tuple[Batch, ...]
"""A log from its beginning. A chain stands for the hash of its last batch, which covers all before it."""


def epoch_of(chain: Chain) -> int:
    """Epoch of the tip; an empty log is at epoch 0."""
    return chain[-1].epoch if chain else 0


def key_of(chain: Chain) -> tuple[int, int]:
    """Rank by which an author adopts: (epoch, next)."""
    return (chain[-1].epoch if chain else 0, len(chain))


def holds(chain: Chain, part: Chain) -> bool:
    """Whether the hash chain of ``chain`` contains the tip of ``part``.

    >>> holds((Batch(0, 0), Batch(0, 1)), (Batch(0, 0),))
    True
    """
    return chain[: len(part)] == part


def common(left: Chain, right: Chain) -> Chain:
    """The prefix that both have."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return left[:count]


def longest(chains: list[Chain]) -> tuple[Chain, ...]:
    """The chains that no other one contains, in a fixed order."""
    ordered = sorted(set(chains))  # a chain sorts directly before those that hold it
    return tuple(one for one, after in pairwise([*ordered, ()]) if one and not holds(after, one))


@lru_cache(maxsize=1 << 18)
def conflict(left: Chain, right: Chain) -> str | None:
    """``FORK`` or ``EPOCH`` where the two chains prove that their author signed one thing twice.

    >>> conflict((Batch(0, 0),), (Batch(0, 1),))
    'FORK'
    >>> conflict((Batch(0, 0),), (Batch(1, 0, opens=True),)) is None
    True
    """
    start = len(common(left, right))
    if any(one.epoch == other.epoch for one, other in zip(left[start:], right[start:], strict=False)):
        return "FORK"
    opened = {batch.epoch for batch in left[start:] if batch.opens}
    return "EPOCH" if any(batch.opens and batch.epoch in opened for batch in right[start:]) else None


def show(chain: Chain) -> str:
    """The chain for people: events as epoch.letter, epoch batches as E and the epoch.

    >>> show((Batch(0, 0), Batch(2, 0, opens=True), Batch(2, 1)))
    '[0.a E2 2.b]'
    """
    return f"[{' '.join(map(_batch, chain))}]"


def _batch(batch: Batch) -> str:
    mark = "" if batch.event == 0 and batch.opens else chr(ord("a") + batch.event)
    return f"E{batch.epoch}{mark}" if batch.opens else f"{batch.epoch}.{mark}"
