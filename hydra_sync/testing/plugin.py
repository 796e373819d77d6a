"""A simulation as a pytest test: all of its seeds, and what to do when one fails. Does I/O: writes down what failed.

``--sim-seeds N`` runs the first N seeds of every simulation, ``--sim-seed S`` this one alone. A
failure shows the line that replays it; the trace and the diagram of the run are in pytest's cache.
pytest finds its way here by ``pytest_hydra_sync``, which is the plugin.
"""

from __future__ import annotations

import copy
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from hydra_sync.testing.campaign.replay import write_trace
from hydra_sync.testing.campaign.verdicts import code_version
from hydra_sync.testing.plan.scenario import Outcome, Setup
from hydra_sync.testing.simulate import Simulation, SimulationError
from hydra_sync.testing.view import write_html
from hydra_sync.testing.view.words import setup_in_words
from hydra_sync.testing.world.world import World

__all__ = ["SimulationItem"]

FOLDER: Final = "simulations"


class SimulationItem(pytest.Item):
    """One simulation, over all its seeds."""

    def __init__(self, *, simulation: Simulation, name: str, parent: pytest.Collector) -> None:
        super().__init__(name, parent)
        self.simulation = simulation
        self.obj = simulation  # other plugins look at what an item runs; pytest-trio does without asking
        self.own_markers.extend(_marks(simulation))
        self.keywords.update((mark.name, mark) for mark in self.own_markers)

    def runtest(self) -> None:
        skipped: BaseException | None = None
        ran = 0
        for seed in self._seeds():
            try:
                outcome = _asserting(self.simulation).run(seed)
            except pytest.skip.Exception as error:  # of this seed: the others may fail
                skipped = error
                continue
            ran += 1
            if outcome.failure is not None:
                raise SimulationError("\n".join([*self._describe(outcome), *self._write_down(outcome)]))
        if skipped is not None and not ran:
            raise skipped

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

    def _replay(self, seed: int) -> str:
        """The line to paste where this pytest was started, which need not be where its configuration is."""
        path = os.path.relpath(self.path, self.config.invocation_params.dir)
        _, *names = self.nodeid.split("::")
        return f"pytest {shlex.quote('::'.join([path, *names]))} --sim-seed {seed}"

    def _describe(self, outcome: Outcome) -> list[str]:
        failure = outcome.failure
        assert failure is not None
        promises = {kind.name: kind.promise for kind in self.simulation.invariants}
        promise = [f"  promised: {promises[failure.invariant]}"] if failure.invariant in promises else []
        where = f", on {failure.host}" if failure.host else ""
        return [
            f"seed {outcome.seed} breaks {failure.invariant}: {failure.message}",
            *promise,
            f"  after {failure.time_ns / 1e9:.6f} virtual seconds{where}, with {setup_in_words(outcome.setup)}",
            f"  replay:  {self._replay(outcome.seed)}",
        ]

    def _write_down(self, failed: Outcome) -> list[str]:
        """Run once more and keep what happened; where it is."""
        cache = self.config.cache if hasattr(self.config, "cache") else None
        if cache is None:
            return []
        outcome = _asserting(self.simulation).run(failed.seed, record=True)
        if outcome.digest != failed.digest:
            return ["  run again, it was another run: something that is not simulated has a say in it"]
        path = cache.mkdir(FOLDER) / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', self.nodeid)}-{failed.seed}"
        trace, diagram = path.with_name(f"{path.name}.jsonl"), path.with_name(f"{path.name}.html")
        write_trace(outcome, trace, code_version(self.simulation.__module__))
        write_html(outcome, diagram, replay=self._replay(failed.seed))
        return [f"  diagram: {diagram}", f"  trace:   {trace}"]


def _asserting(simulation: Simulation) -> Simulation:
    """The same, with failures that pytest raises (`pytest.raises`, `pytest.fail`) as assertions: its own are
    no `Exception`, and would pass by all who say which seed it was."""
    play = simulation.play

    async def asserting(world: World, setup: Setup) -> None:
        try:
            await play(world, setup)
        except pytest.xfail.Exception:
            raise
        except pytest.fail.Exception as error:
            raise AssertionError(str(error)) from error

    asserting_one = copy.copy(simulation)
    asserting_one.play = asserting
    asserting_one.let_through += (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)
    return asserting_one


def _marks(simulation: Simulation) -> list[pytest.Mark]:
    marks = getattr(simulation, "pytestmark", [])
    return [getattr(mark, "mark", mark) for mark in marks]
