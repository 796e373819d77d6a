"""A whole network of hosts in one process, run from one seed. No real I/O.

The scenario is an ordinary async function; it makes hosts, starts programs on them, breaks things
and looks at the outcome. Time is virtual and passes only when nothing can run.
"""

from __future__ import annotations

import functools
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, TypeVar, TypeVarTuple

import trio

from hydra_sync.errors import UsageError
from hydra_sync.testing.world import _trio_internals as internals
from hydra_sync.testing.world.clock import EventClock, nanoseconds
from hydra_sync.testing.world.connections import Farewell
from hydra_sync.testing.world.engine import Engine
from hydra_sync.testing.world.host import Host, HostDiedError
from hydra_sync.testing.world.incarnation import current_incarnation, incarnation_of
from hydra_sync.testing.world.links import Link
from hydra_sync.testing.world.network import Network
from hydra_sync.testing.world.operations import Operations
from hydra_sync.testing.world.platter import Keep
from hydra_sync.testing.world.remembered import remembered
from hydra_sync.testing.world.scheduler import Policy, Scheduler
from hydra_sync.testing.world.sockets import SimResolver, SimSocketFactory
from hydra_sync.testing.world.streams import Stream, Streams
from hydra_sync.testing.world.trace import Data, Trace
from hydra_sync.testing.world.tripwires import tripwires

__all__ = ["DeadlockError", "Result", "TimeLimitError", "World", "current_host"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Steps between garbage collections: at least so many, and so many for each living task. A collection looks at
# all that lives, so at a fixed pace a world of 100 nodes would do little else.
_COLLECT_STEPS: Final = 30_000
_COLLECT_STEPS_A_TASK: Final = 100
_FORCED_MAX: Final = 1000  # times that a task at the end may go back to waiting

_check_trio = functools.cache(internals.check)


class DeadlockError(AssertionError):
    """Nothing can ever happen again: no task can run, no timer is set, no packet is under way."""


class TimeLimitError(AssertionError):
    """The scenario took more virtual time than it was given."""


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """What came of a run; two runs with one ``digest`` were the same in every detail."""

    value: T
    digest: str
    steps: int  # of tasks
    virtual_s: float
    rows: int  # of the trace
    effects: Mapping[str, int]  # how often each kind of fault had an effect


class World:
    """One world, for one run. ``record`` keeps the rows of the trace, which costs memory.

    >>> async def scenario(world: World) -> str:
    ...     async def hello(stream: trio.SocketStream) -> None:
    ...         await stream.send_all(b"hello")
    ...
    ...     async def server(host: Host) -> None:
    ...         await trio.serve_tcp(hello, 80, host=host.ip)
    ...
    ...     async def client() -> bytes:
    ...         async with await trio.open_tcp_stream("server", 80) as stream:
    ...             return bytes(await stream.receive_some())
    ...
    ...     world.host("server").start(server)
    ...     browser = world.host("browser")
    ...     browser.start(lambda host: trio.sleep_forever())
    ...     return (await browser.call(client)).decode()
    >>> World(seed=7).run(scenario).value
    'hello'
    """

    def __init__(self, seed: int, *, record: bool = False, policy: Policy = "random", guarded: bool = True) -> None:
        self.seed = seed
        self.streams = Streams(seed)
        self.clock = EventClock(self._stuck, self.fail)
        self.trace = Trace(self.clock, record=record)
        scheduler = Scheduler(policy, self.streams["scheduler"], self.clock, self.trace, self.fail)
        self._engine = Engine(self.streams, self.clock, self.trace, scheduler)
        self.network = Network(self._engine)
        self._hosts: dict[str, Host] = {}
        self._guarded = guarded
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._error: BaseException | None = None
        self._started = False
        self._digest = ""
        self._forced = 0
        self._steps = 0
        self._ended_s = 0.0

    # Who is there

    def host(self, name: str) -> Host:
        """The host of this name, made when first named."""
        host = self._hosts.get(name)
        if host is None:
            host = Host(self._engine, self.network.add(name), self._require_nursery, self.fail)
            self._hosts[name] = host
        return host

    @property
    def hosts(self) -> Mapping[str, Host]:
        """All hosts so far, in the order of their making."""
        return MappingProxyType(self._hosts)

    def link(self, source: str, target: str) -> Link:
        """The link that carries packets from one host to another (one way)."""
        return self.network.link(source, target)

    @property
    def operations(self) -> Operations:
        """Where faults are armed at operations."""
        return self._engine.operations

    @property
    def effects(self) -> Counter[str]:
        """How often each kind of fault had an effect, so far."""
        return self._engine.effects

    # What happens

    def crash(self, name: str, *, keep: Keep = "random", sockets: Farewell = "silent") -> None:
        """Cut the power of a host; see `Host.crash`."""
        self._existing(name).crash(keep=keep, sockets=sockets)

    def kill(self, name: str) -> None:
        """End the process of a host; see `Host.kill`."""
        self._existing(name).kill()

    def restart(self, name: str) -> None:
        """Start a host again; see `Host.restart`."""
        self._existing(name).restart()

    def pause(self, name: str) -> None:
        """Stop the process of a host; see `Host.pause`."""
        self._existing(name).pause()

    def resume(self, name: str) -> None:
        """Let a paused host go on; see `Host.resume`."""
        self._existing(name).resume()

    def at(self, time_ns: int, act: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call ``act`` at a virtual time, when nothing can run: between the steps of all hosts."""
        self.clock.at_carefully(time_ns, act, *args)

    def after(self, delay_ns: int, act: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call ``act`` so much later; see `at`."""
        self.at(self.clock.now_ns + delay_ns, act, *args)

    @property
    def steps(self) -> int:
        """How many steps tasks had made when the run ended, however it did."""
        return self._steps

    @property
    def virtual_s(self) -> float:
        """When the run ended, in virtual seconds."""
        return self._ended_s

    def random(self, name: str) -> Stream:
        """A stream of random integers for the scenario itself, of this world's seed."""
        return self.streams[f"scenario {name}"]

    def note(self, kind: str, *data: str | int, cause: int = -1) -> int:
        """Write something of your own into the trace; gives the number of the row, to be a cause."""
        incarnation = current_incarnation()
        row: Data = data
        if incarnation is None:
            return self.trace.row(kind, data=row, cause=cause)
        return self.trace.row(kind, incarnation.host, incarnation.number, row, cause)

    def fail(self, error: BaseException) -> None:
        """Let the run end with this error, unless it has one already or is over."""
        if self._error is None and not self._engine.ended:
            self._error = error
            self.trace.row("fail", data=(type(error).__name__,))
            self._scope.cancel()

    # Running

    def run(self, scenario: Callable[[World], Awaitable[T]], *, limit_s: float | None = None) -> Result[T]:
        """Run ``await scenario(world)`` to its end and say what came of it.

        Raises what the scenario raises, or what left the main function of a host; `DeadlockError` if
        nothing can ever happen again, `TimeLimitError` after ``limit_s`` of virtual time.
        """
        if self._started:
            raise UsageError("a world runs once: make another one, of the same seed if you like")
        self._started = True
        _check_trio()
        if limit_s is not None:
            self.at(nanoseconds(limit_s), self._out_of_time, limit_s)
        values: list[T] = []
        with ExitStack() as undo:
            undo.enter_context(internals.own_schedule(self._engine.scheduler))
            undo.enter_context(_collecting(self._engine.scheduler))
            undo.enter_context(remembered())
            if self._guarded:
                undo.enter_context(tripwires(self.fail))
            # Set here, and not in the main task, so that hosts which events start see it, too.
            undo.callback(_current_world.reset, _current_world.set(self))
            trio.run(self._main, scenario, values, clock=self.clock)
        if self._error is not None:
            self._error.add_note(f"in the world of seed {self.seed}, after {self._ended_s:.6f} virtual seconds")
            raise self._error
        return Result(
            value=values[0],
            digest=self._digest,
            steps=self._steps,
            virtual_s=self._ended_s,
            rows=self.trace.count,
            effects=MappingProxyType(dict(sorted(self.effects.items()))),
        )

    async def _main(self, scenario: Callable[[World], Awaitable[T]], values: list[T]) -> None:
        trio.socket.set_custom_socket_factory(SimSocketFactory(self._engine, self.network))
        trio.socket.set_custom_hostname_resolver(SimResolver(self.network))
        with internals.rare_polls(), internals.no_instruments():
            async with trio.open_nursery() as self._nursery:
                try:
                    with self._scope:
                        values.append(await scenario(self))
                except BaseException as error:  # it is raised by `run`
                    self.fail(error)
                self._end()

    def _end(self) -> None:
        """The verdict is in. Cancel everyone, in an environment where nothing works any more."""
        self._digest, self._steps = self.trace.digest, self._engine.scheduler.steps
        self._ended_s = self.clock.current_time()
        self.trace.close()
        self._engine.ended = True
        self._engine.scheduler.end()
        self.clock.abandon()
        for host in self._hosts.values():
            host.end()
        self._require_nursery().cancel_scope.cancel()

    def _stuck(self) -> None:
        """Called by the clock when there is nothing to wait for."""
        if self._engine.ended or self._error is not None:  # someone shields himself from the end
            self._force_the_end()
            return
        states = ", ".join(f"{host.name} {host.state}" for host in self._hosts.values())
        self.fail(DeadlockError(f"no task can run, no timer is set, no packet is under way; hosts: {states or 'none'}"))

    def _force_the_end(self) -> None:
        """Take off all shields; if that was not enough, raise an error in whatever still waits."""
        self._forced += 1
        assert self._forced < _FORCED_MAX, "some task of a host goes on for ever after the end of its world"
        for task in internals.Run.current().all_tasks():
            internals.unshield(task)
            if self._forced > 2 and incarnation_of(task) is not None:
                internals.wake_with_error(task, HostDiedError("the simulated world has ended"))

    def _out_of_time(self, limit_s: float) -> None:
        self.fail(TimeLimitError(f"the scenario did not end within {limit_s} virtual seconds"))

    def _require_nursery(self) -> trio.Nursery:
        if self._nursery is None:
            raise UsageError("hosts can be started in a running world only: do it in the scenario")
        return self._nursery

    def _existing(self, name: str) -> Host:
        self.network.machine(name)
        return self.host(name)


def current_host() -> Host:
    """The host whose code calls this; `UsageError` outside of any."""
    incarnation, world = current_incarnation(), _current_world.get()
    if incarnation is None or world is None:
        raise UsageError("this is not code of a simulated host")
    return world.host(incarnation.host)


_current_world: ContextVar[World | None] = ContextVar("hydra_sync.testing world", default=None)


@contextmanager
def _collecting(scheduler: Scheduler) -> Iterator[None]:
    """Collect garbage at fixed steps, so that finalizers run at the same moments in every replay."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    scheduler.after(_COLLECT_STEPS, _collect)
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
        _tidy(scheduler.steps)


_untidied = 0  # steps of worlds that may be garbage now


def _tidy(steps: int) -> None:
    """Collect what worlds of so many steps, or more, have left. A world is one great cycle, with its disks in
    it; and what is garbage when the next one begins is frozen, so that nobody would ever find it."""
    global _untidied  # noqa: PLW0603  the collector is the process's
    _untidied += steps
    if _untidied >= _COLLECT_STEPS:
        _untidied = 0
        gc.collect()


def _collect() -> int:
    """Collect garbage now; after how many steps to do it again."""
    gc.collect()
    return max(_COLLECT_STEPS, _COLLECT_STEPS_A_TASK * trio.lowlevel.current_statistics().tasks_living)
