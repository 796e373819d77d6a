"""The pytest plugin: simulations are tests, and a failure says how to see it again."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

MODULE = """
import pytest
from hydra_sync.testing.cluster import Cluster
from hydra_sync.testing.simulate import simulate
from hydra_sync.testing.swarm import Swarm

SEEDS = []

@simulate(nodes=2, seeds=3, seconds=1, operations=2, swarm=Swarm.calm())
async def test_writes(cluster: Cluster) -> None:
    SEEDS.append(cluster.world.seed)
    await cluster.write("n0")

@simulate(nodes=2, seeds=9, swarm=Swarm.calm())
async def test_fails_at_seed_2(cluster: Cluster) -> None:
    assert cluster.world.seed != 2, "two is odd"

@simulate(nodes=2, seeds=1, swarm=Swarm.calm())
@pytest.mark.xfail(reason="to be done")
async def test_expected_to_fail(cluster: Cluster) -> None:
    assert False

@simulate(nodes=2, seeds=1, swarm=Swarm.calm())
async def test_raises_nothing(cluster: Cluster) -> None:
    with pytest.raises(KeyError):
        pass

def test_seeds():
    print("seeds", SEEDS)
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # whether it is installed or not
    pytester.makepyfile(test_it=MODULE)
    return pytester


def run(plugin: pytest.Pytester, *more: str) -> pytest.RunResult:
    return plugin.runpytest_subprocess("-p", "hydra_sync.testing.plugin", "-s", "-q", "-rx", *more)


def test_a_failure_prints_the_line_that_replays_it(plugin: pytest.Pytester) -> None:
    result = run(plugin)
    result.assert_outcomes(passed=2, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "*seed 2 breaks AssertionError: two is odd*",
            "*replay: pytest 'test_it.py::test_fails_at_seed_2' --sim-seed 2",
            "*written: *test_fails_at_seed_2-2.jsonl",
            "*seed 0 breaks AssertionError: DID NOT RAISE KeyError*",
        ]
    )


def test_seeds_can_be_chosen(plugin: pytest.Pytester) -> None:
    assert "seeds [0]" in run(plugin, "--sim-seeds", "1", "-k", "writes or seeds").stdout.str()
    assert "seeds [7]" in run(plugin, "--sim-seed", "7", "-k", "writes or seeds").stdout.str()
    run(plugin, "--sim-seed", "2", "-k", "seed_2").assert_outcomes(failed=1, deselected=4)


def test_it_lives_with_the_trio_mode_of_pytest_trio(plugin: pytest.Pytester) -> None:
    """That plugin looks at the object behind every item of a session."""
    result = run(plugin, "-p", "pytest_trio.plugin", "-o", "trio_mode=true", "-k", "writes or seeds")
    result.assert_outcomes(passed=2, deselected=3)
