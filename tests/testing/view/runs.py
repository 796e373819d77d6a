"""Recorded runs to draw: a failing one, and outcomes made by hand."""

from __future__ import annotations

from functools import cache

from hydra_sync.testing import Row
from hydra_sync.testing.plan.faults import Plan
from hydra_sync.testing.plan.scenario import Failure, Outcome, Setup
from tests.testing.view.toy import Toy

HOSTILE = "</script><script>alert('rows')</script>&\"'<img src=x onerror=alert(1)>\u2028"


@cache
def failing_run() -> Outcome:
    """alice, bob, carol and dave; bob loses an event that he had acknowledged."""
    return Toy().run(1, record=True)


def outcome_of(rows: list[Row], failure: Failure | None = None, plan: Plan = (), scenario: str = "made") -> Outcome:
    return Outcome(scenario, 3, Setup(2, 1.0, 0, plan), "d1ce", 0, 1.0, failure, rows=tuple(rows))


def rows_of(*parts: tuple[int, str, str, int, tuple[str | int, ...]]) -> list[Row]:
    """Rows by (time, host, kind, cause, data)."""
    return [Row(n, time_ns, host, 0, kind, cause, data) for n, (time_ns, host, kind, cause, data) in enumerate(parts)]


def long_run(count: int) -> Outcome:
    """Twenty hosts that send one another messages round and round."""
    hosts = [f"n{number}" for number in range(20)]
    rows = [Row(n, 0, host, 1, "start", -1, ()) for n, host in enumerate(hosts)]
    rows += [
        Row(n, n * 100_000, hosts[n % 20], 1, "receive" if n % 3 else "send", n - 19 if n % 3 else -1, (n, 100))
        for n in range(20, count)
    ]
    return outcome_of(rows, Failure("S3", "too long", count // 2 * 100_000, "n3"), scenario="long")
