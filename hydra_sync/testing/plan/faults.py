"""A plan of faults, as data: what goes wrong, where, and when. No I/O.

A plan is a tuple of values that compare, print and travel as JSON, so that a failing one can be
kept, made smaller, and replayed. `Injector` carries it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final, Literal

from hydra_sync.errors import UsageError
from hydra_sync.testing.plan.checked import build
from hydra_sync.testing.world.clock import SECOND
from hydra_sync.testing.world.connections import Farewell
from hydra_sync.testing.world.operations import Operation, Phase
from hydra_sync.testing.world.platter import Keep

__all__ = [
    "At",
    "On",
    "Trigger",
    "Fault",
    "Plan",
    "FAULT_KINDS",
    "plan_from_json",
    "plan_to_json",
    "Crash",
    "CrashLoop",
    "Pause",
    "Wipe",
    "Backup",
    "Restore",
    "StepClock",
    "DriftClock",
    "Cut",
    "Partition",
    "Slow",
    "Throttle",
    "Loss",
    "Clog",
    "Reset",
    "Vanish",
    "Refuse",
    "DiskError",
    "LyingSync",
    "FullDisk",
    "Rot",
    "Misdirect",
]


@dataclass(frozen=True, slots=True)
class At:
    """At a virtual time."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class On:
    """At the ``nth`` operation of a host from the beginning of the plan, or ``delay_ns`` after it.

    ``subject`` is a pattern for the path, or the address of the other side.
    """

    host: str
    operation: Operation
    nth: int = 1
    subject: str = "*"
    phase: Phase = "before"
    delay_ns: int = 0


Trigger = At | On


@dataclass(frozen=True, slots=True)
class Fault:
    """Base of all faults. ``effects`` are the names by which `World.effects` counts that it bit."""

    when: Trigger
    effects: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def bit(cls, effects: Mapping[str, int]) -> bool:
        """Whether a fault of this kind found something to break, and something then noticed.

        >>> Cut.bit({"fault.Partition": 1, "link.cut": 7}), Cut.bit({"fault.Cut": 1, "link.cut": 7})
        (False, True)
        """
        found = effects.get(f"fault.{cls.__name__}", 0) > 0
        return found and any(effects.get(name, 0) for name in cls.effects)


# Of hosts


@dataclass(frozen=True, slots=True)
class Crash(Fault):
    """Power cut; see `Host.crash`. The host starts again after ``down_ns``, or with None stays down."""

    host: str
    down_ns: int | None = SECOND
    keep: Keep = "random"
    sockets: Farewell = "silent"
    effects: ClassVar[tuple[str, ...]] = ("host.crash",)


@dataclass(frozen=True, slots=True)
class CrashLoop(Fault):
    """Crash and start again several times, with so little time in between."""

    host: str
    times: int = 3
    up_ns: int = SECOND // 10
    down_ns: int = SECOND // 10
    keep: Keep = "random"
    effects: ClassVar[tuple[str, ...]] = ("host.crash",)


@dataclass(frozen=True, slots=True)
class Pause(Fault):
    """The process stands still."""

    host: str
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("host.pause",)


@dataclass(frozen=True, slots=True)
class Wipe(Fault):
    """Crash, and come back with an empty disk."""

    host: str
    down_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("disk.wipe",)


@dataclass(frozen=True, slots=True)
class Backup(Fault):
    """Copy the disk, harmlessly, for a `Restore` to come."""

    host: str
    effects: ClassVar[tuple[str, ...]] = ("disk.backup",)


@dataclass(frozen=True, slots=True)
class Restore(Fault):
    """Crash, and come back with the disk as in the last `Backup`. Nothing happens without one."""

    host: str
    down_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("disk.restore",)


@dataclass(frozen=True, slots=True)
class StepClock(Fault):
    """The wall clock jumps."""

    host: str
    by_us: int
    effects: ClassVar[tuple[str, ...]] = ("clock.step",)


@dataclass(frozen=True, slots=True)
class DriftClock(Fault):
    """The wall clock runs too fast, or too slow."""

    host: str
    parts_per_million: int
    effects: ClassVar[tuple[str, ...]] = ("clock.drift",)


# Of the network; one way from source to target where they are so called


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """A link is cut, in one direction."""

    source: str
    target: str
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("link.cut",)


@dataclass(frozen=True, slots=True)
class Partition(Fault):
    """Hosts on different sides cannot reach each other."""

    sides: tuple[tuple[str, ...], ...]
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("link.cut",)


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    """A link has more latency and jitter."""

    source: str
    target: str
    latency_ns: int
    jitter_ns: int = 0
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("link.slow",)


@dataclass(frozen=True, slots=True)
class Throttle(Fault):
    """A link has less capacity."""

    source: str
    target: str
    bytes_per_s: int
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("link.throttle",)


@dataclass(frozen=True, slots=True)
class Loss(Fault):
    """A link loses segments, which TCP sends again, later."""

    source: str
    target: str
    parts_per_million: int
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("link.loss",)


@dataclass(frozen=True, slots=True)
class Clog(Fault):
    """A link holds everything back, and then lets it all through."""

    source: str
    target: str
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("link.clog",)


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """All connections between two hosts are reset, at both ends."""

    one: str
    other: str
    effects: ClassVar[tuple[str, ...]] = ("net.reset",)


@dataclass(frozen=True, slots=True)
class Vanish(Fault):
    """All connections between two hosts go dead without a word: half-open at both ends."""

    one: str
    other: str
    effects: ClassVar[tuple[str, ...]] = ("net.vanish",)


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """A host refuses all who dial it."""

    host: str
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("net.refuse",)


# Of disks


@dataclass(frozen=True, slots=True)
class DiskError(Fault):
    """The ``nth`` such operation from then on fails with EIO; after a failed sync, the next succeeds
    without what was lost."""

    host: str
    operation: Literal["read", "write", "sync", "sync_dir"] = "sync"
    nth: int = 1
    subject: str = "*"
    effects: ClassVar[tuple[str, ...]] = ("disk.read_error", "disk.write_error", "disk.sync_error")


@dataclass(frozen=True, slots=True)
class LyingSync(Fault):
    """Syncs succeed, and do nothing."""

    host: str
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("disk.sync_lie",)


@dataclass(frozen=True, slots=True)
class FullDisk(Fault):
    """There is room for so many bytes only."""

    host: str
    free_bytes: int = 0
    for_ns: int = SECOND
    effects: ClassVar[tuple[str, ...]] = ("disk.full",)


@dataclass(frozen=True, slots=True)
class Rot(Fault):
    """One durable bit flips, in a file whose path matches the pattern, of the byte at ``offset`` or of any."""

    host: str
    pattern: str = "*"
    offset: int | None = None
    effects: ClassVar[tuple[str, ...]] = ("disk.rot",)


@dataclass(frozen=True, slots=True)
class Misdirect(Fault):
    """The ``nth`` write from then on lands on another sector of its file."""

    host: str
    nth: int = 1
    subject: str = "*"
    effects: ClassVar[tuple[str, ...]] = ("disk.misdirect",)


Plan = tuple[Fault, ...]

FAULT_KINDS: Final[Mapping[str, type[Fault]]] = {
    kind.__name__: kind
    for kind in (
        *(Crash, CrashLoop, Pause, Wipe, Backup, Restore, StepClock, DriftClock),
        *(Cut, Partition, Slow, Throttle, Loss, Clog, Reset, Vanish, Refuse),
        *(DiskError, LyingSync, FullDisk, Rot, Misdirect),
    )
}

_TRIGGERS: Final[Mapping[str, type[At | On]]] = {"At": At, "On": On}


def plan_to_json(plan: Iterable[Fault]) -> str:
    """A plan as text, one fault a line.

    >>> print(plan_to_json([Reset(At(5), "a", "b")]))
    [
    {"fault": "Reset", "when": {"At": {"time_ns": 5}}, "one": "a", "other": "b"}
    ]
    """
    lines = []
    for fault in plan:
        values = asdict(fault)
        values["when"] = {type(fault.when).__name__: values["when"]}
        lines.append(json.dumps({"fault": type(fault).__name__, **values}))
    return "[\n" + ",\n".join(lines) + "\n]"


def plan_from_json(text: str | bytes) -> Plan:
    """What `plan_to_json` wrote. `UsageError` for anything else, naming the fault that is wrong."""
    try:
        items = json.loads(text)
    except ValueError as error:
        raise UsageError(f"a fault plan is a JSON array: {error}") from error
    if not isinstance(items, list):
        raise UsageError("a fault plan is a JSON array")
    return tuple(_fault(item) for item in items)


def _fault(item: object) -> Fault:
    if not isinstance(item, dict) or item.get("fault") not in FAULT_KINDS:
        raise UsageError(f"not a fault: {item!r}; the kinds are {', '.join(FAULT_KINDS)}")
    values = dict(item)
    kind = FAULT_KINDS[values.pop("fault")]
    when = values.get("when")
    if not isinstance(when, dict) or len(when) != 1 or next(iter(when)) not in _TRIGGERS:
        raise UsageError(f"a fault needs a time or an operation, 'when': {{'At': ...}} or {{'On': ...}}: {item!r}")
    ((trigger, details),) = when.items()
    values["when"] = build(_TRIGGERS[trigger], details)
    return build(kind, values)
