"""What may pass through a proxy, and what it can do to it: everything else is refused with a reason."""

from __future__ import annotations

import pytest

from hydra_sync.config import Address
from hydra_sync.errors import UsageError
from hydra_sync.testing.chaos_proxy import ChaosProxy, Route, require_network_faults
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.faults import At, Fault, On

ROUTES = (
    Route("a", "b", Address("127.0.0.1", 1), Address("127.0.0.1", 2)),
    Route("c", "b", Address("127.0.0.1", 3), Address("127.0.0.1", 2)),
)
NOW = At(0)


@pytest.mark.parametrize(
    "text", ["", "a>b", "a=b", "a>a=1.1.1.1:1->2.2.2.2:2", "a>b=1.1.1.1:1", ">b=1.1.1.1:1->1.1.1.1:1"]
)
def test_what_is_no_route_says_how_to_write_one(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match="for example a>b="):
        Route.parse(text)


def test_a_route_reads_what_it_writes() -> None:
    """Names and both addresses, of IPv6 as well."""
    text = "alice>bob=[::1]:9001->localhost:5001"
    assert str(Route.parse(text)) == text


@pytest.mark.parametrize(
    "fault",
    [
        f.Cut(NOW, "a", "b"),
        f.Cut(NOW, "b", "c"),
        f.Partition(NOW, (("a",), ("b", "c"))),
        f.Slow(NOW, "b", "a", 1),
        f.Throttle(NOW, "a", "b", 1),
        f.Loss(NOW, "a", "b", 1),
        f.Clog(NOW, "a", "b"),
        f.Reset(NOW, "b", "a"),
        f.Vanish(NOW, "a", "b"),
        f.Refuse(NOW, "b"),
    ],
)
def test_faults_of_the_network_are_taken(fault: Fault) -> None:
    """In both directions of a route, whoever dials."""
    require_network_faults((fault,), ROUTES)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (f.Crash(NOW, "a"), "no hosts, disks or clocks: Crash is none of Cut"),
        (f.DiskError(NOW, "a"), "DiskError is none of"),
        (f.StepClock(NOW, "a", 1), "StepClock is none of"),
        (
            f.Cut(On("a", "send"), "a", "b"),
            "does not see the operations of a host, so Cut cannot wait for 'send' of 'a'",
        ),
        (f.Cut(NOW, "a", "c"), "no route; the routes are a>b, c>b"),
        (f.Reset(NOW, "a", "z"), "Reset between 'a' and 'z'"),
        (f.Refuse(NOW, "a"), "no route leads there"),
        (f.Partition(NOW, (("a",), ("z",))), "z on no route"),
    ],
)
def test_what_a_proxy_cannot_do_is_refused(fault: Fault, why: str) -> None:
    """Before anything is listened to, naming the fault."""
    with pytest.raises(UsageError, match=why):
        ChaosProxy(ROUTES, [fault])


def test_a_proxy_without_routes_is_refused() -> None:
    """Nobody would pass."""
    with pytest.raises(UsageError, match="needs a route"):
        ChaosProxy([])
