"""Turns an async function into a scenario: a test that can be run for any seed. No real I/O.

`simulate` is for functions that are given a `Cluster` of hydra_sync nodes, `simulate_world` for those that
are given a `World`, and start programs of their own in it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from hydra_sync.config import Restart
from hydra_sync.errors import UsageError
from hydra_sync.tasks import leaves
from hydra_sync.testing.cluster.cluster import INVARIANTS, Cluster, open_cluster
from hydra_sync.testing.cluster.invariant import Invariant, InvariantError
from hydra_sync.testing.places import place_of
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
        self.let_through: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
        """What is no outcome of a run, and raised by it."""
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
            except BaseException as error:  # whatever it is, it is the outcome
                for part in leaves(error):
                    if isinstance(part, self.let_through):
                        raise part from None
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
    founding: bool = False,
) -> Callable[[ClusterTest], Simulation]:
    """Make an async function that takes a `Cluster` a scenario, and a pytest test that runs ``seeds`` of them.

    ``nodes``, ``seconds`` and ``operations`` take the place of what the swarm would draw. Marks for
    pytest stand below this decorator. ``restart`` is what all members are configured with; where they prove
    their epochs, the function begins when the network is founded, or with ``founding`` at the very beginning.
    With the plugin, ``--sim-seeds`` and ``--sim-seed`` choose others.

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
            async with open_cluster(
                world, setup, invariants=checked, features=present, restart=restart, founding=founding
            ) as cluster:
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
    found = next(leaves(error))
    time_ns = nanoseconds(world.virtual_s)
    if isinstance(found, InvariantError):
        return Failure(found.name, found.message, time_ns, found.host)
    if isinstance(found, DeadlockError | LivelockError | TimeLimitError):
        return Failure("L6", f"{type(found).__name__}: {found}", time_ns)
    # Where an object lies in memory differs from run to run, and is in the repr of most.
    words = re.sub(r" at 0x[0-9a-fA-F]+", "", _words(found))
    return Failure(type(found).__name__, words, time_ns)


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        called = f"sys.exit({error.code!r}) was called {place_of(error)}".rstrip()
        return f"{called}; a host whose program may do so is started with expected=(SystemExit,)"
    return str(error) or f"it says no more, and was raised {place_of(error)}".rstrip()
