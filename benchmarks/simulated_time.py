"""How much faster than real time a cluster of real nodes is simulated, all invariants on.

    python benchmarks/simulated_time.py [--nodes 5] [--rates 1,100] [--virtual 20000] [--profile]

Every node writes at the given rate, evenly; every event is delivered to every application and checked
by every invariant. The ratio is virtual seconds to seconds of this process on one core. ``--profile``
says by module where the time goes, in a run of its own, since profiling makes everything slower.

What was wanted of five nodes: 300 times real time at 1 event/s each, 3 times at 100, which is 0.67 ms an event.
It is not reached. `simulated_floor`, the least program on the same sockets and disks, takes 0.55 ms for the 12 frames
(4 of data, 4 receipts, 4 words of the author), 5 syncs and one signature of an event, in 17 task steps. The product
makes 44 steps: a task writes to each connection, one appends to each log, and there are the group that commits, the
client that insists and five applications. Samples of the stack at 100 events/s, in microseconds an event, each
library's time counted to its caller (2,300 in all before the last round, 1,450 after it, when these were taken):

    product  least
        300    125  trio's loop, and what it takes to wake a task
        270      0  protocol core: receipts, what is stable, what to ask and to serve, for 12 messages and 5 commits
        245    145  frames, CBOR, batches, signatures
        195     60  store and disk: turns, shields, segments, the index
        195    135  sockets, links, the trace, the wiretap
        140      0  five deliveries, their invariants, the client (the least program itself: 90)
         85      0  engine and links of the node

Tried, and no gain beyond noise: arrivals rounded up to 0.25 ms, for fewer turns of the loop (1 ms gives 5 to 8 %, and
takes away orders in time that a run is for); PyPy 7.3.19 (94 and 1.4 times, with a stand-in for cbor2, which it could
not build, and the least program at half of CPython's speed); 28 and 59 modules compiled with mypyc 2.4.1 (5 to 10 %,
as much as the machine varies, and mutants, which replace functions, went unnoticed). At 1 event/s each what happens
every second comes on top: ticks, tips that nobody waits for, tasks counted.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.plan.scenario import Outcome
from hydra_sync.testing.plan.swarm import Swarm
from hydra_sync.testing.simulate import simulate

EVENT_BYTES = 200
SETTLED_S = 5.0  # everybody has met


def run(nodes: int, rate: float, virtual_s: float) -> tuple[Outcome, float, int]:
    """One run; its outcome, the seconds of this process for the virtual seconds asked for, and deliveries."""
    figures: list[float] = []

    async def steady(cluster: Cluster) -> None:
        await cluster.run_for(SETTLED_S)
        began, delivered = time.process_time(), cluster.ledger.deliveries
        async with trio.open_nursery() as nursery:
            for number, alias in enumerate(cluster.aliases):
                nursery.start_soon(partial(_write, cluster, alias, rate, virtual_s, number / nodes / rate))
        figures.extend((time.process_time() - began, cluster.ledger.deliveries - delivered))
        cluster.check_all()

    swarm = replace(Swarm.calm(), nodes=(nodes, nodes), seconds=(1, 1), operations=(1, 1))
    outcome = simulate(swarm=swarm)(steady).run(1)
    return outcome, figures[0], int(figures[1])


async def _write(cluster: Cluster, alias: str, rate: float, virtual_s: float, offset_s: float) -> None:
    began_s = trio.current_time() + offset_s
    for number in range(int(rate * virtual_s)):
        await trio.sleep_until(began_s + number / rate)
        cluster.start_writing(alias, size=EVENT_BYTES)
    await trio.sleep_until(began_s + virtual_s - offset_s)


def by_module(profile: cProfile.Profile) -> Counter[str]:
    """Seconds spent in each module itself."""
    seconds: Counter[str] = Counter()
    for (file, _, name), (_, _, own_s, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        path = Path(file)
        place = f"{path.parent.name}/{path.stem}" if file not in {"~", ""} else f"built in: {name}"
        seconds[place] += own_s
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rates", default="1,10,100", help="events a second of each node")
    parser.add_argument("--events", type=int, default=2500, help="of all nodes, in each run")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    run(options.nodes, 1.0, 5.0)  # imports and caches
    for rate in map(float, options.rates.split(",")):
        virtual_s = options.events / options.nodes / rate
        outcome, seconds, deliveries = run(options.nodes, rate, virtual_s)
        assert outcome.failure is None, outcome.failure
        print(
            f"{options.nodes} nodes, {rate:g} events/s each: {virtual_s / seconds:,.1f} times real time; "
            f"{deliveries:,} deliveries, {deliveries / seconds:,.0f}/s, {outcome.steps:,} task steps, "
            f"{seconds / deliveries * 1e6:,.0f} us a delivery"
        )
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(run, options.nodes, rate, virtual_s)
            whole = by_module(profile)
            for place, own_s in whole.most_common(30):
                print(f"  {own_s / whole.total():6.1%}  {place}")


if __name__ == "__main__":
    main()
