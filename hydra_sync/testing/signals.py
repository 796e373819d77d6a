"""Coverage signals: what some run should have seen at least once, or the tests prove less than they seem to. No I/O.

They are registered when a module is imported, and counted while a scenario runs. A campaign reports
those that no seed has hit: a fault that is injected and never survived, a branch that is never taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from hydra_sync.errors import UsageError

__all__ = ["Signal", "counted", "reachable", "registered", "sometimes"]

_registered: Final[dict[str, Signal]] = {}
_counts: ContextVar[Counter[str] | None] = ContextVar("hydra_sync.testing signals", default=None)


class Signal:
    """Made by `sometimes` or `reachable`; call it where it is hit, with a condition if there is one."""

    __slots__ = ("cluster", "kind", "name")

    def __init__(self, kind: str, name: str, *, cluster: bool) -> None:
        self.kind = kind
        self.name = name
        self.cluster = cluster

    def __call__(self, hit: bool = True) -> bool:
        """Count a hit; gives back ``hit``."""
        if hit and (counts := _counts.get()) is not None:
            counts[self.name] += 1
        return hit


def sometimes(name: str, *, cluster: bool = False) -> Signal:
    """A condition that should hold in some run; with ``cluster``, only one of a `Cluster` can have it.

    >>> full = sometimes("the queue is full")
    >>> with counted() as counts:
    ...     for length in range(12):
    ...         _ = full(length >= 10)
    >>> counts["the queue is full"]
    2
    """
    return _register("sometimes", name, cluster)


def reachable(name: str, *, cluster: bool = False) -> Signal:
    """A line that some run should come to; with ``cluster``, only one of a `Cluster` can."""
    return _register("reachable", name, cluster)


def registered() -> Mapping[str, Signal]:
    """All signals of the modules imported so far, by name."""
    return _registered


@contextmanager
def counted(*, cluster: bool = True) -> Iterator[Counter[str]]:
    """Count hits in here; every registered signal has an entry, be it 0, but those of clusters if there is none."""
    counts = Counter(dict.fromkeys(sorted(name for name, one in _registered.items() if cluster or not one.cluster), 0))
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


def _register(kind: str, name: str, cluster: bool) -> Signal:
    signal = _registered.setdefault(name, Signal(kind, name, cluster=cluster))
    if signal.kind != kind:
        raise UsageError(f"there is a signal {name!r} already, made by {signal.kind}()")
    return signal
