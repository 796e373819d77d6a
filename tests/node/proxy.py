"""A TCP proxy that can stall, cut and count: the line between two nodes, in the test's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from hydra_sync import Address


class Proxy:
    """Forwards connections to ``target``."""

    def __init__(self, target: Address, nursery: trio.Nursery) -> None:
        self.target = target
        self.address = target
        self.accepted = 0
        self.to_client_bytes = 0
        self.stall_after_bytes: int | None = None
        """Nothing more is forwarded to the dialing side after so many bytes; the connection stays open."""
        self._nursery = nursery
        self._scopes: list[trio.CancelScope] = []

    async def serve(self) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.address = Address("127.0.0.1", listeners[0].socket.getsockname()[1])
        self._nursery.start_soon(trio.serve_listeners, self._carry, listeners)

    def cut(self) -> None:
        """Close every connection."""
        for scope in self._scopes:
            scope.cancel()

    async def _carry(self, client: trio.SocketStream) -> None:
        self.accepted += 1
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                server = await trio.open_tcp_stream(self.target.host, self.target.port)
                async with client, server, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, client, server, False)
                    await self._pump(server, client, True)
                    nursery.cancel_scope.cancel()
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, to_client: bool) -> None:
        while data := await source.receive_some(16384):
            if to_client:
                if self.stall_after_bytes is not None and self.to_client_bytes >= self.stall_after_bytes:
                    await trio.sleep_forever()
                self.to_client_bytes += len(data)
            await sink.send_all(data)


@asynccontextmanager
async def open_proxy(target: Address) -> AsyncIterator[Proxy]:
    """A proxy to ``target``, as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        proxy = Proxy(target, nursery)
        await proxy.serve()
        yield proxy
        nursery.cancel_scope.cancel()
