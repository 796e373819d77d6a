"""How members meet: both dialing at once, addresses learned, reconnection after a cut line."""

from __future__ import annotations

from dataclasses import replace

import trio

from hydra_sync import Address
from hydra_sync.sync import Connected
from tests.node.network import NetworkMaker, connected, free_port, holds, until
from tests.node.proxy import open_proxy


async def test_both_sides_dial_and_one_connection_stays(make_network: NetworkMaker) -> None:
    """Whatever crosses on the way, in the end each pair has one session, the same on both sides, and it works."""
    network = make_network("alice", "bob")
    for round_ in range(5):
        async with network.node("alice") as alice, network.node("bob") as bob:
            await until(connected(alice, "bob"))
            await until(connected(bob, "alice"))
            await alice.append(round_, replicas=1)
            await bob.append(round_, replicas=1)
            sessions = alice._engine.replicator.sessions
            await until(lambda sessions=sessions: len(sessions) == 1, "one session")  # type: ignore[misc]


async def test_a_cut_line_is_dialed_again(make_network: NetworkMaker) -> None:
    """After the connection is lost the node dials again by itself, and nothing is missing."""
    network = make_network("alice", "bob")
    network.hidden("bob", seen_from="alice")
    async with network.node("alice") as alice:
        target = network.configs["alice"].listen
        assert target is not None
        async with open_proxy(target) as proxy:
            network.moved("alice", to=proxy.address)
            async with network.node("bob") as bob:
                for count in range(1, 4):
                    await alice.append(count)
                    await until(holds(bob, "alice", count))
                    proxy.cut()
                    await until(lambda count=count: proxy.accepted > count, "another attempt")  # type: ignore[misc]
                    await until(connected(bob, "alice"))
    assert len(network.told("bob", Connected)) >= 3


async def test_an_advertised_address_is_learned(make_network: NetworkMaker) -> None:
    """alice has no address of bob; once he was connected she knows where he listens, and dials him."""
    network = make_network("alice", "bob")
    network.hidden("bob", seen_from="alice")
    address = network.configs["bob"].listen
    network.configs["bob"] = replace(network.configs["bob"], advertise=address)
    async with network.node("alice") as alice:
        async with network.node("bob"):
            await until(connected(alice, "bob"))
        assert alice.status().members[1].address == str(address)
        network.hidden("alice", seen_from="bob")
        async with network.node("bob"):
            await until(connected(alice, "bob"), "alice dialing bob")


async def test_peers_are_found_by_bare_addresses(make_network: NetworkMaker) -> None:
    """``--peer`` gives addresses without keys, one's own among them: who answers, the channel tells."""
    network = make_network("alice", "bob")
    addresses = tuple(config.listen for config in network.configs.values() if config.listen)
    for name in network.names:
        network.hidden("alice", seen_from=name)
        network.hidden("bob", seen_from=name)
        network.configs[name] = replace(network.configs[name], peers=addresses)
    async with network.node("alice") as alice, network.node("bob") as bob:
        await until(connected(alice, "bob"))
        await alice.append("hello", replicas=1)
        await until(holds(bob, "alice", 1))


async def test_nobody_home_is_said(make_network: NetworkMaker) -> None:
    """Status tells why a member is not connected."""
    network = make_network("alice", "bob")
    network.moved("bob", to=Address("127.0.0.1", 1))
    async with network.node("alice") as alice:
        await until(lambda: "cannot be reached" in str(alice.status().members[1].last_error))
        with trio.move_on_after(0.5):
            await trio.sleep_forever()
        assert not connected(alice, "bob")()


async def test_a_member_moves_to_another_port(make_network: NetworkMaker) -> None:
    """Nobody else restarts: it dials, says where it listens now, and is reached there when it is lost again."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice:
        async with network.node("bob") as bob:
            await until(connected(alice, "bob"))
            old = bob.address
        moved = Address("127.0.0.1", free_port())
        network.configs["bob"] = replace(network.configs["bob"], listen=moved, advertise=moved)
        async with network.node("bob") as bob:
            await until(lambda: alice.status().members[1].address == str(moved), "alice knowing the new address")
            assert bob.address == moved != old
        network.hidden("alice", seen_from="bob")  # from now on only alice can dial
        async with network.node("bob") as bob:
            await until(connected(alice, "bob"))
            await alice.append("x")
            await until(holds(bob, "alice", 1))
