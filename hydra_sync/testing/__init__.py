"""Deterministic simulation: whole networks of trio programs in one process, replayed from one seed.

A `World` runs unmodified trio code on simulated sockets, disks and clocks. Time is virtual, every
choice is a random stream of one seed, and the same seed gives the same run to the last byte, on
every machine: if two runs have one digest, they were one run.

Where to begin:

=============================================== =========================================================
to test                                         use
=============================================== =========================================================
an application on hydra_sync nodes              `simulate`, which hands your test a `Cluster`
a trio program of your own, faults drawn        `simulate_world`, which hands it a `World` and a `Setup`
a trio program of your own, step by step        `World` alone, with `World.crash`, `Network.cut`, ...
real processes, in any language                 ``hydra-sync chaos-proxy``
=============================================== =========================================================

What the two decorators make is a `Scenario`: pytest collects it as a test of many seeds (the plugin
comes with the package; ``--sim-seeds N``, ``--sim-seed S``), ``hydra-sync simulate MODULE`` runs
campaigns of it, shrinks what fails, and draws it (`shrink`, `Campaign`, `write_html`).

*Faults* are data (`faults`): a plan of crashes, pauses, cuts, partitions, loss, resets, half-open
connections, torn, lost and misdirected writes, full and lying disks, rot, wrong clocks and so on, at
times or armed at operations (before the third sync of n1). A `Swarm` draws one for each seed, in
which some kinds are on and others off; ``cluster.faults()`` or an `Injector` carries it out.

*Invariants* of a `Cluster` are checked as things happen: S1 to S9 say what must never be (an
acknowledged event is lost, two histories, something forged is delivered), L1 to L6 what must come
about once faults have stopped (`Cluster.settle`); `INVARIANTS` has them, each with its promise. Your
own are subclasses of `Invariant`, or an ``assert``: whatever a scenario raises is what failed.
`sometimes` and `reachable` register what some run should have seen; campaigns tell what none did.

A program that is to be simulated

- takes time from trio, and dates and randomness from what it is given (`Host.wall_clock`, `Host.entropy`);
- uses `trio.open_tcp_stream`, `trio.serve_tcp` or `trio.socket`, over IPv4, and listens on an explicit host;
- keeps its files on a `hydra_sync.disk.Disk` that it is given (`Host.disk`);
- starts no threads, and never iterates over a set.

Tripwires fail the world with a clear error where a program takes time, randomness, threads, sockets or
files from elsewhere. They do not see what C code does by itself, what installed packages have imported
before (``from time import time``; in your own modules it is seen), functions that are kept elsewhere than
in a module's globals, and what differs from process to process, such as the order of sets: that is why
campaigns run some seeds twice.

This program asks a server for squares; the network is partitioned, then the server loses its power:

>>> import trio
>>> from contextlib import suppress
>>> async def serve(stream: trio.SocketStream) -> None:
...     with suppress(trio.BrokenResourceError):
...         while number := await stream.receive_some():
...             await stream.send_all(str(int(number) ** 2).encode())
...
>>> async def server(host: Host) -> None:
...     await trio.serve_tcp(serve, 80, host=host.ip)
...
>>> async def ask(number: int) -> int:
...     while True:
...         with trio.move_on_after(3):
...             try:
...                 async with await trio.open_tcp_stream("n0", 80) as stream:
...                     await stream.send_all(str(number).encode())
...                     if answer := await stream.receive_some():
...                         return int(answer)
...             except (OSError, trio.BrokenResourceError):
...                 await trio.sleep(0.1)
...
>>> async def scenario(world: World) -> list[int]:
...     world.host("n0").start(server)
...     client = world.host("n1")
...     client.start(lambda host: trio.sleep_forever())
...     answers = [await client.call(ask, 3)]
...     world.network.cut("n1", "n0")
...     world.after(5 * SECOND, world.network.heal, "n1", "n0")
...     answers.append(await client.call(ask, 4))
...     world.crash("n0")
...     world.after(2 * SECOND, world.restart, "n0")
...     answers.append(await client.call(ask, 5))
...     return answers
...
>>> World(seed=7).run(scenario).value
[9, 16, 25]

The same server for many seeds, each with partitions and resets of its own:

>>> @simulate_world(nodes=2, seeds=3, seconds=5, swarm=Swarm.default().only("partition", "reset"))
... async def test_squares(world: World, setup: Setup) -> None:
...     world.host("n0").start(server)
...     client = world.host("n1")
...     client.start(lambda host: trio.sleep_forever())
...     Injector(world, setup.plan)
...     for number in range(setup.operations):
...         assert await client.call(ask, number) == number**2
...
>>> test_squares()
"""

from hydra_sync.testing.campaign.campaign import Campaign, run_campaign
from hydra_sync.testing.campaign.loading import find_scenario, find_scenarios
from hydra_sync.testing.campaign.shrink import NotReplayedError, Shrunk, shrink
from hydra_sync.testing.cluster.cluster import INVARIANTS, Cluster, open_cluster
from hydra_sync.testing.cluster.hostile import PROGRAMS
from hydra_sync.testing.cluster.insider import HostileProgram, Insider
from hydra_sync.testing.cluster.invariant import Invariant, InvariantError
from hydra_sync.testing.cluster.ledger import Delivery, Ledger
from hydra_sync.testing.plan import faults
from hydra_sync.testing.plan.injector import Injector
from hydra_sync.testing.plan.scenario import Outcome, Scenario, Setup
from hydra_sync.testing.plan.swarm import Swarm
from hydra_sync.testing.signals import reachable, sometimes
from hydra_sync.testing.simulate import Simulation, SimulationError, simulate, simulate_world
from hydra_sync.testing.view import write_html
from hydra_sync.testing.view.exports import perfetto_json, shiviz_log
from hydra_sync.testing.world._trio_internals import TrioChangedError
from hydra_sync.testing.world.clock import MS, SECOND, US
from hydra_sync.testing.world.connections import Farewell
from hydra_sync.testing.world.disk import DISK_EFFECTS, DiskSpeed, SimDisk
from hydra_sync.testing.world.host import Host, HostDiedError
from hydra_sync.testing.world.links import Link, Shape
from hydra_sync.testing.world.network import Network
from hydra_sync.testing.world.operations import Operation, Operations, Phase
from hydra_sync.testing.world.platter import SECTOR_BYTES, Image, Keep
from hydra_sync.testing.world.scheduler import LivelockError, Policy
from hydra_sync.testing.world.streams import Stream
from hydra_sync.testing.world.trace import Row, Trace
from hydra_sync.testing.world.tripwires import TripwireError
from hydra_sync.testing.world.wall_clock import EPOCH_US, WallClock
from hydra_sync.testing.world.world import DeadlockError, Result, TimeLimitError, World, current_host

__all__ = [
    "World",
    "Result",
    "Host",
    "current_host",
    "Network",
    "Link",
    "Shape",
    "SimDisk",
    "DiskSpeed",
    "WallClock",
    "Stream",
    "Trace",
    "Row",
    "Operations",
    "faults",
    "Injector",
    "Farewell",
    "Image",
    "Keep",
    "Operation",
    "Phase",
    "Policy",
    "shrink",
    "Shrunk",
    "Campaign",
    "run_campaign",
    "find_scenario",
    "find_scenarios",
    "NotReplayedError",
    "DeadlockError",
    "HostDiedError",
    "LivelockError",
    "TimeLimitError",
    "TripwireError",
    "TrioChangedError",
    "US",
    "MS",
    "SECOND",
    "EPOCH_US",
    "SECTOR_BYTES",
    "DISK_EFFECTS",
    "simulate",
    "simulate_world",
    "Setup",
    "Outcome",
    "Scenario",
    "Simulation",
    "SimulationError",
    "Cluster",
    "open_cluster",
    "Swarm",
    "INVARIANTS",
    "Invariant",
    "InvariantError",
    "Delivery",
    "Ledger",
    "HostileProgram",
    "Insider",
    "PROGRAMS",
    "sometimes",
    "reachable",
    "write_html",
    "perfetto_json",
    "shiviz_log",
]
