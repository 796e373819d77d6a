"""Hosts live, crash and pause as machines do, and a crash is a freeze."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from hydra_sync.errors import UsageError
from hydra_sync.testing import EPOCH_US, SECOND, Host, HostDiedError, World, current_host


async def idle(host: Host) -> None:
    await trio.sleep_forever()


def test_after_a_crash_not_one_more_line_runs() -> None:
    """Neither ``except Cancelled``, nor ``finally``, nor a shielded goodbye, on disk or on the wire."""
    lines: list[str] = []
    goodbyes: list[bytes] = []

    async def victim(host: Host) -> None:
        file = await host.disk.open(Path("/log"), "create")
        stream = await trio.open_tcp_stream("witness", 1)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                with trio.move_on_after(5):  # fires after the crash
                    await trio.sleep_forever()
                while True:
                    lines.append("tick")
                    await trio.sleep(0.01)
        except BaseException:
            lines.append("except")
            raise
        finally:
            lines.append("finally")
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                lines.append("shielded")
                await file.write_at(0, b"goodbye")
                await file.sync()
                await stream.send_all(b"goodbye")
                lines.append("said goodbye")

    async def witness(host: Host) -> None:
        async def listen(stream: trio.SocketStream) -> None:
            while data := await stream.receive_some():
                goodbyes.append(data)

        await trio.serve_tcp(listen, 1, host=host.ip)

    async def scenario(world: World) -> list[str]:
        world.host("witness").start(witness)
        await trio.sleep(1)
        world.host("victim").start(victim)
        await trio.sleep(1)
        world.crash("victim")
        lines.clear()
        await trio.sleep(60)
        return list(lines)

    world = World(seed=3)
    assert world.run(scenario).value == []
    assert goodbyes == []
    assert b"goodbye" not in (world.host("victim").disk.image().get("/log") or b"")
    assert "said goodbye" not in lines  # it did unwind in the end, with everything dead


def test_a_crash_stops_tasks_that_were_about_to_run() -> None:
    """Even in the very batch of tasks in which another host's code brings the crash about."""
    for seed in range(20):
        lines: list[str] = []

        async def scenario(world: World, lines: list[str] = lines) -> int:
            go = trio.Event()

            async def victim(host: Host) -> None:
                async def wait() -> None:
                    await go.wait()
                    lines.append("victim")

                async with trio.open_nursery() as nursery:
                    for _ in range(5):
                        nursery.start_soon(wait)

            async def killer(host: Host) -> None:
                await go.wait()
                world.crash("victim")
                lines.append("crash")

            world.host("victim").start(victim)
            world.host("killer").start(killer)
            await trio.sleep(1)
            go.set()
            await trio.sleep(1)
            assert "crash" in lines
            return len(lines) - 1 - lines.index("crash")

        assert World(seed=seed).run(scenario).value == 0


def test_abort_functions_of_the_dead_are_not_called() -> None:
    """A time-out that fires after the crash would call code of the victim's."""
    called: list[float] = []

    async def victim(host: Host) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            called.append(trio.current_time())
            return trio.lowlevel.Abort.SUCCEEDED

        with trio.move_on_after(5):
            await trio.lowlevel.wait_task_rescheduled(abort)

    async def scenario(world: World) -> int:
        world.host("victim").start(victim)
        await trio.sleep(1)
        world.crash("victim")
        await trio.sleep(60)
        return len(called)

    assert World(seed=3).run(scenario).value == 0
    assert len(called) == 1  # at the end of the world


def test_a_host_that_crashes_itself_at_an_operation_never_returns_from_it() -> None:
    """Armed before a sync, it has no effect; armed after one, it has, and the program does not learn so."""
    for phase, durable in (("before", b""), ("after", b"data")):
        lines: list[str] = []

        async def victim(host: Host, lines: list[str] = lines) -> None:
            file = await host.disk.open(Path("/log"), "create")
            await host.disk.sync_dir(Path("/"))
            await file.write_at(0, b"data")
            lines.append("before")
            await file.sync()
            lines.append("after")

        async def scenario(world: World, phase: str = phase) -> None:
            host = world.host("victim")
            world.operations.arm(
                "victim",
                "sync",
                phase="before" if phase == "before" else "after",
                act=lambda: host.crash(keep="lost"),
            )
            host.start(victim)
            await trio.sleep(1)

        world = World(seed=1)
        world.run(scenario)
        assert lines == ["before"]
        assert world.host("victim").state == "down"
        assert world.host("victim").disk.image() == {"/log": durable}


def test_pause_and_resume() -> None:
    """A paused process does nothing, and goes on where it was; its kernel goes on receiving."""
    ticks: list[float] = []
    received: list[float] = []

    async def ticker(host: Host) -> None:
        async def take(stream: trio.SocketStream) -> None:
            while await stream.receive_some():
                received.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            await nursery.start(partial(trio.serve_tcp, take, 1, host=host.ip))
            while True:
                ticks.append(trio.current_time())
                await trio.sleep(1)

    async def scenario(world: World) -> None:
        world.host("a").start(ticker)
        world.host("b").start(idle)
        await trio.sleep(2.5)
        world.pause("a")

        async def write() -> None:
            async with await trio.open_tcp_stream("a", 1) as stream:
                await stream.send_all(b"x")

        await world.host("b").call(write)
        await trio.sleep_until(7.5)
        world.resume("a")
        await trio.sleep(1.5)

    World(seed=2).run(scenario)
    assert ticks == [0.0, 1.0, 2.0, 7.5, 8.5]
    assert received == [7.5]


def test_restart_is_a_new_incarnation_with_the_old_disk() -> None:
    """What was synced is there, and nothing of the memory."""
    seen: list[tuple[int, list[str]]] = []

    async def main(host: Host) -> None:
        seen.append((host.incarnation, await host.disk.list_dir(Path("/"))))
        await host.disk.open(Path(f"/{host.incarnation}"), "create")
        await host.disk.sync_dir(Path("/"))
        await trio.sleep_forever()

    async def scenario(world: World) -> None:
        world.host("a").start(main)
        for _ in range(2):
            await trio.sleep(1)
            world.crash("a")
            world.restart("a")
        await trio.sleep(1)

    World(seed=2).run(scenario)
    assert seen == [(1, []), (2, ["1"]), (3, ["1", "2"])]


def test_hosts_that_events_start_know_who_they_are() -> None:
    """A restart by a fault plan is as good as one by the scenario."""
    names = []

    async def main(host: Host) -> None:
        names.append((current_host().name, current_host().incarnation))
        await trio.sleep_forever()

    async def scenario(world: World) -> None:
        world.host("a").start(main)
        world.after(SECOND, world.crash, "a")
        world.after(2 * SECOND, world.restart, "a")
        await trio.sleep(3)

    World(seed=2).run(scenario)
    assert names == [("a", 1), ("a", 2)]


def test_a_call_gives_what_it_returns_or_raises_or_says_that_the_host_died() -> None:
    """And runs as code of the host."""

    async def name() -> str:
        return current_host().name

    async def bad() -> None:
        raise KeyError("bad")

    async def scenario(world: World) -> None:
        host = world.host("a")
        host.start(idle)
        assert await host.call(name) == "a"
        with pytest.raises(KeyError, match="bad"):
            await host.call(bad)
        world.after(SECOND, world.crash, "a")
        with pytest.raises(HostDiedError):
            await host.call(trio.sleep, 5)
        with pytest.raises(UsageError, match="down"):
            await host.call(name)

    World(seed=2).run(scenario)


def test_a_main_function_that_returns_ends_its_process() -> None:
    """With everything it had started elsewhere, its connections and its locks; the page cache stays."""

    async def main(host: Host) -> None:
        await host.disk.lock(Path("/LOCK"), f"incarnation {host.incarnation}")
        file = await host.disk.open(Path(f"/{host.incarnation}"), "create")
        await file.write_at(0, b"unsynced")

    async def scenario(world: World) -> None:
        host = world.host("a")
        host.start(main)
        await host.wait_end()
        assert host.state == "exited"
        host.restart()
        await host.wait_end()
        assert host.disk.image()["/1"] == b"unsynced"
        assert host.disk.image(durable=True) == {}

    World(seed=2).run(scenario)


def test_an_error_of_a_host_fails_the_world_unless_it_was_expected() -> None:
    """With a note that says where; or it is kept for the scenario to look at."""

    async def main(host: Host) -> None:
        async with trio.open_nursery():
            raise LookupError("damaged")

    async def strict(world: World) -> None:
        world.host("a").start(main)
        await trio.sleep_forever()

    async def lenient(world: World) -> BaseException | None:
        world.host("a").start(main, expected=(LookupError,))
        await world.host("a").wait_end()
        return world.host("a").failure

    with pytest.raises(ExceptionGroup) as caught:
        World(seed=1).run(strict)
    assert "host a, incarnation 1" in caught.value.__notes__[0]
    assert "seed 1" in caught.value.__notes__[1]
    assert isinstance(World(seed=1).run(lenient).value, ExceptionGroup)


def test_wall_clocks_are_wrong_each_in_its_own_way() -> None:
    """Offset, drift and steps, in whole microseconds; virtual time does not care."""

    async def scenario(world: World) -> list[int]:
        right, wrong = world.host("right").wall_clock, world.host("wrong").wall_clock
        wrong.step(-5_000_000)
        wrong.drift(1000)
        await trio.sleep(100)
        return [right() - EPOCH_US, wrong() - EPOCH_US]

    assert World(seed=1).run(scenario).value == [100_000_000, 95_100_000]


def test_entropy_is_each_hosts_own_and_replayed() -> None:
    """Hosts draw different bytes, in every run the same."""

    def draw(seed: int) -> list[bytes]:
        async def scenario(world: World) -> list[bytes]:
            return [world.host(name).entropy(16) for name in "aab"]

        return World(seed=seed).run(scenario).value

    drawn = draw(1) + draw(2)
    assert len(dict.fromkeys(drawn)) == 6
    assert draw(1) == drawn[:3]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda world: world.crash("zzz"), "no host 'zzz'"),
        (lambda world: world.crash("a"), "nothing runs there"),
        (lambda world: world.restart("a"), "never started"),
        (lambda world: world.resume("a"), "nothing runs there"),
        (lambda world: current_host(), "not code of a simulated host"),
        (lambda world: trio.socket.socket(), "sockets belong to hosts"),
    ],
)
def test_misuse_is_explained(act: object, message: str) -> None:
    """A `UsageError` says what is wrong with the call."""

    async def scenario(world: World) -> None:
        world.host("a")
        assert callable(act)
        act(world)

    with pytest.raises(UsageError, match=message):
        World(seed=1).run(scenario)
