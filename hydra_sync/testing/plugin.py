"""The pytest plugin: what `simulate` has decorated is a test of many seeds. Does I/O: writes down what failed.

``--sim-seeds N`` runs the first N seeds of every simulation, ``--sim-seed S`` this one alone. A
failure shows the line that replays it; the trace and the diagram of the run are in pytest's cache.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import wraps
from pathlib import Path
from typing import Final

import pytest

from hydra_sync.testing.cluster import Cluster
from hydra_sync.testing.errands import write_diagram
from hydra_sync.testing.replay import write_trace
from hydra_sync.testing.scenario import Outcome
from hydra_sync.testing.simulate import ClusterTest, Simulation, SimulationError
from hydra_sync.testing.verdicts import code_version

__all__ = ["SimulationItem"]

FOLDER: Final = "simulations"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption("--sim-seeds", type=int, metavar="N", help="run so many seeds of every simulation")
    group.addoption("--sim-seed", type=int, metavar="S", help="run this seed of every simulation, and no other")


def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> pytest.Item | None:
    """Collect simulations by the names that tests have."""
    if isinstance(obj, Simulation) and collector.funcnamefilter(name):
        return SimulationItem.from_parent(collector, name=name, simulation=obj)
    return None


class SimulationItem(pytest.Item):
    """One simulation, over all its seeds."""

    def __init__(self, *, simulation: Simulation, name: str, parent: pytest.Collector) -> None:
        super().__init__(name, parent)
        self.simulation = self.obj = simulation  # other plugins, pytest-trio's trio mode for one, look at ``obj``
        self.own_markers.extend(_marks(simulation))
        self.keywords.update((mark.name, mark) for mark in self.own_markers)

    def runtest(self) -> None:
        for seed in self._seeds():
            outcome = _asserting(self.simulation).run(seed)
            if outcome.failure is not None:
                self._write_down(seed)
                raise SimulationError(self._describe(outcome))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The message alone: the traceback would lead into the simulation, not into the bug."""
        if isinstance(excinfo.value, SimulationError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        line = self.simulation.function.__code__.co_firstlineno if hasattr(self.simulation.function, "__code__") else 1
        return self.path, line - 1, self.name

    def _seeds(self) -> Iterable[int]:
        one, count = self.config.getoption("sim_seed"), self.config.getoption("sim_seeds")
        if one is not None:
            return (one,)
        return range(self.simulation.seeds if count is None else count)

    def _describe(self, outcome: Outcome) -> str:
        failure = outcome.failure
        assert failure is not None
        promises = {kind.name: kind.promise for kind in self.simulation.invariants}
        promise = f"\n  promised: {promises[failure.invariant]}" if failure.invariant in promises else ""
        where = f", on {failure.host}" if failure.host else ""
        return (
            f"seed {outcome.seed} breaks {failure.invariant}: {failure.message}{promise}\n"
            f"  after {failure.time_ns / 1e9:.6f} virtual seconds{where}, "
            f"with {outcome.setup.nodes} nodes and {len(outcome.setup.plan)} faults\n"
            f"  replay: pytest '{self.nodeid}' --sim-seed {outcome.seed}"
        )

    def _write_down(self, seed: int) -> None:
        """Run once more and keep what happened."""
        cache = self.config.cache if hasattr(self.config, "cache") else None
        if cache is None:
            return
        outcome = _asserting(self.simulation).run(seed, record=True)
        path = cache.mkdir(FOLDER) / f"{self.simulation.name}-{seed}"
        trace, diagram = path.with_suffix(".jsonl"), path.with_suffix(".html")
        write_trace(outcome, trace, code_version(self.simulation.__module__))
        files = [trace, diagram] if write_diagram(outcome, diagram) else [trace]
        self.add_report_section("call", "simulation", "\n".join(f"written: {file}" for file in files))


def _asserting(simulation: Simulation) -> Simulation:
    """The same, with failures that pytest raises (`pytest.raises`, `pytest.fail`) as assertions: its own are
    no `Exception`, and would pass by all who say which seed it was."""
    function: ClusterTest = simulation.function

    @wraps(function)
    async def asserting(cluster: Cluster) -> None:
        try:
            await function(cluster)
        except pytest.fail.Exception as error:
            raise AssertionError(str(error)) from error

    asserting_one = copy.copy(simulation)
    asserting_one.function = asserting
    return asserting_one


def _marks(simulation: Simulation) -> list[pytest.Mark]:
    marks = getattr(simulation, "pytestmark", [])
    return [getattr(mark, "mark", mark) for mark in marks]
