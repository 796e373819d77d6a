"""What all parts of a cluster share: its members, how each of them stands, and what was written down. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hydra_sync import Node
from hydra_sync.errors import UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.node import LogStatus
from hydra_sync.sync import Notice
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.cluster.ledger import Ledger
from hydra_sync.testing.plan.scenario import Setup
from hydra_sync.testing.world import _trio_internals as internals
from hydra_sync.testing.world.incarnation import incarnation_of
from hydra_sync.testing.world.world import World

__all__ = ["ClusterState"]


class ClusterState:
    """Members are named by aliases, ``n0``, ``n1`` and so on. Invariants see a cluster as this."""

    def __init__(self, world: World, setup: Setup, *, features: Iterable[str], proves: bool) -> None:
        self.world = world
        self.setup = setup
        self.aliases = tuple(f"n{number}" for number in range(setup.nodes))
        self.features = tuple(features)
        """What the product can do, of `hydra_sync.testing.cluster.invariant.FEATURES`."""
        self.proves = proves
        """Whether members prove their epochs (design: 7)."""
        self.ledger = Ledger()
        self.hostile: dict[str, None] = {}
        """Members whose program is not ours."""
        self.damaged: dict[str, None] = {}
        """Members whose disk does, or will do, what the product cannot survive."""
        self.forgetful: dict[str, None] = {}
        """Members whose disk loses, or will lose, what was durable on it, which a product with recovery survives."""
        self.rotten: dict[str, None] = {}
        """Those of them whose disk changes bytes that it holds, which today's product does not repair."""
        self.troubled: dict[str, None] = {}
        """Members whose node may stop with an error of its disk."""
        self.halted: dict[str, None] = {}
        """Members that learned of a longer history of their own log."""
        self.retired: dict[str, None] = {}
        """Members that are not started again."""
        self.core: tuple[str, ...] = ()
        """Once faults have stopped: who is whole and connected again."""
        self.pending: Counter[str] = Counter()
        """Writes under way, by member."""
        self.watchers: list[list[tuple[str, Notice]]] = []
        """Lists that grow with every notice that a node gives: who gives it, and what it says."""
        self._open: dict[str, tuple[int, Node]] = {}
        self._by_key = {member_key(alias): alias for alias in self.aliases}

    @property
    def now_s(self) -> float:
        """Virtual seconds since the world began."""
        return self.world.clock.current_time()

    # How members stand

    @property
    def running(self) -> list[str]:
        """Correct members whose node is up and has opened its store."""
        return [alias for alias in self.aliases if self.node(alias) is not None]

    @property
    def sound_core(self) -> list[str]:
        """Those of the core from whom everything may be asked."""
        return [alias for alias in self.core if self.is_sound(alias)]

    def is_sound(self, alias: str) -> bool:
        """Whether this is a correct program, on a disk that does nothing worse than the product survives."""
        return alias not in self.hostile and alias not in self.damaged

    @property
    def recovers(self) -> bool:
        """Whether a member whose disk has lost what was durable gets it back from the others."""
        return self.proves and "recovery" in self.features

    def remembers(self, alias: str) -> bool:
        """Whether, besides, its disk keeps whatever was durable on it."""
        return alias not in self.hostile and alias not in self.damaged and alias not in self.forgetful

    def forgets(self, alias: str) -> None:
        """A member's disk loses, or will lose, what was durable on it."""
        (self.forgetful if self.recovers else self.damaged)[alias] = None

    def keeps(self, alias: str) -> bool:
        """Whether a member whose node has stopped by itself is to be started again."""
        return alias not in self.retired and alias not in self.hostile

    def retire(self, alias: str) -> None:
        """Cut a member's power, and do not start it again."""
        self.retired[alias] = None
        if self.world.host(alias).alive:
            self.world.crash(alias)

    # Their nodes

    def opened(self, alias: str, node: Node) -> None:
        """A member's node has opened its store."""
        self._open[alias] = (self.world.host(alias).incarnation, node)

    def closed(self, alias: str, node: Node) -> None:
        """A member's node has ended."""
        if alias in self._open and self._open[alias][1] is node:
            del self._open[alias]

    def node(self, alias: str) -> Node | None:
        """The running node of a member, if it has one now; `UsageError` if there is no such member."""
        self.require(alias)
        host, (incarnation, node) = self.world.host(alias), self._open.get(alias, (0, None))
        return node if host.alive and host.incarnation == incarnation else None

    def logs(self, alias: str) -> dict[str, LogStatus]:
        """What a member's node holds of each log, at this moment; nothing if it is down."""
        node = self.node(alias)
        return {} if node is None else {member.alias: member.log for member in node.status().members}

    def connected(self, alias: str) -> list[str]:
        """Whom a member's node says it is connected with."""
        node = self.node(alias)
        return [] if node is None else [member.alias for member in node.status().members if member.connected]

    def count_tasks(self) -> Counter[str]:
        """How many tasks each host has."""
        counts: Counter[str] = Counter()
        for task in internals.Run.current().tasks:  # in any order: they are counted
            incarnation = incarnation_of(task)
            if incarnation is not None and not incarnation.dead:
                counts[incarnation.host] += 1
        return counts

    # Names

    def alias_of(self, key: MemberKey) -> str:
        """The member with this key."""
        return self._by_key[key]

    def require(self, alias: str) -> None:
        """Raise `UsageError` if there is no such member."""
        if alias not in self.aliases:
            raise UsageError(f"there is no member {alias!r} in this cluster; there are {', '.join(self.aliases)}")
