"""What a simulated test is made of: a setup drawn from a seed, and the outcome of one run of it. No I/O.

Shrinking makes a setup smaller, campaigns run many seeds, reports draw an outcome's rows; they all
know scenarios by this interface alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from hydra_sync.testing.plan.faults import Plan, plan_from_json, plan_to_json
from hydra_sync.testing.world.scheduler import Policy
from hydra_sync.testing.world.trace import Row

__all__ = ["SETUP_MAX", "Failure", "Outcome", "Scenario", "Setup"]

# More is a slip of the pen: it would be days of work for one seed, if it fitted into memory.
SETUP_MAX: Final = {"nodes": 10_000, "operations": 10_000_000, "seconds": 1_000_000}


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a run is given besides its seed. Every part of a plan is a plan, every smaller number a setup."""

    nodes: int
    seconds: float
    """Virtual time during which the plan's faults happen; what follows is for the scenario to say."""
    operations: int
    """How many events the scenario writes, over all nodes."""
    plan: Plan = ()

    def to_json(self) -> str:
        fields = {"nodes": self.nodes, "seconds": self.seconds, "operations": self.operations}
        return f'{json.dumps(fields)[:-1]}, "plan": {plan_to_json(self.plan)}}}'

    @classmethod
    def from_json(cls, text: str) -> Setup:
        """From what `to_json` gave, edited by hand or not. Raises `ValueError`, `KeyError` or `TypeError`."""
        fields = json.loads(text)
        for name, least in (("nodes", 1), ("operations", 0), ("seconds", 0)):
            number, most = fields[name], SETUP_MAX[name]
            kinds = (int, float) if name == "seconds" else (int,)
            if type(number) not in kinds or not least <= number <= most:
                what = "a number" if float in kinds else "a whole number"
                raise ValueError(f"{name} is {number!r}, and has to be {what} from {least} to {most}")
        plan = plan_from_json(json.dumps(fields["plan"]))
        return cls(fields["nodes"], fields["seconds"], fields["operations"], plan)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong. Two failures are the same bug, as far as shrinking knows, if ``invariant`` is the same."""

    invariant: str
    """The name of the invariant (S1, L4, ...), or the type of an error that nobody expected."""
    message: str
    time_ns: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run. ``rows`` are there if the run was recorded."""

    scenario: str
    seed: int
    setup: Setup
    digest: str
    steps: int
    virtual_s: float
    failure: Failure | None = None
    effects: Mapping[str, int] = field(default_factory=dict)
    """How often each kind of fault had an effect."""
    signals: Mapping[str, int] = field(default_factory=dict)
    """How often each registered `sometimes` or `reachable` was hit."""
    rows: tuple[Row, ...] = ()


class Scenario(Protocol):
    """A test that can be run for any seed.

    It may have ``fault_kinds``, the names of the kinds of fault that its plans may have: a campaign
    then fails if it never sees one of them.
    """

    @property
    def name(self) -> str:
        """Unique among the scenarios of its module."""

    def draw(self, seed: int) -> Setup:
        """The setup that this seed stands for: the same for ever."""

    def run(self, seed: int, setup: Setup | None = None, *, record: bool = False, policy: Policy = "random") -> Outcome:
        """One run, of ``setup`` or of the seed's own. Whatever goes wrong comes back as a failure."""
