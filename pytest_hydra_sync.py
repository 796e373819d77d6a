"""The pytest plugin's way in: two options, and a look at each collected name. No I/O.

pytest imports this in every run of whoever has hydra-sync installed, so it stands beside the package
and imports none of it: a run without simulations pays nothing, and coverage sees every line of the
package being imported. What simulations are as tests is in `hydra_sync.testing.plugin`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable

import pytest

__all__: list[str] = []


def _from(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} on")
        return int(text)

    return number


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose seeds."""
    group = parser.getgroup("simulation", "simulations (hydra-sync)")
    group.addoption("--sim-seeds", type=_from(1), metavar="N", help="run the first N seeds of every simulation")
    group.addoption("--sim-seed", type=_from(0), metavar="S", help="run this seed of every simulation, and no other")


def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> pytest.Item | None:
    """Collect simulations by the names that tests have."""
    made_by = sys.modules.get("hydra_sync.testing.simulate")  # not imported: then nothing can be a simulation
    if made_by is None or not isinstance(obj, made_by.Simulation) or not collector.funcnamefilter(name):
        return None
    plugin = importlib.import_module("hydra_sync.testing.plugin")
    item: pytest.Item = plugin.SimulationItem.from_parent(collector, name=name, simulation=obj)
    return item
