"""One connection through the proxy: two streams, and between them two links that delay, stall and lose.

As in the simulation, so much is under way at most, and the news that something was read rides the
other link: a link that is cut one way soon stops both ways. Does network I/O.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVarTuple

import trio

from hydra_sync.config import Address
from hydra_sync.tasks import Signal
from hydra_sync.testing.world.connections import HEADER_BYTES
from hydra_sync.testing.world.links import Link

__all__ = ["CONNECTIONS_MAX", "Connection", "close"]

Ts = TypeVarTuple("Ts")

CONNECTIONS_MAX: Final = 1000  # at once; each takes two descriptors and up to two windows of memory
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_READ_BYTES_MAX: Final = 16 << 10  # one segment on a link


class _Flow:
    """One direction. What it reads goes onto its link, and is written when it has arrived."""

    def __init__(self, link: Link, window_bytes: int) -> None:
        self.floor_ns = 0  # segments never overtake one another
        self.link = link
        self.window_bytes = window_bytes
        self.passed_bytes = 0
        self._unread = 0  # bytes under way, or written and the news of it not yet here
        self._unannounced = 0
        self._arrived: deque[bytes] = deque()
        self._news = Signal()

    def carry(self, size: int, arrive: Callable[[*Ts], object], *args: *Ts) -> None:
        """Send a packet behind all before it."""
        self.link.carry(self, size + HEADER_BYTES, arrive, *args)

    async def read(self, stream: trio.SocketStream, land: Callable[[_Flow, bytes], object]) -> None:
        """Put all that comes onto the link, down to the empty segment at the end."""
        while True:
            while self._unread >= self.window_bytes:
                await self._news.wait()
            data = await stream.receive_some(min(_READ_BYTES_MAX, self.window_bytes - self._unread))
            self._unread += len(data)
            self.carry(len(data), land, self, bytes(data))
            if not data:
                return

    def land(self, data: bytes) -> None:
        """A segment has arrived."""
        self._arrived.append(data)
        self._news.fire()

    async def write(self, stream: trio.SocketStream, back: _Flow, told: Callable[[_Flow, int], object]) -> None:
        """Write what arrives, and tell the sender, over the other link, when a good part of the window is free."""
        while True:
            while not self._arrived:
                await self._news.wait()
            data = self._arrived.popleft()
            if not data:
                await stream.send_eof()
                return
            await stream.send_all(data)
            self.passed_bytes += len(data)
            self._unannounced += len(data)
            if self._unannounced >= self.window_bytes // 4:
                back.carry(0, told, self, self._unannounced)
                self._unannounced = 0

    def free(self, size: int) -> None:
        """So much was read at the other end."""
        self._unread -= size
        self._news.fire()


class Connection:
    """Relays between who dialed and who was meant, until both have ended, or one end breaks."""

    def __init__(self, number: int, there: Link, back: Link, window_bytes: int, bit: Callable[[str], None]) -> None:
        self.number = number
        self.source, self.target = there.source, there.target
        self.there, self.back = _Flow(there, window_bytes), _Flow(back, window_bytes)
        self.failure: OSError | None = None
        """Why the target could not be reached."""
        self.broken = False
        self._vanished = False
        self._reading = 2  # ends that have not given up
        self._bit = bit
        self._scope = trio.CancelScope()

    async def run(self, client: trio.SocketStream, connect: Address) -> None:
        """Connect to the target, and relay. Ends as the two ends do: politely, or with resets."""
        streams = [client]
        try:
            with self._scope:
                await self._cross(self.there)
            if not self.broken:
                streams.append(await trio.open_tcp_stream(connect.host, connect.port))
                with self._new_scope():
                    if not self.broken:
                        await self._relay(*streams)
        except OSError as error:
            self.failure, self.broken = error, True
            with self._new_scope():
                await self._cross(self.back)
        finally:
            for stream in streams:
                close(stream, with_reset=self.broken)

    def reset(self) -> None:
        """End the connection with a reset at both ends."""
        self.broken = True
        self._scope.cancel()

    def vanish(self) -> None:
        """Let it go dead without a word: nothing arrives any more, and neither end is told."""
        self._vanished = True
        self._bury()

    def _bury(self) -> None:
        """A connection that has vanished and whose ends have both given up need not be kept."""
        if self._vanished and not self._reading:
            self._scope.cancel()

    def _new_scope(self) -> trio.CancelScope:
        # Dialing itself is not cut short by a reset: what it has opened would end politely.
        self._scope = trio.CancelScope()
        return self._scope

    async def _cross(self, flow: _Flow) -> None:
        arrived = trio.Event()
        flow.carry(0, arrived.set)
        await arrived.wait()

    async def _relay(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, self.there, client)
            nursery.start_soon(self._read, self.back, server)
            nursery.start_soon(self._write, self.there, server, self.back)
            nursery.start_soon(self._write, self.back, client, self.there)

    async def _read(self, flow: _Flow, stream: trio.SocketStream) -> None:
        try:
            await flow.read(stream, self._land)
        except trio.BrokenResourceError:
            flow.carry(0, self._broke)
        self._reading -= 1
        self._bury()

    async def _write(self, flow: _Flow, stream: trio.SocketStream, back: _Flow) -> None:
        try:
            await flow.write(stream, back, self._free)
        except trio.BrokenResourceError:
            back.carry(0, self._broke)

    # What arrives at the end of a link

    def _land(self, flow: _Flow, data: bytes) -> None:
        if not self._lost():
            flow.land(data)

    def _free(self, flow: _Flow, size: int) -> None:
        if not self._lost():
            flow.free(size)

    def _broke(self) -> None:
        if not self._lost():
            self.reset()

    def _lost(self) -> bool:
        if self._vanished:
            self._bit("net.vanish")
        return self._vanished


def close(stream: trio.SocketStream, *, with_reset: bool) -> None:
    """Close, politely or not, without waiting: for who is being cancelled as well."""
    if with_reset:
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, _NO_LINGER)
    stream.socket.close()
