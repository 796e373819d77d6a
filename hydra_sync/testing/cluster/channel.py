"""A node's seams on a simulated host, with the plaintext twin of the channel. Does I/O.

On that each side states its key, and nothing is proven or hidden. It takes the place of TLS where randomness
must come from a seed, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import trio

from hydra_sync.channel import Channel
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.limits import KEY_BYTES
from hydra_sync.node import Seams
from hydra_sync.testing.world.host import Host

__all__ = ["PlaintextChannel", "simulated_seams"]

GREETING: Final = b"hydra-sync plaintext/1\n"


class PlaintextChannel:
    """States this member's key and believes what the other side states, if that is a member."""

    def __init__(self, key: SigningKey, members: Iterable[MemberKey]) -> None:
        self._me = key.member
        self._members = frozenset(members)

    async def connect(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        return await self._exchange(transport)

    async def accept(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        return await self._exchange(transport)

    async def _exchange(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        try:
            await transport.send_all(GREETING + self._me)
            greeting = await _receive_exactly(transport, len(GREETING))
            peer = MemberKey(await _receive_exactly(transport, KEY_BYTES))
        except trio.BrokenResourceError as error:
            raise PeerError("the other side closed the connection during the handshake") from error
        if greeting != GREETING:
            raise PeerError("the other side does not speak the plaintext channel")
        if peer not in self._members:
            raise PeerError("the other side's key belongs to no member of this network")
        return transport, peer


def simulated_seams(
    host: Host, channel: Callable[[SigningKey, Iterable[MemberKey]], Channel] = PlaintextChannel
) -> Seams:
    """The disk, wall clock and entropy of a host, for a node that runs there."""
    return Seams(disk=host.disk, channel=channel, wall_clock=host.wall_clock, entropy=host.entropy)


async def _receive_exactly(transport: trio.abc.Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await transport.receive_some(size - len(data))
        if not part:
            raise PeerError("the other side closed the connection during the handshake")
        data += part
    return data
