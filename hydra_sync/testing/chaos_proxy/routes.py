"""Which connections pass through the proxy, and which faults it can apply to them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync.config import Address
from hydra_sync.errors import UsageError
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.faults import At, Fault, Plan
from hydra_sync.testing.world.links import Shape

__all__ = ["CLEAR", "NETWORK_FAULTS", "Route", "hosts_of", "require_network_faults"]

CLEAR: Final = Shape(latency_ns=0, jitter_ns=0, bytes_per_s=1 << 40)
"""A link that adds nothing of its own."""

NETWORK_FAULTS: Final[tuple[type[Fault], ...]] = (
    *(f.Cut, f.Partition, f.Slow, f.Throttle, f.Loss, f.Clog, f.Reset, f.Vanish, f.Refuse),
)

_FORM: Final = "SOURCE>TARGET=HOST:PORT->HOST:PORT, for example a>b=127.0.0.1:9001->127.0.0.1:5001"


@dataclass(frozen=True, slots=True)
class Route:
    """Who dials ``listen`` is called ``source``, and is connected to ``connect``, which is ``target``.

    >>> route = Route.parse("a>b=127.0.0.1:9001->127.0.0.1:5001")
    >>> print(route.source, route.target, route.listen, route.connect)
    a b 127.0.0.1:9001 127.0.0.1:5001
    """

    source: str
    target: str
    listen: Address
    connect: Address

    @classmethod
    def parse(cls, text: str) -> Route:
        """``SOURCE>TARGET=HOST:PORT->HOST:PORT``. Raises `UsageError`."""
        names, equals, addresses = text.partition("=")
        source, angle, target = names.partition(">")
        listen, arrow, connect = addresses.partition("->")
        if not (equals and angle and arrow and source and target) or source == target:
            raise UsageError(f"{text!r} is no route: write {_FORM}")
        return cls(source, target, Address.parse(listen), Address.parse(connect))

    def __str__(self) -> str:
        return f"{self.source}>{self.target}={self.listen}->{self.connect}"


def hosts_of(routes: Iterable[Route]) -> list[str]:
    """All names on the routes, each once."""
    return list(dict.fromkeys(name for route in routes for name in (route.source, route.target)))


def require_network_faults(plan: Plan, routes: Sequence[Route]) -> None:
    """`UsageError`, with the fault, if the plan has one that a proxy on these routes cannot apply."""
    linked = {frozenset((route.source, route.target)) for route in routes}
    for fault in plan:
        kind = type(fault).__name__
        if not isinstance(fault, NETWORK_FAULTS):
            kinds = ", ".join(kind.__name__ for kind in NETWORK_FAULTS)
            raise UsageError(f"a proxy breaks connections, no hosts, disks or clocks: {kind} is none of {kinds}")
        if not isinstance(fault.when, At):
            raise UsageError(
                f"a proxy does not see the operations of a host, so {kind} cannot wait for {fault.when.operation!r} "
                f"of {fault.when.host!r}: give it a time, 'when': {{'At': {{'time_ns': ...}}}}"
            )
        _require_known(fault, kind, linked, routes)


def _require_known(fault: Fault, kind: str, linked: set[frozenset[str]], routes: Sequence[Route]) -> None:
    links = ", ".join(f"{route.source}>{route.target}" for route in routes)
    match fault:
        case f.Refuse(host=host):
            if host not in {route.target for route in routes}:
                raise UsageError(f"{kind} of {host!r}: no route leads there; the routes are {links}")
        case f.Partition(sides=sides):
            strangers = [name for side in sides for name in side if name not in hosts_of(routes)]
            if strangers:
                raise UsageError(f"{kind}: {', '.join(strangers)} on no route; the routes are {links}")
        case f.Reset(one=one, other=other) | f.Vanish(one=one, other=other):
            if frozenset((one, other)) not in linked:
                raise UsageError(f"{kind} between {one!r} and {other!r}: no route; the routes are {links}")
        case _:
            source, target = _ends(fault)
            if frozenset((source, target)) not in linked:
                raise UsageError(f"{kind} from {source!r} to {target!r}: no route; the routes are {links}")


def _ends(fault: Fault) -> tuple[str, str]:
    assert isinstance(fault, f.Cut | f.Slow | f.Throttle | f.Loss | f.Clog)
    return fault.source, fault.target
