"""The proxy itself: listens on its routes, and applies a plan to their links. Does network I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from hydra_sync.config import Address
from hydra_sync.errors import UsageError
from hydra_sync.tasks import Signal, open_tasks
from hydra_sync.testing.chaos_proxy.relay import CONNECTIONS_MAX, Connection, close
from hydra_sync.testing.chaos_proxy.routes import CLEAR, Route, require_network_faults
from hydra_sync.testing.chaos_proxy.timetable import TrioTimetable
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.faults import At, Fault, Plan
from hydra_sync.testing.world.clock import MS, SECOND
from hydra_sync.testing.world.connections import WINDOW_BYTES
from hydra_sync.testing.world.links import Link, Shape
from hydra_sync.testing.world.streams import Streams
from hydra_sync.testing.world.trace import Data, Row

__all__ = ["ChaosProxy", "Trouble"]

_LISTEN_RETRY_NS: Final = 50 * MS  # someone else may have taken the port meanwhile


@dataclass(frozen=True, slots=True)
class Trouble:
    """Faults at random times, besides those of a plan; the mean times between them, or 0 for never."""

    cut_every_ns: int = 0
    cut_for_ns: int = SECOND
    reset_every_ns: int = 0


class ChaosProxy:
    """A proxy on some routes. Makes what it does known as rows of a trace, to ``on_row``.

    Links are ``shape`` at first, and all chance comes from ``seed``. Times of the plan count from `run`.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        plan: Iterable[Fault] = (),
        *,
        seed: int = 0,
        shape: Shape = CLEAR,
        trouble: Trouble = Trouble(),
        window_bytes: int = WINDOW_BYTES,
        on_row: Callable[[Row], object] | None = None,
    ) -> None:
        if not routes:
            raise UsageError("a proxy needs a route, or nobody passes through it")
        self.routes = tuple(routes)
        self.plan: Plan = tuple(plan)
        require_network_faults(self.plan, self.routes)
        self.streams = Streams(seed)
        self.effects: Counter[str] = Counter()
        """How often each kind of fault had an effect."""
        self._shape = shape
        self._trouble = trouble
        self._window_bytes = window_bytes
        self._on_row = on_row
        self._rows = 0
        self._links: dict[tuple[str, str], Link] = {}
        self._connections: dict[int, Connection] = {}
        self._dialed = 0
        self._refusing: Counter[str] = Counter()
        self._accepting: dict[str, list[trio.CancelScope]] = {}
        self._willing = Signal()

    async def run(self, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED) -> None:
        """Relay until cancelled. Started, it says where it listens, in the order of the routes.

        `UsageError` if it cannot listen there.
        """
        self.clock = TrioTimetable()
        for route in self.routes:
            for ends in ((route.source, route.target), (route.target, route.source)):
                self._links.setdefault(ends, Link(self, *ends, self._shape))
        async with open_tasks() as nursery:
            listening = [await nursery.start(self._serve, route, nursery) for route in self.routes]
            for fault in self.plan:
                assert isinstance(fault.when, At)
                self.clock.at(fault.when.time_ns, self.inject, fault)
            nursery.start_soon(self.clock.run)
            nursery.start_soon(self._cut_now_and_then)
            nursery.start_soon(self._reset_now_and_then)
            task_status.started(listening)

    # What links need: see `Carrier`

    def row(self, kind: str, host: str, data: Data = (), cause: int = -1) -> int:
        """Make known what happened."""
        self._rows += 1
        if self._on_row is not None:
            self._on_row(Row(self._rows - 1, self.clock.now_ns, host, 0, kind, cause, data))
        return self._rows - 1

    def bit(self, effect: str) -> None:
        """Count that a fault had an effect."""
        self.effects[effect] += 1

    # Connections

    async def _serve(
        self, route: Route, nursery: trio.Nursery, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen, but not while the target refuses: then the kernel does it for us."""
        try:
            listeners = await trio.open_tcp_listeners(route.listen.port, host=route.listen.host)
        except OSError as error:
            raise UsageError(f"cannot listen on {route.listen}: {error.strerror or error}") from error
        port = listeners[0].socket.getsockname()[1]
        where = Address(route.listen.host, port)
        task_status.started(where)
        scopes = self._accepting.setdefault(route.target, [])
        while True:
            self.row("listen", route.source, (route.target, str(where), str(route.connect)))
            with trio.CancelScope() as scope:
                scopes.append(scope)
                await trio.serve_listeners(partial(self._pass, route), listeners, handler_nursery=nursery)
            scopes.remove(scope)
            while self._refusing[route.target]:
                await self._willing.wait()
            listeners = await self._listen_again(route.listen.host, port)

    async def _listen_again(self, host: str, port: int) -> list[trio.SocketListener]:
        while True:
            try:
                return await trio.open_tcp_listeners(port, host=host)
            except OSError as error:
                self.row("cannot_listen", "", (f"{host}:{port}", str(error)))
                await trio.sleep(_LISTEN_RETRY_NS / SECOND)

    async def _pass(self, route: Route, client: trio.SocketStream) -> None:
        """Handle one connection, from its being accepted to its end."""
        if len(self._connections) >= CONNECTIONS_MAX:
            self.row("too_many", route.source, (route.target, CONNECTIONS_MAX))
            close(client, with_reset=True)
            return
        self._dialed += 1
        number = self._dialed
        there, back = self._links[route.source, route.target], self._links[route.target, route.source]
        connection = self._connections[number] = Connection(number, there, back, self._window_bytes, self.bit)
        self.row("open", route.source, (route.target, number))
        try:
            await connection.run(client, route.connect)
        finally:
            del self._connections[number]
            kind = "reset" if connection.broken else "close"
            if connection.failure is not None:
                self.row("unreachable", route.source, (route.target, number, str(connection.failure)))
            passed = connection.there.passed_bytes, connection.back.passed_bytes
            self.row(kind, route.source, (route.target, number, *passed))

    # Faults

    def inject(self, fault: Fault) -> None:
        """Apply a fault now, whatever its time."""
        if self._apply(fault):
            self.row("fault", "", (type(fault).__name__,))

    def _apply(self, fault: Fault) -> bool:
        """Says whether there was anything to break."""
        match fault:
            case f.Cut(source=source, target=target, for_ns=for_ns):
                return self._cut([(source, target)], for_ns)
            case f.Partition(sides=sides, for_ns=for_ns):
                return self._cut(self._across(sides), for_ns)
            case f.Slow(latency_ns=latency_ns, jitter_ns=jitter_ns):
                return self._reshape(fault, {"latency_ns": latency_ns, "jitter_ns": jitter_ns})
            case f.Throttle(bytes_per_s=bytes_per_s):
                return self._reshape(fault, {"bytes_per_s": bytes_per_s})
            case f.Loss(parts_per_million=loss_ppm):
                return self._reshape(fault, {"loss_ppm": loss_ppm})
            case f.Clog(source=source, target=target, for_ns=for_ns):
                self._links[source, target].clog(for_ns)
                return True
            case f.Reset(one=one, other=other):
                return self._each(one, other, Connection.reset, "net.reset")
            case f.Vanish(one=one, other=other):
                return self._each(one, other, Connection.vanish, "")
            case f.Refuse(host=host, for_ns=for_ns):
                return self._refuse(host, for_ns)
        raise UsageError(f"a proxy cannot apply {fault!r}")

    def _cut(self, ends: Iterable[tuple[str, str]], for_ns: int) -> bool:
        links = [link for end in ends if not (link := self._links[end]).is_cut]
        for link in links:
            link.cut()
            self._later(for_ns, link.heal)
        return bool(links)

    def _across(self, sides: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
        """The links from one side to another."""
        side_of = {name: number for number, side in enumerate(sides) for name in side}
        return [
            (source, target)
            for source, target in self._links
            if source in side_of and target in side_of and side_of[source] != side_of[target]
        ]

    def _reshape(self, fault: f.Slow | f.Throttle | f.Loss, changes: Mapping[str, int]) -> bool:
        link = self._links[fault.source, fault.target]
        usual = {name: getattr(link.usual, name) for name in changes}
        link.reshape(replace(link.shape, **changes))
        self._later(fault.for_ns, lambda: link.reshape(replace(link.shape, **usual)))
        return True

    def _each(self, one: str, other: str, act: Callable[[Connection], None], effect: str) -> bool:
        """Do something to all connections between two hosts, whoever dialed."""
        between = [c for c in self._connections.values() if {c.source, c.target} == {one, other}]
        for connection in between:
            act(connection)
            if effect:
                self.bit(effect)
        return bool(between)

    def _refuse(self, host: str, for_ns: int) -> bool:
        self._refusing[host] += 1
        self.bit("net.refuse")
        for scope in self._accepting[host]:
            scope.cancel()

        def relent() -> None:
            self._refusing[host] -= 1
            self._willing.fire()

        self._later(for_ns, relent)
        return True

    def _later(self, delay_ns: int, act: Callable[[], object]) -> None:
        self.clock.at(self.clock.now_ns + delay_ns, act)

    # Faults by chance

    async def _cut_now_and_then(self) -> None:
        chance, time_ns = self.streams["trouble cut"], 0
        while self._trouble.cut_every_ns:
            time_ns += max(MS, chance.exponential(self._trouble.cut_every_ns))
            await self.clock.sleep_until(time_ns)
            source, target = chance.pick(list(self._links))
            self.inject(f.Cut(At(time_ns), source, target, self._trouble.cut_for_ns))
            if chance.below(2):  # both ways
                self.inject(f.Cut(At(time_ns), target, source, self._trouble.cut_for_ns))

    async def _reset_now_and_then(self) -> None:
        chance, time_ns = self.streams["trouble reset"], 0
        while self._trouble.reset_every_ns:
            time_ns += max(MS, chance.exponential(self._trouble.reset_every_ns))
            await self.clock.sleep_until(time_ns)
            route = chance.pick(self.routes)
            self.inject(f.Reset(At(time_ns), route.source, route.target))
