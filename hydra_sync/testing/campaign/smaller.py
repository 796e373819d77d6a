"""What is smaller than a setup, by one step: the candidates that shrinking tries, boldest first. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import pairwise
from typing import Final, TypeVar

from hydra_sync.testing.plan.faults import At, Fault, On, Partition, Plan
from hydra_sync.testing.plan.scenario import Setup
from hydra_sync.testing.world.clock import MS

__all__ = ["ddmin", "fewer_nodes", "fewer_operations", "less_time", "lower", "softer", "softer_plans"]

T = TypeVar("T")

# Where a fault names hosts.
_HOST_FIELDS: Final = ("host", "source", "target", "one", "other")
# Fewer of these is harder, not softer.
_CAPACITIES: Final = frozenset({"bytes_per_s", "free_bytes"})
# The least that means anything, where it is not 0.
_FLOORS: Final = {"nth": 1, "times": 1}
_SECONDS_MIN: Final = 0.001


def ddmin(items: tuple[T, ...], fails: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """A part of ``items`` that still fails, and no longer does without any one of them.

    Zeller and Hildebrandt, Simplifying and isolating failure-inducing input (2002): tries parts, then
    what is left without them, in ever smaller pieces.

    >>> ddmin(tuple(range(10)), lambda part: {3, 7} <= set(part))
    (3, 7)
    """
    if not items or fails(()):
        return ()
    pieces = 2
    while len(items) > 1:
        smaller = next((part for part in _parts(items, pieces) if fails(part)), None)
        if smaller is not None:
            pieces = 2 if len(smaller) * pieces <= len(items) + pieces else pieces - 1
            pieces = max(2, min(pieces, len(smaller)))
            items = smaller
        elif pieces < len(items):
            pieces = min(2 * pieces, len(items))
        else:
            break
    return items


def _parts(items: tuple[T, ...], pieces: int) -> Iterator[tuple[T, ...]]:
    cuts = [len(items) * i // pieces for i in range(pieces + 1)]
    spans = list(pairwise(cuts))
    yield from (items[start:stop] for start, stop in spans)
    if pieces > 2:  # with two pieces, what is left without one is the other
        yield from (items[:start] + items[stop:] for start, stop in spans)


def lower(number: int, floor: int = 0) -> Iterator[int]:
    """Numbers between ``number`` and ``floor``, nearest to the floor first, and one that is easier to read.

    >>> list(lower(1234))
    [0, 617, 926, 1000, 1233]
    >>> list(lower(-40))
    [0, -20, -30, -39]
    """
    if number < 0:
        yield from (-value for value in lower(-number, floor))
        return
    rounded = number - number % 10 ** (len(str(number)) - 1)
    candidates = (floor, (number + floor) // 2, number - number // 4, rounded, number - 1)
    yield from (value for value in dict.fromkeys(candidates) if floor <= value < number)


def fewer_operations(setup: Setup) -> Iterator[Setup]:
    """The same with fewer events to write."""
    return (replace(setup, operations=count) for count in lower(setup.operations))


def less_time(setup: Setup) -> Iterator[Setup]:
    """The same in less time."""
    for ms in lower(round(setup.seconds * 1000), 1):
        if ms >= 1000 * _SECONDS_MIN and ms < 0.95 * 1000 * setup.seconds:
            yield replace(setup, seconds=ms / 1000)


def fewer_nodes(setup: Setup) -> Iterator[Setup]:
    """The same with fewer nodes: without the last ones, or with those that the plan names as the first ones.

    Hosts are taken to be numbered from 0, as in ``n0``.
    """
    for nodes in lower(setup.nodes, 1):
        yield replace(setup, nodes=nodes, plan=_among(setup.plan, nodes))
        renamed = _renumbered(setup.plan)
        if renamed != setup.plan:
            yield replace(setup, nodes=nodes, plan=_among(renamed, nodes))


def softer_plans(plan: Plan) -> Iterator[Plan]:
    """The same faults, one of them softer."""
    for i, fault in enumerate(plan):
        yield from ((*plan[:i], other, *plan[i + 1 :]) for other in softer(fault))


def softer(fault: Fault) -> Iterator[Fault]:
    """The same fault earlier, shorter, or with a smaller number; a partition of fewer hosts."""
    when = fault.when
    if isinstance(when, At):
        yield from (replace(fault, when=At(time_ns)) for time_ns in _lower_time(when.time_ns))
    else:
        yield from (replace(fault, when=replace(when, delay_ns=delay)) for delay in _lower_time(when.delay_ns))
        yield from (replace(fault, when=replace(when, nth=nth)) for nth in lower(when.nth, 1))
    for field in fields(fault):
        value = getattr(fault, field.name)
        if isinstance(value, int) and field.name not in _CAPACITIES:
            numbers = _lower_time(value) if field.name.endswith("_ns") else lower(value, _FLOORS.get(field.name, 0))
            yield from (replace(fault, **{field.name: number}) for number in numbers)  # type: ignore[arg-type]
    if isinstance(fault, Partition):
        yield from _smaller_partitions(fault)


def _lower_time(time_ns: int) -> Iterator[int]:
    """Whole milliseconds, and not just one less: finer steps are not worth their runs."""
    milliseconds = (value - value % MS for value in lower(time_ns))
    yield from (value for value in dict.fromkeys(milliseconds) if value < time_ns - time_ns // 20)


def _smaller_partitions(fault: Partition) -> Iterator[Partition]:
    for i, side in enumerate(fault.sides):
        for name in side:
            rest = tuple(other for other in side if other != name)
            sides = (*fault.sides[:i], *([rest] if rest else []), *fault.sides[i + 1 :])
            if len(sides) > 1:
                yield replace(fault, sides=sides)


# Hosts


def _number(host: str) -> int:
    digits = re.search(r"\d+$", host)
    return int(digits[0]) if digits else 0


def _named(fault: Fault) -> list[str]:
    """The hosts that a fault names."""
    names = [getattr(fault, name) for name in _HOST_FIELDS if hasattr(fault, name)]
    if isinstance(fault, Partition):
        names += [name for side in fault.sides for name in side]
    if isinstance(fault.when, On):
        names.append(fault.when.host)
    return names


def _among(plan: Plan, nodes: int) -> Plan:
    """The faults that are possible among so many nodes."""
    kept = []
    for fault in plan:
        there: Fault | None = fault
        if isinstance(fault, Partition):
            sides = [tuple(name for name in side if _number(name) < nodes) for side in fault.sides]
            present = tuple(side for side in sides if side)
            there = replace(fault, sides=present) if len(present) > 1 else None
        if there is not None and all(_number(name) < nodes for name in _named(there)):
            kept.append(there)
    return tuple(kept)


def _renumbered(plan: Plan) -> Plan:
    """The plan with the hosts that it names numbered from 0, in their order."""
    names = sorted({name for fault in plan for name in _named(fault)}, key=lambda name: (_number(name), name))
    names = [name for name in names if re.search(r"\d+$", name)]
    new = {name: re.sub(r"\d+$", str(i), name) for i, name in enumerate(names)}
    return tuple(_rename(fault, new) for fault in plan)


def _rename(fault: Fault, new: dict[str, str]) -> Fault:
    changes: dict[str, object] = {
        name: new.get(value, value) for name in _HOST_FIELDS if (value := getattr(fault, name, None)) is not None
    }
    if isinstance(fault, Partition):
        changes["sides"] = tuple(tuple(new.get(name, name) for name in side) for side in fault.sides)
    if isinstance(fault.when, On):
        changes["when"] = replace(fault.when, host=new.get(fault.when.host, fault.when.host))
    return replace(fault, **changes)  # type: ignore[arg-type]
