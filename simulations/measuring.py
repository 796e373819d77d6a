"""One measurement: writers write, a node is away for half of it, comes back, and catches up. No real I/O.

The story: all nodes start and meet. Each writer appends half of its events. The last node, which
writes nothing, loses its power. The writers append the rest. The node is started again, and the time
until it holds every event is the time to resync.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import trio

from hydra_sync import Address, Config, Node, create_store, open_node
from hydra_sync.config import Member
from hydra_sync.errors import StoreMissingError
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.store import read_manifest
from hydra_sync.sync import Advanced, Notice
from hydra_sync.tasks import leaves
from hydra_sync.testing import Host, World
from hydra_sync.testing.cluster.channel import simulated_seams
from hydra_sync.testing.cluster.wiretap import WiretapChannel
from hydra_sync.testing.world.clock import MS
from hydra_sync.wire import Message
from simulations.conditions import Conditions

__all__ = ["RESYNC_S_MAX", "Measurement", "measure", "measure_once"]

PORT: Final = 5000
STORE: Final = Path("/data/store")
MEET_S_MAX: Final = 120.0  # some links of 30 % loss need several attempts
RESYNC_S_MAX: Final = 600.0
LOOK_S: Final = 0.005  # how exactly the time to resync is known


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured; None where it did not happen in time. Bytes and messages are those of the protocol."""

    resync_s: float | None
    resync_bytes: int
    """Sent and received by the returning node from its start until it held everything."""
    resync_messages: int
    bytes: int
    """Sent by all, in all the time."""
    messages: int
    delivery_ms_p50: float | None
    """From the call of append until the event is durable on another node that was there."""
    delivery_ms_p99: float | None
    delivery_ms_max: float | None
    deliveries: int
    virtual_s: float
    digest: str


def measure_once(conditions: dict[str, object], seed: int) -> dict[str, object]:
    """`measure`, for another process. What went wrong in the tasks of a node is raised as it is, without its groups."""
    try:
        return asdict(measure(Conditions.from_fields(conditions), seed))
    except ExceptionGroup as group:
        raise next(leaves(group)) from group


def measure(conditions: Conditions, seed: int) -> Measurement:
    """Run one seed under these conditions."""
    world = World(seed)
    experiment = _Experiment(world, conditions)
    result = world.run(lambda _: experiment.run())
    return experiment.measurement(result.virtual_s, result.digest)


class _Experiment:
    """The network, and what is written down about it."""

    def __init__(self, world: World, conditions: Conditions) -> None:
        self.world = world
        self.conditions = conditions
        self.names = [f"n{i}" for i in range(conditions.nodes)]
        self.writers = self.names[: conditions.writers]
        self.away = self.names[-1]
        self.configs: dict[str, Config] = {}
        self.within_reach: dict[str, tuple[str, ...]] = {}
        """The other nodes that each is linked with."""
        self.nodes: dict[str, Node] = {}
        self.sent: Counter[str] = Counter()
        self.resync: Counter[str] = Counter()
        self.resync_s: float | None = None
        self.appended_ns: dict[tuple[MemberKey, int], int] = {}
        self.delays_ns: list[int] = []
        self.held: Counter[tuple[str, MemberKey]] = Counter()
        self._was_away = False
        self._resyncing = False

    async def run(self) -> None:
        self._lay_links()
        self._configure()
        for name in self.names:
            self.world.host(name).start(self._live)
        await self._until(self._all_met, MEET_S_MAX, look_s=0.1)
        half = self.conditions.events // 2
        await self._write(0, half)
        await self._until(lambda: all(self._holds_all(name, half) for name in self.names), RESYNC_S_MAX)
        self._was_away = True
        self.world.crash(self.away)
        await self._write(half, self.conditions.events)
        await trio.sleep(self.conditions.down_s)
        began_s = trio.current_time()
        self._resyncing = True
        self.world.restart(self.away)
        if await self._until(lambda: self._holds_all(self.away, self.conditions.events), RESYNC_S_MAX):
            self.resync_s = trio.current_time() - began_s
        self._resyncing = False

    def measurement(self, virtual_s: float, digest: str) -> Measurement:
        """What all that comes to."""
        delays = sorted(delay / MS for delay in self.delays_ns)
        percentiles = statistics.quantiles(delays, n=100, method="inclusive") if len(delays) > 1 else []
        return Measurement(
            resync_s=None if self.resync_s is None else round(self.resync_s, 3),
            resync_bytes=self.resync["bytes"],
            resync_messages=self.resync["messages"],
            bytes=self.sent["bytes"],
            messages=self.sent["messages"],
            delivery_ms_p50=round(percentiles[49], 3) if percentiles else None,
            delivery_ms_p99=round(percentiles[98], 3) if percentiles else None,
            delivery_ms_max=round(delays[-1], 3) if delays else None,
            deliveries=len(delays),
            virtual_s=round(virtual_s, 3),
            digest=digest,
        )

    # The network

    def _lay_links(self) -> None:
        for name in self.names:
            self.world.host(name)
        for i, source in enumerate(self.names):
            for j, target in enumerate(self.names):
                if i != j:
                    link = self.world.link(source, target)
                    link.usual = self.conditions.shape(i, j)
                    link.reshape(link.usual)
                    if not self.conditions.linked(i, j):
                        link.cut()

    def _configure(self) -> None:
        """Everybody knows all members, and the addresses of those whom it can reach."""
        keys = [SigningKey(bytes([1 + i // 250, i % 250]) + bytes(30)) for i in range(len(self.names))]
        for i, name in enumerate(self.names):
            near = [other for j, other in enumerate(self.names) if i != j and self.conditions.linked(i, j)]
            self.within_reach[name] = tuple(near)
            known = {name, *near}
            members = tuple(
                Member(other, keys[j].member, self._address(other) if other in known else None)
                for j, other in enumerate(self.names)
            )
            self.configs[name] = Config(
                "measured", keys[i], members, STORE, listen=self._address(name), restart="trust-disk"
            )

    def _address(self, name: str) -> Address:
        return Address(self.world.host(name).ip, PORT)

    # A node

    async def _live(self, host: Host) -> None:
        config = self.configs[host.name]

        def channel(key: SigningKey, members: Iterable[MemberKey]) -> WiretapChannel:
            def hear(peer: MemberKey, _: type[Message], frame: bytes) -> None:
                self._count(host.name, config.alias(peer), len(frame))

            return WiretapChannel(key, members, hear, lambda _: None)

        def notice(told: Notice) -> None:
            if isinstance(told, Advanced):
                self._advance(host.name, told.log, told.next_seq)

        seams = simulated_seams(host, channel)
        try:
            await read_manifest(host.disk, STORE)
        except StoreMissingError:
            await create_store(config, seams=seams)
        async with open_node(config, seams=seams, observe=notice) as node:
            self.nodes[host.name] = node
            await trio.sleep_forever()

    def _count(self, source: str, target: str, size: int) -> None:
        counters = [self.sent, *([self.resync] if self._resyncing and self.away in (source, target) else [])]
        for counter in counters:
            counter["messages"] += 1
            counter["bytes"] += size

    def _advance(self, name: str, log: MemberKey, stop: int) -> None:
        """A node holds more of a log than before."""
        before = self.held[name, log]
        self.held[name, log] = max(before, stop)
        is_author = self.configs[name].key.member == log
        if is_author or (name == self.away and self._was_away):
            return
        now_ns = self.world.clock.now_ns
        self.delays_ns += [now_ns - self.appended_ns[log, seq] for seq in range(before, stop)]

    # The story

    async def _write(self, start: int, stop: int) -> None:
        """Let every writer append events ``start`` to ``stop`` at its rate."""
        async with trio.open_nursery() as nursery:
            for name in self.writers:
                nursery.start_soon(self.world.host(name).call, self._append, name, start, stop)

    async def _append(self, name: str, start: int, stop: int) -> None:
        log = self.configs[name].key.member
        began_s = trio.current_time()
        for seq in range(start, stop):
            await trio.sleep_until(began_s + (seq - start) / self.conditions.rate)
            self.appended_ns[log, seq] = self.world.clock.now_ns
            await self.nodes[name].append(bytes(self.conditions.event_bytes))

    def _all_met(self) -> bool:
        """Whether everybody who can reach another has a session with it."""
        if len(self.nodes) < len(self.names):
            return False
        return all(self._has_met(name, node) for name, node in self.nodes.items())

    def _has_met(self, name: str, node: Node) -> bool:
        connected = {member.alias for member in node.status().members if member.connected}
        return connected.issuperset(self.within_reach[name])

    def _holds_all(self, name: str, stop: int) -> bool:
        logs = [self.configs[writer].key.member for writer in self.writers]
        return all(self.held[name, log] >= stop for log in logs)

    async def _until(self, happened: Callable[[], bool], limit_s: float, *, look_s: float = LOOK_S) -> bool:
        with trio.move_on_after(limit_s):
            while not happened():  # noqa: ASYNC110 (several nodes, no one event)
                await trio.sleep(look_s)
        return happened()
