"""The pytest plugin: simulations are tests, a failure says how to see it again, and nobody else notices."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

MODULE = """
import pytest
from hydra_sync.testing import Cluster, Swarm, simulate

SEEDS = []

@simulate(nodes=2, seeds=3, seconds=1, operations=2, swarm=Swarm.calm())
async def test_writes(cluster: Cluster) -> None:
    SEEDS.append(cluster.world.seed)
    await cluster.write("n0")

@simulate(nodes=2, seeds=9, swarm=Swarm.calm())
async def test_fails_at_seed_2(cluster: Cluster) -> None:
    await cluster.run_for(cluster.world.random("a while").below(1000) / 1000)
    assert cluster.world.seed != 2, "two is odd"

@simulate(nodes=2, seeds=1, swarm=Swarm.calm())
@pytest.mark.xfail(reason="to be done")
async def test_expected_to_fail(cluster: Cluster) -> None:
    assert False

@simulate(nodes=2, seeds=1, swarm=Swarm.calm())
async def test_raises_nothing(cluster: Cluster) -> None:
    with pytest.raises(KeyError):
        pass


class TestIn:
    @simulate(nodes=2, seeds=1, swarm=Swarm.calm())
    async def test_a_class(cluster: Cluster) -> None:
        await cluster.write("n9")

def test_seeds():
    print("seeds", SEEDS)
"""
STRICT = "[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config\n"


@pytest.fixture
def tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of a user who is strict; only what is installed is loaded, by its entry points."""
    for name in ("PYTHONPATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini(STRICT)
    pytester.mkdir("checks")
    (pytester.path / "checks" / "test_it.py").write_text(MODULE)
    return pytester


def run(tests: pytest.Pytester, *more: str) -> pytest.RunResult:
    return tests.runpytest_subprocess("-s", "-q", "-rx", *more)


def paste(line: str, cwd: Path, shims: Path) -> str:
    """What a shell prints for a line that begins with ``pytest``, which fails."""
    shim = shims / "pytest"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pytest "$@"\n')
    shim.chmod(0o755)
    environment = os.environ | {"PATH": f"{shims}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("started_in", [".", "checks"])
def test_the_line_that_a_failure_prints_fails_in_the_same_way(
    tests: pytest.Pytester, tmp_path: Path, started_in: str
) -> None:
    """Pasted into a shell where pytest was started; same seed, same message, same virtual time, same files."""
    started = tests.path / started_in
    first = paste("pytest -q", started, tmp_path)
    (line,) = set(re.findall(r"replay: +(pytest .*seed_2.*)", first))  # a second time in the summary where CI is set
    (failure,) = re.findall(r"^seed 2 breaks .*two is odd[\s\S]*?virtual seconds.*$", first, re.MULTILINE)
    again = paste(line, started, tmp_path)
    assert failure in again
    assert set(re.findall(r"replay: +(pytest .*seed_2.*)", again)) == {line}
    assert "1 failed in" in again


def test_a_failure_is_drawn(tests: pytest.Pytester) -> None:
    """The diagram is named, and has the same line to replay it; the trace says what failed."""
    result = run(tests, "-k", "seed_2")
    result.assert_outcomes(failed=1, deselected=5)
    (line,) = set(re.findall(r"replay: +(pytest .*)", result.stdout.str()))
    (diagram,) = set(re.findall(r"diagram: (.*\.html)", result.stdout.str()))
    (trace,) = set(re.findall(r"trace: +(.*\.jsonl)", result.stdout.str()))
    assert line in Path(diagram).read_text()
    assert "two is odd" in Path(diagram).read_text()
    assert '"seed": 2' in Path(trace).read_text().splitlines()[0]


def test_simulations_are_tests(tests: pytest.Pytester) -> None:
    """With marks, in classes; the package's own errors are theirs."""
    result = run(tests)
    result.assert_outcomes(passed=2, failed=3, xfailed=1)
    result.stdout.fnmatch_lines(["*seed 0 breaks AssertionError: DID NOT RAISE*"])
    result.stdout.fnmatch_lines(["*seed 0 breaks UsageError:*n9*", "*pytest checks/test_it.py::TestIn::test_a_class *"])


def test_pytest_trio_lets_them_be(tests: pytest.Pytester) -> None:
    """Also where it takes every async test for its own."""
    tests.makeini(f"{STRICT}trio_mode = true\n")
    run(tests).assert_outcomes(passed=2, failed=3, xfailed=1)


def test_seeds_can_be_chosen(tests: pytest.Pytester) -> None:
    assert "seeds [0]" in run(tests, "--sim-seeds", "1", "-k", "writes or seeds").stdout.str()
    assert "seeds [7]" in run(tests, "--sim-seed", "7", "-k", "writes or seeds").stdout.str()
    run(tests, "--sim-seed", "2", "-k", "seed_2").assert_outcomes(failed=1, deselected=5)


def test_who_has_no_simulations_pays_nothing(tests: pytest.Pytester) -> None:
    """Neither the package nor trio is imported by pytest's start: coverage then sees its lines being imported."""
    tests.makepyfile(
        test_alone="import sys\ndef test_alone():\n    assert not {'hydra_sync', 'trio'} & set(sys.modules)"
    )
    run(tests, "-p", "no:trio", "test_alone.py").assert_outcomes(passed=1)


def test_the_way_in_of_old_does_no_harm(tests: pytest.Pytester) -> None:
    """Whoever still loads the plugin by its former name does not register it twice."""
    run(tests, "-p", "hydra_sync.testing.plugin", "--sim-seeds", "1", "-k", "writes").assert_outcomes(
        passed=1, deselected=5
    )


def test_a_program_that_exits_fails_its_test_alone(tests: pytest.Pytester) -> None:
    """With the seed and how to see it again; `pytest.exit` still ends it all, and a skip comes out of a nursery."""
    tests.makepyfile(
        test_exits="""
import sys
import pytest
import trio
from hydra_sync.testing import Setup, Swarm, World, simulate_world


@simulate_world(nodes=2, seeds=3, swarm=Swarm.calm())
async def test_exits(world: World, setup: Setup) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)
        if world.seed:
            sys.exit(0)


@simulate_world(nodes=2, seeds=1, swarm=Swarm.calm())
async def test_skips(world: World, setup: Setup) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)
        pytest.skip("not here")


@simulate_world(nodes=2, seeds=1, swarm=Swarm.calm())
async def test_ends_it_all(world: World, setup: Setup) -> None:
    pytest.exit("that is enough")
"""
    )
    result = run(tests, "test_exits.py")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*seed 1 breaks SystemExit: sys.exit(0) was called in test_exits.py, line 12;*"])
    result.stdout.fnmatch_lines(["*replay:*test_exits.py::test_exits --sim-seed 1", "*diagram:*"])
    assert "that is enough" in result.stdout.str()


def test_a_skipped_seed_hides_no_other(tests: pytest.Pytester) -> None:
    """It is left out; the test is skipped only if all of its seeds are. There is no run of no seeds."""
    tests.makepyfile(
        test_skips="""
import pytest
from hydra_sync.testing import Cluster, Swarm, simulate


@simulate(nodes=2, seeds=3, swarm=Swarm.calm())
async def test_skips_then_fails(cluster: Cluster) -> None:
    if cluster.world.seed == 0:
        pytest.skip("not this one")
    assert cluster.world.seed != 2, "two"


@simulate(nodes=2, seeds=2, swarm=Swarm.calm())
async def test_skips_all(cluster: Cluster) -> None:
    pytest.skip("none")
"""
    )
    run(tests, "test_skips.py").assert_outcomes(failed=1, skipped=1)
    for option in (("--sim-seeds", "0"), ("--sim-seed", "-5")):
        assert run(tests, "test_skips.py", *option).ret == pytest.ExitCode.USAGE_ERROR
