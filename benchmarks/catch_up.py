"""A cold catch-up of one log between two real nodes, beside a plain copy of the same bytes over TCP.

    python benchmarks/catch_up.py [--events 200000] [--per-batch 1,500]

The copy is the floor: the same bytes over loopback into a file with one sync at the end, not verified.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import trio

from hydra_sync.config import Config, load_config
from hydra_sync.demo.processes import NodeProcess, prepare
from hydra_sync.disk import RealDisk
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.store import open_store

EVENT_BYTES = 200
CHUNK_BYTES = 256 << 10


async def build(config: Config, events: int, per_batch: int) -> bytes:
    """Append events in batches of so many; returns the log's bytes."""
    disk = RealDisk()
    async with open_store(
        disk,
        config.persistence_dir,
        members=config.keys,
        network=config.network_id,
        key=config.key,
        wall_clock=wall_clock_us,
        holder="benchmark",
    ) as store:
        for _ in range(0, events, per_batch):
            await store.author.append([os.urandom(EVENT_BYTES) for _ in range(per_batch)])
    directory = config.persistence_dir / "logs" / config.key.member.hex()
    return b"".join(path.read_bytes().rstrip(b"\0") for path in sorted(directory.glob("*.log")))


def copy_seconds(data: bytes, path: Path) -> float:
    """Seconds for the same bytes over a plain connection into a file, synced once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(data)

        threading.Thread(target=serve).start()
        began = time.perf_counter()
        with socket.create_connection(server.getsockname()) as connection, path.open("wb") as file:
            while chunk := connection.recv(CHUNK_BYTES):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        return time.perf_counter() - began


async def measure(directory: Path, events: int, per_batch: int) -> None:
    files = prepare(directory, ("alice", "bob"))
    connected = trio.Event()
    there = trio.Event()

    def hear(name: str, fields: Mapping[str, object]) -> None:
        match fields:
            case {"event": "connected"} if name == "bob":
                connected.set()
            case {"event": "advanced", "log": "alice", "next_seq": int(seq)} if name == "bob" and seq >= events:
                there.set()

    nodes = {name: NodeProcess(name, files[name], hear) for name in files}
    for node in nodes.values():
        await node.init()
    data = await build(load_config(files["alice"]), events, per_batch)
    floor = copy_seconds(data, directory / "copy")
    async with trio.open_nursery() as nursery:
        await nursery.start(nodes["alice"].run)
        await nursery.start(nodes["bob"].run)
        await connected.wait()
        began = time.perf_counter()
        await there.wait()
        seconds = time.perf_counter() - began
        for node in nodes.values():
            await node.stop()
    print(
        f"{events:,} events, {per_batch} a batch, {len(data) / 1e6:.0f} MB: caught up in {seconds:.2f} s, "
        f"{events / seconds:,.0f} events/s, {len(data) / seconds / 1e6:.1f} MB/s; "
        f"plain copy {floor:.2f} s; ratio {seconds / floor:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--per-batch", default="20,500")
    options = parser.parse_args()
    for per_batch in map(int, options.per_batch.split(",")):
        with tempfile.TemporaryDirectory() as directory:
            trio.run(measure, Path(directory), options.events, per_batch)


if __name__ == "__main__":
    main()
