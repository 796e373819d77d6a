"""Each kind of fault, seen from both ends of real connections. These tests take real, short time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from hydra_sync.config import Address
from hydra_sync.errors import UsageError
from hydra_sync.tasks import Signal
from hydra_sync.testing import MS, SECOND
from hydra_sync.testing.chaos_proxy import CLEAR, ChaosProxy, Route, Trouble
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.faults import At
from hydra_sync.testing.world.links import Shape
from hydra_sync.testing.world.trace import Row

NOW = At(0)  # faults are injected when the connection is there, not at a time
NO_TROUBLE = Trouble()
HOST = "127.0.0.1"


@dataclass
class Wire:
    """A proxy on the route a>b, and what is behind it."""

    proxy: ChaosProxy
    port: int
    accepted: trio.MemoryReceiveChannel[trio.SocketStream]
    rows: list[Row]
    news: Signal

    async def dial(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        """A new connection: its ends at a, and at b."""
        near = await trio.open_tcp_stream(HOST, self.port)
        return near, await self.accepted.receive()

    async def until(self, kind: str, count: int = 1) -> None:
        """Return when the proxy has said so."""
        while self.kinds().count(kind) < count:
            await self.news.wait()

    def kinds(self) -> list[str]:
        return [row.kind for row in self.rows]


@asynccontextmanager
async def open_wire(*, shape: Shape = CLEAR, trouble: Trouble = NO_TROUBLE, seed: int = 1) -> AsyncIterator[Wire]:
    send, receive = trio.open_memory_channel[trio.SocketStream](10)
    rows: list[Row] = []
    news = Signal()
    held: list[trio.SocketStream] = []

    def note(row: Row) -> None:
        rows.append(row)
        news.fire()

    async def hold(stream: trio.SocketStream) -> None:
        held.append(stream)
        await send.send(stream)
        await trio.sleep_forever()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host=HOST)
            port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, hold, listeners)
            routes = [Route("a", "b", Address(HOST, 0), Address(HOST, port))]
            proxy = ChaosProxy(routes, seed=seed, shape=shape, trouble=trouble, on_row=note)
            (where,) = await nursery.start(proxy.run)
            yield Wire(proxy, where.port, receive, rows, news)
            nursery.cancel_scope.cancel()


async def receive_exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (part := await stream.receive_some()):
        data += part
    return bytes(data)


async def seconds_of(stream: trio.SocketStream, other: trio.SocketStream, data: bytes = b"x") -> float:
    """How long ``data`` takes from one end to the other; it arrives whole."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        assert await receive_exactly(other, len(data)) == data
    return trio.current_time() - began


async def test_without_faults_it_is_a_wire() -> None:
    """A megabyte each way, whole and in order, and each side may end first."""
    data = bytes(range(256)) * 4096
    async with open_wire() as wire:
        near, far = await wire.dial()
        async with near, far:
            await seconds_of(near, far, data)
            await seconds_of(far, near, data)
            await near.send_eof()
            assert await far.receive_some() == b""
            await seconds_of(far, near, b"still open this way")
        await wire.until("close")
        assert wire.rows[-1].data == ("b", 1, len(data), len(data) + 19)


async def test_slow_delays_one_way() -> None:
    """And for its time only."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Slow(NOW, "a", "b", 400 * MS, for_ns=600 * MS))
        async with near, far:
            assert await seconds_of(near, far) >= 0.399
            assert await seconds_of(far, near) < 0.3
            await wire.until("reshape", 2)
            assert await seconds_of(near, far) < 0.3
        assert wire.proxy.effects["link.slow"] > 0


async def test_the_shape_of_all_links_delays_both_ways() -> None:
    """Dialing included: the target hears of it one latency later."""
    async with open_wire(shape=Shape(latency_ns=50 * MS, jitter_ns=0, bytes_per_s=1 << 40)) as wire:
        began = trio.current_time()
        near, far = await wire.dial()
        async with near, far:
            assert trio.current_time() - began >= 0.049
            assert await seconds_of(near, far) >= 0.049
            assert await seconds_of(far, near) >= 0.049


async def test_throttle_limits_bytes_a_second() -> None:
    """100 kB over 200 kB/s take half a second."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Throttle(NOW, "a", "b", 200_000, for_ns=5 * SECOND))
        async with near, far:
            assert 0.49 <= await seconds_of(near, far, bytes(100_000)) < 2
            assert await seconds_of(far, near, bytes(100_000)) < 0.4


async def test_loss_delays_and_loses_nothing() -> None:
    """Segments are sent again after 0.2 s, 0.6 s and so on, and stay in order."""
    async with open_wire(seed=3) as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Loss(NOW, "a", "b", 300_000, for_ns=9 * SECOND))
        async with near, far:
            assert await seconds_of(near, far, bytes(range(200)) * 500) >= 0.19
        assert wire.proxy.effects["link.loss"] > 0


async def test_a_one_way_cut_stops_one_way_until_tcp_tries_again() -> None:
    """The other way data still flows, as long as the window lets it."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Cut(NOW, "a", "b", for_ns=400 * MS))
        async with near, far:
            await near.send_all(b"late")
            await seconds_of(far, near, bytes(10_000))
            assert "heal" not in wire.kinds()
            assert await receive_exactly(far, 4) == b"late"
            assert "heal" in wire.kinds()
        assert wire.proxy.effects["link.cut"] > 0


async def test_a_long_one_way_cut_fills_the_window() -> None:
    """News of what was read cannot come back, so the sender is stopped."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Cut(NOW, "a", "b", for_ns=60 * SECOND))
        async with near, far:
            received = 0

            async def count() -> None:
                nonlocal received
                while data := await near.receive_some():
                    received += len(data)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(count)
                nursery.start_soon(far.send_all, bytes(20_000_000))
                await trio.sleep(0.4)
                nursery.cancel_scope.cancel()
            assert 0 < received <= 64 << 10


async def test_a_partition_cuts_both_ways() -> None:
    """Nothing passes until it heals."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Partition(NOW, (("a",), ("b",)), for_ns=200 * MS))
        async with near, far:
            await seconds_of(far, near)
        assert wire.kinds().count("cut") == wire.kinds().count("heal") == 2


async def test_clog_holds_back_and_lets_through() -> None:
    """Late, not lossy."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Clog(NOW, "a", "b", for_ns=300 * MS))
        async with near, far:
            assert await seconds_of(near, far, bytes(10_000)) >= 0.29
        assert wire.proxy.effects["link.clog"] > 0


async def test_reset_is_seen_at_both_ends() -> None:
    """As from a box between them; new connections work."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Reset(NOW, "b", "a"))
        async with near, far:
            for end in (near, far):
                with pytest.raises(trio.BrokenResourceError):
                    await end.receive_some()
        near, far = await wire.dial()
        async with near, far:
            await seconds_of(near, far)
        assert wire.proxy.effects["net.reset"] == 1


async def test_vanished_connections_are_half_open_and_new_ones_work() -> None:
    """Nothing arrives, nobody is told."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Vanish(NOW, "a", "b"))
        async with near, far:
            await near.send_all(b"into the void")
            await far.send_all(b"and back")
            with trio.move_on_after(0.3) as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(near.receive_some)
                    nursery.start_soon(far.receive_some)
            assert scope.cancelled_caught
            other_near, other_far = await wire.dial()
            async with other_near, other_far:
                await seconds_of(other_near, other_far)
        await wire.until("close", 2)  # even a vanished one ends when both ends have given up
        assert wire.proxy.effects["net.vanish"] > 0


async def test_refuse_refuses_new_connections_and_keeps_old_ones() -> None:
    """By the kernel itself; and afterwards the same port listens again."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        wire.proxy.inject(f.Refuse(NOW, "b", for_ns=400 * MS))
        async with near, far:
            await trio.sleep(0.02)
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream(HOST, wire.port)
            await seconds_of(near, far)
            await wire.until("listen", 2)
            other_near, other_far = await wire.dial()
            async with other_near, other_far:
                await seconds_of(other_near, other_far)


async def test_who_dials_a_target_that_is_away_is_reset() -> None:
    """And the proxy says why."""
    rows: list[Row] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            (free,) = await trio.open_tcp_listeners(0, host=HOST)
            port = free.socket.getsockname()[1]
            await free.aclose()
            proxy = ChaosProxy([Route("a", "b", Address(HOST, 0), Address(HOST, port))], on_row=rows.append)
            (where,) = await nursery.start(proxy.run)
            async with await trio.open_tcp_stream(HOST, where.port) as stream:
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
            nursery.cancel_scope.cancel()
    assert [row.kind for row in rows] == ["listen", "open", "unreachable", "reset"]


@pytest.mark.parametrize("who", ["near", "far"])
async def test_a_reset_of_one_end_reaches_the_other(who: str) -> None:
    """As it would without a proxy."""
    async with open_wire() as wire:
        near, far = await wire.dial()
        async with near, far:
            rude, other = (near, far) if who == "near" else (far, near)
            await other.send_all(b"unread")
            await trio.sleep(0.05)
            await rude.aclose()
            with pytest.raises(trio.BrokenResourceError):
                await other.receive_some()


async def test_trouble_comes_by_chance_of_the_seed() -> None:
    """The same cuts, one way or both, in the same order."""

    async def first_cuts(seed: int) -> list[str]:
        async with open_wire(trouble=Trouble(cut_every_ns=20 * MS, cut_for_ns=1), seed=seed) as wire:
            await wire.until("cut", 8)
            return [row.host for row in wire.rows if row.kind == "cut"][:8]

    assert await first_cuts(1) == await first_cuts(1) != await first_cuts(2)


async def test_trouble_resets_connections() -> None:
    """Without a plan."""
    async with open_wire(trouble=Trouble(reset_every_ns=50 * MS)) as wire:
        near, far = await wire.dial()
        async with near, far:
            with pytest.raises(trio.BrokenResourceError):
                await near.receive_some()


async def test_a_taken_port_is_said_at_once() -> None:
    """With the address."""
    async with open_wire() as wire:
        route = Route("a", "b", Address(HOST, wire.port), Address(HOST, 1))
        with pytest.raises(UsageError, match=f"cannot listen on {HOST}:{wire.port}"):
            await ChaosProxy([route]).run()
