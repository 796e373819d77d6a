"""The main promise over real sockets: a node that was away gets its missing events, whoever is left to give them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import trio

import hydra_sync.batch
from hydra_sync import Node, SeqRange
from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.errors import ForkedError
from hydra_sync.fork import decode_proof
from hydra_sync.identity import MemberKey, NetworkId, verify
from hydra_sync.node.explaining import explain
from hydra_sync.sync import Disconnected, Fetched, Fetching, Forked, SourceReplaced
from hydra_sync.sync.asking import Asked
from hydra_sync.wire import Data
from tests.node.forged import make_chain, write_log
from tests.node.network import Network, NetworkMaker, connected, holds, until
from tests.node.proxy import open_proxy


async def values(node: Node, log: str, count: int) -> list[object]:
    return [event.value async for event in node.read(log, SeqRange(0, count))]


def faults(network: Network, name: str) -> list[str]:
    """Why this node lost connections, where neither side stopped and no second connection was given up."""
    told = [notice.why for notice in network.told(name, Disconnected) if isinstance(notice, Disconnected)]
    harmless = ("goodbye", "stopped", "connected already", "takes over")
    return [why for why in told if not any(word in why for word in harmless)]


async def test_a_node_that_was_away_asks_for_what_it_lacks(make_network_both: NetworkMaker) -> None:
    """After a restart only the missing range is fetched, and the copies have identical bytes."""
    network = make_network_both("alice", "bob")
    async with network.node("alice") as alice:
        async with network.node("bob") as bob:
            await alice.append_many(range(100), replicas=1)
        await alice.append_many(range(100, 200))
        network.notices.clear()
        async with network.node("bob") as bob:
            await until(holds(bob, "alice", 200))
            assert await values(bob, "alice", 200) == list(range(200))
    asked = [notice for notice in network.told("bob", Fetching) if isinstance(notice, Fetching)]
    first = next(notice for notice in asked if notice.log == network.configs["bob"].find("alice"))
    assert first.start == 100
    assert network.records("alice", "alice") == network.records("bob", "alice")


async def test_a_relay_gives_the_log_of_an_author_who_is_gone(make_network_both: NetworkMaker) -> None:
    """carol was never connected to alice, and has alice's whole log, from bob, signed by alice."""
    network = make_network_both("alice", "bob", "carol")
    async with network.node("bob") as bob:
        async with network.node("alice") as alice:
            await alice.append_many([f"event {n}" for n in range(500)], replicas=1)
        async with network.node("carol") as carol:
            await until(holds(carol, "alice", 500))
        del bob
    assert network.records("carol", "alice") == network.records("alice", "alice")


async def test_both_ways_at_once(make_network: NetworkMaker) -> None:
    """Three nodes that append at the same time, one of them restarted meanwhile, end with the same logs."""
    network = make_network("alice", "bob", "carol")

    async def append(node: Node, name: str, count: int) -> None:
        for n in range(count):
            await node.append([name, n])

    async with network.node("alice") as alice, network.node("bob") as bob, trio.open_nursery() as nursery:
        nursery.start_soon(append, alice, "alice", 150)
        nursery.start_soon(append, bob, "bob", 150)
        async with network.node("carol") as carol:
            await append(carol, "carol", 40)
        await trio.sleep(0.05)
        async with network.node("carol") as carol:
            await append(carol, "carol", 40)
            for node in (alice, bob, carol):
                for name, count in (("alice", 150), ("bob", 150), ("carol", 80)):
                    await until(holds(node, name, count), f"{count} events of {name}")
    for log in network.names:
        assert len({network.records(name, log) for name in network.names}) == 1
    assert [faults(network, name) for name in network.names] == [[], [], []]


async def test_far_behind_two_sources_are_used_at_once(make_network: NetworkMaker) -> None:
    """A long log comes in ranges from its author and from a relay, and ends up the same."""
    network = make_network("alice", "bob", "carol")
    async with network.node("alice") as alice, network.node("bob") as bob:
        for _ in range(40):
            await alice.append_many([bytes(1000) for _ in range(500)])
        await until(holds(bob, "alice", 20_000))
        async with network.node("carol") as carol:
            await until(holds(carol, "alice", 20_000))
    author = network.configs["carol"].find("alice")
    sources: dict[MemberKey, list[SeqRange]] = {}
    for notice in network.told("carol", Fetched):
        if isinstance(notice, Fetched) and notice.log == author:
            sources.setdefault(notice.peer, []).append(notice.events)
    assert len(sources) == 2, "only one source gave events"
    (alice_first, *_), (bob_first, *_) = sources.values()
    last = {peer: events[-1] for peer, events in sources.items()}
    assert all(alice_first < end for end in last.values())
    assert all(bob_first < end for end in last.values())
    assert network.records("carol", "alice") == network.records("alice", "alice")


@pytest.fixture
def fast_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source counts as stalled after half a second instead of five."""
    for module in ("asking", "fetching"):
        monkeypatch.setattr(importlib.import_module(f"hydra_sync.sync.{module}"), "STALL_S", 0.5)
    monkeypatch.setattr("hydra_sync.node.engine.TICK_S_MAX", 0.1)


@pytest.mark.usefixtures("fast_stall")
async def test_a_stalled_source_is_replaced_by_a_relay(make_network: NetworkMaker) -> None:
    """The author's line goes dead without closing; the rest of its log comes from bob."""
    network = make_network("alice", "bob", "carol")
    network.hidden("carol", seen_from="alice")
    async with network.node("alice") as alice, network.node("bob"):
        await alice.append_many([bytes(1000) for _ in range(3000)], replicas=1)
        target = network.configs["alice"].listen
        assert target is not None
        async with open_proxy(target) as proxy:
            network.moved("alice", to=proxy.address)
            network.hidden("bob", seen_from="carol")  # bob dials carol, a little later than carol dials alice
            proxy.stall_after_bytes = 400_000
            async with network.node("carol") as carol:
                await until(holds(carol, "alice", 3000), "alice's log")
                assert proxy.to_client_bytes >= 400_000
    author = network.configs["carol"].find("alice")
    relay = network.configs["carol"].find("bob")
    replaced = [n for n in network.told("carol", SourceReplaced) if isinstance(n, SourceReplaced)]
    assert any((n.log, n.peer, n.why) == (author, author, "no progress") for n in replaced)
    assert any(isinstance(n, Fetched) and (n.log, n.peer) == (author, relay) for n in network.told("carol", Fetched))
    assert network.records("carol", "alice") == network.records("alice", "alice")


async def test_an_author_that_signs_every_tenth_record_harms_nobody_else(make_network: NetworkMaker) -> None:
    """Its log still travels, author to relay to receiver, and no connection is dropped for it."""
    network = make_network("alice", "bob", "carol")
    config = network.configs["alice"]
    await network.init("alice")
    chain = make_chain(config, 230, signed=lambda index: index % 10 == 9)
    write_log(config.persistence_dir, config.key.member, chain)
    async with network.node("bob") as bob:
        async with network.node("alice"):
            await until(holds(bob, "alice", 230), "bob having alice's log")
        async with network.node("carol") as carol:
            await bob.append_many(range(10))
            await until(holds(carol, "alice", 230), "carol having alice's log from bob")
            await until(holds(carol, "bob", 10))
    assert [faults(network, name) for name in network.names] == [[], [], []]
    assert network.records("carol", "alice") == b"".join(batch.record for batch in chain)


async def test_one_verification_a_chunk_however_small_the_batches(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200,000 events committed one at a time catch up with at most one signature check a received chunk."""
    network = make_network("alice", "bob")
    config = network.configs["alice"]
    await network.init("alice")
    write_log(config.persistence_dir, config.key.member, make_chain(config, 200_000))
    verified = chunks = 0
    really_receive = Asked.receive

    def counted_verify(member: MemberKey, message: bytes, signature: bytes) -> None:
        nonlocal verified
        verified += 1
        verify(member, message, signature)

    def receive(self: Asked, data: Data, network: NetworkId) -> tuple[Batch, ...]:
        nonlocal chunks
        chunks += 1
        return really_receive(self, data, network)

    async with network.node("alice"):
        monkeypatch.setattr(hydra_sync.batch, "verify", counted_verify)
        monkeypatch.setattr(Asked, "receive", receive)
        async with network.node("bob") as bob:
            await until(holds(bob, "alice", 200_000), "the whole log", patience_s=300)
    print(f"{chunks} chunks, {verified} signature checks")
    assert 0 < verified <= chunks
    assert chunks < 1000
    assert network.records("bob", "alice") == network.records("alice", "alice")


def kept(network: Network) -> list[Path]:
    """The proofs in all stores."""
    return sorted(network.directory.glob("*/forks/*.cbor"))


async def test_two_histories_of_one_author_are_proven(make_network: NetworkMaker) -> None:
    """alice signed two histories; bob and carol prove it and deliver what both agree on; all else goes on."""
    network = make_network("alice", "bob", "carol")
    config = network.configs["alice"]
    common = make_chain(config, 5)

    for name, word in (("bob", "left"), ("carol", "right")):
        await network.init(name)
        branch = make_chain(config, 5, after=Tip.after(common[-1]), word=word)
        write_log(network.configs[name].persistence_dir, config.key.member, [*common, *branch])
    async with network.node("bob") as bob, network.node("carol") as carol:
        await until(lambda: bool(network.told("bob", Forked) and network.told("carol", Forked)), "the proof")
        await bob.append("still works", replicas=1)
        await carol.append("here too", replicas=1)
        assert await values(bob, "alice", 5) == await values(carol, "alice", 5)
        for node in (bob, carol):
            with pytest.raises(ForkedError, match="alice's log is forked at event"):
                await values(node, "alice", 10)
        (forked,) = [line for line in explain(bob.status()) if "forked" in line]
        assert f"forks/{config.key.member.hex()}.cbor" in forked
        await until(lambda: len(kept(network)) == 2, "both to have kept it")  # which they are told before
        proofs = [decode_proof(path.read_bytes()) for path in kept(network)]
        assert proofs[0] == proofs[1]
        assert proofs[0][1].verify(config.network_id).log == config.key.member
        assert connected(bob, "carol")()
    assert faults(network, "bob") == faults(network, "carol") == []


async def test_a_restored_copy_is_noticed_and_stops_appending(make_network: NetworkMaker) -> None:
    """alice's disk is an old copy: bob proves that she signed more, and she refuses to sign it again."""
    network = make_network("alice", "bob")
    config = network.configs["alice"]
    await network.init("alice")
    chain = make_chain(config, 20)
    write_log(config.persistence_dir, config.key.member, chain[:12])
    await network.init("bob")
    write_log(network.configs["bob"].persistence_dir, config.key.member, chain)
    async with network.node("alice") as alice, network.node("bob"):
        await until(lambda: any("fork" in warning for warning in alice.status().warnings), "the warning")
        with pytest.raises(hydra_sync.StoreError, match="bob proved"):
            await alice.append("another history")
    assert network.records("alice", "alice") == b"".join(batch.record for batch in chain[:12])
