"""Peak memory of a serving and a fetching node, and the time to open the log, for a log of 1 GB.

python benchmarks/memory.py [--gigabytes 1] [--event-bytes 200]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import trio

from hydra_sync.config import Config, load_config
from hydra_sync.demo.processes import NodeProcess, prepare
from hydra_sync.disk import RealDisk
from hydra_sync.limits import BODY_BYTES_MAX
from hydra_sync.node import open_read_only
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.store import open_store

BOUND_MB = 120


async def build(config: Config, size: int, event_bytes: int) -> int:
    """Append about ``size`` bytes of events, in batches as large as they may be; returns how many."""
    per_batch = BODY_BYTES_MAX // (event_bytes + 3) - 1
    async with open_store(
        RealDisk(),
        config.persistence_dir,
        members=config.keys,
        network=config.network_id,
        key=config.key,
        wall_clock=wall_clock_us,
        holder="benchmark",
    ) as store:
        while store.author.log.tip.next_seq * event_bytes < size:
            await store.author.append([os.urandom(event_bytes) for _ in range(per_batch)])
        return store.author.log.tip.next_seq


async def open_seconds(config: Config) -> float:
    began = time.perf_counter()
    async with open_read_only(config):
        return time.perf_counter() - began


def peak_mb(node: NodeProcess) -> float:
    status = Path(f"/proc/{node.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def measure(directory: Path, size: int, event_bytes: int) -> None:
    files = prepare(directory, ("alice", "bob"))
    there = trio.Event()
    total = 0

    def hear(name: str, fields: Mapping[str, object]) -> None:
        match fields:
            case {"event": "advanced", "log": "alice", "next_seq": int(seq)} if name == "bob" and seq >= total:
                there.set()

    nodes = {name: NodeProcess(name, files[name], hear) for name in files}
    for node in nodes.values():
        await node.init()
    total = await build(load_config(files["alice"]), size, event_bytes)
    print(f"alice's log: {total:,} events of {event_bytes} bytes")
    print(f"opening it: {await open_seconds(load_config(files['alice'])):.3f} s")
    async with trio.open_nursery() as nursery:
        await nursery.start(nodes["alice"].run)
        print(f"alice, started: {peak_mb(nodes['alice']):.0f} MB")
        began = time.perf_counter()
        await nursery.start(nodes["bob"].run)
        await there.wait()
        seconds = time.perf_counter() - began
        print(f"bob has it after {seconds:.1f} s: {total / seconds:,.0f} events/s, {size / seconds / 1e6:.0f} MB/s")
        for name, node in nodes.items():
            role = "serving" if name == "alice" else "fetching"
            peak = peak_mb(node)
            print(f"{name}, {role}: peak {peak:.0f} MB ({'below' if peak < BOUND_MB else 'ABOVE'} {BOUND_MB} MB)")
            await node.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--event-bytes", type=int, default=200)
    parser.add_argument("--dir", type=Path, help="where to make the stores; a temporary directory if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        trio.run(measure, Path(directory), int(options.gigabytes * 1e9), options.event_bytes)


if __name__ == "__main__":
    main()
