"""Whatever ends a run is its outcome, unless it is meant for whoever runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import trio

from hydra_sync.testing import Cluster, Host, Setup, Simulation, Swarm, World, simulate, simulate_world
from hydra_sync.testing.campaign.shrink import shrink


@simulate_world(nodes=1, seconds=1, operations=1, swarm=Swarm.calm())
async def exits(world: World, setup: Setup) -> None:
    """Its program ends the process."""

    async def main(host: Host) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            sys.exit(0)

    world.host("n0").start(main)
    await trio.sleep(1)


@simulate(nodes=2, seconds=1, operations=1, swarm=Swarm.calm())
async def cluster_exits(cluster: Cluster) -> None:
    """As a scenario on a cluster may do."""
    await cluster.write("n0")
    sys.exit("enough")


def raising(error: Callable[[], BaseException]) -> Simulation:
    @simulate_world(nodes=1, seconds=1, operations=1, swarm=Swarm.calm())
    async def scenario(world: World, setup: Setup) -> None:
        async def main(host: Host) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                raise error()

        world.host("n0").start(main)
        await trio.sleep(1)

    return scenario


def test_a_program_that_exits_has_failed() -> None:
    """With the place; it can be shrunk as any failure."""
    failure = exits.run(3).failure
    assert failure is not None
    assert failure.invariant == "SystemExit"
    assert failure.message.startswith("sys.exit(0) was called in test_simulate.py, line 22")
    assert shrink(exits, 3).outcome.failure == failure
    failure = cluster_exits.run(3).failure
    assert failure is not None
    assert failure.message.startswith("sys.exit('enough') was called in test_simulate.py")


def test_errors_that_are_no_exceptions_are_failures() -> None:
    failure = raising(GeneratorExit).run(1).failure
    assert failure is not None
    assert failure.invariant == "GeneratorExit"


def test_an_interrupt_is_for_whoever_runs_it() -> None:
    """As itself, from whichever nursery it comes."""
    with pytest.raises(KeyboardInterrupt):
        raising(KeyboardInterrupt).run(1)
