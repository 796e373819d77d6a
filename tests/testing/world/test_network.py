"""The simulated network keeps TCP's promises, and its arithmetic can be done by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import trio

from hydra_sync.testing import MS, SECOND, Host, Result, Shape, World

T = TypeVar("T")
Handler = Callable[[trio.SocketStream], Awaitable[None]]


async def idle(host: Host) -> None:
    await trio.sleep_forever()


async def drain(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


def serving(handler: Handler) -> Callable[[Host], Awaitable[None]]:
    async def main(host: Host) -> None:
        await trio.serve_tcp(handler, 1, host=host.ip)

    return main


def between_two(
    client: Callable[[World], Awaitable[T]], handler: Handler, prepare: Callable[[World], object] = lambda world: None
) -> Result[T]:
    """Run ``client`` on host a while host b serves."""

    async def scenario(world: World) -> T:
        world.host("b").start(serving(handler))
        world.host("a").start(idle)
        prepare(world)
        return await world.host("a").call(client, world)

    return World(seed=5).run(scenario, limit_s=1000)


def shape_both(**changes: int) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        for link in (world.link("a", "b"), world.link("b", "a")):
            link.reshape(replace(link.shape, **changes))

    return prepare


async def transfer(world: World) -> tuple[bytes, float]:
    """Send a megabyte, and wait for the one byte that says it is there."""
    began = trio.current_time()
    async with await trio.open_tcp_stream("b", 1) as stream:
        await stream.send_all(bytes(1_000_000))
        await stream.send_eof()
        return bytes(await stream.receive_some()), trio.current_time() - began


async def count_and_confirm(stream: trio.SocketStream) -> None:
    size = 0
    while data := await stream.receive_some():
        size += len(data)
    await stream.send_all(b"!" if size == 1_000_000 else b"?")


def test_bandwidth_limits_a_transfer() -> None:
    """A megabyte over 100 kB/s takes ten seconds, and little more."""
    answer, took = between_two(transfer, count_and_confirm, shape_both(bytes_per_s=100_000)).value
    assert answer == b"!"
    assert 10.0 < took < 10.5


def test_latency_is_exact_without_jitter() -> None:
    """Request and answer over a dialed connection take two round trips, to the nanosecond."""

    async def client(world: World) -> float:
        began = trio.current_time()
        async with await trio.open_tcp_stream("b", 1) as stream:
            await stream.send_all(b"?")
            await stream.receive_some()
            return trio.current_time() - began

    async def echo(stream: trio.SocketStream) -> None:
        await stream.send_all(await stream.receive_some())

    shape = shape_both(latency_ns=50 * MS, jitter_ns=0, bytes_per_s=1 << 40)
    assert between_two(client, echo, shape).value == pytest.approx(0.2, abs=1e-9)


def test_loss_delays_and_loses_nothing() -> None:
    """One segment in five has to be sent again, and all arrive, in order."""
    result = between_two(transfer, count_and_confirm, shape_both(loss_ppm=200_000))
    answer, took = result.value
    assert answer == b"!"
    assert 1.0 < took < 60
    assert result.effects["link.loss"] > 2


def test_a_one_way_cut_stops_both_ways_and_loses_nothing() -> None:
    """Data only flows while its acknowledgements do; after healing, all of it is there."""
    received = {"a": 0, "b": 0}

    async def both(stream: trio.SocketStream, name: str) -> None:
        async def send() -> None:
            for _ in range(3000):
                await stream.send_all(bytes(1000))
                await trio.sleep(0.01)
            await stream.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            while data := await stream.receive_some():
                received[name] += len(data)

    async def client(world: World) -> dict[str, int]:
        during: dict[str, int] = {}
        world.at(2 * SECOND, world.link("a", "b").cut)
        world.at(29 * SECOND, lambda: during.update(received))
        world.at(30 * SECOND, world.link("a", "b").heal)
        async with await trio.open_tcp_stream("b", 1) as stream:
            await both(stream, "a")
            await trio.sleep(1)  # the last segments are under way
        return during

    during = between_two(client, lambda stream: both(stream, "b")).value
    assert received == {"a": 3_000_000, "b": 3_000_000}
    assert during["b"] < 210_000
    assert during["a"] < 210_000 + 2 * 65536 + 20_000  # what a's window let through unacknowledged


def test_a_healed_connection_goes_on_when_tcp_tries_again() -> None:
    """Retries double from 0.2 s: cut at 1 s and healed at 29 s, the segment arrives after 52 s."""

    async def client(world: World) -> None:
        async with await trio.open_tcp_stream("b", 1) as stream:
            world.at(SECOND, world.link("a", "b").cut)
            world.at(29 * SECOND, world.link("a", "b").heal)
            await trio.sleep_until(1.0)
            await stream.send_all(b"x")
            await stream.receive_some()

    arrived = []

    async def note_time(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        arrived.append(trio.current_time())

    between_two(client, note_time)
    assert arrived[0] == pytest.approx(52.0, abs=0.1)


def test_clogging_holds_everything_back_and_then_lets_it_through() -> None:
    """A clogged link is late, not lossy."""

    async def client(world: World) -> tuple[bytes, float]:
        world.link("a", "b").clog(7 * SECOND)
        return await transfer(world)

    answer, took = between_two(client, count_and_confirm).value
    assert answer == b"!"
    assert 7.0 < took < 9.0


def test_connecting_to_a_closed_port_is_refused() -> None:
    """It fails within one round trip."""

    async def client(world: World) -> float:
        with pytest.raises(OSError, match="all attempts to connect") as caught:
            await trio.open_tcp_stream("b", 9)
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert isinstance(caught.value.__cause__.exceptions[0], ConnectionRefusedError)
        return trio.current_time()

    assert between_two(client, drain).value < 0.1


def test_an_unknown_name_does_not_resolve() -> None:
    """As from a real resolver: an OSError that says so."""

    async def client(world: World) -> None:
        with pytest.raises(OSError, match="no host 'zzz'"):
            await trio.open_tcp_stream("zzz", 1)

    between_two(client, drain)


@pytest.mark.parametrize("why", ["cut", "nobody there", "machine off"])
def test_connecting_where_nobody_answers_times_out(why: str) -> None:
    """After 127 s, as in Linux."""

    async def client(world: World) -> float:
        if why == "cut":
            world.link("a", "b").cut()
        elif why == "machine off":
            world.crash("b")
        with pytest.raises(OSError, match="all attempts to connect") as caught:
            await trio.open_tcp_stream("10.9.9.9" if why == "nobody there" else "b", 1)
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert isinstance(caught.value.__cause__.exceptions[0], TimeoutError)
        return trio.current_time()

    assert between_two(client, drain).value == pytest.approx(127, abs=0.1)


def test_a_dial_succeeds_when_the_cut_heals_in_time() -> None:
    """The request to connect is repeated after 1, 3, 7 s."""

    async def client(world: World) -> float:
        world.network.cut("a", "b")
        world.at(5 * SECOND, world.network.heal, "a", "b")
        async with await trio.open_tcp_stream("b", 1):
            return trio.current_time()

    assert between_two(client, drain).value == pytest.approx(7.0, abs=0.1)


def test_a_reset_is_seen_at_both_ends() -> None:
    """A box between two hosts resets their connections."""
    seen = []

    async def handler(stream: trio.SocketStream) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        seen.append("b")

    async def client(world: World) -> int:
        async with await trio.open_tcp_stream("b", 1) as stream:
            await trio.sleep(1)
            assert world.network.reset("a", "b") == 1
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            await trio.sleep(1)
        return world.network.reset("a", "b")

    assert between_two(client, handler).value == 0
    assert seen == ["b"]


def test_closing_with_unread_data_resets_the_peer() -> None:
    """As a kernel does, and without it ends politely."""

    async def rude(stream: trio.SocketStream) -> None:
        await trio.sleep(1)

    async def client(world: World) -> None:
        async with await trio.open_tcp_stream("b", 1) as stream:
            await stream.send_all(b"unread")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        async with await trio.open_tcp_stream("b", 1) as stream:
            assert await stream.receive_some() == b""

    between_two(client, rude)


def test_vanished_connections_are_half_open_and_new_ones_work() -> None:
    """Both ends believe in it, nothing arrives, nobody is told."""
    received = []

    async def handler(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            received.append(data)

    async def client(world: World) -> None:
        async with await trio.open_tcp_stream("b", 1) as stream:
            await stream.send_all(b"1")
            await trio.sleep(1)
            assert world.network.vanish("a", "b") == 1
            await stream.send_all(b"2")
            with trio.move_on_after(500) as scope:
                await stream.receive_some()
            assert scope.cancelled_caught
            async with await trio.open_tcp_stream("b", 1) as other:
                await other.send_all(b"3")
                await trio.sleep(1)

    assert between_two(client, handler).effects["net.vanish"] == 1
    assert received == [b"1", b"3"]


def test_a_silent_crash_is_noticed_only_by_who_writes_after_the_restart() -> None:
    """The machine is off: silence. It is back: a reset for whoever writes to what it has forgotten."""

    async def client(world: World) -> float:
        async with await trio.open_tcp_stream("b", 1) as stream:
            await stream.send_all(b"x")
            await trio.sleep(1)
            world.crash("b", sockets="silent")
            await stream.send_all(b"into the void")
            world.at(60 * SECOND, world.restart, "b")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            return trio.current_time()

    # Tries at 1 + 0.2, 0.6, 1.4, 3, 6.2, 12.6, 25.4, 51, 102.2: the first after 60 s gets an answer.
    assert between_two(client, drain).value == pytest.approx(103.2, abs=0.2)


@pytest.mark.parametrize("farewell", ["close", "reset"])
def test_a_killed_process_is_noticed_at_once(farewell: str) -> None:
    """Its kernel closes or resets what it had open, and refuses new connections."""

    async def client(world: World) -> str:
        async with await trio.open_tcp_stream("b", 1) as stream:
            await trio.sleep(1)
            world.crash("b", sockets="close" if farewell == "close" else "reset")
            try:
                outcome = "reset" if await stream.receive_some() else "close"
            except trio.BrokenResourceError:
                outcome = "reset"
        with pytest.raises(OSError, match="all attempts"):
            await trio.open_tcp_stream("b", 1)
        assert trio.current_time() < 1.2
        return outcome

    assert between_two(client, drain).value == farewell


def test_a_full_window_blocks_the_sender_until_the_reader_reads() -> None:
    """No more than 64 KiB are under way to a program that does not read."""
    release = trio.Event()

    async def lazy(stream: trio.SocketStream) -> None:
        await release.wait()
        await drain(stream)

    async def client(world: World) -> int:
        sent = 0
        async with await trio.open_tcp_stream("b", 1) as stream:
            with trio.move_on_after(10):
                while True:
                    await stream.send_all(bytes(1000))
                    sent += 1000
            release.set()
            with trio.fail_after(1):
                await stream.wait_send_all_might_not_block()
        return sent

    assert between_two(client, lazy).value == 65_000


def test_listeners_of_every_kind() -> None:
    """Ports may be chosen by the system; a taken one is refused; the loopback reaches oneself."""

    async def client(world: World) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="0.0.0.0")
        port = listener.socket.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await trio.open_tcp_listeners(port, host="0.0.0.0")
        async with await trio.open_tcp_stream("localhost", port) as near, await listener.accept() as far:
            assert far.socket.getpeername() == near.socket.getsockname()
            await near.send_all(b"hello")
            assert await far.receive_some() == b"hello"
        await listener.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    between_two(client, drain)


def test_two_readers_of_one_socket_are_refused() -> None:
    """As on a real one."""

    async def client(world: World) -> None:
        async with await trio.open_tcp_stream("b", 1) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(drain, stream)
            await trio.sleep(1)
            with pytest.raises(trio.BusyResourceError):
                await stream.receive_some()
            nursery.cancel_scope.cancel()

    between_two(client, drain)


def test_the_shape_of_new_links_can_be_chosen() -> None:
    """`Network.shape` holds for every link that was not used before."""

    async def scenario(world: World) -> int:
        world.network.shape = Shape(latency_ns=SECOND)
        world.host("a"), world.host("b")
        return world.link("a", "b").shape.latency_ns

    assert World(seed=1).run(scenario).value == SECOND


def test_partition_cuts_between_sides_only() -> None:
    """Hosts of one side, and hosts on no side, keep their links."""

    async def scenario(world: World) -> list[tuple[str, str]]:
        for name in "abcd":
            world.host(name)
        world.network.partition("a", "bc")
        cut = [(x, y) for x in "abcd" for y in "abcd" if x != y and world.link(x, y).is_cut]
        world.network.heal_all()
        assert not any(world.link(x, y).is_cut for x in "abcd" for y in "abcd")
        return cut

    assert World(seed=1).run(scenario).value == [("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")]


def test_what_queues_before_a_narrow_link_is_not_held_up_when_it_is_wide_again() -> None:
    """A queue drains at the pace that the link has now: who comes later does not wait for its old one."""

    async def client(world: World) -> float:
        link = world.link("a", "b")
        usual = link.shape
        link.reshape(replace(usual, bytes_per_s=1000))
        async with await trio.open_tcp_stream("b", 1) as old, trio.open_nursery() as nursery:
            nursery.start_soon(old.send_all, bytes(60_000))  # a minute's worth
            await trio.sleep(2)
            link.reshape(usual)
            began = trio.current_time()
            async with await trio.open_tcp_stream("b", 1) as fresh:
                await fresh.send_all(b"x")
                assert await fresh.receive_some() == b"x"
            took = trio.current_time() - began
            nursery.cancel_scope.cancel()
        return took

    async def echo(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            await stream.send_all(data)

    assert between_two(client, echo).value < 1
