"""The proxy is a trio program like any other: in a simulated world it is deterministic, and so are its faults."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from hydra_sync.config import Address
from hydra_sync.testing import MS, SECOND, Host, World
from hydra_sync.testing.chaos_proxy import ChaosProxy, Route, Trouble
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.faults import At
from hydra_sync.testing.world.links import Shape
from hydra_sync.testing.world.trace import Row

PLAN = (
    f.Slow(At(0), "a", "b", 30 * MS, 30 * MS, for_ns=20 * SECOND),
    f.Loss(At(1 * SECOND), "b", "a", 200_000, for_ns=5 * SECOND),
    f.Throttle(At(2 * SECOND), "a", "b", 5_000, for_ns=2 * SECOND),
    f.Cut(At(5 * SECOND), "a", "b", for_ns=3 * SECOND),
    f.Clog(At(9 * SECOND), "b", "a", for_ns=2 * SECOND),
    f.Reset(At(12 * SECOND), "a", "b"),
    f.Vanish(At(14 * SECOND), "a", "b"),
    f.Refuse(At(16 * SECOND), "b", for_ns=2 * SECOND),
    f.Partition(At(20 * SECOND), (("a",), ("b",)), for_ns=2 * SECOND),
)
TROUBLE = Trouble(cut_every_ns=4 * SECOND, cut_for_ns=SECOND, reset_every_ns=6 * SECOND)


class Story:
    """a asks b through the proxy again and again, for half a minute."""

    def __init__(self, seed: int, proxy_seed: int = 5) -> None:
        self.rows: list[Row] = []
        self.answers = self.failures = 0
        self.proxy_seed = proxy_seed
        self.world = World(seed)
        self.result = self.world.run(self.scenario, limit_s=100)

    async def scenario(self, world: World) -> None:
        world.host("b").start(self.answer)
        world.host("proxy").start(self.relay)
        world.host("a").start(self.ask)
        await trio.sleep(30)

    async def answer(self, host: Host) -> None:
        async def handle(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):
                while data := await stream.receive_some():
                    await stream.send_all(data)

        await trio.serve_tcp(handle, 1, host=host.ip)

    async def relay(self, host: Host) -> None:
        route = Route("a", "b", Address(host.ip, 9), Address("b", 1))
        self.proxy = ChaosProxy([route], PLAN, seed=self.proxy_seed, trouble=TROUBLE, on_row=self.rows.append)
        await self.proxy.run()

    async def ask(self, host: Host) -> None:
        while True:
            try:
                with trio.fail_after(2):
                    async with await trio.open_tcp_stream("proxy", 9) as stream:
                        for _ in range(10):
                            await stream.send_all(bytes(500))
                            if not await stream.receive_some():
                                break
                            self.answers += 1
                            await trio.sleep(0.01)
            except (OSError, trio.BrokenResourceError, trio.TooSlowError):
                self.failures += 1
            await trio.sleep(0.1)


def test_the_same_seed_is_the_same_run() -> None:
    """Row by row, time by time, to the last decision of the scheduler."""
    one, two = Story(1), Story(1)
    assert one.result.digest == two.result.digest
    assert one.rows == two.rows
    assert (one.answers, one.failures) == (two.answers, two.failures)


def test_every_fault_bites() -> None:
    """And the program behind the proxy gets answers and failures."""
    story = Story(1)
    bitten = {effect for fault in PLAN for effect in type(fault).effects}
    assert bitten <= {effect for effect, count in story.proxy.effects.items() if count}
    assert {row.data[0] for row in story.rows if row.kind == "fault"} >= {type(fault).__name__ for fault in PLAN}
    assert story.answers > 50
    assert story.failures > 3


def test_the_seed_of_the_proxy_decides_its_faults() -> None:
    """In one and the same world."""
    assert Story(1).rows != Story(1, proxy_seed=6).rows


def test_latency_is_exact() -> None:
    """To the microsecond, in virtual time."""

    async def scenario(world: World) -> float:
        async def echo(stream: trio.SocketStream) -> None:
            await stream.send_all(await stream.receive_some())

        async def serve(host: Host) -> None:
            await trio.serve_tcp(echo, 1, host=host.ip)

        async def rest(host: Host) -> None:
            await trio.sleep_forever()

        async def relay(host: Host) -> None:
            shape = Shape(latency_ns=100 * MS, jitter_ns=0, bytes_per_s=1 << 40)
            await ChaosProxy([Route("a", "b", Address(host.ip, 9), Address("b", 1))], shape=shape).run()

        async def ask() -> float:
            began = trio.current_time()
            async with await trio.open_tcp_stream("proxy", 9) as stream:
                await stream.send_all(b"?")
                await stream.receive_some()
                return trio.current_time() - began

        world.network.shape = Shape(latency_ns=0, jitter_ns=0, bytes_per_s=1 << 40)
        world.host("b").start(serve)
        world.host("proxy").start(relay)
        client = world.host("a")
        client.start(rest)
        await trio.sleep(0.01)
        return await client.call(ask)

    # There for dialing, there for the question, back for the answer.
    assert World(3).run(scenario).value == pytest.approx(0.3, abs=1e-5)
