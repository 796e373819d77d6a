"""The simulated network: machines, the links between them, and what may go wrong there. No real I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hydra_sync.errors import UsageError
from hydra_sync.testing.world.connections import Address, Dial, Endpoint, Machine
from hydra_sync.testing.world.engine import Engine
from hydra_sync.testing.world.links import LOOPBACK, Link, Shape

__all__ = ["Network"]


class Network:
    """Who is where, and how packets get there. ``shape`` is that of links not used so far."""

    def __init__(self, engine: Engine) -> None:
        self.shape = Shape()
        self._engine = engine
        self._machines: dict[str, Machine] = {}
        self._by_ip: dict[str, Machine] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._connections = 0
        self._sockets = 0

    def add(self, name: str) -> Machine:
        """A new machine, with the next free address in 10.0.0.0/16."""
        number = len(self._machines)
        ip = f"10.0.{number // 250}.{number % 250 + 1}"
        machine = self._machines[name] = self._by_ip[ip] = Machine(self._engine, name, ip)
        return machine

    def machine(self, name: str) -> Machine:
        """By name; `UsageError` if there is none."""
        if name not in self._machines:
            raise UsageError(
                f"there is no host {name!r} in this world; there are {', '.join(self._machines) or 'none'}"
            )
        return self._machines[name]

    def resolve(self, name: str) -> str | None:
        """The address of a host by its name, or None."""
        machine = self._machines.get(name)
        return machine.ip if machine is not None else None

    def new_socket(self) -> int:
        """A serial number: sockets are never told apart by address, which is not replayed."""
        self._sockets += 1
        return self._sockets

    def link(self, source: str, target: str) -> Link:
        """The link that carries packets from one host to another (one way)."""
        link = self._links.get((source, target))
        if link is None:
            self.machine(source), self.machine(target)
            link = Link(self._engine, source, target, LOOPBACK if source == target else self.shape)
            self._links[source, target] = link
        return link

    def dial(self, source: Machine, local: Address, remote: Address) -> Dial:
        """Start to connect; the answer comes to the `Dial`."""
        self._connections += 1
        number = self._connections
        loopback = remote[0].startswith("127.")
        target = source if loopback else self._by_ip.get(remote[0])
        there = target or source  # an address where nobody is never answers, so its ends are never used
        ours = Endpoint(number, source, local, remote, self.link(source.name, there.name))
        theirs = Endpoint(-number, there, remote, local, self.link(there.name, source.name))
        ours.peer, theirs.peer = theirs, ours
        self._engine.row("dial", source.name, (number, *remote))
        return Dial(number, source, target, (ours, theirs))

    # What may go wrong

    def cut(self, one: str, other: str) -> None:
        """Cut both directions."""
        self.link(one, other).cut()
        self.link(other, one).cut()

    def heal(self, one: str, other: str) -> None:
        """Undo `cut`."""
        self.link(one, other).heal()
        self.link(other, one).heal()

    def partition(self, *sides: Iterable[str]) -> None:
        """Cut every link from one side to another; hosts on no side keep all theirs."""
        for source, target in self.across(*sides):
            self.link(source, target).cut()

    def heal_all(self) -> None:
        """Undo every cut there is."""
        for link in list(self._links.values()):
            link.heal()

    def repair(self) -> None:
        """Undo every cut, and give every link back the shape it had at first."""
        for link in list(self._links.values()):
            link.heal()
            if link.shape != link.usual:
                link.reshape(link.usual)

    def across(self, *sides: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Each ordered pair of hosts that are on different sides."""
        groups = [list(side) for side in sides]
        for here, group in enumerate(groups):
            for there, others in enumerate(groups):
                if here != there:
                    yield from ((source, target) for source in group for target in others)

    def connections(self, one: str, other: str) -> Sequence[Endpoint]:
        """The ends at ``one`` of its connections with ``other``, oldest first."""
        return [end for end in self.machine(one).endpoints.values() if end.peer.machine.name == other]

    def reset(self, one: str, other: str) -> int:
        """Reset all connections between two hosts at both ends, as a box between them does; says how many."""
        ends = self.connections(one, other)
        for end in ends:
            self._engine.bit("net.reset")
            end.reset()
            end.peer.reset()
        return len(ends)

    def vanish(self, one: str, other: str) -> int:
        """Let all connections between two hosts go dead without a word: both ends stay half-open.

        New connections work. That is a box between them which has forgotten the old ones.
        """
        ends = self.connections(one, other)
        for end in ends:
            end.vanished = end.peer.vanished = True
        return len(ends)
