"""Strangers, wrong servers, impostors, wrong networks, garbage: refused, and no other session suffers.

In each test alice and bob stay connected throughout, and bob's appends reach alice before and after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trio
from cryptography import x509

import hydra_sync.channel as channel_module
from hydra_sync import Address, Member, Node, PeerError, SeqRange, SigningKey
from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.channel import TlsChannel
from hydra_sync.identity import MemberKey
from hydra_sync.limits import FRAME_BYTES_MAX
from hydra_sync.node.dialing import dial
from hydra_sync.node.engine import Engine
from hydra_sync.node.tool import open_tool
from hydra_sync.sync import Explain, NoSession, Read
from hydra_sync.wire import (
    Cancel,
    Credit,
    Data,
    End,
    EndReason,
    Fetch,
    FrameReader,
    Goodbye,
    GoodbyeReason,
    Hello,
    LogTip,
    Message,
    Ping,
    Pong,
    Role,
    Tips,
    encode_frame,
)
from tests.node.forged import make_chain
from tests.node.network import Network, NetworkMaker, connected, free_port, holds, until

MALLORY = SigningKey(b"m" * 32)


@asynccontextmanager
async def undisturbed(network: Network) -> AsyncIterator[Node]:
    """alice and bob in session; at the end they still are, in the same one, and it works."""
    async with network.node("alice") as alice, network.node("bob") as bob:
        await bob.append("before", replicas=1)
        await until(connected(alice, "bob"))
        key = network.configs["bob"].key.member
        link = alice._engine.replicator.nodes[key]
        yield alice
        await bob.append("after", replicas=1)
        assert alice._engine.replicator.nodes[key] == link, "the session with bob was replaced"
        assert holds(alice, "bob", 2)()


def address_of(network: Network, name: str) -> Address:
    address = network.configs[name].listen
    assert address is not None
    return address


def impostor(network: Network, name: str) -> TlsChannel:
    """The channel of a real member's key, as a misbehaving program of that member would use it."""
    config = network.configs[name]
    return TlsChannel(config.key, config.keys)


class Raw:
    """A connection that says what it likes."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._frames = FrameReader()
        self._waiting: list[Message] = []

    async def send(self, *messages: Message) -> None:
        await self.stream.send_all(b"".join(map(encode_frame, messages)))

    async def receive(self, kind: type[Message]) -> Message:
        """The next message of this kind, skipping others."""
        with trio.fail_after(30):
            while True:
                while self._waiting:
                    if isinstance(message := self._waiting.pop(0), kind):
                        return message
                data = await self.stream.receive_some()
                assert data, f"closed while waiting for {kind.__name__}"
                self._waiting.extend(self._frames.feed(bytes(data)))


@asynccontextmanager
async def carol_dials(network: Network, to: str = "alice") -> AsyncIterator[Raw]:
    stream, _ = await dial(impostor(network, "carol"), address_of(network, to), expected=None)
    try:
        yield Raw(stream)
    finally:
        await trio.aclose_forcefully(stream)


def hello(nodes: Network, **changes: object) -> Hello:
    config = nodes.configs["carol"]
    greeting = Hello(network=config.network_id, agent="carol", role=Role.NODE, store_id=bytes(16), founding=False)
    return replace(greeting, **changes)  # type: ignore[arg-type]


async def test_a_stranger_is_refused_and_told(make_network: NetworkMaker) -> None:
    """A key of no member gets no further than the handshake, and both sides know why."""
    network = make_network("alice", "bob", "carol")
    bob = network.configs["bob"]
    member = Member("mallory", MALLORY.member, Address("127.0.0.1", free_port()))
    network.configs["mallory"] = replace(
        bob, key=MALLORY, members=(*bob.members, member), listen=None, persistence_dir=bob.persistence_dir / "m"
    )
    async with undisturbed(network) as alice, network.node("mallory") as mallory:
        await until(lambda: "our key among its members" in str(mallory.status().members[0].last_error))
        await until(lambda: any(n.peer is None for n in network.told("alice", NoSession)))
        assert len(alice._engine.replicator.sessions) == 1


async def test_a_wrong_server_is_refused(make_network: NetworkMaker) -> None:
    """Whoever answers at a member's address with another key is not spoken to, member or not."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network):
        channel = impostor(network, "carol")
        alice = network.configs["carol"].find("alice")
        with pytest.raises(PeerError, match="not by"):
            await dial(channel, address_of(network, "bob"), expected=alice)
        async with stranger_server(network) as address:
            with pytest.raises(PeerError, match="no member"):
                await dial(channel, address, expected=None)


@asynccontextmanager
async def stranger_server(network: Network) -> AsyncIterator[Address]:
    channel = TlsChannel(MALLORY, network.configs["alice"].keys)

    async def serve(transport: trio.SocketStream) -> None:
        try:
            await channel.accept(transport)
        except PeerError:
            await trio.aclose_forcefully(transport)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield Address("127.0.0.1", listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def test_a_member_cannot_pose_as_another(make_network: NetworkMaker) -> None:
    """What carol says about who she is does not count: the channel names the issuer of her leaf."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network) as alice, carol_dials(network) as raw:
        await raw.send(hello(network, agent="bob"))
        await raw.receive(Tips)
        peers = {session.peer for session in alice._engine.replicator.sessions.values()}
        assert network.configs["carol"].key.member in peers
        assert alice.config.alias(network.configs["carol"].key.member) == "carol"


async def test_a_leaf_in_the_name_of_another_is_refused(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """carol signs a leaf that names bob as its issuer: his key did not sign it."""
    network = make_network("alice", "bob", "carol")
    bob = network.configs["bob"].key.member.hex()
    make = channel_module._certificate

    def forge(subject: str, issuer: str, *args: Any, anchor: bool) -> Any:
        return make(subject, issuer if anchor else bob, *args, anchor=anchor)

    monkeypatch.setattr(channel_module, "_certificate", forge)
    forged = impostor(network, "carol")
    monkeypatch.undo()
    async with undisturbed(network) as alice:
        await _is_refused(forged, network)
        assert len(alice._engine.replicator.sessions) == 1
    failures = network.told("alice", NoSession)
    assert any(isinstance(failure, NoSession) and "belongs to no member" in failure.why for failure in failures)


async def _is_refused(channel: TlsChannel, network: Network) -> None:
    """A session over this channel comes to nothing."""
    try:
        stream, _ = await dial(channel, address_of(network, "alice"), expected=None)
    except PeerError:
        return
    with trio.fail_after(30):
        await _until_closed(stream)
    await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("name", [b"\x82\x01\xff", b"\x81\x01\xff", b"\x86\x01\xff"], ids=["dns", "mail", "uri"])
async def test_a_leaf_that_python_cannot_take_apart_harms_nobody(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    """It is signed by a member and verifies, and a name in it is no text."""
    network = make_network("alice", "bob", "carol")
    sign = x509.CertificateBuilder.sign
    names = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30" + bytes([len(name)]) + name)

    def sign_oddly(self: x509.CertificateBuilder, *args: Any) -> x509.Certificate:
        return sign(self.add_extension(names, critical=False), *args)

    monkeypatch.setattr(x509.CertificateBuilder, "sign", sign_oddly)
    odd = impostor(network, "carol")
    monkeypatch.undo()
    async with undisturbed(network) as alice:
        await _is_refused(odd, network)
        assert len(alice._engine.replicator.sessions) == 1
    failures = network.told("alice", NoSession)
    assert any(isinstance(failure, NoSession) and "cannot be read" in failure.why for failure in failures)


@pytest.mark.parametrize("advertise", ["a..b:1", ".:1", "x" * 64 + ":1", "-ß-:9"])
async def test_an_address_that_is_none_harms_nobody(make_network: NetworkMaker, advertise: str) -> None:
    """carol says that she listens at what no resolver takes, and leaves: nobody stumbles over it."""
    network = make_network("alice", "bob", "carol")
    network.hidden("carol", seen_from="alice")
    async with undisturbed(network) as alice:
        async with carol_dials(network) as raw:
            await raw.send(hello(network, advertise=advertise), carols_tips(network))
            await until(connected(alice, "carol"))
        await until(lambda: not connected(alice, "carol")())
        await trio.sleep(0.3)


async def test_fetches_that_are_cancelled_cost_nothing(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetch and Cancel by the thousand: the reads behind them are not done."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network) as alice, carol_dials(network) as raw:
        await alice.append_many([bytes(1000) for _ in range(1000)])
        reads = 0
        really_read = alice._engine.read

        async def read(request: Read) -> Sequence[Batch]:
            nonlocal reads
            reads += 1
            return await really_read(request)

        monkeypatch.setattr(alice._engine, "read", read)
        key = network.configs["alice"].key.member
        await raw.send(hello(network), carols_tips(network))
        for number in range(0, 3000, 100):
            churn = [(Fetch(n, key, 0, None, None, 1 << 21), Cancel(n)) for n in range(number, number + 100)]
            await raw.send(*[message for pair in churn for message in pair])
        await raw.send(Ping(77))
        while await raw.receive(Pong) != Pong(77):
            pass
        assert reads < 1000


async def test_another_network_of_the_same_members_is_refused(make_network: NetworkMaker) -> None:
    """The network's name is part of its id: both sides are told, and nothing is exchanged."""
    network = make_network("alice", "bob", "carol")
    other = replace(network.configs["carol"], network="another")
    async with undisturbed(network), carol_dials(network) as raw:
        await raw.send(hello(network, network=other.network_id))
        goodbye = await raw.receive(Goodbye)
        assert isinstance(goodbye, Goodbye)
        assert goodbye.reason is GoodbyeReason.WRONG_NETWORK
    failures = network.told("alice", NoSession)
    assert any(isinstance(failure, NoSession) and "wrong network" in failure.why for failure in failures)
    async with undisturbed(network):
        with pytest.raises(PeerError, match="wrong network"):
            async with open_tool(other, address_of(network, "alice"), expected=None):
                pass


async def test_a_program_that_is_no_node_at_all(make_network: NetworkMaker) -> None:
    """Bytes that are not TLS end in a closed connection."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network):
        stream = await trio.open_tcp_stream("127.0.0.1", address_of(network, "alice").port)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            with trio.fail_after(30):
                await _until_closed(stream)


async def _until_closed(stream: trio.abc.Stream) -> None:
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass


async def test_a_half_open_connection_costs_no_more_than_its_time(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never begins TLS, and one that never says Hello, are closed after `HANDSHAKE_S`."""
    monkeypatch.setattr("hydra_sync.node.dialing.HANDSHAKE_S", 0.3)
    monkeypatch.setattr("hydra_sync.sync.session.HANDSHAKE_S", 0.3)
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network) as alice:
        async with AsyncExitStack() as stack:
            for _ in range(40):
                port = address_of(network, "alice").port
                silent = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            raw = await stack.enter_async_context(carol_dials(network))
            with trio.fail_after(30):
                await _until_closed(raw.stream)
                await _until_closed(silent)
        assert len(alice._engine.replicator.sessions) == 1


def carols_tips(network: Network) -> Tips:
    return Tips(True, ())


Misdeed = Callable[[Network, Raw], Awaitable[None]]


async def send_garbage(network: Network, raw: Raw) -> None:
    await raw.stream.send_all(b"\x00\x00\x00\x08garbage!")


async def send_oversize(network: Network, raw: Raw) -> None:
    await raw.stream.send_all((FRAME_BYTES_MAX + 1).to_bytes(4))


async def send_fetch_before_tips(network: Network, raw: Raw) -> None:
    alice = network.configs["alice"].key.member
    await raw.send(hello(network), Fetch(1, alice, 0, None, None, 1 << 21))


async def send_unrequested_data(network: Network, raw: Raw) -> None:
    await raw.send(hello(network), carols_tips(network), Data(7, b""))


async def send_end_of_nothing(network: Network, raw: Raw) -> None:
    await raw.send(hello(network), carols_tips(network), End(7, 0, EndReason.DONE))


async def send_second_hello(network: Network, raw: Raw) -> None:
    await raw.send(hello(network), hello(network))


async def send_full_tips_twice(network: Network, raw: Raw) -> None:
    await raw.send(hello(network), carols_tips(network), carols_tips(network))


async def send_strangers_fetch(network: Network, raw: Raw) -> None:
    await raw.send(hello(network), carols_tips(network), Fetch(1, MALLORY.member, 0, None, None, 1 << 21))


async def send_same_request_twice(network: Network, raw: Raw) -> None:
    bob = network.configs["bob"].key.member
    fetch = Fetch(1, bob, 1, None, None, 1 << 21)
    await raw.send(hello(network), carols_tips(network), fetch, fetch)


async def send_endless_credit(network: Network, raw: Raw) -> None:
    bob = network.configs["bob"].key.member
    credit = [Credit(1, 60 << 20)] * 4
    await raw.send(hello(network), carols_tips(network), Fetch(1, bob, 1, None, None, 60 << 20), *credit)


async def send_unknown_version(network: Network, raw: Raw) -> None:
    await raw.send(hello(network, versions=(99,)))


@pytest.mark.parametrize(
    "misdeed",
    [
        send_garbage,
        send_oversize,
        send_fetch_before_tips,
        send_unrequested_data,
        send_end_of_nothing,
        send_second_hello,
        send_full_tips_twice,
        send_strangers_fetch,
        send_same_request_twice,
        send_endless_credit,
        send_unknown_version,
    ],
)
async def test_a_member_that_breaks_the_protocol_is_dropped(make_network: NetworkMaker, misdeed: Misdeed) -> None:
    """It is told so, the reason is kept as evidence, and the session with bob does not notice."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network) as alice:
        async with carol_dials(network) as raw:
            await misdeed(network, raw)
            goodbye = await raw.receive(Goodbye)
            assert isinstance(goodbye, Goodbye)
            assert goodbye.reason in (GoodbyeReason.PROTOCOL, GoodbyeReason.VERSION)
            with trio.fail_after(30):
                await _until_closed(raw.stream)
        carol = next(member for member in alice.status().members if member.alias == "carol")
        assert carol.last_error
        assert not carol.connected


async def answer_wrong_signature(network: Network, fetch: Fetch) -> bytes:
    return b"".join(batch.record for batch in make_chain(network.configs["bob"], 3))


async def answer_tampered_event(network: Network, fetch: Fetch) -> bytes:
    record = make_chain(network.configs["carol"], 1)[0].record
    return record[:-1] + bytes([record[-1] ^ 1])


async def answer_wrong_place(network: Network, fetch: Fetch) -> bytes:
    return make_chain(network.configs["carol"], 5)[4].record


async def answer_cut_record(network: Network, fetch: Fetch) -> bytes:
    return make_chain(network.configs["carol"], 1)[0].record[:-1]


async def answer_nothing(network: Network, fetch: Fetch) -> bytes:
    return b""


@pytest.mark.parametrize(
    "answer",
    [answer_wrong_signature, answer_tampered_event, answer_wrong_place, answer_cut_record, answer_nothing],
)
async def test_false_data_is_never_stored(
    make_network: NetworkMaker, answer: Callable[[Network, Fetch], Awaitable[bytes]]
) -> None:
    """A fetch answered with what nobody signed, or nobody asked for, ends the session and leaves no trace."""
    network = make_network("alice", "bob", "carol")
    network.hidden("carol", seen_from="alice")
    async with undisturbed(network) as alice:
        async with carol_dials(network) as raw:
            key = network.configs["carol"].key.member
            await raw.send(hello(network), tips_of(key, 3))
            fetch = await raw.receive(Fetch)
            while isinstance(fetch, Fetch) and fetch.log != key:
                fetch = await raw.receive(Fetch)
            assert isinstance(fetch, Fetch)
            await raw.send(Data(fetch.request, await answer(network, fetch)))
            goodbye = await raw.receive(Goodbye)
            assert isinstance(goodbye, Goodbye)
            assert goodbye.reason is GoodbyeReason.PROTOCOL
        assert holds(alice, "carol", 0)()
        assert not holds(alice, "carol", 1)()
    assert network.records("alice", "carol") == b""


def tips_of(log: MemberKey, next_seq: int) -> Tips:
    return Tips(True, (LogTip(log, Tip(0, next_seq, bytes(32))),))


async def test_a_tool_disturbs_no_node(make_network: NetworkMaker) -> None:
    """bob's own key, used by a tool while bob runs, fetches a verified range and replaces no session."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network) as alice:
        await alice.append_many(range(50))
        config = network.configs["bob"]
        async with open_tool(config, address_of(network, "alice"), expected=config.find("alice")) as tool:
            got: list[bytes] = []
            async for batches in tool.fetch(config.find("alice"), SeqRange(10, 20)):
                got += [event for batch in batches for event in batch.events()]
        assert len(got) >= 10
        assert alice._engine.replicator.receipts.get(config.key.member, 0) in (0, 50)


async def test_a_tool_with_a_nodes_claims_is_not_counted(make_network: NetworkMaker) -> None:
    """A tool that shows tips gives no receipt: ``replicas`` waits for a node's disk."""
    network = make_network("alice", "bob", "carol")
    async with network.node("alice") as alice:
        await alice.append("event")
        key = network.configs["alice"].key.member
        tip = alice.status().members[0].log.tip
        async with carol_dials(network) as raw:
            await raw.send(hello(network, role=Role.TOOL), Tips(True, (LogTip(key, tip),)))
            await raw.send(Ping(1), Cancel(5))
            await trio.sleep(0.1)
            assert alice._engine.replicator.receipts == {}
            assert not alice._engine.replicator.nodes


@dataclass
class Explaining:
    """How often it was looked up where another branch may part from ours, and how many look-ups are under way."""

    begun: int = 0
    active: int = 0
    may_end: trio.Event = field(default_factory=trio.Event)


@pytest.fixture
def explaining(monkeypatch: pytest.MonkeyPatch) -> Explaining:
    seen = Explaining()

    async def slowly(_engine: Engine, _explain: Explain) -> tuple[int, int]:
        seen.begun += 1
        seen.active += 1
        try:
            await seen.may_end.wait()
        finally:
            seen.active -= 1
        return 0, 0

    monkeypatch.setattr(Engine, "explain", slowly)
    return seen


def on_another_branch(log: MemberKey, request: int) -> Fetch:
    """A fetch from the end of a log with one event, on another batch than ours."""
    return Fetch(request, log, 1, None, b"?" * 32, 1 << 20)


async def test_one_branch_at_a_time_is_explained_to_a_peer(make_network: NetworkMaker, explaining: Explaining) -> None:
    """However many it asks about at once; in the end it hears about each."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network) as alice, carol_dials(network) as carol:
        log = alice.config.key.member
        await alice.append("here")
        await carol.send(hello(network), Tips(True, ()), *(on_another_branch(log, request) for request in range(20)))
        await until(lambda: explaining.active > 0)
        await carol.send(Ping(1))
        await carol.receive(Pong)
        assert (explaining.begun, explaining.active) == (1, 1)
        explaining.may_end.set()
        ends = [await carol.receive(End) for _ in range(20)]
        assert ends == [End(request, 0, EndReason.DIVERGED) for request in range(20)]


async def test_nothing_is_explained_to_who_does_not_ask_any_more(
    make_network: NetworkMaker, explaining: Explaining
) -> None:
    """A fetch that was cancelled costs nothing more, be its number in use again, nor does a connection that is gone."""
    network = make_network("alice", "bob", "carol")
    async with undisturbed(network) as alice:
        log = alice.config.key.member
        await alice.append("here")
        async with carol_dials(network) as carol:
            await carol.send(hello(network), Tips(True, ()))
            for _ in range(50):
                await carol.send(on_another_branch(log, 7), Cancel(7))
            for _ in range(50):
                await carol.receive(End)
            await until(lambda: explaining.active == 0)
            await carol.send(on_another_branch(log, 7), on_another_branch(log, 8))
            await until(lambda: explaining.active == 1)
        await until(lambda: explaining.active == 0)
        assert explaining.begun <= 51
