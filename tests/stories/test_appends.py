"""What an append promises when it returns, and what it leaves behind when it does not."""

from __future__ import annotations

import trio

from hydra_sync.encoding import encode_event
from hydra_sync.testing import SECOND, Cluster, Swarm, simulate
from hydra_sync.testing.plan.faults import Partition
from tests.stories.telling import NOW, all_meet, numbers, stop_of, wait_held

CALM = Swarm.calm()


@simulate(nodes=4, seeds=3, swarm=CALM)
async def test_replicas_are_waited_for_while_the_network_is_apart(cluster: Cluster) -> None:
    """An append that wants two replicas and can have one is durable here, waits, and returns once both are there."""
    await all_meet(cluster)
    cluster.inject([Partition(NOW, (("n0", "n1"), ("n2", "n3")), 30 * SECOND)])
    cluster.start_writing("n0", replicas=2)
    await cluster.run_for(29)
    assert [stop_of(cluster, alias, "n0") for alias in cluster.aliases] == [1, 1, 0, 0]
    assert cluster.pending["n0"] == 1
    assert not cluster.ledger.acknowledged["n0"]
    await cluster.until(lambda: not cluster.pending["n0"], "the append to return", within_s=20)
    assert sum(stop_of(cluster, alias, "n0") == 1 for alias in cluster.aliases) >= 3
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


@simulate(nodes=3, seeds=3, swarm=CALM)
async def test_a_replica_is_no_replica_before_it_says_so(cluster: Cluster) -> None:
    """While receipts cannot come back, an append waits, though the replica has the event long since."""
    await all_meet(cluster)
    cluster.retire("n2")
    cluster.world.link("n1", "n0").cut()
    cluster.start_writing("n0", replicas=1)
    await cluster.run_for(5)
    assert stop_of(cluster, "n1", "n0") == 1
    assert cluster.pending["n0"] == 1
    cluster.world.link("n1", "n0").heal()
    await cluster.until(lambda: not cluster.pending["n0"], "the append to return", within_s=10)
    await cluster.settle(core=["n0", "n1"])
    cluster.check_all()


@simulate(nodes=2, seeds=5, swarm=CALM)
async def test_cancelled(cluster: Cluster) -> None:
    """A client that loses patience in the middle of appends leaves each batch as a whole or not at all, in order."""
    await all_meet(cluster)
    cancelled = 0
    for attempt in range(60):
        cancelled += await _append_impatiently(cluster, count=3, patience_s=attempt / 20_000)
    assert 5 < cancelled < 60
    await cluster.write("n0", count=2)
    await wait_held(cluster, cluster.aliases, "n0")
    order = numbers(cluster, "n0")
    assert order == sorted(order)
    batches = [order[at : at + 3] for at in range(0, len(order) - 2, 3)]
    assert all(batch == [batch[0], batch[0] + 1, batch[0] + 2] and batch[0] % 3 == 0 for batch in batches)
    assert len(order) >= 3 * (60 - cancelled) + 2
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()


async def _append_impatiently(cluster: Cluster, *, count: int, patience_s: float) -> bool:
    """Append at n0, for so long at most; whether that was too short."""
    member = cluster.member("n0")
    node = await member.wait_open()
    values = [["n0", "impatient", len(cluster.ledger.written["n0"]) + number] for number in range(count)]
    events = [encode_event(value) for value in values]
    for event in events:
        cluster.ledger.write("n0", event)

    async def append() -> bool:
        with trio.move_on_after(patience_s) as patience:
            last = await node.append_many(values)
            cluster.ledger.acknowledge("n0", last + 1 - count, events)
        return patience.cancelled_caught

    return await member.host.call(append)


@simulate(nodes=2, seeds=3, swarm=CALM)
async def test_many_clients_at_once(cluster: Cluster) -> None:
    """Appends of fifty clients that share syncs get seqs without gap or repetition, each in its client's order."""
    await all_meet(cluster)
    syncs = cluster.world.operations.counts["n0", "sync"]
    for _ in range(50):
        cluster.start_writing("n0", count=4)
    await wait_held(cluster, cluster.aliases, "n0", 200, within_s=1)
    assert 0 < cluster.world.operations.counts["n0", "sync"] - syncs < 20
    assert sorted(numbers(cluster, "n0")) == list(range(200))
    assert sorted(cluster.ledger.acknowledged["n0"]) == list(range(200))
    await cluster.settle(core=cluster.aliases)
    cluster.check_all()
