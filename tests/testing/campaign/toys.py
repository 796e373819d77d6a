"""Small scenarios with planted bugs, for shrinking and campaigns to find."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from hydra_sync.testing import MS, SECOND, Host, Injector, Policy, Stream, World
from hydra_sync.testing.plan.faults import (
    At,
    Clog,
    Crash,
    Cut,
    Fault,
    On,
    Partition,
    Pause,
    Plan,
    Reset,
    Rot,
    Slow,
    StepClock,
)
from hydra_sync.testing.plan.scenario import Failure, Outcome, Setup


class BrokenPromiseError(Exception):
    """An invariant does not hold; its first argument is the name."""


Body = Callable[[World, Setup, Counter[str]], Awaitable[None]]


@dataclass
class Toy:
    """A scenario of a function; signals are what it counts, and every name in ``registered``."""

    name: str
    body: Body
    plan: Callable[[Stream, int], Plan] = lambda chance, nodes: ()
    nodes: int = 3
    seconds: float = 3.0
    operations: int = 20
    registered: tuple[str, ...] = ()
    fault_kinds: tuple[str, ...] = ()
    runs: int = field(default=0)

    def draw(self, seed: int) -> Setup:
        return Setup(
            self.nodes, self.seconds, self.operations, self.plan(Stream(seed, f"plan of {self.name}"), self.nodes)
        )

    def run(self, seed: int, setup: Setup | None = None, *, record: bool = False, policy: Policy = "random") -> Outcome:
        self.runs += 1
        setup = self.draw(seed) if setup is None else setup
        world = World(seed, record=record, policy=policy)
        signals = Counter(dict.fromkeys(self.registered, 0))
        failure = None
        try:
            world.run(lambda world: self.body(world, setup, signals))
        except BrokenPromiseError as error:
            failure = Failure(str(error.args[0]), str(error.args[-1]), world.clock.now_ns)
        except Exception as error:
            failure = Failure(type(error).__name__, str(error), world.clock.now_ns)
        figures = (world.trace.digest, world.clock.now_ns % 977, world.clock.now_ns / SECOND, failure)
        return Outcome(self.name, seed, setup, *figures, dict(world.effects), dict(signals), tuple(world.trace.rows))


# A counter that loses what it acknowledged if two crashes come together with a pause: three faults.


def many_faults(chance: Stream, nodes: int) -> Plan:
    """A dozen faults, most of which do no harm."""

    def one() -> Fault:
        when = At(chance.between(1, 2900) * MS)
        host, other = (f"n{i}" for i in (chance.below(nodes), chance.below(nodes)))
        kinds: tuple[Fault, ...] = (
            Crash(when, host, down_ns=chance.between(50, 900) * MS),
            Crash(On(host, "write", nth=chance.between(1, 9), delay_ns=chance.below(MS)), host),
            Pause(when, host, for_ns=chance.between(50, 900) * MS),
            Pause(when, host, for_ns=chance.between(50, 900) * MS),
            StepClock(when, host, by_us=chance.between(-9999, 9999)),
            Reset(when, host, other),
            Partition(when, (("n0",), tuple(f"n{i}" for i in range(1, nodes))), for_ns=chance.between(1, 900) * MS),
            Slow(when, host, other, latency_ns=chance.between(1, 90) * MS),
        )
        return chance.pick(kinds)

    return tuple(one() for _ in range(12))


async def fragile(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Each node writes a file over and over. The bug: one that crashed twice and was paused ends badly."""
    hosts = [world.host(f"n{i}") for i in range(setup.nodes)]
    present = {host.name for host in hosts}
    plan = [fault for fault in setup.plan if _names(fault) <= present]

    async def main(host: Host) -> None:
        file = await host.disk.open(Path("/log"), "create" if host.incarnation == 1 else "write")
        await host.disk.sync_dir(Path("/"))
        for _ in range(setup.operations):
            await file.write_at(0, b"x" * 600)
            await file.sync()
            await trio.sleep(0.1)
        await trio.sleep_forever()

    for host in hosts:
        host.start(main, expected=(FileNotFoundError,))
    Injector(world, plan)
    crashes, pauses = Counter[str](), Counter[str]()
    for _ in range(round(setup.seconds * 20)):
        await trio.sleep(0.05)
        for host in hosts:
            crashes[host.name] = max(crashes[host.name], host.incarnation - 1)
            pauses[host.name] |= host.state == "paused"
            if crashes[host.name] >= 2 and pauses[host.name]:
                signals["broken"] += 1
                raise BrokenPromiseError("S1", f"{host.name} lost what it had promised")
            if crashes[host.name] >= 4:
                raise BrokenPromiseError("S7", f"{host.name} has too many lives")


def _names(fault: Fault) -> set[str]:
    if isinstance(fault, Partition):
        return {name for side in fault.sides for name in side}
    fields = ("host", "source", "target", "one", "other")
    return {getattr(fault, name) for name in fields if hasattr(fault, name)}


# Others, each with one thing to report.


async def idle(host: Host) -> None:
    del host
    await trio.sleep_forever()


async def peaceful(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Nothing ever goes wrong."""
    world.host("n0").start(idle)
    world.host("n1").start(idle)
    Injector(world, setup.plan)
    await trio.sleep(setup.seconds)
    world.note("done", world.random("x").below(1000))
    signals["slept"] += 1


async def every_third(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Fails for every third seed."""
    await peaceful(world, setup, signals)
    if world.seed % 3 == 0:
        raise BrokenPromiseError("S4", "three divides the seed")


async def by_hash(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Iterates over a set of text, whose order depends on the hash seed."""
    for name in {"a", "b", "c", "d", "e", "f", "g"}:  # noqa: PLC0208 (that is the bug)
        world.note("visit", name)
        await trio.sleep(0.01)


async def by_address(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Writes down where an object lies in memory."""
    await trio.sleep(0.01)
    world.note("object", id(world) % 1_000_003)


async def slow(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Odd seeds take for ever, in real time."""
    await trio.sleep(0.01)
    while world.seed % 2:
        time.sleep(0.05)  # noqa: ASYNC251 (that is the bug)


async def sudden(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Seed 1 takes its whole process along."""
    await trio.sleep(0.01)
    if world.seed == 1:
        print("goodbye\nand thanks")
        raise SystemExit(7)


async def deaf(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Takes for ever twice, and does not hear that its time is over."""
    with suppress(BaseException):
        await slow(world, setup, signals)
    await slow(world, setup, signals)


async def unwritable(world: World, setup: Setup, signals: Counter[str]) -> None:
    """Fails with words that no terminal has characters for."""
    raise BrokenPromiseError("S4", "half a character: \ud800")


def harmless(chance: Stream, nodes: int) -> Plan:
    """A rot where there are no files, and a pause that works."""
    del chance, nodes
    return (Rot(At(SECOND), "n0"), Pause(At(SECOND), "n1"), Clog(At(SECOND), "n0", "n1"), Cut(At(SECOND), "n0", "n1"))


SCENARIOS: Final[Mapping[str, Toy]] = {
    toy.name: toy
    for toy in (
        Toy("fragile", fragile, many_faults, nodes=5, registered=("broken",)),
        Toy("peaceful", peaceful, registered=("slept", "dreamt")),
        Toy("every-third", every_third, harmless),
        Toy("toothless", peaceful, harmless, fault_kinds=("Pause", "Wipe")),
        Toy("by-hash", by_hash),
        Toy("by-address", by_address),
        Toy("slow", slow),
        Toy("sudden", sudden),
        Toy("deaf", deaf),
        Toy("unwritable", unwritable),
    )
}
