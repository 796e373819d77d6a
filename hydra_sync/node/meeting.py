"""How members meet: a port to listen at, and others to dial until a connection stands. Does I/O."""

from __future__ import annotations

import errno
import random
from collections import deque
from functools import partial

import trio

from hydra_sync.config import Address, Member
from hydra_sync.errors import PeerError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import HANDSHAKES_MAX
from hydra_sync.node.dialing import Backoff, dial, secured
from hydra_sync.node.engine import Engine
from hydra_sync.node.seams import Seams
from hydra_sync.sync import NoSession

__all__ = ["Meeting"]


class Meeting:
    """Listens and dials; every connection that proves a member is handed to the engine."""

    def __init__(self, engine: Engine, seams: Seams) -> None:
        self.listening: Address | None = None
        self._engine = engine
        self._config = engine.config
        self._channel = seams.channel(engine.config.key, engine.config.keys)
        self._draw = random.Random(seams.entropy(16))  # noqa: S311  jitter, no secret
        self._strangers: deque[trio.CancelScope] = deque()
        """Handshakes under way, the oldest first."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and dial until cancelled. Raises `UsageError` if the port cannot be had."""
        async with trio.open_nursery() as nursery:
            if self._config.listen is not None:
                listeners = await _open_listeners(self._config.listen)
                self.listening = _bound(self._config.listen, listeners)
                nursery.start_soon(partial(trio.serve_listeners, self._welcome, listeners, handler_nursery=nursery))
            for member in self._config.members:
                if member.key != self._config.key.member:
                    nursery.start_soon(self._reach, member)
            for address in self._config.peers:
                nursery.start_soon(self._reach_address, address)
            task_status.started()

    async def _welcome(self, transport: trio.SocketStream) -> None:
        host = _host(transport)  # asked now: nobody knows once the other side has closed
        try:
            secure = await self._prove(transport)
        except PeerError as error:
            self._engine.tell_once(NoSession(None, host, dialed=False, why=str(error)))
            return
        if secure is not None:
            await self._engine.carry(*secure, dialed=False)

    async def _prove(self, transport: trio.SocketStream) -> tuple[trio.abc.Stream, MemberKey] | None:
        """The handshake of one who came; None if it had to make room.

        A member takes milliseconds, who only holds the door takes as long as it is let: the oldest goes.
        """
        if len(self._strangers) >= HANDSHAKES_MAX:
            self._strangers.popleft().cancel()
        with trio.CancelScope() as scope:
            self._strangers.append(scope)
            try:
                return await secured(self._channel.accept, transport)
            finally:
                if scope in self._strangers:  # else it was the oldest, and made room
                    self._strangers.remove(scope)
        return None

    async def _reach(self, member: Member) -> None:
        """Keep a connection to a member whose address we know, or learn."""
        backoff = Backoff(self._draw)
        attempt = 0
        while True:
            await self._until_gone(member.key)
            known = [address for address in (member.address, self._engine.advertised(member.key)) if address]
            await trio.sleep(backoff.next())
            if not known or member.key in self._engine.replicator.nodes:
                continue
            attempt += 1
            if await self._try(known[attempt % len(known)], member.key) is not None:
                backoff.reset()

    async def _reach_address(self, address: Address) -> None:
        """Keep a connection to whichever member answers at an address."""
        backoff = Backoff(self._draw)
        peer: MemberKey | None = None
        while True:
            if peer is not None:
                await self._until_gone(peer)
            await trio.sleep(backoff.next())
            peer = await self._try(address, None)
            if peer == self._config.key.member:
                return  # our own address is on the list, as it may be when all members share one
            if peer is not None:
                backoff.reset()

    async def _try(self, address: Address, expected: MemberKey | None) -> MemberKey | None:
        """One connection, for as long as it lasts. Returns whom it reached, None if nobody."""
        try:
            stream, peer = await dial(self._channel, address, expected=expected)
        except PeerError as error:
            if expected is not None:
                self._engine.last_error[expected] = str(error)
            self._engine.tell_once(NoSession(expected, str(address), dialed=True, why=str(error)))
            return None
        if peer == self._config.key.member:
            await trio.aclose_forcefully(stream)
            return peer
        return peer if await self._engine.carry(stream, peer, dialed=True) else None

    async def _until_gone(self, peer: MemberKey) -> None:
        while peer in self._engine.replicator.nodes:
            await self._engine.links_changed.wait()


async def _open_listeners(address: Address) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {address.port} on {address.host} is in use: stop what listens there, or set another port "
                "with --listen"
            ) from error
        raise UsageError(f"cannot listen at {address}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise UsageError(f"cannot listen at {address}: that is no host name") from error


def _host(transport: trio.SocketStream) -> str | None:
    try:
        return str(transport.socket.getpeername()[0])
    except OSError:  # it is gone already
        return None


def _bound(wanted: Address, listeners: list[trio.SocketListener]) -> Address:
    return Address(wanted.host, listeners[0].socket.getsockname()[1])
