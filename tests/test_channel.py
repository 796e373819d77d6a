"""The channel proves who is there: members to each other, and nobody else."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from hydra_sync.channel import Channel, TlsChannel
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.testing.cluster.channel import PlaintextChannel

ALICE, BOB, MALLORY = (SigningKey(bytes([seed]) * 32) for seed in (1, 2, 3))
MEMBERS = [ALICE.member, BOB.member]
Result = MemberKey | str


async def meet(dialing: Channel, listening: Channel) -> tuple[Result, Result]:
    """Let two channels shake hands; for each side whom it sees, or why it refused."""
    near, far = trio.testing.memory_stream_pair()
    results: dict[str, Result] = {}

    async def side(name: str, channel: Channel, transport: trio.abc.Stream) -> None:
        shake = channel.connect if name == "dialing" else channel.accept
        try:
            stream, peer = await shake(transport)
            await stream.send_all(b"hello from " + name.encode())
            results[name] = peer
            assert (await stream.receive_some()).startswith(b"hello from ")
        except (PeerError, trio.BrokenResourceError, AssertionError) as error:
            results[name] = str(error)
        await trio.aclose_forcefully(transport)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(side, "dialing", dialing, near)
        nursery.start_soon(side, "listening", listening, far)
    return results["dialing"], results["listening"]


@pytest.mark.parametrize("channel", [TlsChannel, PlaintextChannel])
async def test_members_see_each_other(channel: type[TlsChannel]) -> None:
    """Both ends learn the other's key, whichever channel carries them."""
    assert await meet(channel(ALICE, MEMBERS), channel(BOB, MEMBERS)) == (BOB.member, ALICE.member)


async def test_a_tool_may_meet_its_own_node() -> None:
    """A member's key may speak to itself: tools use the key of a node that runs."""
    assert await meet(TlsChannel(ALICE, MEMBERS), TlsChannel(ALICE, MEMBERS)) == (ALICE.member, ALICE.member)


async def test_a_stranger_is_refused_by_the_listener() -> None:
    """Who dials with a key of no member is refused, though it knows the members."""
    _, seen = await meet(TlsChannel(MALLORY, MEMBERS), TlsChannel(BOB, MEMBERS))
    assert seen == "the other side's key belongs to no member of this network"


async def test_a_stranger_is_refused_by_the_dialer() -> None:
    """Who listens with a key of no member is refused, before anything is sent to it."""
    seen, _ = await meet(TlsChannel(ALICE, MEMBERS), TlsChannel(MALLORY, MEMBERS))
    assert seen == "the other side's key belongs to no member of this network"


@pytest.mark.parametrize("channel", [TlsChannel, PlaintextChannel])
@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\x00\x00"])
async def test_noise_is_a_peer_error(channel: type[TlsChannel], noise: bytes) -> None:
    """Whatever is no handshake ends in `PeerError`, which says what a person can do with it."""
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def talk() -> None:
            if noise:
                await near.send_all(noise)
            await near.send_eof()

        with pytest.raises(PeerError, match="other side"):
            await channel(BOB, MEMBERS).accept(far)
    await trio.aclose_forcefully(near)
    await trio.aclose_forcefully(far)


async def test_a_handshake_with_one_flipped_byte_never_succeeds(autojump_clock: trio.testing.MockClock) -> None:
    """A byte changed anywhere in what the dialer sends first is noticed by one side or the other."""
    for position in range(0, 200, 20):
        near, far = trio.testing.memory_stream_pair()
        inner_near, inner_far = trio.testing.memory_stream_pair()
        outcomes: list[str] = []

        async def pump(
            source: trio.abc.Stream, sink: trio.abc.Stream, flip: int | None, position: int = position
        ) -> None:
            data = await source.receive_some()
            while data:
                changed = bytearray(data)
                if flip is not None and flip < len(changed):
                    changed[flip] ^= 1
                flip = None
                await sink.send_all(bytes(changed))
                data = await source.receive_some()

        async def side(channel: Channel, transport: trio.abc.Stream, dials: bool, outcomes: list[str]) -> None:
            shake = channel.connect if dials else channel.accept
            try:
                stream, _ = await shake(transport)
                await stream.send_all(b"x")
                outcomes.append("open" if await stream.receive_some() else "closed")
            except (PeerError, trio.BrokenResourceError):
                outcomes.append("refused")

        with trio.move_on_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, inner_near, far, position)
                nursery.start_soon(pump, far, inner_near, None)
                nursery.start_soon(side, TlsChannel(ALICE, MEMBERS), inner_far, True, outcomes)
                await side(TlsChannel(BOB, MEMBERS), near, False, outcomes)
                nursery.cancel_scope.cancel()
        assert outcomes.count("open") < 2, f"a flip at byte {position} went unnoticed"
        for stream in (near, far, inner_near, inner_far):
            await trio.aclose_forcefully(stream)
