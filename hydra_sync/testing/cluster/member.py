"""A member of a simulated cluster: a real node, started again whenever it ends, and an application on it.

Runs in a world: no real I/O. The application follows every log and writes its own; what it is given
and what is acknowledged goes into the ledger, which no crash reaches.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

import trio

from hydra_sync import Config, Node, create_store, open_node
from hydra_sync.errors import OrphanedError, StoreDamagedError, StoreError, StoreMissingError, UnavailableError
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.node import recover_store
from hydra_sync.ranges import SeqRange
from hydra_sync.store import read_manifest
from hydra_sync.sync import Fetched, Fetching, Notice, OwnLogAhead, SourceReplaced
from hydra_sync.tasks import Signal, open_tasks
from hydra_sync.testing.cluster.application import NotedNode, Program
from hydra_sync.testing.cluster.channel import PlaintextChannel, simulated_seams
from hydra_sync.testing.cluster.identities import STORE
from hydra_sync.testing.cluster.invariant import Invariants
from hydra_sync.testing.cluster.ledger import EMPTY_STATE, Delivery
from hydra_sync.testing.cluster.state import ClusterState
from hydra_sync.testing.cluster.wiretap import WiretapChannel
from hydra_sync.testing.signals import reachable, sometimes
from hydra_sync.testing.world.host import Host
from hydra_sync.wire import Message

__all__ = ["Member"]

RESTART_S: Final = 1.0  # what a supervisor waits before it starts a node again
RETRY_S: Final = 0.5

Operator = Literal["any", "recover", "init"]
"""What is done about a store that is not there any more: it is made as `recover` or `init` do, or by chance."""

_relayed = sometimes("a node gets events from somebody else than their author", cluster=True)
_parts = sometimes("a node is far behind, and asks for parts of a log", cluster=True)
_replaced = reachable("a source is replaced", cluster=True)
_stopped = reachable("a node stops because of its disk", cluster=True)
_halted = reachable("a node learns that its own log was longer, and stops writing", cluster=True)
_unavailable = reachable("an application asks for events that are damaged or gone", cluster=True)
_cut = sometimes("a torn tail is cut off when a node starts", cluster=True)
_founded = reachable("a node comes back without a store", cluster=True)
_recovered = reachable("a lost store is made again, as by recover", cluster=True)
_mended = reachable("a store that cannot be opened is mended, as by recover", cluster=True)
_orphaned = reachable("an application takes back what it was given eagerly", cluster=True)
_vanished = reachable("what an application was given eagerly is gone when it starts", cluster=True)


class _Doom:
    """What one process of an application will end with."""

    def __init__(self) -> None:
        self.decided = trio.Event()
        self.error: StoreError | None = None


class Member:
    """One member. ``node`` is there while the node runs and has opened its store."""

    def __init__(self, state: ClusterState, invariants: Invariants, host: Host, config: Config) -> None:
        self.state = state
        self.invariants = invariants
        self.host = host
        self.alias = host.name
        self.config = config
        self.operator: Operator = "any"
        self._opened = Signal()
        self._was_opened = False
        self._is_new = False
        self._is_unusable = False
        self._doom = _Doom()
        self._program: Program | None = None
        self._installed = trio.Event()

    @property
    def node(self) -> Node | None:
        return self.state.node(self.alias)

    def start(self) -> None:
        """Start the host for the first time."""
        self.host.start(self._live, expected=(StoreError,))

    def install(self, program: Program) -> None:
        """Run a program beside the node: now, and whenever it starts again."""
        self._program = program
        self._installed.set()

    async def wait_open(self) -> Node:
        """The node, as soon as it runs."""
        while (node := self.node) is None:
            await self._opened.wait()
        return node

    async def supervise(self) -> None:
        """Start the node again whenever it stops by itself; hosts that crashed are somebody else's."""
        while True:
            await self.host.wait_end()
            failure = self.host.failure
            if self.host.state == "exited" and isinstance(failure, StoreError):
                _stopped()
                self._is_unusable = isinstance(failure, StoreDamagedError) and self.state.recovers
                if self.alias not in self.state.troubled:  # it may only where a fault has hit the disk
                    self.state.world.fail(failure)
            await trio.sleep(RESTART_S)
            if self.host.state == "exited" and self.state.keeps(self.alias):
                self.host.restart()
            while not self.host.alive:
                await trio.sleep(RETRY_S)
                if self.host.state == "exited":
                    break

    # As code of the host

    async def _live(self, host: Host) -> None:
        """The process: a store if there is none, the node, and the application."""
        seams = simulated_seams(host, self._channel)
        if self._is_unusable:  # the node said so, and named the command
            self._is_unusable = False
            _mended()
            await recover_store(self.config, seams=seams)
        try:
            await read_manifest(host.disk, STORE)
        except StoreMissingError:
            _founded(self._was_opened)
            self._is_new = True
            if self._was_opened and self._operator_recovers():
                _recovered()
                await recover_store(self.config, seams=seams)
            else:  # the worst that an operator can do: a member who lost its disk begins as if it were new
                await create_store(self.config, seams=seams)
        async with open_node(self.config, seams=seams, observe=self._notice) as node:
            self._enter(node)
            try:
                async with open_tasks() as nursery:
                    nursery.start_soon(self._give_up, self._doom)
                    nursery.start_soon(self._run_application, node)
                    for log in self.state.aliases:
                        nursery.start_soon(self._follow, node, log)
                        if "uniform" in self.state.features:
                            nursery.start_soon(self._follow_uniformly, node, log)
            finally:
                self.state.closed(self.alias, node)

    async def _run_application(self, node: Node) -> None:
        await self._installed.wait()
        assert self._program is not None
        await self._program(NotedNode(node, partial(self.state.ledger.write, self.alias), self.acknowledge))

    def _operator_recovers(self) -> bool:
        if not self.state.recovers:
            return False
        by_chance = self.state.world.random(f"operator {self.alias}").below(2) == 0
        return self.operator == "recover" or (self.operator == "any" and by_chance)

    def acknowledge(self, start: int, events: list[bytes]) -> None:
        """An append of ``events`` has returned."""
        self.state.world.note("acknowledge", start + len(events) - 1)
        self.state.ledger.acknowledge(self.alias, start, events)
        for acknowledged in self.invariants.acknowledged:
            acknowledged(self.alias, start, events)

    def give_up(self, error: StoreError) -> None:
        """The application cannot write any more: let the process end with this error."""
        self._doom.error = error
        self._doom.decided.set()

    async def _give_up(self, doom: _Doom) -> None:
        await doom.decided.wait()
        assert doom.error is not None
        raise doom.error

    def _enter(self, node: Node) -> None:
        self._doom = _Doom()
        self.state.opened(self.alias, node)
        status = node.status()
        _cut(any("torn tail" in warning for warning in status.warnings))
        if not self.state.is_sound(self.alias) or (self._is_new and self._was_opened):
            for log in self.state.aliases:  # an application whose disk was replaced starts over, too
                self.state.ledger.start_over(self.alias, log)
        self._was_opened, self._is_new = True, False
        tips = [f"{member.alias}:{member.log.tip.next_seq}" for member in status.members]
        self.state.world.note("open", *tips)
        for booted in self.invariants.booted:
            booted(self.alias)
        self._opened.fire()

    async def _follow(self, node: Node, log: str) -> None:
        """The application's side: take every event, once, and go on where it was after a restart."""
        ledger = self.state.ledger
        if not self.state.remembers(log) or not self.state.remembers(self.alias):
            await self._look_what_is_gone(node, log)
        while True:
            try:
                async for event in node.follow(log, ledger.cursors[self.alias, log], delivery="eager", epochs=True):
                    self._deliver(ledger.fold(self.alias, log, event))
            except OrphanedError as error:
                _orphaned()
                self.state.world.note("orphaned", log, error.start, error.stop)
                ledger.take_back(self.alias, log, error.start)
            except UnavailableError:
                _unavailable()
                await trio.sleep(RETRY_S)

    async def _look_what_is_gone(self, node: Node, log: str) -> None:
        """What an application took eagerly from an earlier process may be gone: it compares, and takes it back."""
        ledger, held = self.state.ledger, self.state.ledger.held[self.alias, log]
        stop = min(len(held), self.state.logs(self.alias)[log].tip.next_seq)
        while stop:
            try:
                events = [event async for event in node.read(log, SeqRange(stop - 1, stop), epochs=True)]
            except UnavailableError:
                break
            if events[0].batch_hash == held[stop - 1].batch_hash:
                break
            stop -= 1
        _vanished(stop < len(held))
        ledger.take_back(self.alias, log, stop)

    async def _follow_uniformly(self, node: Node, log: str) -> None:
        """As `_follow`, of what is stable: none of it is ever taken back."""
        ledger = self.state.ledger
        while True:
            cursor = ledger.uniform_cursors[self.alias, log]
            try:
                async for event in node.follow(log, cursor, resumes=True, epochs=True):
                    self._deliver(ledger.fold(self.alias, log, event, uniform=True))
            except OrphanedError as error:
                for unstable in self.invariants.unstable:
                    unstable(self.alias, log, SeqRange(error.start, error.stop))
                await trio.sleep(RETRY_S)
            except UnavailableError:
                await trio.sleep(RETRY_S)

    def _deliver(self, delivery: Delivery) -> None:
        for delivering in self.invariants.delivering:
            delivering(delivery)
        self.state.ledger.deliver(delivery)
        self.state.world.note("stable" if delivery.uniform else "deliver", delivery.log, delivery.event.seq)

    async def reread(self, node: Node, log: str) -> None:
        """Read a log from its beginning, and again from anywhere, and let the invariants compare."""
        stop = self.state.logs(self.alias)[log].tip.next_seq
        ledger, state = self.state.ledger, EMPTY_STATE
        states: list[bytes] = []
        async for event in node.read(log, SeqRange(0, stop), epochs=True):
            delivery = ledger.fold(self.alias, log, event, after=state)
            state = delivery.state
            states.append(state)
            self._compare(delivery)
        if stop:
            start = self.state.world.random("reread").below(stop)  # as likely as not inside of a batch
            async for event in node.read(log, SeqRange(start, stop), epochs=True):
                if event.seq < len(states):
                    self._compare(Delivery(self.alias, log, event, states[event.seq]))

    def _compare(self, delivery: Delivery) -> None:
        for reread in self.invariants.reread:
            reread(delivery)

    # Overheard

    def _channel(self, key: SigningKey, members: object) -> PlaintextChannel:
        return WiretapChannel(key, self.config.keys, self._hear, self._dialed)

    def _dialed(self, peer: MemberKey) -> None:
        for dialed in self.invariants.dialed:
            dialed(self.alias, self.state.alias_of(peer))

    def _hear(self, peer: MemberKey, message: type[Message], frame: bytes) -> None:
        target = self.state.alias_of(peer)
        for sent in self.invariants.sent:
            sent(self.alias, target, message, frame)

    def _notice(self, notice: Notice) -> None:
        if isinstance(notice, Fetched):
            _relayed(notice.log != notice.peer)
        elif isinstance(notice, Fetching):
            _parts(notice.stop is not None)
        elif isinstance(notice, SourceReplaced):
            _replaced()
        elif isinstance(notice, OwnLogAhead):
            _halted()
            self.state.halted.setdefault(self.alias, None)
        for seen in self.state.watchers:
            seen.append((self.alias, notice))
        for noticed in self.invariants.noticed.get(type(notice), ()):
            noticed(self.alias, notice)
