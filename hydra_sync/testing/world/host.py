"""A simulated host: a machine with a disk and clocks, and the processes that live and die on it.

No real I/O. A crash is a freeze: not one more line of the victim's code runs, no ``finally``, no
shielded goodbye. What it had open on disk and network ends as after a power cut.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar, TypeVarTuple

import trio

from hydra_sync.errors import UsageError
from hydra_sync.testing.world.connections import Farewell, Machine
from hydra_sync.testing.world.disk import SimDisk
from hydra_sync.testing.world.engine import Engine
from hydra_sync.testing.world.incarnation import Incarnation
from hydra_sync.testing.world.platter import Keep
from hydra_sync.testing.world.wall_clock import WallClock

__all__ = ["Host", "HostDiedError", "Main", "State"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

State = Literal["new", "up", "paused", "down", "exited"]
"""``down`` after a crash, ``exited`` when the main function has returned."""


class HostDiedError(Exception):
    """The host crashed, or its process ended, before the call was done."""


class Host:
    """Made by `World.host`. Its ``disk``, ``wall_clock`` and `entropy` are what to inject into a program."""

    def __init__(
        self,
        engine: Engine,
        machine: Machine,
        nursery: Callable[[], trio.Nursery],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.name = machine.name
        self.ip = machine.ip
        self.machine = machine
        self.disk = SimDisk(engine, machine.name)
        self.wall_clock = WallClock(lambda: engine.clock.now_ns)
        self.state: State = "new"
        self.incarnation = 0
        self.failure: BaseException | None = None  # what ended the last process, if it was expected
        self._engine = engine
        self._nursery = nursery
        self._fail = fail
        self._main: Main | None = None
        self._expected: tuple[type[BaseException], ...] = ()
        self._life: Incarnation | None = None
        self._lives: list[Incarnation] = []

    def __repr__(self) -> str:
        return f"<host {self.name} {self.ip} {self.state}, incarnation {self.incarnation}>"

    def entropy(self, count: int) -> bytes:
        """Random bytes of this host's own stream: the seam to use in place of `os.urandom`."""
        return self._engine.streams[f"entropy {self.name}"].bytes(count)

    @property
    def alive(self) -> bool:
        """Whether there is a process, paused or not."""
        return self.state in {"up", "paused"}

    # Life

    def start(self, main: Main, *, expected: tuple[type[BaseException], ...] = ()) -> None:
        """Run ``await main(host)`` as the process of this host.

        An error that leaves it fails the world, unless it is one of ``expected``, as when a program
        refuses to start on a damaged disk.
        """
        if self.alive:
            raise UsageError(f"host {self.name} is {self.state} already")
        self._main, self._expected, self.failure = main, expected, None
        self.incarnation += 1
        self._life = Incarnation(self.name, self.incarnation)
        self._lives.append(self._life)
        self.state = "up"
        self._engine.trace.row("start", self.name, self.incarnation)
        self.machine.boot()
        self._life.spawn(self._nursery(), self._live, self._life, main)

    def restart(self) -> None:
        """Start again, after a crash or an exit, what was started last."""
        if self._main is None:
            raise UsageError(f"host {self.name} was never started")
        self.start(self._main, expected=self._expected)

    def crash(self, *, keep: Keep = "random", sockets: Farewell = "silent") -> None:
        """Cut the power. By default, each unsynced write is by chance lost, kept or torn, and the peers
        hear nothing until the host is up again. Called by its own code, it takes effect at the next await.
        """
        life = self._require_life()
        self._engine.trace.row("crash", self.name, life.number, (keep, sockets))
        self._engine.bit("host.crash")
        self.state = "down"
        self._bury(life, keep, sockets)

    def kill(self) -> None:
        """End the process only (SIGKILL): the page cache stays, the kernel closes the connections."""
        self.crash(keep="cache", sockets="close")

    def pause(self) -> None:
        """Stop the process (SIGSTOP); its kernel goes on, its timers fire when it is resumed."""
        life = self._require_life()
        if self.state == "paused":
            raise UsageError(f"host {self.name} is paused already")
        self._engine.trace.row("pause", self.name, life.number)
        self._engine.bit("host.pause")
        self.state = "paused"
        self._engine.scheduler.freeze(life)

    def resume(self) -> None:
        """Undo `pause`."""
        life = self._require_life()
        if self.state != "paused":
            raise UsageError(f"host {self.name} is not paused")
        self._engine.trace.row("resume", self.name, life.number)
        self.state = "up"
        self._engine.scheduler.thaw(life)

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """What ``function`` returns or raises, run as code of this host. `HostDiedError` if it dies before."""
        life = self._require_life()
        done = trio.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        async def job() -> None:
            try:
                results.append(await function(*args))
            except BaseException as error:  # it is raised by who called
                errors.append(error)
            done.set()

        life.on_death.append(done.set)
        life.spawn(self._nursery(), job)
        await done.wait()
        if done.set in life.on_death:
            life.on_death.remove(done.set)
        if errors:
            raise errors[0]
        if not results:
            raise HostDiedError(f"host {self.name} died in its incarnation {life.number}")
        return results[0]

    async def wait_end(self) -> None:
        """Return when the present process has crashed or exited."""
        if self._life is not None and not self._life.dead:
            ended = trio.Event()
            self._life.on_death.append(ended.set)
            await ended.wait()

    def end(self) -> None:
        """The world ends: let the frozen tasks unwind, in an environment where nothing works any more."""
        for life in self._lives:
            life.dead = True
            life.thaw()

    # Inside

    async def _live(self, life: Incarnation, main: Main) -> None:
        """The first task of a process. What it says once it is dead, nobody hears."""
        try:
            await main(self)
        except BaseException as error:
            if life.dead or self._engine.ended:
                return
            if _is_only(error, self._expected):
                self.failure = error
            else:
                error.add_note(f"in the main function of host {self.name}, incarnation {life.number}")
                self._fail(error)
        if not life.dead and not self._engine.ended:
            self._engine.trace.row("exit", self.name, life.number)
            self.state = "exited"
            self._bury(life, "cache", "close")

    def _bury(self, life: Incarnation, keep: Keep, sockets: Farewell) -> None:
        if not life.frozen:
            self._engine.scheduler.freeze(life)
        self.machine.stop(sockets)
        self.disk.crash(keep)
        life.die()

    def _require_life(self) -> Incarnation:
        if not self.alive or self._life is None:
            raise UsageError(f"host {self.name} is {self.state}: nothing runs there")
        return self._life


Main = Callable[[Host], Awaitable[object]]


def _is_only(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether an error, or each of a group, is of one of these kinds."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_only(part, kinds) for part in error.exceptions)
    return isinstance(error, kinds)
