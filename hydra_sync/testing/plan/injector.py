"""Carries out a plan of faults in a running world. No real I/O.

A fault whose moment finds nothing to break (a crash of a host that is down) is skipped, so any part
of a plan is a plan: that is what makes shrinking possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial, singledispatchmethod
from typing import Final

from hydra_sync.errors import UsageError
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.faults import At, Fault, Plan
from hydra_sync.testing.world.connections import Farewell
from hydra_sync.testing.world.host import Host
from hydra_sync.testing.world.operations import Operation, Strike
from hydra_sync.testing.world.platter import Image, Keep
from hydra_sync.testing.world.world import World

__all__ = ["Injector"]


class Injector:
    """Arms a plan when made; ``injected`` counts, by kind, the faults that found something to break.

    So does `World.effects`, as ``fault.Crash`` and so on: several kinds may share the name of an effect.
    Whether a fault then had an effect is another question: see `toothless`.
    """

    def __init__(self, world: World, plan: Iterable[Fault]) -> None:
        self.plan: Plan = tuple(plan)
        self.injected: Counter[str] = Counter()
        self._world = world
        self._backups: dict[str, Image] = {}
        self._strikes: list[Strike] = []
        self._stopped = False
        for fault in self.plan:
            self._arm(fault)

    def toothless(self) -> list[str]:
        """The kinds of fault in the plan that never had an effect."""
        kinds = dict.fromkeys(type(fault) for fault in self.plan)
        return [kind.__name__ for kind in kinds if not kind.bit(self._world.effects)]

    def stop(self) -> None:
        """No more faults, and an end to those that last: links whole and as usual, disks honest and
        empty enough, hosts running. What was lost stays lost."""
        self._stopped = True
        world = self._world
        for strike in self._strikes:
            world.operations.disarm(strike)
        world.network.repair()
        for host in world.hosts.values():
            host.machine.refusing = False
            host.disk.capacity_bytes, host.disk.lies = None, False
            if host.state == "paused":
                host.resume()
            elif host.state == "down":
                host.restart()

    # When

    def _arm(self, fault: Fault) -> None:
        when = fault.when
        act: Callable[[], object] = partial(self._inject, fault)
        if isinstance(when, At):
            now_ns = self._world.clock.now_ns
            if when.time_ns <= now_ns and now_ns:  # whoever arms it is between the steps of all hosts, too
                act()
            else:
                self._world.at(when.time_ns, act)
            return
        if when.delay_ns:
            act = partial(self._world.after, when.delay_ns, act)
        strike = self._world.operations.arm(
            when.host, when.operation, nth=when.nth, subject=when.subject, phase=when.phase, act=act
        )
        self._strikes.append(strike)

    def _inject(self, fault: Fault) -> None:
        if not self._stopped and self._apply(fault):
            self.injected[type(fault).__name__] += 1
            self._world.effects[f"fault.{type(fault).__name__}"] += 1
            self._world.note("fault", type(fault).__name__)

    def _later(self, delay_ns: int, act: Callable[[], object]) -> None:
        def unless_stopped() -> None:
            if not self._stopped:
                act()

        self._world.after(delay_ns, unless_stopped)

    # What: each says whether there was anything to break

    @singledispatchmethod
    def _apply(self, fault: Fault) -> bool:
        raise UsageError(f"no injector for {fault!r}")

    @_apply.register
    def _(self, fault: f.Crash) -> bool:
        return self._crash(fault.host, fault.down_ns, fault.keep, fault.sockets)

    @_apply.register
    def _(self, fault: f.CrashLoop) -> bool:
        def once_more(left: int) -> None:
            if self._crash(fault.host, fault.down_ns, fault.keep) and left > 1:
                self._later(fault.down_ns + fault.up_ns, partial(once_more, left - 1))

        alive = self._host(fault.host).alive
        once_more(fault.times)
        return alive

    @_apply.register
    def _(self, fault: f.Wipe) -> bool:
        return self._replace_disk(fault.host, {}, "disk.wipe", fault.down_ns)

    @_apply.register
    def _(self, fault: f.Backup) -> bool:
        self._backups[fault.host] = self._host(fault.host).disk.image()
        self._world.effects["disk.backup"] += 1
        return True

    @_apply.register
    def _(self, fault: f.Restore) -> bool:
        image = self._backups.get(fault.host)
        return image is not None and self._replace_disk(fault.host, image, "disk.restore", fault.down_ns)

    @_apply.register
    def _(self, fault: f.Pause) -> bool:
        host = self._host(fault.host)
        if host.state != "up":
            return False
        host.pause()
        incarnation = host.incarnation

        def resume() -> None:
            if host.state == "paused" and host.incarnation == incarnation:
                host.resume()

        self._later(fault.for_ns, resume)
        return True

    @_apply.register
    def _(self, fault: f.StepClock) -> bool:
        self._host(fault.host).wall_clock.step(fault.by_us)
        self._world.effects["clock.step"] += 1
        return True

    @_apply.register
    def _(self, fault: f.DriftClock) -> bool:
        self._host(fault.host).wall_clock.drift(fault.parts_per_million)
        self._world.effects["clock.drift"] += 1
        return True

    @_apply.register
    def _(self, fault: f.Cut) -> bool:
        return self._cut([(fault.source, fault.target)], fault.for_ns)

    @_apply.register
    def _(self, fault: f.Partition) -> bool:
        return self._cut(self._world.network.across(*fault.sides), fault.for_ns)

    @_apply.register
    def _(self, fault: f.Slow) -> bool:
        shape = {"latency_ns": fault.latency_ns, "jitter_ns": fault.jitter_ns}
        return self._reshape(fault.source, fault.target, shape, fault.for_ns)

    @_apply.register
    def _(self, fault: f.Throttle) -> bool:
        return self._reshape(fault.source, fault.target, {"bytes_per_s": fault.bytes_per_s}, fault.for_ns)

    @_apply.register
    def _(self, fault: f.Loss) -> bool:
        return self._reshape(fault.source, fault.target, {"loss_ppm": fault.parts_per_million}, fault.for_ns)

    @_apply.register
    def _(self, fault: f.Clog) -> bool:
        self._world.link(fault.source, fault.target).clog(fault.for_ns)
        return True

    @_apply.register
    def _(self, fault: f.Reset) -> bool:
        return self._world.network.reset(fault.one, fault.other) > 0

    @_apply.register
    def _(self, fault: f.Vanish) -> bool:
        return self._world.network.vanish(fault.one, fault.other) > 0

    @_apply.register
    def _(self, fault: f.Refuse) -> bool:
        machine = self._host(fault.host).machine
        machine.refusing = True
        self._later(fault.for_ns, partial(setattr, machine, "refusing", False))
        return True

    @_apply.register
    def _(self, fault: f.DiskError) -> bool:
        self._arm_effect(fault.host, fault.operation, fault.nth, fault.subject, _ERRORS[fault.operation])
        return True

    @_apply.register
    def _(self, fault: f.Misdirect) -> bool:
        self._arm_effect(fault.host, "write", fault.nth, fault.subject, "misdirect")
        return True

    @_apply.register
    def _(self, fault: f.LyingSync) -> bool:
        disk = self._host(fault.host).disk
        disk.lies = True
        self._later(fault.for_ns, partial(setattr, disk, "lies", False))
        return True

    @_apply.register
    def _(self, fault: f.FullDisk) -> bool:
        disk = self._host(fault.host).disk
        disk.capacity_bytes = disk.used_bytes + fault.free_bytes
        self._later(fault.for_ns, partial(setattr, disk, "capacity_bytes", None))
        return True

    @_apply.register
    def _(self, fault: f.Rot) -> bool:
        return self._host(fault.host).disk.rot(fault.pattern, offset=fault.offset)

    # How

    def _host(self, name: str) -> Host:
        self._world.network.machine(name)
        return self._world.host(name)

    def _crash(self, name: str, down_ns: int | None, keep: Keep, sockets: Farewell = "silent") -> bool:
        host = self._host(name)
        if not host.alive:
            return False
        host.crash(keep=keep, sockets=sockets)
        if down_ns is not None:
            self._later(down_ns, partial(_restart_if_down, host, host.incarnation))
        return True

    def _replace_disk(self, name: str, image: Image, effect: str, down_ns: int) -> bool:
        if not self._crash(name, down_ns, "lost"):
            return False
        self._host(name).disk.replace(image)
        self._world.effects[effect] += 1
        return True

    def _cut(self, pairs: Iterable[tuple[str, str]], for_ns: int) -> bool:
        links = [link for source, target in pairs if not (link := self._world.link(source, target)).is_cut]
        for link in links:
            link.cut()
            self._later(for_ns, link.heal)
        return bool(links)

    def _reshape(self, source: str, target: str, changes: Mapping[str, int], for_ns: int) -> bool:
        link = self._world.link(source, target)
        usual = {name: getattr(link.usual, name) for name in changes}
        link.reshape(replace(link.shape, **changes))
        self._later(for_ns, lambda: link.reshape(replace(link.shape, **usual)))
        return True

    def _arm_effect(self, host: str, operation: Operation, nth: int, subject: str, effect: str) -> None:
        strike = self._world.operations.arm(host, operation, nth=nth, subject=subject, effect=effect)
        self._strikes.append(strike)


_ERRORS: Final[Mapping[str, str]] = {
    "read": "read_error",
    "write": "write_error",
    "sync": "sync_error",
    "sync_dir": "sync_error",
}


def _restart_if_down(host: Host, incarnation: int) -> None:
    if host.state == "down" and host.incarnation == incarnation:
        host.restart()
