"""Plans and setups in words, for people. No I/O."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from hydra_sync.testing.plan.faults import At, Fault, Partition
from hydra_sync.testing.plan.scenario import Setup
from hydra_sync.testing.world.clock import MS, SECOND, US

__all__ = ["duration", "fault_in_words", "setup_in_words"]

_UNITS: Final = ((SECOND, "s"), (MS, "ms"), (US, "µs"), (1, "ns"))
_WHO: Final = ("host", "source", "target", "one", "other")


def duration(time_ns: int) -> str:
    """Short, and exact to three digits.

    >>> duration(1_500_000_000), duration(20_000_000), duration(0), duration(-2_000)
    ('1.5 s', '20 ms', '0 s', '-2 µs')
    """
    for unit_ns, unit in _UNITS:
        if abs(time_ns) >= unit_ns:
            return f"{time_ns / unit_ns:.4g} {unit}" if unit_ns < SECOND else f"{round(time_ns / unit_ns, 3):g} {unit}"
    return "0 s"


def setup_in_words(setup: Setup) -> str:
    """How large the run is.

    >>> setup_in_words(Setup(3, 20, 1))
    '3 nodes, 20 s of trouble, 1 operation, no faults'
    """
    faults = _count(len(setup.plan), "fault") if setup.plan else "no faults"
    operations = _count(setup.operations, "operation")
    return f"{_count(setup.nodes, 'node')}, {setup.seconds:g} s of trouble, {operations}, {faults}"


def fault_in_words(fault: Fault) -> str:
    """When, what, where, how.

    >>> from hydra_sync.testing.plan.faults import Crash, Cut, On
    >>> fault_in_words(Cut(At(1_000_000_000), "n0", "n1"))
    'at 1 s: cut n0 → n1, for 1 s'
    >>> print(fault_in_words(Crash(On("n1", "sync", nth=3), "n1", None)))
    before sync 3 of n1: crash n1, down for good, keep random, sockets silent
    """
    values = {field.name: getattr(fault, field.name) for field in fields(fault)}
    del values["when"]
    where = [str(values.pop(name)) for name in _WHO if name in values]
    if isinstance(fault, Partition):
        where = [" | ".join(" ".join(side) for side in values.pop("sides"))]
    arrow = " → " if hasattr(fault, "source") else " and "
    what = f"{_spaced(type(fault).__name__)} {arrow.join(where)}"
    how = [_detail(name, value) for name, value in values.items()]
    return f"{_when(fault)}: {', '.join([what, *filter(None, how)])}"


def _when(fault: Fault) -> str:
    when = fault.when
    if isinstance(when, At):
        return f"at {duration(when.time_ns)}"
    subject = "" if when.subject == "*" else f" ({when.subject})"
    moment = f"{duration(when.delay_ns)} after" if when.delay_ns else when.phase
    return f"{moment} {when.operation} {when.nth} of {when.host}{subject}"


def _detail(name: str, value: object) -> str:
    if name == "down_ns" and value is None:
        return "down for good"
    if name.endswith("_ns") and isinstance(value, int):
        return f"{name.removesuffix('_ns').replace('_', ' ')} {duration(value)}"
    if name == "by_us" and isinstance(value, int):
        return f"by {duration(value * US)}"
    if (name, value) in {("subject", "*"), ("pattern", "*"), ("nth", 1)}:
        return ""
    return f"{name.replace('_', ' ')} {value}"


def _spaced(name: str) -> str:
    """``LyingSync`` as ``lying sync``."""
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name).strip()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
