"""A plaintext channel that can be listened in on: which message goes from whom to whom. Does I/O."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Final

import trio

from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.testing.cluster.channel import PlaintextChannel
from hydra_sync.wire import Message
from hydra_sync.wire.messages import MESSAGE_TYPES

__all__ = ["Ear", "WiretapChannel"]

Ear = Callable[[MemberKey, type[Message], bytes], None]
"""Called with the peer, the kind of message and the whole frame that is about to be sent to it."""

_LENGTH_BYTES: Final = 4
_TYPE_AT: Final = 5  # behind the length and the head of the array; a type takes one byte


class WiretapChannel(PlaintextChannel):
    """The plaintext channel of one member; ``ear`` hears every frame that it sends, ``dialed`` whom it reached."""

    def __init__(
        self, key: SigningKey, members: Iterable[MemberKey], ear: Ear, dialed: Callable[[MemberKey], None]
    ) -> None:
        super().__init__(key, members)
        self._ear = ear
        self._dialed = dialed

    async def connect(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        stream, peer = await super().connect(transport)
        self._dialed(peer)
        return _Tapped(stream, peer, self._ear), peer

    async def accept(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        stream, peer = await super().accept(transport)
        return _Tapped(stream, peer, self._ear), peer


class _Tapped(trio.abc.Stream):
    """A stream on which every write is whole frames, as `hydra_sync.node` writes them."""

    def __init__(self, stream: trio.abc.Stream, peer: MemberKey, ear: Ear) -> None:
        self._stream = stream
        self._peer = peer
        self._ear = ear

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        start = 0
        while start < len(data):
            stop = start + _LENGTH_BYTES + int.from_bytes(data[start : start + _LENGTH_BYTES])
            self._ear(self._peer, MESSAGE_TYPES[data[start + _TYPE_AT]], bytes(data[start:stop]))
            start = stop
        if not isinstance(self._stream, trio.SocketStream):
            await self._stream.send_all(data)
            return
        # What `trio.SocketStream` does, without a frame for each of its layers: worlds send little else.
        try:
            sent = await self._stream.socket.send(data)
            while sent < len(data):
                sent += await self._stream.socket.send(data[sent:])
        except OSError as error:
            raise _translated(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not isinstance(self._stream, trio.SocketStream) or not max_bytes:
            return await self._stream.receive_some(max_bytes)
        try:
            return await self._stream.socket.recv(max_bytes)
        except OSError as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def _translated(error: OSError) -> Exception:
    if error.errno == errno.EBADF:
        return trio.ClosedResourceError("this socket was already closed")
    return trio.BrokenResourceError(f"socket connection broken: {error}")
