"""The simulated twins of trio's sockets and name resolver; does I/O only in the simulated network.

They are what `trio.open_tcp_stream`, `trio.serve_tcp` and `trio.SocketStream` use inside a world.
IPv4 and TCP only.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib
import struct
from typing import Final, Self

import trio
import trio.socket

from hydra_sync.errors import UsageError
from hydra_sync.testing.world.connections import Address, Dial, Endpoint, Listener, Machine
from hydra_sync.testing.world.engine import Engine
from hydra_sync.testing.world.incarnation import Incarnation, current_incarnation
from hydra_sync.testing.world.network import Network
from hydra_sync.testing.world.operations import Operation, Strike, run_phase

__all__ = ["SimResolver", "SimSocket", "SimSocketFactory"]

_ANY: Final = "0.0.0.0"  # noqa: S104 (nothing real is bound)
_NO_LINGER: Final = struct.pack("ii", 1, 0)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class SimSocket(trio.socket.SocketType):
    """A TCP socket of a process on a simulated machine."""

    # These shadow read-only properties of trio's.
    family = stdlib.AF_INET
    type = stdlib.SOCK_STREAM
    proto = stdlib.IPPROTO_TCP
    did_shutdown_SHUT_WR = False  # noqa: N815

    def __init__(self, engine: Engine, network: Network, machine: Machine, owner: Incarnation) -> None:
        self._engine = engine
        self._network = network
        self._machine = machine
        self._owner = owner
        self._serial = network.new_socket()
        self._closed = False
        self._resets = False
        self._local: Address = (_ANY, 0)
        self._listener: Listener | None = None
        self._endpoint: Endpoint | None = None
        self._dial: Dial | None = None

    def __hash__(self) -> int:
        return self._serial  # trio keeps sockets in sets, and addresses are not replayed

    def __eq__(self, other: object) -> bool:
        return self is other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<simulated socket {self._serial} of {self._machine.name}>"

    def fileno(self) -> int:
        return -1 if self._closed else 1_000_000 + self._serial

    def getsockname(self) -> Address:
        return self._local

    def getpeername(self) -> Address:
        return self._connected().remote

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int:  # type: ignore[override]
        return int((level, optname) == (stdlib.SOL_SOCKET, stdlib.SO_ACCEPTCONN) and self._listener is not None)

    def setsockopt(self, level: int, optname: int, value: object, optlen: int | None = None) -> None:
        """Accepts everything. Only not to linger (`SO_LINGER` of zero) has an effect: closing then resets."""
        if (level, optname) == (stdlib.SOL_SOCKET, stdlib.SO_LINGER):
            self._resets = value == _NO_LINGER

    def is_readable(self) -> bool:
        end = self._endpoint
        return end is not None and bool(end.received or end.eof or end.error)

    async def bind(self, address: object) -> None:
        await trio.lowlevel.checkpoint()
        self._open()
        ip, port = _address(address)
        if ip not in {_ANY, self._machine.ip} and not ip.startswith("127."):
            raise _error(errno.EADDRNOTAVAIL)
        if port in self._machine.listeners:
            raise _error(errno.EADDRINUSE)
        self._local = ip, port or self._machine.new_port()

    def listen(self, backlog: int = 128) -> None:
        self._open()
        if self._local[1] in self._machine.listeners:
            raise _error(errno.EADDRINUSE)
        self._listener = Listener(self._machine, self._local[1], max(1, backlog))
        self._machine.listeners[self._local[1]] = self._listener
        self._engine.row("listen", self._machine.name, self._local)

    async def accept(self) -> tuple[SimSocket, Address]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._open()
        listener = self._listener
        if listener is None:
            raise _error(errno.EINVAL)
        if listener.queue:
            await trio.lowlevel.cancel_shielded_checkpoint()
        while not listener.queue:
            await listener.acceptable.wait()
            self._open()
        due = await self._begin("accept", listener.queue[0].remote[0])
        if not listener.queue:
            raise _error(errno.ECONNABORTED)
        end = listener.queue.popleft()
        accepted = SimSocket(self._engine, self._network, self._machine, self._owner)
        accepted.adopt(end)
        await self._end(due)
        return accepted, end.remote

    async def connect(self, address: object) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._open()
        if self._endpoint is not None:
            raise _error(errno.EISCONN)
        ip, port = _address(address)
        due = await self._begin("connect", ip)
        local_ip = ip if ip.startswith("127.") else self._machine.ip
        self._local = local_ip, self._local[1] or self._machine.new_port()
        dial = self._dial = self._network.dial(self._machine, self._local, (ip, port))
        try:
            while dial.answer is None:
                await dial.answered.wait()
        finally:
            dial.abandon()
        self._open()
        if dial.answer:
            raise _error(dial.answer)
        self.adopt(dial.ours)
        await self._end(due)

    def adopt(self, end: Endpoint) -> None:
        """Be the socket of this connection."""
        self._endpoint = end
        self._local = end.local

    async def send(self, data: object, flags: int = 0) -> int:
        await trio.lowlevel.checkpoint_if_cancelled()
        end = self._connected()
        if self.did_shutdown_SHUT_WR:
            raise _error(errno.EPIPE)
        due = self._engine.operations.begin(self._machine.name, "send", end.remote[0])
        if due:
            run_phase(due, "before")
            await self._owner.halt_if_dead()
        while not (room := end.room) and not end.error:
            await end.writable.wait()
            self._open()
        if end.error:
            raise _error(end.error)
        # The parameter is as wide as trio's; what is no buffer is refused by `memoryview`.
        part = data if type(data) is bytes and len(data) <= room else bytes(memoryview(data)[:room])  # type: ignore[arg-type]
        end.send(part)
        await self._engine.perhaps_yield()
        if due:
            await self._end(due)
        return len(part)

    async def recv(self, size: int, flags: int = 0) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        end = self._connected()
        if end.received or end.eof or end.error:
            await self._engine.perhaps_yield()
        while not (end.received or end.eof or end.error):
            await end.readable.wait()
            self._open()
        if end.error:
            raise _error(end.error)
        return end.take(size)

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()
        end = self._connected()
        while not end.room and not end.error:
            await end.writable.wait()
            self._open()

    def shutdown(self, flag: int) -> None:
        end = self._connected()
        if flag in {stdlib.SHUT_WR, stdlib.SHUT_RDWR}:
            self.did_shutdown_SHUT_WR = True
            end.finish()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._owner.dead:
            return  # its kernel has seen to it
        if self._listener is not None:
            self._listener.close()
            self._listener.acceptable.wake()
        if self._dial is not None:
            self._dial.abandon()
            self._dial.answered.wake()
        if self._endpoint is not None:
            if self._resets and self._endpoint.alive:
                self._endpoint.abort()
            self._endpoint.close()
            self._endpoint.readable.wake()
            self._endpoint.writable.wake()

    def _open(self) -> None:
        if self._owner.dead:
            raise OSError(errno.ENETDOWN, f"host {self._machine.name} is dead")
        if self._closed:
            raise _error(errno.EBADF)

    def _connected(self) -> Endpoint:
        self._open()
        if self._endpoint is None:
            raise _error(errno.ENOTCONN)
        return self._endpoint

    async def _begin(self, operation: Operation, subject: str) -> tuple[Strike, ...]:
        due = self._engine.operations.begin(self._machine.name, operation, subject)
        if due:
            run_phase(due, "before")
            await self._owner.halt_if_dead()
        return due

    async def _end(self, due: tuple[Strike, ...]) -> None:
        if due:
            run_phase(due, "after")
            await self._owner.halt_if_dead()


class SimSocketFactory(trio.abc.SocketFactory):
    """Makes the sockets of one world."""

    def __init__(self, engine: Engine, network: Network) -> None:
        self._engine = engine
        self._network = network

    def socket(self, family: int = stdlib.AF_INET, type: int = stdlib.SOCK_STREAM, proto: int = 0) -> SimSocket:  # noqa: A002
        """A new socket of the host whose code asks."""
        if family != stdlib.AF_INET or type != stdlib.SOCK_STREAM:
            raise OSError(errno.EAFNOSUPPORT, "the simulated network has TCP over IPv4 only")
        owner = current_incarnation()
        if owner is None:
            raise UsageError("sockets belong to hosts: open this one in a host's main, or by Host.call")
        return SimSocket(self._engine, self._network, self._network.machine(owner.host), owner)


class SimResolver(trio.abc.HostnameResolver):
    """Knows the names of hosts. trio asks it for names only, never for numeric addresses."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def getaddrinfo(  # type: ignore[override]
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[stdlib.AddressFamily, stdlib.SocketKind, int, str, Address]]:
        await trio.lowlevel.checkpoint()
        name = host.decode() if isinstance(host, bytes) else host or "localhost"
        ip = "127.0.0.1" if name == "localhost" else self._network.resolve(name)
        if ip is None:
            raise stdlib.gaierror(stdlib.EAI_NONAME, f"no host {name!r} in this world")
        return [(stdlib.AF_INET, stdlib.SOCK_STREAM, stdlib.IPPROTO_TCP, "", (ip, int(port or 0)))]

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        await trio.lowlevel.checkpoint()
        return str(sockaddr[0]), str(sockaddr[1])


def _address(address: object) -> Address:
    if isinstance(address, tuple) and len(address) == 2:
        ip, port = address
        if isinstance(ip, str) and isinstance(port, int):
            return ip, port
    raise OSError(errno.EAFNOSUPPORT, f"not an IPv4 address and port: {address!r}")
