"""A Hydra head under all faults: one history of snapshots, no valid transaction lost, a fair end on layer 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import trio

from hydra_sync.head import HeadMachine, SimpleLedger, Status
from hydra_sync.head.commands import Point
from hydra_sync.head.events import PostTx
from hydra_sync.head.ledger import Outputs, Trial, TxId, judged
from hydra_sync.head.simple_tx import simple_ref, simple_transaction
from hydra_sync.head.snapshot import Content
from hydra_sync.head.state import Head, State
from hydra_sync.mainchain import DevChain, Line, PolledChain, drive
from hydra_sync.runtime import Runtime
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.invariant import InvariantError
from hydra_sync.testing.signals import sometimes
from hydra_sync.testing.simulate import simulate
from simulations.invariants import FEATURES
from simulations.machines import FEW, Machines

__all__ = ["head"]

OPENING: Final = range(1, 7)
CONTESTATION_S: Final = 20
WITHIN_S: Final = 120.0
POLL_S: Final = 0.25
LEDGER: Final = SimpleLedger()
SMALL: Final = replace(FEW, nodes=(2, 4))
CHECKPOINT_BYTES: Final = (1 << 11, 1 << 14, 1 << 22)
PAYMENTS: Final = 10  # while the head is being closed, and after it opened again

_conflict = sometimes("a transaction is rejected for what another spent", cluster=True)
_contested = sometimes("a close is contested", cluster=True)
_rolled_back = sometimes("a close is rolled back", cluster=True)
_open_again = sometimes("a head is open again after a rollback", cluster=True)
_many = sometimes("a snapshot confirms several transactions", cluster=True)


class WorldChain(PolledChain):
    """The development chain, outside of all hosts: no fault reaches it."""

    poll_s = POLL_S

    def __init__(self, cluster: Cluster) -> None:
        self.chain = DevChain(tuple((bytes(simple_ref(number)), b"") for number in OPENING))
        self._cluster = cluster

    @property
    def now_us(self) -> int:
        return int(self._cluster.now_s * 1e6)

    async def post(self, post: PostTx) -> str | None:
        line = self.chain.post(post, self.now_us)
        if isinstance(line, str):
            return line
        _contested(line.fact[0] == "HeadContested")
        self.chain.lines.append(line)
        return None

    @property
    def since_opening(self) -> list[Line]:
        """The blocks after the one that opened the head."""
        blocks = self.chain.blocks
        opened = max(place for place, block in enumerate(blocks) if block.fact[0] == "HeadOpened")
        return blocks[opened + 1 :]

    @property
    def closed_number(self) -> int:
        """Of the snapshot that the head is closed with; -1 if it is not."""
        numbers = [line.fact[2] for line in self.since_opening if line.fact[0] in {"HeadClosed", "HeadContested"}]
        assert all(isinstance(number, int) for number in numbers)
        return int(str(numbers[-1])) if numbers else -1

    def roll_back(self, count: int) -> None:
        self.chain.lines.append(self.chain.roll_back(count))

    async def known(self, point: Point) -> Sequence[Line]:
        await trio.lowlevel.checkpoint()
        if (due := self.chain.tick(self.now_us)) is not None:
            self.chain.lines.append(due)
        return self.chain.lines[self.chain.after(point) :]


class Heads:
    """The heads of a cluster, their clients, and what must hold of them."""

    def __init__(self, cluster: Cluster, *, checkpoint_bytes_min: int) -> None:
        self.cluster = cluster
        self.chain = WorldChain(cluster)
        configs = {alias: member.config for alias, member in cluster.members.items()}
        self.parties = tuple(sorted(configs[alias].key.member for alias in cluster.aliases))
        self.machines: Machines[State] = Machines(
            cluster,
            lambda alias: HeadMachine(configs[alias].key.member, LEDGER, configs[alias].key),
            self._follow_chain,
            checkpoint_bytes_min,
        )
        self.answered: dict[TxId, bytes] = {}
        self.known: dict[TxId, bytes] = {}
        self._paid = 0
        self._numbers = list(OPENING)
        self._dice = cluster.world.random("head")
        self._contents: dict[int, Content] = {}
        self._highest: dict[str, int] = {}

    async def _follow_chain(self, runtime: Runtime[State]) -> None:
        self.check()  # before it has heard anything again
        await drive(runtime, self.chain)

    async def open(self) -> None:
        """Open a head of all members."""
        alias = self._dice.pick(list(self.cluster.aliases))
        await self.until(lambda: self.machines.runtime(alias) is not None, "a head's machine")
        await self.machines.submit(alias, ("Init", self.parties, CONTESTATION_S))
        await self.until(lambda: self._all(Status.OPEN), "the head opening")

    @property
    def states(self) -> dict[str, Head]:
        """What the heads that run now know of the head."""
        states = self.machines.states
        return {alias: head for alias, state in states.items() if (head := state.current) is not None}

    async def pay(self, *, sure: bool = False) -> None:
        """A client submits a transaction to some member, and knows how it ended only if that is answered.

        ``sure`` spends what some member knows to be unspent.
        """
        dice = self._dice
        number = self._paid
        self._paid += 1
        spent = dice.pick(self._unspent() if sure else self._numbers[-8:])
        made = [1000 + 2 * number + place for place in range(dice.between(1, 2))]
        self._numbers += made
        data = simple_transaction(number, [spent], made)
        id_ = LEDGER.read(data).id
        self.known[id_] = data
        for alias in dice.pick(((0,), (0,), (0, 1))):  # sometimes to two members
            member = self.cluster.aliases[(dice.below(100) + alias) % len(self.cluster.aliases)]
            if await self.machines.submit(member, ("NewTx", data)):
                self.answered[id_] = data

    def check(self) -> None:
        """What must hold at every moment."""
        for alias, head in self.states.items():
            if head.number < self._highest.get(alias, 0) and self.cluster.remembers(alias):
                self.fail("H2", f"{alias} went back from snapshot {self._highest[alias]} to {head.number}", alias)
            self._highest[alias] = head.number
            _many(len(head.confirmed.snapshot.transactions) > 1)
            for confirmed in head.past:
                content = confirmed.content
                if self._contents.setdefault(content.number, content) != content:
                    self.fail("H1", f"{alias} confirmed another snapshot {content.number} than somebody else", alias)

    def fail(self, name: str, message: str, alias: str = "") -> None:
        self.cluster.world.fail(InvariantError(name, message, alias))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait, with patience, for what must come."""
        deadline_s = self.cluster.now_s + WITHIN_S
        while not condition():
            self.check()
            if self.cluster.now_s > deadline_s:
                self.fail("H5", f"waited {WITHIN_S:g} s in vain for {what}")
            await trio.sleep(POLL_S)

    def _all(self, status: Status) -> bool:
        states = self.machines.states
        return len(states) == len(self.cluster.aliases) and all(
            state.stage.status is status for state in states.values()
        )

    async def end(self) -> None:
        """Faults are over: all is confirmed or rejected, and the head is closed with the last snapshot."""
        await self._all_is_told()
        alias = self._dice.pick(list(self.cluster.aliases))
        await self._close(alias)
        if self._dice.below(2) == 0:
            await self._be_rolled_back()
            await self._close(alias)
        await self.until(lambda: self._all(Status.FANOUT_POSSIBLE), "the deadline")
        if self.chain.closed_number != (last := max(head.number for head in self.states.values())):
            self.fail("H6", f"the head is closed with snapshot {self.chain.closed_number}, the last one was {last}")
        await self._insist(alias, ("Fanout",), Status.FANOUT_POSSIBLE)
        await self.until(lambda: self._all(Status.FINAL), "the end of the head")
        self.check()

    async def _all_is_told(self) -> None:
        """All is confirmed or rejected, and rightly so."""
        await self.until(self._is_quiet, "all transactions being confirmed, or rejected for good")
        for alias, head in self.states.items():
            self._check_history(alias, head)
            self._check_fates(alias, head)

    async def _close(self, alias: str) -> None:
        """Now and then while clients pay: snapshots are confirmed after the one that is posted."""
        async with trio.open_nursery() as nursery:
            if self._dice.below(2) == 0:
                for _ in range(PAYMENTS):
                    nursery.start_soon(self._pay_within, 1000)
                await trio.sleep(self._dice.below(500) / 1000)
            await self._insist(alias, ("Close",), Status.OPEN)
            await self.until(lambda: not self._some(Status.OPEN), "all members seeing that the head is closed")

    async def _pay_within(self, milliseconds: int) -> None:
        await trio.sleep(self._dice.below(milliseconds) / 1000)
        await self.pay(sure=True)

    def _unspent(self) -> list[int]:
        heads = list(self.states.values())
        return [number for number in self._numbers if any(simple_ref(number) in head.outputs.unspent for head in heads)]

    async def _be_rolled_back(self) -> None:
        """Layer 1 takes back the last block, or all since the head opened: it is open again, and goes on."""
        self.chain.roll_back(self._dice.between(1, len(self.chain.since_opening)))
        _rolled_back()
        await self.until(self._has_caught_up, "all members seeing the rollback")
        if self._all(Status.OPEN):
            _open_again()
            for _ in range(PAYMENTS):
                await self.pay(sure=True)
            await self._all_is_told()

    def _has_caught_up(self) -> bool:
        states, last = self.machines.states, self.chain.chain.lines[-1].point
        return len(states) == len(self.cluster.aliases) and all(state.point == last for state in states.values())

    def _some(self, status: Status) -> bool:
        states = self.machines.states
        return len(states) < len(self.cluster.aliases) or any(state.stage.status is status for state in states.values())

    async def _insist(self, alias: str, command: object, status: Status) -> None:
        """As a client that waits until it has happened."""
        while (state := self.machines.states.get(alias)) is None or state.stage.status is status:
            await self.machines.submit(alias, command)
            await trio.sleep(2)

    def _is_quiet(self) -> bool:
        heads = self.states
        if len(heads) < len(self.cluster.aliases) or len({head.number for head in heads.values()}) > 1:
            return False
        return not any(head.round or head.local or head.outgoing for head in heads.values())

    def _check_history(self, alias: str, head: Head) -> None:
        """Every confirmed transaction is valid, one after the other, from what the head opened with."""
        opening = Outputs.opening((ref, LEDGER.read_output(data)) for ref, data in self.chain.chain.outputs)
        trial = Trial(LEDGER, opening)
        by_snapshot = sorted((number, arrival, id_) for id_, (arrival, number) in head.fates.sorted())
        left = [LEDGER.read(self.known[TxId(id_)]) for _, _, id_ in by_snapshot]
        while left:
            rest = [transaction for transaction in left if trial.add(transaction) is not None]
            if len(rest) == len(left):
                self.fail("H3", f"{alias} confirmed {LEDGER.shown(rest[0].id)}, which is not valid", alias)
                return  # the world ends at its next step
            left = rest

    def _check_fates(self, alias: str, head: Head) -> None:
        """What was answered and could be applied now would have been lost."""
        for id_, data in self.answered.items():
            if id_ in head.fates:
                continue
            _conflict()
            if judged(LEDGER, head.outputs, LEDGER.read(data)) is None:
                self.fail("H4", f"{alias} has lost {LEDGER.shown(id_)}, which was answered and is valid", alias)


@simulate(swarm=SMALL, features=FEATURES, restart="prove")
async def head(cluster: Cluster) -> None:
    """Clients pay through all members while everything happens, disks lost included; then the head is closed."""
    dice = cluster.world.random("clients")
    heads = Heads(cluster, checkpoint_bytes_min=dice.pick(CHECKPOINT_BYTES))
    await heads.open()
    async with trio.open_nursery() as nursery:
        async with cluster.faults():
            with trio.move_on_after(cluster.setup.seconds):
                while True:
                    nursery.start_soon(heads.pay)
                    await trio.sleep(dice.below(1000) / 1000)
                    heads.check()
        nursery.cancel_scope.cancel()
    await cluster.settle(core=cluster.aliases)
    await heads.end()
    for alias in cluster.aliases:
        await heads.machines.check_log(alias)
    cluster.check_all()
