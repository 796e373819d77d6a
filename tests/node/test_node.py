"""The public face of a node: append, read, follow, replicas, status."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from hydra_sync import SeqRange, StoreError, UnavailableError, UsageError, open_node
from hydra_sync.sync import Disconnected, OwnLogTaken
from tests.node.network import NetworkMaker, connected, holds, until


async def test_what_is_appended_is_read_back_and_followed_live(make_network_both: NetworkMaker) -> None:
    """Values come back as they were, in order of seq, at the author and at a replica, over both channels."""
    network = make_network_both("alice", "bob")
    async with network.node("alice") as alice, network.node("bob") as bob:
        assert await alice.append({"any": "CBOR value"}) == 0
        assert await alice.append_many([b"bytes", 7, None], replicas=1) == 3
        assert [event.value async for event in alice.read("alice", SeqRange(1, 4))] == [b"bytes", 7, None]
        seen = []
        async with trio.open_nursery() as nursery:

            async def follow() -> None:
                async for event in bob.follow("alice"):
                    seen.append((event.seq, event.value))
                    if event.seq == 4:
                        return

            nursery.start_soon(follow)
            await until(lambda: len(seen) == 4, "history")
            await alice.append("live")
        assert seen == [(0, {"any": "CBOR value"}), (1, b"bytes"), (2, 7), (3, None), (4, "live")]


async def test_append_many_keeps_the_values_of_one_call_together(make_network: NetworkMaker) -> None:
    """Concurrent callers get consecutive seqs each, in one batch, and every value is there once."""
    network = make_network("alice")
    async with network.node("alice") as alice:
        lasts: dict[int, int] = {}

        async def append(caller: int) -> None:
            lasts[caller] = await alice.append_many([[caller, n] for n in range(5)])

        async with trio.open_nursery() as nursery:
            for caller in range(20):
                nursery.start_soon(append, caller)
        events = [event async for event in alice.read("alice", SeqRange(0, 100))]
        assert [event.seq for event in events] == list(range(100))
        for caller, last in lasts.items():
            mine = events[last - 4 : last + 1]
            assert [event.value for event in mine] == [[caller, n] for n in range(5)]
            assert len({event.batch_hash for event in mine}) == 1


async def test_replicas_wait_for_another_members_disk(make_network_both: NetworkMaker) -> None:
    """``replicas=1`` returns only when another member holds the event durably, and then it does."""
    network = make_network_both("alice", "bob")
    async with network.node("alice") as alice:
        with trio.move_on_after(0.3) as scope:
            await alice.append("lonely", replicas=1)
        assert scope.cancelled_caught
        async with network.node("bob") as bob:
            last = await alice.append("together", replicas=1)
            assert last == 1  # the event that was waited for in vain is in the log all the same
            assert bob.status().members[0].log.tip.next_seq == 2
            assert alice.status().members[1].receipt == 2


async def test_misuse_is_said_and_changes_nothing(make_network: NetworkMaker) -> None:
    """Each wrong call raises `UsageError` or `UnavailableError` that names what is wrong."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice:
        with pytest.raises(UsageError, match="its members are: alice, bob"):
            alice.follow("mallory")
        with pytest.raises(UsageError, match="1 other members"):
            await alice.append(1, replicas=2)
        with pytest.raises(UsageError, match="at least one value"):
            await alice.append_many([])
        with pytest.raises(UsageError, match="CBOR has no form"):
            await alice.append(object())
        with pytest.raises(UsageError, match="at most 1,048,576 bytes"):
            await alice.append(bytes(1 << 20))
        await alice.append(1)
        with pytest.raises(UnavailableError, match=r"events \[1, 3\) of alice"):
            _ = [event async for event in alice.read("alice", SeqRange(0, 3))]
        assert alice.status().members[0].log.tip.next_seq == 1


async def test_largest_event_travels(make_network: NetworkMaker) -> None:
    """An event of exactly the limit is stored, sent and verified."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice, network.node("bob") as bob:
        value = bytes((1 << 20) - 5)
        await alice.append_many([b"small", value, b"small"], replicas=1)
        assert [event.value async for event in bob.read("alice", SeqRange(0, 3))] == [b"small", value, b"small"]


async def test_status_tells_members_links_tips_and_lag(make_network: NetworkMaker) -> None:
    """Everything status promises is there, and its JSON form is plain."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice:
        await alice.append_many(range(3))
        async with network.node("bob") as bob:
            await until(holds(bob, "alice", 3))
            await until(connected(alice, "bob"))
            member = alice.status().members[1]
            assert (member.alias, member.me, member.connected) == ("bob", False, True)
            assert bob.status().members[0].shows["alice"] == 3
            assert bob.status().members[0].log.lag == 0
        await until(lambda: not connected(alice, "bob")())
        assert alice.status().members[1].last_error  # the goodbye, or already that nobody answers there
        assert ["goodbye" in notice.why for notice in network.told("alice", Disconnected)] == [True]
        plain = alice.status().to_json()
        assert plain["node_id"] == "alice"
        assert any("trust-disk" in warning for warning in alice.status().warnings)


async def test_a_store_that_is_missing_or_of_others_is_refused(make_network: NetworkMaker) -> None:
    """`open_node` names what to do: init, the right key, the right network, who holds the lock."""
    network = make_network("alice", "bob")
    with pytest.raises(StoreError, match="hydra-sync init"):
        async with open_node(network.configs["alice"]):
            pass
    async with network.node("alice"):
        with pytest.raises(StoreError, match="in use by process"):
            async with network.node("alice"):
                pass


async def test_an_error_of_the_application_comes_out_as_itself(make_network: NetworkMaker) -> None:
    """The tasks behind a node do not wrap what the block raises into a group."""
    network = make_network("alice")
    with pytest.raises(ZeroDivisionError):
        async with network.node("alice"):
            _ = 1 / 0


async def test_port_in_use_names_the_port(make_network: NetworkMaker) -> None:
    """A second listener at one address is a `UsageError`, and the store is closed again."""
    network = make_network("alice")
    address = network.configs["alice"].listen
    assert address is not None
    listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    with pytest.raises(UsageError, match=f"port {address.port} .* is in use"):
        async with network.node("alice"):
            pass
    await listeners[0].aclose()
    async with network.node("alice"):
        pass


async def test_who_waits_for_what_nobody_will_tell_is_told_so(make_network: NetworkMaker) -> None:
    """Another process has begun an epoch of our own log: neither replicas nor stability are waited for any more."""
    network = make_network("alice", "bob")
    failed: list[str] = []
    async with network.node("alice") as alice, trio.open_nursery() as nursery:

        async def append() -> None:
            with pytest.raises(StoreError, match="another process with the same key"):
                await alice.append("for nobody", replicas=1)
            failed.append("append")

        async def wait() -> None:
            with pytest.raises(StoreError, match="another process with the same key"):
                await alice.wait_stable(0)
            failed.append("wait_stable")

        nursery.start_soon(append)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.1)
        alice._engine.perform([OwnLogTaken(network.configs["bob"].key.member, 9)])
        with trio.fail_after(10):
            await until(lambda: sorted(failed) == ["append", "wait_stable"], "both to be told")
