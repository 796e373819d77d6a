"""Every kind of fault against a small chattering program: what `test_determinism.py` compares.

Run as a script it prints the digest, and with ``--rows`` the trace, one row a line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from hydra_sync.testing import MS, SECOND, Host, Injector, Result, World, faults
from hydra_sync.testing.plan.faults import At, Fault, On

NAMES = [f"n{number}" for number in range(4)]
LOG = Path("/data/log")


class Chatter:
    """Appends to a log, syncs it, and sends what is durable to everyone; waits on one event in many tasks."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.tick = trio.Event()
        self.length = 0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.serve)
            nursery.start_soon(self.write)
            for name in NAMES:
                if name != self.host.name:
                    nursery.start_soon(self.send, name)

    async def serve(self) -> None:
        async def handle(stream: trio.SocketStream) -> None:
            try:
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass

        await trio.serve_tcp(handle, 1, host=self.host.ip)

    async def write(self) -> None:
        disk = self.host.disk
        await disk.make_dir(LOG.parent)
        while True:
            try:
                mode = "write" if LOG.name in await disk.list_dir(LOG.parent) else "create"
                file = await disk.open(LOG, "create" if mode == "create" else "write")
                await disk.sync_dir(LOG.parent.parent)
                await disk.sync_dir(LOG.parent)
                while True:
                    data = self.host.wall_clock().to_bytes(8, "big") + self.host.entropy(600)
                    size = await file.size()
                    await file.write_at(size, data)
                    await file.sync()
                    await file.read_at(size, 8)
                    self.length += 1
                    self.tick.set()
                    self.tick = trio.Event()
                    await trio.sleep(0.02)
            except OSError:
                await trio.sleep(0.1)

    async def send(self, name: str) -> None:
        while True:
            try:
                with trio.move_on_after(5):
                    async with await trio.open_tcp_stream(name, 1) as stream:
                        while True:
                            await self.tick.wait()
                            await stream.send_all(self.length.to_bytes(200, "big"))
            except (OSError, trio.BrokenResourceError):
                pass
            await trio.sleep(0.1)


def everything() -> list[Fault]:
    """Each kind of fault, at times and at operations."""
    return [
        faults.StepClock(At(1 * SECOND), "n0", -5_000_000),
        faults.DriftClock(At(1 * SECOND), "n1", 300),
        faults.Cut(At(1 * SECOND), "n0", "n1"),
        faults.Loss(At(1 * SECOND), "n1", "n0", 100_000, for_ns=8 * SECOND),
        faults.Slow(At(2 * SECOND), "n2", "n3", latency_ns=200 * MS, jitter_ns=100 * MS),
        faults.Throttle(At(2 * SECOND), "n3", "n2", 10_000),
        faults.Clog(At(2 * SECOND), "n0", "n2"),
        faults.Backup(At(2 * SECOND), "n3"),
        faults.Crash(On("n1", "sync", nth=60, delay_ns=300_000), "n1"),
        faults.Crash(On("n2", "write", nth=70, phase="after"), "n2", keep="torn", sockets="reset"),
        faults.Refuse(At(3 * SECOND), "n1"),
        faults.Pause(At(3 * SECOND), "n3"),
        faults.Partition(At(4 * SECOND), (("n0", "n1"), ("n2", "n3"))),
        faults.Reset(At(5 * SECOND), "n0", "n1"),
        faults.Vanish(At(6 * SECOND), "n0", "n1"),
        faults.DiskError(At(5 * SECOND), "n0", "sync"),
        faults.DiskError(At(5 * SECOND), "n0", "read", nth=4),
        faults.LyingSync(At(5 * SECOND), "n2"),
        faults.FullDisk(At(6 * SECOND), "n3", free_bytes=5000),
        faults.Rot(At(6 * SECOND), "n1", "/data/*"),
        faults.Misdirect(At(6 * SECOND), "n1"),
        faults.CrashLoop(At(7 * SECOND), "n1", times=2),
        faults.Restore(At(8 * SECOND), "n3"),
        faults.Wipe(At(8 * SECOND), "n2", down_ns=SECOND // 2),
    ]


async def scenario(world: World) -> tuple[list[str], list[str]]:
    """Gives the kinds of fault that found something to break, and those that never had an effect."""
    for name in NAMES:
        world.host(name).start(lambda host: Chatter(host).run())
    injector = Injector(world, everything())
    await trio.sleep(9)
    injector.stop()
    await trio.sleep(1)
    return sorted(injector.injected), injector.toothless()


def run(seed: int, *, record: bool = False) -> tuple[World, Result[tuple[list[str], list[str]]]]:
    """The chaos, once."""
    world = World(seed, record=record)
    return world, world.run(scenario)


if __name__ == "__main__":
    world, result = run(int(sys.argv[1]), record="--rows" in sys.argv)
    print(result.digest, result.steps, result.rows)
    if "--rows" in sys.argv:
        print("\n".join(world.trace.json_lines()))
