"""A plan of faults is data, and any part of a plan is a plan."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from hydra_sync.errors import UsageError
from hydra_sync.testing import MS, SECOND, Host, Injector, World, faults
from hydra_sync.testing.plan.faults import At, On, plan_from_json, plan_to_json
from tests.testing import chaos


async def idle(host: Host) -> None:
    await trio.sleep_forever()


def test_plans_travel_as_json() -> None:
    """Each kind of fault comes back equal."""
    plan = tuple(chaos.everything())
    assert {type(fault).__name__ for fault in plan} == set(faults.FAULT_KINDS)
    assert plan_from_json(plan_to_json(plan)) == plan
    assert plan_from_json("[]") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '[{"fault": "Nonsense"}]',
        '[{"fault": "Pause", "host": "a"}]',
        '[{"fault": "Pause", "when": {"At": {"time_ns": 1}}}]',
        '[{"fault": "Pause", "when": {"At": {"time_ns": "1"}}, "host": "a"}]',
        '[{"fault": "Pause", "when": {"At": {"time_ns": 1}}, "host": "a", "more": 1}]',
        '[{"fault": "Pause", "when": {"On": {"host": "a", "operation": "dance"}}, "host": "a"}]',
        '[{"fault": "Crash", "when": {"At": {"time_ns": 1}}, "host": "a", "keep": "most"}]',
        '[{"fault": "Crash", "when": {"At": {"time_ns": 1}}, "host": "a", "down_ns": true}]',
        '[{"fault": "Partition", "when": {"At": {"time_ns": 1}}, "sides": ["a", "b"]}]',
    ],
)
def test_what_is_not_a_plan_is_refused(text: str) -> None:
    """With the one error that says that the caller is wrong."""
    with pytest.raises(UsageError):
        plan_from_json(text)


def test_faults_that_find_nothing_are_skipped() -> None:
    """No part of a plan needs another part."""
    plan = [
        faults.Crash(At(1 * SECOND), "a", down_ns=None),
        faults.Crash(At(2 * SECOND), "a"),
        faults.Pause(At(2 * SECOND), "a"),
        faults.Restore(At(2 * SECOND), "a"),
        faults.Reset(At(2 * SECOND), "a", "b"),
        faults.Vanish(At(2 * SECOND), "a", "b"),
        faults.Rot(At(2 * SECOND), "a"),
    ]

    async def scenario(world: World) -> dict[str, int]:
        world.host("a").start(idle)
        world.host("b")
        injector = Injector(world, plan)
        await trio.sleep(5)
        assert world.host("a").state == "down"
        assert injector.toothless() == ["Pause", "Restore", "Reset", "Vanish", "Rot"]
        return dict(injector.injected)

    assert World(seed=1).run(scenario).value == {"Crash": 1}


@pytest.mark.parametrize(("phase", "delay_ns", "expected"), [("before", 0, 2), ("after", 0, 3), ("before", 10 * MS, 4)])
def test_a_crash_armed_at_an_operation_strikes_there(phase: str, delay_ns: int, expected: int) -> None:
    """Before the third write, after it, or a while later."""
    when = On("a", "write", nth=3, subject="/f", phase="before" if phase == "before" else "after", delay_ns=delay_ns)

    async def main(host: Host) -> None:
        other = await host.disk.open(Path("/other"), "create")
        file = await host.disk.open(Path("/f"), "create")
        for at in range(10):
            await other.write_at(at, b"x")
            await file.write_at(at, b"x")
            await trio.sleep(0.008)

    async def scenario(world: World) -> int:
        host = world.host("a")
        Injector(world, [faults.Crash(when, "a", down_ns=None, keep="kept")])
        host.start(main)
        await trio.sleep(5)
        return len(host.disk.image()["/f"] or b"")

    assert World(seed=1).run(scenario).value == expected


def test_stopping_mends_everything() -> None:
    """Then only liveness is left to be checked: all hosts run, all links are whole, all disks are honest."""

    async def scenario(world: World) -> None:
        for name in "abcd":
            world.host(name).start(idle)
        injector = Injector(
            world,
            [
                faults.Crash(At(1 * SECOND), "a", down_ns=None),
                faults.Pause(At(1 * SECOND), "b", for_ns=100 * SECOND),
                faults.Cut(At(1 * SECOND), "c", "d", for_ns=100 * SECOND),
                faults.Loss(At(1 * SECOND), "d", "c", 500_000, for_ns=100 * SECOND),
                faults.LyingSync(At(1 * SECOND), "c", for_ns=100 * SECOND),
                faults.FullDisk(At(1 * SECOND), "c", for_ns=100 * SECOND),
                faults.Refuse(At(1 * SECOND), "c", for_ns=100 * SECOND),
                faults.Crash(On("c", "open"), "c"),
                faults.Crash(At(3 * SECOND), "d"),
            ],
        )
        await trio.sleep(2)
        injector.stop()
        assert [host.state for host in world.hosts.values()] == ["up"] * 4
        assert not world.link("c", "d").is_cut
        assert world.link("d", "c").shape == world.link("d", "c").usual
        c = world.host("c")
        assert (c.disk.lies, c.disk.capacity_bytes, c.machine.refusing) == (False, None, False)
        await c.call(c.disk.open, Path("/f"), "create")
        await trio.sleep(200)
        assert [host.incarnation for host in world.hosts.values()] == [2, 1, 1, 1]

    World(seed=1).run(scenario)


def test_a_restart_loop_comes_up_every_time() -> None:
    """So many crashes, and one more life."""

    async def scenario(world: World) -> int:
        world.host("a").start(idle)
        Injector(world, [faults.CrashLoop(At(SECOND), "a", times=5)])
        await trio.sleep(10)
        assert world.host("a").state == "up"
        return world.host("a").incarnation

    assert World(seed=1).run(scenario).value == 6


def test_wiped_and_restored_disks() -> None:
    """A wipe leaves nothing; a restored backup holds what it held then."""

    async def main(host: Host) -> None:
        name = Path(f"/{host.incarnation}")
        await host.disk.open(name, "create")
        await host.disk.sync_dir(Path("/"))
        await trio.sleep_forever()

    async def scenario(world: World) -> list[list[str]]:
        host = world.host("a")
        host.start(main)
        Injector(
            world,
            [
                faults.Backup(At(1 * SECOND), "a"),
                faults.Wipe(At(2 * SECOND), "a"),
                faults.Restore(At(5 * SECOND), "a"),
            ],
        )
        seen = []
        for time_s in (1.5, 4, 8):
            await trio.sleep_until(time_s)
            seen.append(list(host.disk.image()))
        return seen

    assert World(seed=1).run(scenario).value == [["/1"], ["/2"], ["/1", "/3"]]
