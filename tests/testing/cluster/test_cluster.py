"""A cluster does what its user says, notices what goes wrong, and lets hostile members harm nobody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import pytest

from hydra_sync.errors import UnavailableError, UsageError
from hydra_sync.ranges import SeqRange
from hydra_sync.sync import Advanced
from hydra_sync.testing import SECOND, World
from hydra_sync.testing.cluster.cluster import INVARIANTS, Cluster, open_cluster
from hydra_sync.testing.cluster.hostile import equivocate, flood, forge, garbage, replay, stall
from hydra_sync.testing.cluster.invariant import Invariant, InvariantError
from hydra_sync.testing.cluster.ledger import Delivery
from hydra_sync.testing.plan import faults as f
from hydra_sync.testing.plan.scenario import Setup
from hydra_sync.testing.plan.swarm import Swarm
from hydra_sync.testing.simulate import simulate


def run(
    story: Callable[[Cluster], Awaitable[None]],
    *,
    nodes: int = 3,
    plan: f.Plan = (),
    seed: int = 1,
    invariants: Iterable[type[Invariant]] = INVARIANTS,
) -> Cluster:
    clusters: list[Cluster] = []

    async def scenario(world: World) -> None:
        setup = Setup(nodes, 5, 10, plan)
        async with open_cluster(world, setup, invariants=invariants) as cluster:
            clusters.append(cluster)
            await story(cluster)

    World(seed).run(scenario, limit_s=600)
    return clusters[0]


def test_the_example_of_the_docs() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.write("n0", count=20)
        async with cluster.faults(crash=True, one_way=True, torn=True):
            await cluster.run_for(10)
        cluster.crash_at("n1", op="fsync", nth=3, keep="torn")
        await cluster.write("n0", count=5)
        await cluster.settle(core={"n0", "n1", "n2"})
        cluster.check_all()

    cluster = run(story, nodes=5, plan=Swarm().only("crash", "one_way", "torn").fixed(nodes=5).draw(3).plan)
    assert cluster.core == ("n0", "n1", "n2")
    assert cluster.ledger.acknowledged_stop("n0") >= 25
    assert cluster.world.host("n1").incarnation > 1


def test_only_the_kinds_asked_for_happen() -> None:
    plan = (f.Crash(f.At(0), "n0"), f.Pause(f.At(0), "n1"))

    async def story(cluster: Cluster) -> None:
        async with cluster.faults(pause=True, crash=False) as injector:
            await cluster.run_for()
        assert dict(injector.injected) == {"Pause": 1}

    assert run(story, plan=plan).world.effects["host.crash"] == 0


def test_all_but_the_kinds_refused_happen() -> None:
    plan = (f.Crash(f.At(0), "n0"), f.Pause(f.At(0), "n1"))

    async def story(cluster: Cluster) -> None:
        async with cluster.faults(crash=False) as injector:
            await cluster.run_for()
        assert dict(injector.injected) == {"Pause": 1}

    run(story, plan=plan)


def test_times_of_a_plan_count_from_the_beginning_of_the_block() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.run_for(10)
        async with cluster.faults():
            await cluster.run_for(1)
            assert cluster.world.effects["host.pause"] == 0
            await cluster.run_for(2)
            assert cluster.world.effects["host.pause"] == 1

    run(story, plan=(f.Pause(f.At(2 * SECOND), "n0"),))


def test_a_fault_that_is_due_now_has_happened_on_return() -> None:
    """Else what the story does next might come before it, within one moment."""

    async def story(cluster: Cluster) -> None:
        await cluster.run_for(1)
        cluster.inject([f.Pause(f.At(0), "n0")])
        assert cluster.world.host("n0").state == "paused"

    run(story)


def test_a_client_that_insists_gets_its_events_in_however_often_the_node_dies() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_writing("n0", count=30)
        cluster.inject([f.CrashLoop(f.On("n0", "sync", nth=5), "n0", times=4)])
        await cluster.run_for(20)
        await cluster.settle()

    assert len(run(story).ledger.acknowledged["n0"]) >= 30


def test_a_node_whose_disk_fails_is_started_again() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.inject(
            [f.DiskError(f.At(SECOND), "n0", "sync", nth=2), f.DiskError(f.At(SECOND), "n1", "write", nth=2)]
        )
        await cluster.run_for(2)
        await cluster.write("n0", count=3)
        await cluster.settle()
        cluster.check_all()

    cluster = run(story)
    assert cluster.world.host("n0").incarnation > 1
    assert cluster.world.host("n1").incarnation > 1


@pytest.mark.parametrize("program", [equivocate, flood, forge, garbage, replay, stall])
def test_a_hostile_member_harms_nobody_else(program: Callable[[], object]) -> None:
    """All of it at once is the scenario ``hostile``."""

    async def story(cluster: Cluster) -> None:
        cluster.byzantine("n3", program())  # type: ignore[arg-type]
        cluster.start_chatter(operations=10, seconds=2)
        await cluster.run_for(2)
        await cluster.settle(core=["n0", "n1", "n2"])
        cluster.check_all()

    assert run(story, nodes=4).ledger.deliveries >= 30


def test_a_hostile_member_is_in_no_core() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.byzantine("n2", stall())
        await cluster.settle(core=["n0", "n2"])

    with pytest.raises(UsageError, match="hostile"):
        run(story)


def test_members_are_named() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.write("n7")

    with pytest.raises(UsageError, match="no member 'n7' in this cluster; there are n0, n1, n2"):
        run(story)


def test_an_invariant_of_ones_own_is_called_for_what_it_overrides() -> None:
    class NoThirdEvent(Invariant):
        name = "mine"
        promise = "nobody writes three events"

        def delivering(self, delivery: Delivery) -> None:
            if delivery.event.seq == 2:
                self.broken("a third one", delivery.node)

    async def story(cluster: Cluster) -> None:
        await cluster.write("n1", count=5)

    with pytest.raises(InvariantError, match="mine: a third one"):
        run(story, invariants=(NoThirdEvent,))


def test_what_never_holds_fails_when_its_time_has_passed() -> None:
    class Never(Invariant):
        name = "never"
        promise = "what cannot be"
        within_s = 7.0

        def unmet(self) -> str | None:
            return "it does not hold"

    async def story(cluster: Cluster) -> None:
        await cluster.settle()

    with pytest.raises(InvariantError, match="7 s after faults stopped, it does not hold"):
        run(story, invariants=(Never,))


def test_a_story_can_read_at_any_member() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.write("n0", count=3)
        await cluster.settle(core=cluster.aliases)
        events = await cluster.read("n1", "n0", SeqRange(1, 3))
        assert [event.data for event in events] == list(cluster.ledger.written["n0"])[1:3]
        with pytest.raises(UnavailableError, match=r"\[4, 9\) of n0"):
            await cluster.read("n1", "n0", SeqRange(0, 9))

    run(story)


def test_a_story_can_wait_and_what_does_not_come_fails_it() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.until(lambda: cluster.connected("n0") == ["n1", "n2"], "everyone")
        await cluster.until(lambda: cluster.now_s >= 9, "a better day", within_s=5)

    with pytest.raises(AssertionError, match="waited 5 s for a better day"):
        run(story)


def test_a_write_is_pending_as_soon_as_it_is_started() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_writing("n0", count=3)
        await cluster.until(lambda: not cluster.pending["n0"], "the write")
        assert len(cluster.ledger.acknowledged["n0"]) == 3

    run(story)


def test_a_story_can_watch_what_nodes_give_notice_of() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.write("n0")
        await cluster.until(lambda: bool(cluster.logs("n1")["n0"].tip.next_seq), "n1 to have the first event")
        seen = cluster.watch()
        await cluster.write("n0")
        await cluster.settle(core=cluster.aliases)
        key = cluster.members["n0"].config.key.member
        assert sorted(who for who, notice in seen if notice == Advanced(key, 2)) == ["n0", "n1", "n2"]

    run(story)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"op": "fsynk"}, "there is no operation 'fsynk'"),
        ({"op": "fsync", "nth": 0}, "nth is 1 or more"),
        ({"op": "fsync", "phase": "during"}, "before, after"),
        ({"op": "fsync", "keep": "shredded"}, "keep"),
        ({"op": "fsync", "down_s": -1}, "times 0 or more"),
    ],
)
def test_a_crash_that_could_never_come_is_refused(how: dict[str, object], words: str) -> None:
    """A slip of the pen would leave a test that passes and tests nothing."""

    @simulate(nodes=2, seeds=1, swarm=Swarm.calm())
    async def story(cluster: Cluster) -> None:
        cluster.crash_at("n1", **how)  # type: ignore[arg-type]

    failure = story.run(0).failure
    assert failure is not None
    assert failure.invariant == "UsageError"
    assert words in failure.message


def test_a_kind_of_fault_that_is_none_is_refused() -> None:
    """Nor does nothing happen in its place."""

    @simulate(nodes=2, seeds=1, swarm=Swarm.calm())
    async def story(cluster: Cluster) -> None:
        async with cluster.faults(nosuch=True):
            pass

    failure = story.run(0).failure
    assert failure is not None
    assert "there is no kind of fault 'nosuch'" in failure.message


def test_an_assertion_without_words_says_where_it_stands() -> None:
    """The file and the line are the same in every process."""

    @simulate(nodes=2, seeds=1, swarm=Swarm.calm())
    async def story(cluster: Cluster) -> None:
        raise AssertionError

    failure = story.run(0).failure
    assert failure is not None
    assert "test_cluster.py, line " in failure.message


def test_a_simulation_of_no_seeds_is_refused() -> None:
    with pytest.raises(UsageError, match="tests nothing"):
        simulate(seeds=0)(test_a_simulation_of_no_seeds_is_refused)  # type: ignore[arg-type]
