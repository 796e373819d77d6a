"""Swarm testing: each seed draws its own network, load and plan, with some kinds of fault and not others. No I/O.

A seed that enables every fault hides the bugs that need many of one kind and none of another (Groce
et al., "Swarm Testing", 2012). Faults are armed at operations as well as at times, because bugs of
recovery live right behind a write or a sync.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hydra_sync.errors import UsageError
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.atlas import atlas
from hydra_sync.testing.plan.faults import At, Fault, On, Trigger
from hydra_sync.testing.plan.scenario import SETUP_MAX, Setup
from hydra_sync.testing.world.clock import MS, SECOND, US, nanoseconds
from hydra_sync.testing.world.connections import Farewell
from hydra_sync.testing.world.operations import Operation, Phase
from hydra_sync.testing.world.platter import Keep
from hydra_sync.testing.world.streams import MILLION, Stream

__all__ = ["DAMAGING", "KINDS", "SURVIVABLE", "Swarm", "kind_of"]

_SOFT: Final[tuple[Operation, ...]] = (
    "write",
    "sync",
    "sync",
    "sync_dir",
    "rename",
    "truncate",
    "open",
    "send",
    "connect",
)
_FAREWELLS: Final[tuple[Farewell, ...]] = ("silent", "silent", "reset", "close")
_KEEPS: Final[tuple[Keep, ...]] = ("random", "random", "lost", "kept", "cache")
_PHASES: Final[tuple[Phase, ...]] = ("before", "after")


@dataclass(frozen=True, slots=True)
class _Draw:
    """Chance for one fault: who, when, how long."""

    dice: Stream
    names: tuple[str, ...]
    span_ns: int

    def host(self) -> str:
        return self.dice.pick(self.names)

    def pair(self) -> tuple[str, str]:
        names = list(self.names)
        self.dice.shuffle(names)
        return names[0], names[-1]

    def at(self) -> At:
        return At(self.dice.below(self.span_ns))

    def when(self, host: str) -> Trigger:
        """Mostly at an operation of the host, within the first hundreds of its kind."""
        if self.dice.below(3) == 0:
            return self.at()
        operation, nth = self.dice.pick(_SOFT), 1 + self.dice.exponential(30)
        delay_ns = self.dice.pick((0, 0, self.dice.below(3 * MS)))
        return On(host, operation, nth, phase=self.dice.pick(_PHASES), delay_ns=delay_ns)

    def for_ns(self, most_s: int = 20) -> int:
        return self.dice.between(10 * MS, self.dice.between(1, most_s) * SECOND)


def _crash(draw: _Draw) -> tuple[Fault, ...]:
    host, dice = draw.host(), draw.dice
    return (f.Crash(draw.when(host), host, draw.for_ns(5), dice.pick(_KEEPS), dice.pick(_FAREWELLS)),)


def _torn(draw: _Draw) -> tuple[Fault, ...]:
    host = draw.host()
    operation: Operation = draw.dice.pick(("write", "sync"))
    delay_ns = draw.dice.below(2 * MS)
    when = On(host, operation, 1 + draw.dice.exponential(30), subject="*.log", delay_ns=delay_ns)
    return (f.Crash(when, host, draw.for_ns(3), "torn"),)


def _crash_loop(draw: _Draw) -> tuple[Fault, ...]:
    host, dice = draw.host(), draw.dice
    times, up_ns, down_ns = dice.between(2, 5), dice.between(1, 400) * MS, dice.between(1, 400) * MS
    return (f.CrashLoop(draw.when(host), host, times, up_ns, down_ns, dice.pick(_KEEPS)),)


def _pause(draw: _Draw) -> tuple[Fault, ...]:
    host = draw.host()
    return (f.Pause(draw.when(host), host, draw.for_ns()),)


def _clock(draw: _Draw) -> tuple[Fault, ...]:
    host, dice = draw.host(), draw.dice
    if dice.below(2):
        return (f.StepClock(draw.at(), host, dice.between(-3600, 3600) * SECOND // US),)
    return (f.DriftClock(draw.at(), host, dice.between(-1000, 1000)),)


def _one_way(draw: _Draw) -> tuple[Fault, ...]:
    source, target = draw.pair()
    return (f.Cut(draw.when(source), source, target, draw.for_ns(30)),)


def _partition(draw: _Draw) -> tuple[Fault, ...]:
    names = list(draw.names)
    draw.dice.shuffle(names)
    cut = draw.dice.between(1, len(names) - 1)
    return (f.Partition(draw.at(), (tuple(names[:cut]), tuple(names[cut:])), draw.for_ns(30)),)


def _slow(draw: _Draw) -> tuple[Fault, ...]:
    (source, target), dice = draw.pair(), draw.dice
    latency_ns, jitter_ns = dice.between(50, 2000) * MS, dice.between(0, 1000) * MS
    return (f.Slow(draw.at(), source, target, latency_ns, jitter_ns, draw.for_ns()),)


def _throttle(draw: _Draw) -> tuple[Fault, ...]:
    source, target = draw.pair()
    return (f.Throttle(draw.at(), source, target, draw.dice.between(300, 30_000), draw.for_ns()),)


def _loss(draw: _Draw) -> tuple[Fault, ...]:
    source, target = draw.pair()
    return (f.Loss(draw.at(), source, target, draw.dice.between(10_000, 300_000), draw.for_ns(30)),)


def _clog(draw: _Draw) -> tuple[Fault, ...]:
    source, target = draw.pair()
    return (f.Clog(draw.at(), source, target, draw.for_ns(25)),)


def _reset(draw: _Draw) -> tuple[Fault, ...]:
    one, other = draw.pair()
    return (f.Reset(draw.when(one), one, other),)


def _half_open(draw: _Draw) -> tuple[Fault, ...]:
    one, other = draw.pair()
    return (f.Vanish(draw.when(one), one, other),)


def _refuse(draw: _Draw) -> tuple[Fault, ...]:
    return (f.Refuse(draw.at(), draw.host(), draw.for_ns()),)


def _disk_error(draw: _Draw) -> tuple[Fault, ...]:
    operation, nth = draw.dice.pick(("sync", "write", "read", "sync_dir")), 1 + draw.dice.exponential(8)
    return (f.DiskError(draw.at(), draw.host(), operation, nth),)  # type: ignore[arg-type]


def _full_disk(draw: _Draw) -> tuple[Fault, ...]:
    return (f.FullDisk(draw.at(), draw.host(), draw.dice.pick((0, 100, 5000, 100_000)), draw.for_ns()),)


def _lying_sync(draw: _Draw) -> tuple[Fault, ...]:
    host, lie = draw.host(), draw.at()
    for_ns = draw.for_ns()
    crash = f.Crash(At(lie.time_ns + draw.dice.below(for_ns)), host, keep="lost")
    return (f.LyingSync(lie, host, for_ns), crash)


def _wipe(draw: _Draw) -> tuple[Fault, ...]:
    host = draw.host()
    return (f.Wipe(draw.when(host), host, draw.for_ns(5)),)


def _restore(draw: _Draw) -> tuple[Fault, ...]:
    host, backup = draw.host(), draw.at()
    return (f.Backup(backup, host), f.Restore(At(backup.time_ns + draw.dice.below(draw.span_ns)), host, draw.for_ns(5)))


def _rot(draw: _Draw) -> tuple[Fault, ...]:
    return (f.Rot(draw.at(), draw.host(), draw.dice.pick(("*", "*.log", "*.log"))),)


def _misdirect(draw: _Draw) -> tuple[Fault, ...]:
    return (f.Misdirect(draw.at(), draw.host(), 1 + draw.dice.exponential(10), "*.log"),)


_Maker = Callable[[_Draw], tuple[Fault, ...]]

SURVIVABLE: Final[Mapping[str, _Maker]] = {
    "crash": _crash,
    "torn": _torn,
    "crash_loop": _crash_loop,
    "pause": _pause,
    "clock": _clock,
    "one_way": _one_way,
    "partition": _partition,
    "slow": _slow,
    "throttle": _throttle,
    "loss": _loss,
    "clog": _clog,
    "reset": _reset,
    "half_open": _half_open,
    "refuse": _refuse,
    "disk_error": _disk_error,
    "full_disk": _full_disk,
}
"""Kinds of fault that the product promises to survive, and how one is drawn."""

DAMAGING: Final[Mapping[str, _Maker]] = {
    "lying_sync": _lying_sync,
    "wipe": _wipe,
    "restore": _restore,
    "rot": _rot,
    "misdirect": _misdirect,
}
"""Kinds that take away what was durable."""

KINDS: Final[Mapping[str, _Maker]] = {**SURVIVABLE, **DAMAGING}

_BY_TYPE: Final[Mapping[type[Fault], str]] = {
    f.Crash: "crash",
    f.CrashLoop: "crash_loop",
    f.Pause: "pause",
    f.StepClock: "clock",
    f.DriftClock: "clock",
    f.Cut: "one_way",
    f.Partition: "partition",
    f.Slow: "slow",
    f.Throttle: "throttle",
    f.Loss: "loss",
    f.Clog: "clog",
    f.Reset: "reset",
    f.Vanish: "half_open",
    f.Refuse: "refuse",
    f.DiskError: "disk_error",
    f.FullDisk: "full_disk",
    f.LyingSync: "lying_sync",
    f.Wipe: "wipe",
    f.Backup: "restore",
    f.Restore: "restore",
    f.Rot: "rot",
    f.Misdirect: "misdirect",
}

_TYPES: Final[Mapping[str, tuple[type[Fault], ...]]] = {
    kind: tuple(fault for fault, name in _BY_TYPE.items() if name == kind) for kind in KINDS
} | {"torn": (f.Crash,), "lying_sync": (f.LyingSync, f.Crash)}


def kind_of(fault: Fault) -> str:
    """The name of a fault's kind in swarms."""
    if isinstance(fault, f.Crash) and fault.keep == "torn":
        return "torn"
    return _BY_TYPE[type(fault)]


@dataclass(frozen=True, slots=True)
class Swarm:
    """How setups are drawn. Ranges are inclusive; ``each`` is how many faults a kind may have that is on.

    >>> setup = Swarm.default().draw(7)
    >>> setup == Swarm.default().draw(7), 3 <= setup.nodes <= 7
    (True, True)
    """

    nodes: tuple[int, int] = (3, 7)
    seconds: tuple[int, int] = (5, 30)
    operations: tuple[int, int] = (10, 80)
    kinds: tuple[str, ...] = tuple(SURVIVABLE)
    each: tuple[int, int] = (1, 3)
    on_ppm: int = 400_000
    """The chance of each kind to be on."""
    damaged_max: int | None = None
    """How many members may be damaged; by default a minority."""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise UsageError(f"there is no kind of fault {kind!r}; there are {', '.join(KINDS)}")
        for name, most in SETUP_MAX.items():
            for number in getattr(self, name):
                if type(number) is not int or number > most:
                    raise UsageError(f"a simulation has whole {name}, {most} at most, not {number!r}")

    @classmethod
    def default(cls) -> Swarm:
        """Everything that the product promises to survive."""
        return cls()

    @classmethod
    def calm(cls) -> Swarm:
        """No faults."""
        return cls(kinds=())

    def only(self, *kinds: str) -> Swarm:
        """The same with these kinds alone, always on."""
        return replace(self, kinds=kinds, on_ppm=MILLION)

    def also(self, *kinds: str) -> Swarm:
        """The same with more kinds."""
        return replace(self, kinds=(*self.kinds, *kinds))

    def fixed(self, *, nodes: int | None = None, seconds: int | None = None, operations: int | None = None) -> Swarm:
        """The same, with one value in the place of a range."""
        fixed = replace(
            self,
            nodes=self.nodes if nodes is None else (nodes, nodes),
            seconds=self.seconds if seconds is None else (seconds, seconds),
            operations=self.operations if operations is None else (operations, operations),
        )
        if not all(value is None or value >= 1 for value in (nodes, seconds, operations)):
            raise UsageError("a simulation has at least 1 node, 1 second and 1 operation")
        return fixed

    @property
    def fault_kinds(self) -> tuple[str, ...]:
        """What its plans may have, by the names that `faults.FAULT_KINDS` has.

        >>> Swarm.calm().also("torn", "clock").fault_kinds
        ('Crash', 'DriftClock', 'StepClock')
        """
        types = {fault for kind in self.kinds for fault in _TYPES[kind]}
        return tuple(sorted(fault.__name__ for fault in types))

    def draw(self, seed: int) -> Setup:
        """The setup of a seed: the same for ever, as long as the swarm is."""
        dice = Stream(seed, "swarm")
        nodes, seconds = dice.between(*self.nodes), dice.between(*self.seconds)
        operations = dice.between(*self.operations)
        names = tuple(f"n{number}" for number in range(nodes))
        plan: list[Fault] = []
        for kind in self.kinds:
            chance = Stream(seed, f"swarm {kind}")  # of its own: to leave out one kind changes no other
            if chance.chance(self.on_ppm):
                draw = _Draw(chance, names, nanoseconds(seconds))
                for _ in range(chance.between(*self.each)):
                    plan += KINDS[kind](draw)
        return Setup(nodes, seconds, operations, atlas(plan, nodes=nodes, damaged_max=self.damaged_max))
