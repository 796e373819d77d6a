"""The fault atlas: which damage a plan may do, so that what must survive can survive. No I/O.

Where durability is checked, one good copy of each acknowledged event has to be left among correct
members, or every failure is a false alarm. Crashes, torn writes, failed syncs and full disks are for
the product to survive wherever they strike; what replaces, rots or fakes a disk's content is damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from hydra_sync.errors import UsageError
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.faults import Fault, On, Plan

__all__ = ["DAMAGE", "DECAY", "TROUBLE", "UNNOTICED", "atlas", "names_in", "victim"]

DAMAGE: Final = (f.Wipe, f.Restore, f.LyingSync, f.Rot, f.Misdirect)
"""What takes away, or changes, bytes that were durable."""

DECAY: Final = (f.Rot, f.Misdirect)
"""What changes bytes where they lie."""

UNNOTICED: Final = (f.Restore, f.LyingSync)
"""What takes it away so that the node cannot tell by itself."""

TROUBLE: Final = (*DAMAGE, f.DiskError, f.FullDisk)
"""What a node may answer by stopping with a `StoreError`."""


def atlas(plan: Iterable[Fault], *, nodes: int, damaged_max: int | None = None) -> Plan:
    """The plan without the damage that goes too far: to more than ``damaged_max`` members.

    By default that is a minority, so that a majority keeps whatever was durable on it. Who goes back
    unnoticed is the only one: it may have forgotten promises as well, and then no rules of recovery help
    an author that loses its disk (`simulations/model`). The first members that the plan damages keep
    their damage. Any part of the outcome is as harmless.

    >>> rot = [f.Rot(f.At(0), name) for name in ("n0", "n1", "n0", "n2")]
    >>> [fault.host for fault in atlas(rot, nodes=3)]
    ['n0', 'n0']
    """
    allowed = (nodes - 1) // 2 if damaged_max is None else damaged_max
    victims: dict[str, None] = {}
    unnoticed: dict[str, None] = {}
    kept = []
    for fault in plan:
        if isinstance(fault, DAMAGE):
            host = victim(fault)
            if host not in victims and len(victims) >= allowed:
                continue
            if any(host != other for other in (victims if isinstance(fault, UNNOTICED) else unnoticed)):
                continue
            victims[host] = None
            if isinstance(fault, UNNOTICED):
                unnoticed[host] = None
        kept.append(fault)
    return tuple(kept)


def victim(fault: Fault) -> str:
    """Whose disk it is that a fault strikes. `UsageError` for faults that strike none."""
    host = getattr(fault, "host", None)
    if not isinstance(host, str):
        raise UsageError(f"this fault strikes no single host: {fault!r}")
    return host


def names_in(fault: Fault) -> Iterator[str]:
    """Every host that a fault names, in its trigger or anywhere."""
    if isinstance(fault.when, On):
        yield fault.when.host
    for name in ("host", "source", "target", "one", "other"):
        value = getattr(fault, name, None)
        if value is not None:
            yield value
    if isinstance(fault, f.Partition):
        for side in fault.sides:
            yield from side
