"""Machines under all faults: what their states promise holds at every moment, and in the end they agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, Generic, TypeVar

import trio

from hydra_sync import Node
from hydra_sync.errors import StoreError
from hydra_sync.machine import Machine, MachineError, RejectedError, state_hash
from hydra_sync.ranges import SeqRange
from hydra_sync.runtime import CHECKPOINT_BYTES_MIN, Runtime, open_machine, replay_check
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.invariant import InvariantError
from hydra_sync.testing.plan.faults import At, Wipe
from hydra_sync.testing.plan.swarm import SURVIVABLE, Swarm
from hydra_sync.testing.signals import sometimes
from hydra_sync.testing.simulate import simulate
from hydra_sync.testing.world.host import HostDiedError
from hydra_sync.tutorial import Bank, Entries, ReplicatedMap
from simulations.invariants import FEATURES

__all__ = ["Machines", "bank", "replicated_map", "wiped_map"]

S = TypeVar("S")

AGREED_S: Final = 60.0
PATIENCE_S: Final = 20.0
# A torn tail of a replica may have been durable: with the author's disk lost, too, an operator has to decide.
# A disk that lies may leave a hole in one's own log, over which no machine folds before the product repairs it.
_KINDS: Final = (*(kind for kind in SURVIVABLE if kind != "torn"), "wipe", "restore")
FEW: Final = Swarm(seconds=(5, 20), operations=(10, 40), kinds=_KINDS)

_rejected = sometimes("a machine rejects a command", cluster=True)
_gave_up = sometimes("a client gives up waiting for a command's outcome", cluster=True)
_settled = sometimes("a command is answered", cluster=True)
_from_checkpoint = sometimes("a machine begins from a checkpoint", cluster=True)


async def _nothing(_: object) -> None:
    pass


class Machines(Generic[S]):
    """A machine on each member, and its latest runtime; ``make`` makes one for a member, ``beside`` runs with each."""

    def __init__(
        self,
        cluster: Cluster,
        make: Callable[[str], Machine[S]],
        beside: Callable[[Runtime[S]], Awaitable[None]] = _nothing,
        checkpoint_bytes_min: int = CHECKPOINT_BYTES_MIN,
    ) -> None:
        self.cluster = cluster
        self.make = make
        self._beside = beside
        self._checkpoint_bytes_min = checkpoint_bytes_min
        self._runtimes: dict[str, tuple[int, Runtime[S]]] = {}
        cluster.install(self._run)

    async def _run(self, cluster: Cluster, alias: str, node: Node) -> None:
        host = cluster.members[alias].host
        async with open_machine(
            node, self.make(alias), wall_clock=host.wall_clock, checkpoint_bytes_min=self._checkpoint_bytes_min
        ) as runtime:
            self._runtimes[alias] = host.incarnation, runtime
            _from_checkpoint(runtime.folded.checkpoint_bytes > 0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._beside, runtime)
                while runtime.failure is None:
                    await runtime.changed.wait()
                raise runtime.failure

    def runtime(self, alias: str) -> Runtime[S] | None:
        """The machine of a member, if it runs now."""
        incarnation, runtime = self._runtimes.get(alias, (-1, None))
        host = self.cluster.members[alias].host
        return runtime if host.alive and host.incarnation == incarnation else None

    @property
    def states(self) -> dict[str, S]:
        """The states of those that run now."""
        return {alias: runtime.state for alias in self.cluster.aliases if (runtime := self.runtime(alias))}

    async def submit(self, alias: str, command: object) -> bool:
        """Give a member a command, as a client that waits a while; whether it was answered, and not rejected."""
        runtime = self.runtime(alias)
        if runtime is None:
            return False

        async def submit() -> bool:
            with trio.move_on_after(PATIENCE_S):
                await runtime.submit(command)
                _settled()
                return True
            _gave_up()
            return False

        try:
            return bool(await self.cluster.members[alias].host.call(submit))
        except RejectedError:
            _rejected()
        except (HostDiedError, StoreError):
            pass
        return False

    async def agree(self) -> None:
        """Wait until all machines of the core have heard all that those of the core decided, and compare."""
        deadline_s = self.cluster.now_s + AGREED_S
        while why := self._apart():
            if self.cluster.now_s > deadline_s:
                self.cluster.world.fail(InvariantError("M2", f"{AGREED_S:g} s after faults stopped, {why}"))
            await trio.sleep(0.25)

    def _apart(self) -> str | None:
        hashes = {}
        for alias in self.cluster.sound_core:
            if (runtime := self.runtime(alias)) is None:
                return f"the machine of {alias} does not run"
            hashes[alias] = state_hash(runtime.machine.freeze(runtime.state))
        return (
            None
            if len(set(hashes.values())) < 2
            else f"states differ: { ({a: h.hex()[:8] for a, h in hashes.items()}) }"
        )

    async def check_log(self, alias: str) -> None:
        """No event is consumed twice in a member's whole life, and every input is decided on again as it was."""
        runtime, member = self.runtime(alias), self.cluster.members[alias]
        assert runtime is not None
        node = runtime.node
        stop = self.cluster.logs(alias)[alias].tip.next_seq

        async def check() -> str | None:
            try:
                replayed = await replay_check(
                    self.make(alias), node.read(alias, SeqRange(0, stop)), partial(node.follow, delivery="eager")
                )
            except MachineError as error:
                return str(error)
            if replayed.difference is not None:
                return f"decides otherwise now: {replayed.difference}"
            return None

        if why := await member.host.call(check):
            self.cluster.world.fail(InvariantError("M1", f"{alias}: {why}", alias))


@simulate(swarm=FEW, features=FEATURES, restart="prove")
async def bank(cluster: Cluster) -> None:
    """Members pay each other while everything happens: money is never made, lost or spent twice."""
    keys = {alias: cluster.members[alias].config.key.member for alias in cluster.aliases}
    opening = dict.fromkeys(keys.values(), 100)
    machines = Machines(cluster, lambda alias: Bank(keys[alias], opening))
    dice = cluster.world.random("payments")

    def check() -> None:
        for alias, accounts in machines.states.items():
            if accounts.money != 100 * len(keys) or accounts.balances[keys[alias]] < 0:
                cluster.world.fail(InvariantError("M3", f"{alias} knows of {accounts}", alias))

    async def pay() -> None:
        while True:
            payer, payee = dice.pick(list(keys)), dice.pick(list(keys))
            nursery.start_soon(machines.submit, payer, ("pay", keys[payee], dice.between(1, 60)))
            await trio.sleep(dice.below(1000) / 1000)
            check()

    async with trio.open_nursery() as nursery:
        async with cluster.faults():
            with trio.move_on_after(cluster.setup.seconds):
                await pay()
        nursery.cancel_scope.cancel()
    await cluster.settle()
    await machines.agree()
    check()
    for alias in cluster.sound_core:
        await machines.check_log(alias)
    cluster.check_all()


@simulate(swarm=FEW, features=FEATURES, restart="prove")
async def replicated_map(cluster: Cluster) -> None:
    """Members put values under keys of their own and common ones: what was answered is never lost, all become equal."""
    machines = Machines(cluster, lambda _: ReplicatedMap())
    dice = cluster.world.random("puts")
    answered: dict[str, None] = {}

    async def put(alias: str, key: str, number: int) -> None:
        if await machines.submit(alias, ("put", key, number)):
            answered[key] = None

    async with trio.open_nursery() as nursery:
        async with cluster.faults():
            with trio.move_on_after(cluster.setup.seconds):
                for number in range(10**6):
                    key = dice.pick(("a", "b", f"key {number}", f"key {number}"))
                    nursery.start_soon(put, dice.pick(list(cluster.aliases)), key, number)
                    await trio.sleep(dice.below(1000) / 1000)
        nursery.cancel_scope.cancel()
    await cluster.settle()
    await machines.agree()
    for alias in cluster.sound_core:
        await machines.check_log(alias)
    _check_puts(machines, answered)
    cluster.check_all()


@simulate(swarm=Swarm(nodes=(3, 5), kinds=()), features=FEATURES, restart="prove")
async def wiped_map(cluster: Cluster) -> None:
    """A member that nobody hears loses its disk: what it had not given away was not answered, what was is there."""
    machines = Machines(cluster, lambda _: ReplicatedMap())
    dice = cluster.world.random("wipes")
    alias = dice.pick(list(cluster.aliases))
    await cluster.until(lambda: machines.runtime(alias) is not None, "a machine")
    answered: dict[str, None] = {}

    async def put(key: str) -> None:
        if await machines.submit(alias, ("put", key, 1)):
            answered[key] = None

    await put("heard")
    others = [other for other in cluster.aliases if other != alias]
    for other in others:
        cluster.world.link(alias, other).cut()
    await put("unheard")
    cluster.inject([Wipe(At(0), alias)])
    for other in others:
        cluster.world.link(alias, other).heal()
    await cluster.settle(core=cluster.aliases)
    await machines.agree()
    _check_puts(machines, answered)
    cluster.check_all()


def _check_puts(machines: Machines[Entries], answered: Iterable[str]) -> None:
    """What was answered is never lost."""
    cluster = machines.cluster
    for alias in cluster.sound_core:
        if missing := [key for key in answered if key not in machines.states[alias]]:
            cluster.world.fail(InvariantError("M4", f"{alias} has nothing under {missing}, and it was put", alias))
