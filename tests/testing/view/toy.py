"""A small replicated log with a bug, as a scenario to draw: it acknowledges before it has synced.

Run as a script it writes the picture of a failing run: ``python tests/testing/view/toy.py SEED FILE``.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio

from hydra_sync.tasks import Signal
from hydra_sync.testing import MS, SECOND, Host, Injector, World
from hydra_sync.testing.plan.faults import At, Crash, Cut, On, Pause, Plan, Slow
from hydra_sync.testing.plan.scenario import Failure, Outcome, Setup
from hydra_sync.testing.view import write_html
from hydra_sync.testing.world.scheduler import Policy

NAMES = ("alice", "bob", "carol", "dave")
RECORD_BYTES = 64
PLAN: Plan = (
    Pause(At(450 * MS), "dave", for_ns=200 * MS),
    Slow(At(700 * MS), "alice", "dave", latency_ns=25 * MS, for_ns=900 * MS),
    Cut(At(940 * MS), "carol", "alice", for_ns=700 * MS),
    Crash(On("bob", "sync", nth=22), "bob", down_ns=400 * MS, keep="lost"),
)


class LostError(Exception):
    """S1: an acknowledged event survives restart. This one did not."""


class Member:
    """One host's copy of alice's log. The bug: `append` tells how far it is before the sync, not after."""

    def __init__(self, host: Host, world: World, acknowledged: dict[str, int]) -> None:
        self.host = host
        self.world = world
        self.acknowledged = acknowledged
        self.seq = 0
        self.grown = Signal()

    async def run(self, count: int) -> None:
        await self.open()
        if self.seq < self.acknowledged.get(self.host.name, 0):
            raise LostError(
                f"{self.host.name} acknowledged alice's events up to seq {self.acknowledged[self.host.name]}, "
                f"and has them up to {self.seq} after its restart"
            )
        await (self.write(count) if self.host.name == "alice" else self.fetch())

    async def open(self) -> None:
        disk, path = self.host.disk, Path("/store/alice.log")
        await disk.make_dir(path.parent)
        await disk.sync_dir(path.parent.parent)
        known = path.name in await disk.list_dir(path.parent)
        self.file = await disk.open(path, "write" if known else "create")
        await disk.sync_dir(path.parent)
        self.seq = await self.file.size() // RECORD_BYTES
        self.world.note("seq", "alice", self.seq)

    async def append(self) -> None:
        await self.file.write_at(self.seq * RECORD_BYTES, bytes([self.seq % 256]) * RECORD_BYTES)
        self.seq += 1
        self.acknowledged[self.host.name] = self.seq
        self.world.note("seq", "alice", self.seq)
        self.grown.fire()
        await self.file.sync()

    async def write(self, count: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_tcp, self.serve, 1, host=self.host.ip))
            for _ in range(count):
                await self.append()
                await trio.sleep(0.03)

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while question := await stream.receive_some():
                start = int.from_bytes(question[-4:], "big")
                while self.seq <= start:
                    await self.grown.wait()
                await stream.send_all(bytes((self.seq - start) * RECORD_BYTES))

    async def fetch(self) -> None:
        while True:
            with trio.move_on_after(1), suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream("alice", 1) as stream:
                    await stream.send_all(self.seq.to_bytes(4, "big"))
                    while answer := await stream.receive_some():
                        for _ in range(len(answer) // RECORD_BYTES):
                            await self.append()
                        await stream.send_all(self.seq.to_bytes(4, "big"))
            await trio.sleep(0.1)


class Toy:
    """alice writes events, the others fetch them from her and store them. A `Scenario`."""

    name = "replicated-toy"

    def draw(self, seed: int) -> Setup:
        return Setup(nodes=len(NAMES), seconds=4, operations=60, plan=PLAN)

    def run(self, seed: int, setup: Setup | None = None, *, record: bool = False, policy: Policy = "random") -> Outcome:
        setup = setup or self.draw(seed)
        world = World(seed, record=record, policy=policy)
        acknowledged: dict[str, int] = {}

        async def scenario(world: World) -> None:
            injector = Injector(world, setup.plan)
            for name in NAMES[: setup.nodes]:
                world.host(name).start(lambda host: Member(host, world, acknowledged).run(setup.operations))
            await trio.sleep(setup.seconds)
            injector.stop()

        steps, failure = 0, None
        try:
            steps = world.run(scenario).steps
        except LostError as error:
            time_ns = next((row.time_ns for row in reversed(world.trace.rows) if row.kind == "fail"), 0)
            failure = Failure("S1", str(error), time_ns, str(error).split()[0])
        rows, effects = tuple(world.trace.rows), dict(sorted(world.effects.items()))
        virtual_s = world.clock.now_ns / SECOND
        return Outcome(self.name, seed, setup, world.trace.digest, steps, virtual_s, failure, effects, rows=rows)


if __name__ == "__main__":
    outcome = Toy().run(int(sys.argv[1]), record=True)
    print(outcome.failure, len(outcome.rows))
    write_html(outcome, Path(sys.argv[2]))
