"""A whole network of real nodes in one world, with an application on each, and what must hold of them.

No real I/O. Nodes are opened by `hydra_sync.open_node`, on simulated disks, sockets and clocks; they
are started again when they crash or stop. What they acknowledge and deliver is written down outside
of them, and the invariants of the cluster are checked as it happens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final, get_args

import trio

from hydra_sync import Node
from hydra_sync.config import Restart
from hydra_sync.errors import UsageError
from hydra_sync.node import Event
from hydra_sync.ranges import SeqRange
from hydra_sync.sync import Notice
from hydra_sync.tasks import open_tasks
from hydra_sync.testing.cluster.clients import Clients
from hydra_sync.testing.cluster.identities import configurations
from hydra_sync.testing.cluster.insider import EXPECTED, HostileProgram, Insider
from hydra_sync.testing.cluster.invariant import Invariant, Invariants
from hydra_sync.testing.cluster.invariants_liveness import LIVENESS
from hydra_sync.testing.cluster.invariants_safety import SAFETY
from hydra_sync.testing.cluster.member import Member
from hydra_sync.testing.cluster.settling import audit, choose_core, enlarge_core, strand, wait_for
from hydra_sync.testing.cluster.state import ClusterState
from hydra_sync.testing.plan.atlas import DAMAGE, DECAY, TROUBLE, names_in, victim
from hydra_sync.testing.plan.faults import At, Crash, Fault, On
from hydra_sync.testing.plan.injector import Injector
from hydra_sync.testing.plan.scenario import Setup
from hydra_sync.testing.plan.swarm import KINDS, kind_of
from hydra_sync.testing.world.clock import nanoseconds
from hydra_sync.testing.world.operations import OPERATIONS, Operation, Phase
from hydra_sync.testing.world.platter import Keep
from hydra_sync.testing.world.world import World

__all__ = ["INVARIANTS", "Cluster", "open_cluster"]

Application = Callable[["Cluster", str, Node], Awaitable[None]]
"""Called with the cluster, the member's alias and its node, in the node's process, once in the life of each."""

INVARIANTS: Final[tuple[type[Invariant], ...]] = (*SAFETY, *LIVENESS)
"""S1 to S11 and L1 to L7."""

NETWORK: Final = "simulated"

UNTIL_POLL_S: Final = 0.05

_OPERATIONS: Final[Mapping[str, Operation]] = {"fsync": "sync", "fsync_dir": "sync_dir", "mkdir": "make_dir"}


class Cluster(ClusterState):
    """Members ``n0``, ``n1`` and so on, all of them running from the start. Made by `open_cluster`."""

    def __init__(
        self,
        world: World,
        setup: Setup,
        nursery: trio.Nursery,
        *,
        invariants: Iterable[type[Invariant]] = INVARIANTS,
        features: Iterable[str] = (),
        restart: Restart = "trust-disk",
    ) -> None:
        super().__init__(world, setup, features=features, proves=restart == "prove")
        hosts = [world.host(alias) for alias in self.aliases]
        configs = configurations(NETWORK, list(self.aliases), [host.ip for host in hosts], restart)
        self.invariants = Invariants(self, invariants)
        self.members: Mapping[str, Member] = MappingProxyType(
            {host.name: Member(self, self.invariants, host, configs[host.name]) for host in hosts}
        )
        self._nursery = nursery
        self._clients = Clients(self, self.members, nursery)
        self._injectors: list[Injector] = []

    def start(self) -> None:
        """Start all members. Done by `open_cluster`."""
        for member in self.members.values():
            member.start()
            self._nursery.start_soon(member.supervise)
        self._nursery.start_soon(self._tick)

    async def founded(self) -> None:
        """Return when every member may append. Done by `open_cluster`, where members prove their epochs."""
        for member in self.members.values():
            node = await member.wait_open()
            await node.wait_started()

    def member(self, alias: str) -> Member:
        """A member by its alias; `UsageError` if there is none."""
        self.require(alias)
        return self.members[alias]

    def watch(self) -> list[tuple[str, Notice]]:
        """A list that grows with every notice that a node gives from now on: who gives it, and what it says."""
        self.watchers.append([])
        return self.watchers[-1]

    # Work

    def install(self, application: Application) -> None:
        """Run an application in each member's process, beside its node: now, and whenever it starts again."""
        for member in self.members.values():
            member.install(partial(application, self, member.alias))

    async def write(self, alias: str, *, count: int = 1, size: int = 0, replicas: int = 0, together: int = 1) -> None:
        """Append ``count`` events at a member, ``together`` at a time, and return when all are acknowledged.

        ``size`` is how large each is, beyond its number. Where an append fails, or nobody knows what
        became of it, other events are appended, as by a client that insists; only a damaged member
        that has stopped writing for good is let off.
        """
        await self._clients.write(alias, count=count, size=size, replicas=replicas, together=together)

    def start_writing(self, alias: str, *, count: int = 1, size: int = 0, replicas: int = 0, together: int = 1) -> None:
        """As `write`, and do not wait."""
        self._clients.start_writing(alias, count=count, size=size, replicas=replicas, together=together)

    def start_chatter(self, *, operations: int | None = None, seconds: float | None = None) -> None:
        """Let correct members write at random times, all in all so many events, without waiting for it.

        By default, as many as the setup says, in the time that it says.
        """
        operations = self.setup.operations if operations is None else operations
        self._nursery.start_soon(self._clients.chatter, operations, self.setup.seconds if seconds is None else seconds)

    async def read(self, alias: str, log: str, seqs: SeqRange) -> list[Event]:
        """What a member's node supplies of a log. Raises as `Node.read` does, and `HostDiedError`."""
        member = self.member(alias)
        node = await member.wait_open()

        async def read() -> list[Event]:
            return [event async for event in node.read(log, seqs)]

        return await member.host.call(read)

    async def until(self, condition: Callable[[], bool], what: str, *, within_s: float = 60) -> None:
        """Let virtual time pass until ``condition`` holds; the run fails if it does not in time.

        ``what`` says what is waited for, for who reads the failure.
        """
        deadline_s = self.now_s + within_s
        while not condition():
            if self.now_s >= deadline_s:
                raise AssertionError(f"waited {within_s:g} s for {what}")
            await trio.sleep(UNTIL_POLL_S)

    async def run_for(self, seconds: float | None = None) -> None:
        """Let virtual time pass, by default as much as the setup says."""
        await trio.sleep(self.setup.seconds if seconds is None else seconds)

    # Trouble

    @asynccontextmanager
    async def faults(self, **kinds: bool) -> AsyncIterator[Injector]:
        """In this block, the faults of the setup's plan happen: all of them, only these ``kinds``, or all but those.

        Kinds have the names that `Swarm` knows, such as ``crash``, ``torn`` and ``one_way``. Times in
        the plan count from the beginning of the block. At its end links are whole and hosts are up.
        """
        for name in kinds:
            if name not in KINDS:
                raise UsageError(f"there is no kind of fault {name!r}; there are {', '.join(KINDS)}")
        wanted = [name for name in KINDS if kinds.get(name, not any(kinds.values()))]
        plan = [fault for fault in self.setup.plan if kind_of(fault) in wanted]
        injector = self.inject(plan)
        yield injector
        self._stop(injector)

    def inject(self, plan: Iterable[Fault]) -> Injector:
        """Arm faults, whose times count from now: what is due at once has happened on return."""
        now_ns = self.world.clock.now_ns
        shifted = tuple(_shifted(fault, now_ns) for fault in plan if self._concerns(fault))
        for fault in shifted:
            if isinstance(fault, DECAY):
                self.damaged[victim(fault)] = self.rotten[victim(fault)] = None
            elif isinstance(fault, DAMAGE):
                self.forgets(victim(fault))
            if isinstance(fault, TROUBLE):
                self.troubled[victim(fault)] = None
        injector = Injector(self.world, shifted)
        self._injectors.append(injector)
        self.core = ()
        return injector

    def crash_at(
        self,
        alias: str,
        *,
        op: str,
        nth: int = 1,
        keep: Keep = "random",
        phase: Phase = "before",
        delay_s: float = 0,
        down_s: float = 1,
    ) -> None:
        """Cut a member's power at the ``nth`` operation from now, such as ``fsync``, or ``delay_s`` after it.

        It is up again ``down_s`` later. This outlasts `settle`, which can cope with it.
        """
        self.member(alias)
        operation: Operation = _OPERATIONS.get(op, op)  # type: ignore[arg-type]  # what is no other name is our own
        if operation not in OPERATIONS:
            raise UsageError(f"there is no operation {op!r}; there are {', '.join((*_OPERATIONS, *OPERATIONS))}")
        if nth < 1 or delay_s < 0 or down_s < 0 or phase not in get_args(Phase) or keep not in get_args(Keep):
            given = f"nth={nth}, phase={phase!r}, keep={keep!r}, delay_s={delay_s}, down_s={down_s}"
            phases, keeps = ", ".join(get_args(Phase)), ", ".join(get_args(Keep))
            raise UsageError(f"crash_at({given}): nth is 1 or more, times 0 or more, phase {phases}, keep {keeps}")
        when = On(alias, operation, nth, phase=phase, delay_ns=nanoseconds(delay_s))
        Injector(self.world, [Crash(when, alias, down_ns=nanoseconds(down_s), keep=keep)])

    def crash(self, alias: str, *, keep: Keep = "random") -> None:
        """Cut a member's power now. It stays off until `restart`, or until it is needed in the core."""
        self.member(alias)
        self.world.crash(alias, keep=keep)

    def restart(self, alias: str) -> None:
        """Start a member that is down."""
        self.member(alias)
        self.retired.pop(alias, None)
        self.world.restart(alias)

    def byzantine(self, alias: str, program: HostileProgram) -> None:
        """Put a hostile program in the place of a member's node, with its keys and its address."""
        host = self.member(alias).host
        self.hostile[alias] = None
        if host.alive:
            host.kill()
        ours = Insider(self, self.members[alias].config, host)
        host.start(lambda _: program(ours), expected=EXPECTED)

    # In the end

    async def settle(self, core: Collection[str] | None = None) -> None:
        """Stop all faults, and wait until things are well in the core: liveness, L1 to L6.

        The core is whole and connected again; by default it is a majority of sound members, by chance,
        and where members prove their epochs as many as it takes for each to start.
        Of the others, some stay down, some cut off. What does not get well in time fails the run. In
        the end everyone reads all logs once more.
        """
        for injector in list(self._injectors):
            self._stop(injector)
        self.core = self._check_core(choose_core(self) if core is None else core)
        self._restart_core()
        if core is None and self.proves:
            self.core = self._check_core(await enlarge_core(self, self.core))
            self._restart_core()
        strand(self)
        self.world.note("core", *self.core)
        for healed in self.invariants.healed:
            healed()
        for stage in self.invariants.stages():
            if any(one.writes for one in stage):
                for alias in self.sound_core:
                    self.start_writing(alias)
            await wait_for(self, stage)
        await self.audit()

    async def audit(self) -> None:
        """Have every node read all its logs from the beginning, for the invariants to compare."""
        await audit(self, self.members)

    def check_all(self) -> None:
        """Check what can be checked in the end; all else was checked as it happened."""
        for at_end in self.invariants.at_end:
            at_end()

    # Inside

    async def _tick(self) -> None:
        while True:
            await trio.sleep(1)
            for each_second in self.invariants.each_second:
                each_second()

    def _concerns(self, fault: Fault) -> bool:
        """Whether everyone whom a fault names is here: a plan may have been drawn for more members."""
        return all(name in self.members for name in names_in(fault))

    def _stop(self, injector: Injector) -> None:
        if injector in self._injectors:
            self._injectors.remove(injector)
            injector.stop()

    def _restart_core(self) -> None:
        for alias in self.core:
            if not self.world.host(alias).alive:
                self.restart(alias)

    def _check_core(self, core: Collection[str]) -> tuple[str, ...]:
        for alias in core:
            self.member(alias)
            if alias in self.hostile:
                raise UsageError(f"{alias} is hostile: it cannot be in the core")
        return tuple(alias for alias in self.aliases if alias in core)


@asynccontextmanager
async def open_cluster(
    world: World,
    setup: Setup,
    *,
    invariants: Iterable[type[Invariant]] = INVARIANTS,
    features: Iterable[str] = (),
    restart: Restart = "trust-disk",
    founding: bool = False,
) -> AsyncIterator[Cluster]:
    """The cluster of a setup, running in ``world`` until the block ends; ``features`` are those that
    the product under test has, of `hydra_sync.testing.cluster.invariant.FEATURES`.

    With ``restart="prove"`` the block begins when all members have begun their first epochs: only all
    of them together can found a network (design: 7). With ``founding`` it begins when they begin.

    >>> from hydra_sync.testing import World
    >>> async def scenario(world: World) -> int:
    ...     async with open_cluster(world, Setup(nodes=3, seconds=5, operations=10)) as cluster:
    ...         await cluster.write("n0", count=3)
    ...         await cluster.settle()
    ...         cluster.check_all()
    ...         return cluster.ledger.deliveries
    >>> World(seed=1).run(scenario).value >= 9
    True
    """
    async with open_tasks() as nursery:
        cluster = Cluster(world, setup, nursery, invariants=invariants, features=features, restart=restart)
        cluster.start()
        if restart == "prove" and not founding:
            await cluster.founded()
        yield cluster
        nursery.cancel_scope.cancel()


def _shifted(fault: Fault, by_ns: int) -> Fault:
    when = fault.when
    return replace(fault, when=At(when.time_ns + by_ns)) if isinstance(when, At) else fault
