"""An example to copy: a program that knows nothing of hydra_sync, under a partition and a crash.

The program is a key-value server, written for plain trio, and a client for it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial

import pytest
import trio

from hydra_sync.testing import SECOND, DeadlockError, Host, Injector, Setup, Swarm, World, simulate_world

# The program: nothing here knows that it is simulated.

PORT = 4000


async def read_line(stream: trio.SocketStream) -> bytes:
    """The next line, with its end; or less, where the stream ends. Nobody sends two lines at once here."""
    line = b""
    while not line.endswith(b"\n") and (data := await stream.receive_some()):
        line += data
    return line


async def serve_store(listen_on: str) -> None:
    """Answer set and get requests for ever. What was set is lost with the process."""
    store: dict[str, str] = {}

    async def handle(stream: trio.SocketStream) -> None:
        try:
            while line := await read_line(stream):
                request = json.loads(line)
                if "value" in request:
                    store[request["key"]] = request["value"]
                await stream.send_all(json.dumps(store.get(request["key"])).encode() + b"\n")
        except trio.BrokenResourceError:
            pass  # the client is gone

    await trio.serve_tcp(handle, PORT, host=listen_on)


class Client:
    """Asks a server, with a time limit and a few retries."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.retries = 0

    async def ask(self, **request: str) -> str | None:
        for _ in range(5):
            try:
                with trio.fail_after(2):
                    async with await trio.open_tcp_stream(self.server, PORT) as stream:
                        await stream.send_all(json.dumps(request).encode() + b"\n")
                        if line := await read_line(stream):
                            answer: str | None = json.loads(line)
                            return answer
            except (OSError, trio.BrokenResourceError, trio.TooSlowError):
                pass
            self.retries += 1
            await trio.sleep(1)
        raise ConnectionError("the server does not answer")


# The simulation


async def idle(host: Host) -> None:
    await trio.sleep_forever()


async def network(world: World) -> tuple[Host, Host]:
    """A server and a client that are up."""
    server, client = world.host("server"), world.host("client")
    server.start(lambda host: serve_store(host.ip))
    client.start(idle)
    await trio.sleep(1)
    return server, client


def test_it_works() -> None:
    """What was set can be got."""

    async def scenario(world: World) -> str | None:
        _, host = await network(world)
        client = Client("server")
        await host.call(lambda: client.ask(key="colour", value="blue"))
        return await host.call(lambda: client.ask(key="colour"))

    assert World(seed=1).run(scenario).value == "blue"


@pytest.mark.parametrize("seed", range(10))
def test_a_short_partition_is_survived(seed: int) -> None:
    """The client tries again until the network is whole."""

    async def scenario(world: World) -> tuple[str | None, int]:
        _, host = await network(world)
        client = Client("server")
        await host.call(lambda: client.ask(key="colour", value="blue"))
        world.network.partition(["server"], ["client"])
        world.after(5 * SECOND, world.network.heal_all)
        answer = await host.call(lambda: client.ask(key="colour"))
        return answer, client.retries

    assert World(seed).run(scenario).value == ("blue", 2)


def test_a_crash_loses_what_was_only_in_memory() -> None:
    """The program has no disk, and the simulation says so."""

    async def scenario(world: World) -> str | None:
        server, host = await network(world)
        client = Client("server")
        await host.call(lambda: client.ask(key="colour", value="blue"))
        server.crash()
        world.after(3 * SECOND, server.restart)
        return await host.call(lambda: client.ask(key="colour"))

    assert World(seed=1).run(scenario).value is None


@simulate_world(nodes=2, seeds=10, seconds=20, operations=10, swarm=Swarm.default().only("partition", "reset"))
async def test_a_swarm_of_faults_is_survived(world: World, setup: Setup) -> None:
    """A plan is drawn for each seed; a failing one is shrunk by ``hydra-sync simulate``, and replayed by pytest."""
    server, host = world.host("n0"), world.host("n1")
    server.start(lambda host: serve_store(host.ip))
    host.start(idle)
    injector = Injector(world, setup.plan)
    for number in range(setup.operations):
        client = Client("n0")
        with suppress(ConnectionError):
            await host.call(partial(client.ask, key="count", value=str(number)))
        await trio.sleep(setup.seconds / setup.operations)
    injector.stop()
    assert await host.call(lambda: Client("n0").ask(key="count")) in set(map(str, range(setup.operations)))


def test_a_missing_time_limit_is_found() -> None:
    """A client without one waits for ever for a server that has lost its power: nothing will ever happen again."""

    async def scenario(world: World) -> None:
        server, host = await network(world)

        async def ask_without_limit() -> None:
            async with await trio.open_tcp_stream("server", PORT) as stream:
                server.crash()
                await stream.receive_some()

        await host.call(ask_without_limit)

    with pytest.raises(DeadlockError):
        World(seed=1).run(scenario)
