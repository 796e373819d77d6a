"""What must hold in a cluster, whatever happens: the shape of an invariant, and who calls it when. No I/O.

Safety is checked wherever something happens that could break it; liveness is asked about once the
faults have stopped, again and again until it holds or the time for it has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, TypeVar

from hydra_sync.errors import UsageError
from hydra_sync.ranges import SeqRange
from hydra_sync.sync import Notice
from hydra_sync.testing.cluster.ledger import Delivery
from hydra_sync.testing.cluster.state import ClusterState
from hydra_sync.wire import Message

__all__ = ["FEATURES", "Invariant", "InvariantError", "Invariants"]

_Hook = TypeVar("_Hook", bound=Callable[..., None])

FEATURES: Final = ("recovery", "uniform", "forks", "repair")
"""What later releases of the product bring: own-log recovery, uniform delivery, fork proofs, repair of
rot from peers. An invariant that needs one which the product does not have is switched off."""


class InvariantError(AssertionError):
    """An invariant does not hold; ``host`` is where that was noticed."""

    def __init__(self, name: str, message: str, host: str = "") -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.host = host


class Invariant:
    """Base of all invariants: override the hooks at which yours can be checked.

    A hook of a safety invariant calls `broken`. A liveness invariant says in `unmet` what is still
    missing; it has ``within_s`` of virtual time, beginning when all of the stages before have held.
    Some hooks are called by code of the nodes: they must not wait, and touch nothing but themselves.
    """

    name: ClassVar[str]
    promise: ClassVar[str]
    """In one line, for reports."""
    needs: ClassVar[tuple[str, ...]] = ()
    stage: ClassVar[int] = 1
    within_s: ClassVar[float] = 60.0
    writes: ClassVar[bool] = False
    """Whether each member of the core writes once more when the stage of this one begins."""
    notices: ClassVar[tuple[type[Notice], ...]] = ()
    """The kinds of notice that `noticed` is to be called for."""

    def __init__(self, cluster: ClusterState) -> None:
        self.cluster = cluster
        self.ledger = cluster.ledger

    def broken(self, message: str, host: str = "") -> None:
        """Fail the run: the invariant does not hold."""
        self.cluster.world.fail(InvariantError(self.name, message, host))

    # Safety

    def delivering(self, delivery: Delivery) -> None:
        """A node gives an event to its application, eagerly or uniformly; the ledger does not have it yet."""

    def unstable(self, node: str, log: str, seqs: SeqRange) -> None:
        """A node says that it delivered these uniformly, and that they are gone."""

    def acknowledged(self, alias: str, start: int, events: Sequence[bytes]) -> None:
        """An append of ``events`` returned."""

    def booted(self, alias: str) -> None:
        """A node has opened its store and is about to be used."""

    def reread(self, delivery: Delivery) -> None:
        """A node, asked for its log once more, gives this; see `Cluster.audit`."""

    def noticed(self, alias: str, notice: Notice) -> None:
        """A node gave notice of something, of a kind in `notices`."""

    def sent(self, source: str, target: str, message: type[Message], frame: bytes) -> None:
        """A node hands a message to its connection with another one."""

    def dialed(self, source: str, target: str) -> None:
        """A node has dialed another one, and reached it."""

    def each_second(self) -> None:
        """A second of virtual time has passed."""

    def at_end(self) -> None:
        """The run is over, and all is as it should be in the end."""

    # Liveness

    def healed(self) -> None:
        """Faults have stopped, and the core is whole. From now on, things must get better."""

    def unmet(self) -> str | None:
        """What is still missing for this to hold; None if it holds now."""
        return None


class Invariants:
    """Those that are on in one run, and which of them want to be called for what."""

    def __init__(self, cluster: ClusterState, kinds: Iterable[type[Invariant]]) -> None:
        features = cluster.features
        for feature in features:
            if feature not in FEATURES:
                raise UsageError(f"there is no feature {feature!r}; there are {', '.join(FEATURES)}")
        self.all = [kind(cluster) for kind in kinds if all(need in features for need in kind.needs)]
        self.delivering = self._hooks("delivering", lambda one: one.delivering)
        self.unstable = self._hooks("unstable", lambda one: one.unstable)
        self.acknowledged = self._hooks("acknowledged", lambda one: one.acknowledged)
        self.booted = self._hooks("booted", lambda one: one.booted)
        self.reread = self._hooks("reread", lambda one: one.reread)
        self.noticed: dict[type[Notice], tuple[Callable[[str, Notice], None], ...]] = {
            kind: tuple(one.noticed for one in self.all if kind in one.notices)
            for kind in dict.fromkeys(kind for one in self.all for kind in one.notices)
        }
        self.sent = self._hooks("sent", lambda one: one.sent)
        self.dialed = self._hooks("dialed", lambda one: one.dialed)
        self.each_second = self._hooks("each_second", lambda one: one.each_second)
        self.at_end = self._hooks("at_end", lambda one: one.at_end)
        self.healed = self._hooks("healed", lambda one: one.healed)

    def stages(self) -> list[list[Invariant]]:
        """The liveness invariants, stage by stage."""
        lively = [one for one in self.all if type(one).unmet is not Invariant.unmet]
        return [[one for one in lively if one.stage == stage] for stage in sorted({one.stage for one in lively})]

    def _hooks(self, name: str, hook: Callable[[Invariant], _Hook]) -> tuple[_Hook, ...]:
        """The hooks of those who override it: a call that does nothing is no call."""
        return tuple(hook(one) for one in self.all if getattr(type(one), name) is not getattr(Invariant, name))
