"""A world runs a scenario to its end, whatever that end is, and cleans up after itself."""

from __future__ import annotations

import gc
import random
import sys
import time
import weakref

import pytest
import trio
import trio.testing
from trio._core import _run

from hydra_sync.errors import UsageError
from hydra_sync.testing import SECOND, DeadlockError, Host, LivelockError, TimeLimitError, World


async def idle(host: Host) -> None:
    await trio.sleep_forever()


def test_time_is_virtual() -> None:
    """A year takes no time, and every timer fires exactly when it is due."""

    async def scenario(world: World) -> float:
        await trio.sleep(365 * 86400)
        return trio.current_time()

    began = time.perf_counter()
    result = World(seed=1).run(scenario)
    assert result.value == result.virtual_s == 365 * 86400
    assert time.perf_counter() - began < 1


def test_the_schedule_is_a_choice_of_the_seed() -> None:
    """Random by the seed, or the oldest task first, which has nothing to choose."""

    async def scenario(world: World) -> list[int]:
        order = []

        async def run(number: int) -> None:
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(run, number)
        return order

    assert World(seed=1, policy="fifo").run(scenario).value == [0, 1, 2, 3, 4]
    orders = [tuple(World(seed).run(scenario).value) for seed in range(200)]
    assert len(dict.fromkeys(orders)) > 90  # of 120
    assert orders[7] == tuple(World(7).run(scenario).value)


def test_a_deadlock_is_detected() -> None:
    """At once, and exactly: nothing can run, no timer, no packet."""

    async def scenario(world: World) -> None:
        world.host("a").start(idle)
        await trio.Event().wait()

    with pytest.raises(DeadlockError, match="hosts: a up"):
        World(seed=1).run(scenario)


def test_a_deadlock_under_a_shield_is_detected_too() -> None:
    """Shields give way, in the scenario and in hosts."""

    async def stubborn(host: Host) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    async def scenario(world: World) -> None:
        world.host("a").start(stubborn)
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    with pytest.raises(DeadlockError):
        World(seed=1).run(scenario)


def test_a_task_that_refuses_to_be_cancelled_does_not_stop_the_end() -> None:
    """It is woken with an error."""

    async def deaf(host: Host) -> None:
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)

    async def scenario(world: World) -> None:
        world.host("a").start(deaf)
        await trio.sleep(1)

    World(seed=1).run(scenario)


def test_a_livelock_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that keep each other busy while time stands still."""
    monkeypatch.setattr("hydra_sync.testing.world.scheduler.LIVELOCK_STEPS", 1000)

    async def scenario(world: World) -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(LivelockError):
        World(seed=1).run(scenario)


def test_a_time_limit_ends_the_run() -> None:
    """For scenarios that would go on for ever."""

    async def scenario(world: World) -> None:
        await trio.sleep(1000)

    with pytest.raises(TimeLimitError, match="10"):
        World(seed=1).run(scenario, limit_s=10)


def test_what_the_scenario_raises_is_raised() -> None:
    """As it is, with a note about seed and time."""

    async def scenario(world: World) -> None:
        await trio.sleep(1.5)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong") as caught:
        World(seed=9).run(scenario)
    assert caught.value.__notes__ == ["in the world of seed 9, after 1.500000 virtual seconds"]


def test_events_may_do_anything() -> None:
    """Move deadlines, crash hosts, raise: it ends up in the right place."""

    async def scenario(world: World) -> float:
        with trio.CancelScope() as scope:
            world.at(SECOND, setattr, scope, "deadline", 2.0)
            await trio.sleep(5)
        return trio.current_time()

    async def raising(world: World) -> None:
        world.after(SECOND, lambda: 1 // 0)
        await trio.sleep(5)

    assert World(seed=1).run(scenario).value == 2.0
    with pytest.raises(ZeroDivisionError):
        World(seed=1).run(raising)


def test_wait_all_tasks_blocked_works() -> None:
    """It returns before time passes."""

    async def scenario(world: World) -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 5)
            await trio.testing.wait_all_tasks_blocked()
            return trio.current_time()

    assert World(seed=1).run(scenario).value == 0.0


def test_nothing_is_left_behind() -> None:
    """trio's scheduler, the garbage collector and all tripwires are as before, after errors, too."""
    before = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING, gc.isenabled(), time.time, open, random.Random.__init__

    async def scenario(world: World) -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        World(seed=1).run(scenario)
    after = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING, gc.isenabled(), time.time, open, random.Random.__init__
    assert before == after


def test_worlds_of_many_steps_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world is a cycle that is frozen when the next one begins: only whoever ran it can still find it."""
    monkeypatch.setattr(sys.modules["hydra_sync.testing.world.world"], "_COLLECT_STEPS", 20)
    seen: list[weakref.ref[World]] = []

    async def scenario(world: World) -> None:
        seen.append(weakref.ref(world))
        for _ in range(8):
            await trio.sleep(1)

    for seed in range(20):
        World(seed).run(scenario)
    assert sum(world() is not None for world in seen) <= 3


def test_a_world_runs_once() -> None:
    """Its state is spent; hosts live in a running one only."""

    async def scenario(world: World) -> None:
        pass

    world = World(seed=1)
    with pytest.raises(UsageError, match="in the scenario"):
        world.host("a").start(idle)
    world.run(scenario)
    with pytest.raises(UsageError, match="runs once"):
        world.run(scenario)


def test_the_trace_tells_what_happened_and_why() -> None:
    """Rows name host and incarnation, and the arrival of a message names its sending as the cause."""

    async def scenario(world: World) -> None:
        async def serve(stream: trio.SocketStream) -> None:
            world.note("served", await stream.receive_some() == b"hello")

        async def server(host: Host) -> None:
            await trio.serve_tcp(serve, 1, host=host.ip)

        async def client(host: Host) -> None:
            async with await trio.open_tcp_stream("b", 1) as stream:
                await stream.send_all(b"hello")

        world.host("b").start(server)
        world.host("a").start(client)
        await trio.sleep(1)

    world = World(seed=1, record=True)
    result = world.run(scenario)
    rows = world.trace.rows
    assert [row.n for row in rows] == list(range(result.rows))
    received = next(row for row in rows if row.kind == "receive")
    sent = rows[received.cause]
    assert (sent.kind, sent.host, sent.incarnation) == ("send", "a", 1)
    assert sent.time_ns < received.time_ns
    assert next(row for row in rows if row.kind == "served").host == "b"
    assert len(list(world.trace.json_lines())) == result.rows


def collections(tasks: int, steps: int) -> list[int]:
    """After how many steps garbage is collected in a world of so many tasks and steps."""

    async def scenario(world: World) -> list[int]:
        async def step() -> None:
            for _ in range(steps // tasks):
                await trio.sleep(1)

        seen: list[int] = []

        def note(phase: str, info: dict[str, int]) -> None:
            if phase == "start":
                seen.append(world.steps)

        gc.callbacks.append(note)
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(step)
        finally:
            gc.callbacks.remove(note)
        return seen

    return World(seed=1).run(scenario).value


def test_garbage_is_collected_at_the_same_steps_and_less_often_in_a_large_world() -> None:
    """A collection looks at all tasks: with many, at a fixed pace, it would be most of the work."""
    few = collections(10, 110_000)
    assert len(few) == 3
    assert few == collections(10, 110_000)
    assert len(collections(500, 110_000)) == 2
