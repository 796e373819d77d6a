"""Turns an async function into a scenario: a test that can be run for any seed. No real I/O.

`simulate` is for functions that are given a `Cluster` of hydra_sync nodes, `simulate_world` for those that
are given a `World`, and start programs of their own in it.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from hydra_sync.config import Restart
from hydra_sync.errors import UsageError
from hydra_sync.testing.cluster.cluster import INVARIANTS, Cluster, open_cluster
from hydra_sync.testing.cluster.invariant import Invariant, InvariantError
from hydra_sync.testing.plan.scenario import Failure, Outcome, Setup
from hydra_sync.testing.plan.swarm import Swarm
from hydra_sync.testing.signals import counted
from hydra_sync.testing.world.clock import nanoseconds
from hydra_sync.testing.world.scheduler import LivelockError, Policy
from hydra_sync.testing.world.world import DeadlockError, TimeLimitError, World

__all__ = ["Simulation", "SimulationError", "failure_of", "simulate", "simulate_world"]

LIMIT_S: Final = 3600.0
"""Virtual seconds after which a run counts as stuck."""

ClusterTest = Callable[[Cluster], Awaitable[None]]
WorldTest = Callable[[World, Setup], Awaitable[None]]


class SimulationError(AssertionError):
    """A seed failed; the message says which, why, and how to run it again."""


class Simulation:
    """A `Scenario`, made by `simulate` or `simulate_world`.

    Called, it runs its seeds, up to the first that fails: then it raises `SimulationError`.
    """

    def __init__(
        self,
        function: ClusterTest | WorldTest,
        play: WorldTest,
        *,
        swarm: Swarm,
        seeds: int,
        invariants: Iterable[type[Invariant]] = (),
    ) -> None:
        if seeds < 1:
            raise UsageError(f"a simulation of {seeds} seeds tests nothing")
        self.function = function
        self.play = play
        """What is run: the function, with what it needs around it."""
        self.is_cluster = play is not function
        self.swarm = swarm
        self.seeds = seeds
        self.invariants = tuple(invariants)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def fault_kinds(self) -> tuple[str, ...]:
        """The kinds of fault that its plans may have."""
        return self.swarm.fault_kinds

    def __repr__(self) -> str:
        return f"<simulation {self.__module__}:{self.name}>"

    def draw(self, seed: int) -> Setup:
        """The setup of this seed."""
        return self.swarm.draw(seed)

    def run(self, seed: int, setup: Setup | None = None, *, record: bool = False, policy: Policy = "random") -> Outcome:
        """One run, of ``setup`` or of the seed's own. Whatever goes wrong comes back as a failure."""
        used = self.draw(seed) if setup is None else setup
        world = World(seed, record=record, policy=policy)

        failure = None
        with counted(cluster=self.is_cluster) as signals:
            try:
                world.run(lambda world: self.play(world, used), limit_s=LIMIT_S)
            except Exception as error:  # whatever it is, it is the outcome
                failure = failure_of(error, world)
        return Outcome(
            scenario=self.name,
            seed=seed,
            setup=used,
            digest=world.trace.digest,
            steps=world.steps,
            virtual_s=world.virtual_s,
            failure=failure,
            effects=dict(sorted(world.effects.items())),
            signals=dict(signals),
            rows=tuple(world.trace.rows),
        )

    def __call__(self) -> None:
        for seed in range(self.seeds):
            outcome = self.run(seed)
            if outcome.failure is not None:
                raise SimulationError(f"seed {seed}: {outcome.failure.invariant}: {outcome.failure.message}")


def simulate(
    *,
    nodes: int | None = None,
    seeds: int = 100,
    seconds: int | None = None,
    operations: int | None = None,
    swarm: Swarm | None = None,
    invariants: Iterable[type[Invariant]] = INVARIANTS,
    features: Iterable[str] = (),
    restart: Restart = "trust-disk",
) -> Callable[[ClusterTest], Simulation]:
    """Make an async function that takes a `Cluster` a scenario, and a pytest test that runs ``seeds`` of them.

    ``nodes``, ``seconds`` and ``operations`` take the place of what the swarm would draw. Marks for
    pytest stand below this decorator. ``restart`` is what all members are configured with. With the plugin,
    ``--sim-seeds`` and ``--sim-seed`` choose others.

    >>> @simulate(nodes=3, seeds=2, swarm=Swarm.calm())
    ... async def test_writes(cluster: Cluster) -> None:
    ...     await cluster.write("n0", count=2)
    ...     await cluster.settle()
    ...     cluster.check_all()
    >>> test_writes()
    >>> test_writes.run(seed=7).failure
    """
    used = _swarm(swarm, nodes, seconds, operations)
    checked, present = tuple(invariants), tuple(features)

    def decorate(function: ClusterTest) -> Simulation:
        async def play(world: World, setup: Setup) -> None:
            async with open_cluster(world, setup, invariants=checked, features=present, restart=restart) as cluster:
                await function(cluster)

        return _marked(Simulation(function, play, swarm=used, seeds=seeds, invariants=checked))

    return decorate


def simulate_world(
    *,
    nodes: int | None = None,
    seeds: int = 100,
    seconds: int | None = None,
    operations: int | None = None,
    swarm: Swarm | None = None,
) -> Callable[[WorldTest], Simulation]:
    """As `simulate`, for programs of your own: the function gets a `World`, and the `Setup` of the seed.

    Plans name their hosts ``n0``, ``n1`` and so on, as many as ``setup.nodes``. When their faults begin is
    for the function to say, with an `Injector`. What it raises is what failed.

    >>> import trio
    >>> from hydra_sync.testing.plan.injector import Injector
    >>> @simulate_world(nodes=2, seeds=2, swarm=Swarm.default().only("crash"))
    ... async def test_comes_back(world: World, setup: Setup) -> None:
    ...     for number in range(setup.nodes):
    ...         world.host(f"n{number}").start(lambda host: trio.sleep_forever())
    ...     injector = Injector(world, setup.plan)
    ...     await trio.sleep(setup.seconds)
    ...     injector.stop()
    ...     assert all(host.state == "up" for host in world.hosts.values())
    >>> test_comes_back()
    """
    used = _swarm(swarm, nodes, seconds, operations)

    def decorate(function: WorldTest) -> Simulation:
        return _marked(Simulation(function, function, swarm=used, seeds=seeds))

    return decorate


def _swarm(swarm: Swarm | None, nodes: int | None, seconds: int | None, operations: int | None) -> Swarm:
    return (Swarm.default() if swarm is None else swarm).fixed(nodes=nodes, seconds=seconds, operations=operations)


def _marked(simulation: Simulation) -> Simulation:
    """With the marks for pytest that the function has."""
    if hasattr(simulation.function, "pytestmark"):
        simulation.pytestmark = simulation.function.pytestmark  # type: ignore[attr-defined]
    return simulation


def failure_of(error: BaseException, world: World) -> Failure:
    """What an error that ended a world is in terms of invariants. The same run gives the same words.

    >>> failure_of(ValueError("<Node at 0x7f64720d> is late"), World(seed=1)).message
    '<Node> is late'
    """
    found = _first(error)
    time_ns = nanoseconds(world.virtual_s)
    if isinstance(found, InvariantError):
        return Failure(found.name, found.message, time_ns, found.host)
    if isinstance(found, DeadlockError | LivelockError | TimeLimitError):
        return Failure("L6", f"{type(found).__name__}: {found}", time_ns)
    # Where an object lies in memory differs from run to run, and is in the repr of most.
    words = re.sub(r" at 0x[0-9a-fA-F]+", "", str(found))
    return Failure(type(found).__name__, words or f"it says no more, and was raised {_place(found)}".rstrip(), time_ns)


def _place(error: BaseException) -> str:
    """The last line of somebody's own code that an error passed: file and number, the same in every process."""
    ours = Path(__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if ours not in Path(frame.filename).parents and "site-packages" not in frame.filename
    ]
    return f"in {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


def _first(error: BaseException) -> BaseException:
    """The first error in a group that is not a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
