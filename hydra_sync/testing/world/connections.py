"""TCP as two kernels see it: both ends of a connection, listening queues, dialing. No real I/O.

Segments arrive in order, a window bounds what is under way, and whoever writes to an end that is
gone learns so by a reset, or never, if the machine is off.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import Final, Literal

import trio
from trio.lowlevel import Abort, Task

from hydra_sync.testing.world.clock import SECOND
from hydra_sync.testing.world.engine import Engine
from hydra_sync.testing.world.links import Link, next_retry_ns
from hydra_sync.testing.world.trace import content_hash

__all__ = ["Address", "Dial", "Endpoint", "Farewell", "Listener", "Machine", "WINDOW_BYTES", "Waiter"]

Address = tuple[str, int]

Farewell = Literal["close", "reset", "silent"]
"""What the peers of a dead process hear: its kernel closes its connections, or resets them, or is
off itself, and says nothing (until it is up again, and asked)."""

WINDOW_BYTES: Final = 64 << 10  # sent and not yet read by the other side's program
HEADER_BYTES: Final = 40  # of IP and TCP, without options
SYN_RETRY_NS: Final = SECOND  # doubling, as in Linux (tcp_syn_retries = 6), so that a dial
SYN_TRIES: Final = 7  # fails after 127 s


class Waiter:
    """A place for one task to wait. Being cancelled there has no effect that anyone can see."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: Task | None = None

    async def wait(self) -> None:
        """Until `wake`."""
        if self._task is not None:
            raise trio.BusyResourceError("another task is already doing this with the socket")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> Abort:
        self._task = None
        return Abort.SUCCEEDED

    def wake(self) -> None:
        """Let go whoever waits, if anyone."""
        task = self._task
        if task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)


class Machine:
    """The kernel's view of a host: it outlives processes, and may be off."""

    def __init__(self, engine: Engine, name: str, ip: str) -> None:
        self.engine = engine
        self.name = name
        self.ip = ip
        self.powered = True
        self.refusing = False  # a firewall that answers every dial with a reset
        self.endpoints: dict[int, Endpoint] = {}
        self.listeners: dict[int, Listener] = {}
        self.dials: dict[int, Dial] = {}
        self._port = 32_767
        self._unanswered: list[tuple[int, Endpoint]] = []

    def new_port(self) -> int:
        """An ephemeral port; each is used once."""
        self._port += 1
        return self._port

    def stop(self, farewell: Farewell) -> None:
        """The process is gone; its connections end in the given way."""
        endpoints, self.endpoints = list(self.endpoints.values()), {}
        for endpoint in endpoints:
            endpoint.forget(farewell)
        for dial in list(self.dials.values()):
            dial.abandon()
        self.listeners.clear()
        self.powered = farewell != "silent"

    def boot(self) -> None:
        """Be on again, and answer whoever still writes to connections of before with a reset."""
        self.powered = True
        unanswered, self._unanswered = self._unanswered, []
        now_ns = self.engine.clock.now_ns
        for since_ns, endpoint in unanswered:
            self.engine.clock.at(next_retry_ns(since_ns, now_ns), endpoint.answer_with_reset)

    def swallow(self, endpoint: Endpoint) -> None:
        """Take a segment that arrives while the machine is off; its sender will try again."""
        self.engine.bit("net.silence")
        if all(other is not endpoint for _, other in self._unanswered):
            self._unanswered.append((self.engine.clock.now_ns, endpoint))


class Endpoint:
    """One end of a TCP connection, in the kernel of its machine."""

    __slots__ = (
        *("alive", "eof", "error", "finished", "floor_ns", "link", "local", "machine", "number", "peer"),
        *("readable", "received", "remote", "unacknowledged", "unannounced", "vanished", "writable"),
    )

    peer: Endpoint

    def __init__(self, number: int, machine: Machine, local: Address, remote: Address, link: Link) -> None:
        self.number = number
        self.machine = machine
        self.local = local
        self.remote = remote
        self.link = link
        self.floor_ns = 0
        self.alive = True  # else whoever writes to it gets a reset
        self.vanished = False  # a box between the ends has forgotten the connection
        self.finished = False  # we said that no more will come
        self.eof = False  # the peer did
        self.error = 0
        self.received = bytearray()
        self.unacknowledged = 0  # bytes sent that the peer's program has not read
        self.unannounced = 0  # bytes read that the peer does not know of
        self.readable = Waiter()
        self.writable = Waiter()

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        room = WINDOW_BYTES - self.unacknowledged
        return max(0, room)

    def send(self, data: bytes) -> None:
        """Put a segment on its way."""
        self.unacknowledged += len(data)
        cause = self._row("send", (len(data), content_hash(data)))
        self.link.carry(self, len(data) + HEADER_BYTES, self.peer.arrive, data, cause)

    def finish(self) -> None:
        """Say that no more will come, behind all that was sent."""
        if not self.finished:
            self.finished = True
            self.link.carry(self, HEADER_BYTES, self.peer.arrive_end, self._row("fin"))

    def take(self, size: int) -> bytes:
        """Give received bytes to the program; tell the peer when a good part of the window is free."""
        data = bytes(self.received) if len(self.received) <= size else bytes(self.received[:size])
        del self.received[:size]
        self.unannounced += len(data)
        if self.unannounced >= WINDOW_BYTES // 4:
            # The news rides the other link, so a one-way cut stops the sender as well.
            self.link.carry(self, HEADER_BYTES, self.peer.acknowledge, self.unannounced)
            self.unannounced = 0
        return data

    def close(self) -> None:
        """As the kernel does when the program closes: a reset if it left anything unread, else a polite end."""
        if self.alive:
            self.alive = False
            self.machine.endpoints.pop(self.number, None)
            if self.received:
                self.abort()
            elif not self.error:
                self.finish()

    def abort(self) -> None:
        """End the connection with one reset, which may get lost."""
        self.alive = False
        self.machine.endpoints.pop(self.number, None)
        if not self.vanished:
            self.link.datagram(HEADER_BYTES, self.peer.reset, self._row("rst"))

    def forget(self, farewell: Farewell) -> None:
        """The process is gone."""
        if farewell == "close":
            self.close()
        elif farewell == "reset":
            self.abort()
        self.alive = False

    def arrive(self, data: bytes, cause: int) -> None:
        """A segment is here."""
        if self._reachable(cause) and not self.error:
            self._row("receive", (len(data),), cause)
            self.received += data
            self.readable.wake()

    def arrive_end(self, cause: int) -> None:
        """The peer says that no more will come."""
        if self.alive and self.machine.powered and not self.vanished and not self.error:
            self._row("end", (), cause)
            self.eof = True
            self.readable.wake()

    def acknowledge(self, size: int) -> None:
        """The peer's program has read so much."""
        if not self.vanished:
            self.unacknowledged -= size
            self.writable.wake()

    def reset(self, cause: int = -1) -> None:
        """A reset is here."""
        if self.alive and self.machine.powered and not self.error:
            self._row("reset", (), cause)
            self.error = errno.ECONNRESET
            self.received.clear()
            self.readable.wake()
            self.writable.wake()

    def answer_with_reset(self, cause: int = -1) -> None:
        """There is no such connection here. The sender would ask again, so this comes through."""
        self.link.carry(self, HEADER_BYTES, self.peer.reset, cause)

    def _reachable(self, cause: int) -> bool:
        if self.vanished:
            self.machine.engine.bit("net.vanish")
            return False
        if not self.machine.powered:
            self.machine.swallow(self)
            return False
        if not self.alive:
            self.answer_with_reset(cause)
        return self.alive

    def _row(self, kind: str, data: tuple[int | str, ...] = (), cause: int = -1) -> int:
        return self.machine.engine.row(kind, self.machine.name, (self.number, *data), cause)


class Listener:
    """A listening port, and the connections that wait to be accepted."""

    def __init__(self, machine: Machine, port: int, backlog: int) -> None:
        self.machine = machine
        self.port = port
        self.backlog = backlog
        self.queue: deque[Endpoint] = deque()
        self.acceptable = Waiter()

    def close(self) -> None:
        """Listen no more; who was not accepted is reset."""
        self.machine.listeners.pop(self.port, None)
        for endpoint in self.queue:
            endpoint.abort()
        self.queue.clear()


class Dial:
    """One attempt to connect: asks again and again, until there is an answer or it gives up.

    ``ends`` are the ends of the connection to be, made now, joined when the other side agrees.
    """

    def __init__(self, number: int, machine: Machine, target: Machine | None, ends: tuple[Endpoint, Endpoint]) -> None:
        self.number = number
        self.answer: int | None = None  # 0, or an error number
        self.answered = Waiter()
        self.ours, self.theirs = ends
        self._machine = machine
        self._target = target
        self._tries = 0
        self._queued = False
        machine.dials[number] = self
        self._ask()

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self._machine.dials.pop(self.number, None)
        if self.answer is None:
            self.answer = errno.ECONNABORTED
            self.ours.alive = False

    def _ask(self) -> None:
        if self.answer is not None:
            return
        if self._tries == SYN_TRIES:
            self._machine.engine.bit("net.dial_timeout")
            self._settle(errno.ETIMEDOUT)
            return
        wait_ns = SYN_RETRY_NS << self._tries
        self._tries += 1
        if self._target is not None:
            self.ours.link.datagram(HEADER_BYTES, self._asked)
        clock = self._machine.engine.clock
        clock.at(clock.now_ns + wait_ns, self._ask)

    def _asked(self) -> None:
        """At the target: let in, refuse, or keep silent."""
        target = self.theirs.machine
        listener = target.listeners.get(self.theirs.local[1])
        if not target.powered:
            target.engine.bit("net.silence")
        elif not self._queued and (listener is None or target.refusing):
            target.engine.bit("net.refuse")
            self.theirs.link.datagram(HEADER_BYTES, self._refused)
        elif self._queued:
            self.theirs.link.datagram(HEADER_BYTES, self._accepted)
        elif listener is not None and len(listener.queue) < listener.backlog:
            self._queued = True
            target.endpoints[self.theirs.number] = self.theirs
            listener.queue.append(self.theirs)
            listener.acceptable.wake()
            self.theirs.link.datagram(HEADER_BYTES, self._accepted)

    def _refused(self) -> None:
        if self.answer is None:
            self.ours.alive = False
            self._settle(errno.ECONNREFUSED)

    def _accepted(self) -> None:
        if self.answer is None:
            self._machine.endpoints[self.ours.number] = self.ours
            self._settle(0)
        elif not self.ours.alive and self._machine.powered:
            self.ours.answer_with_reset()

    def _settle(self, answer: int) -> None:
        self.answer = answer
        self._machine.dials.pop(self.number, None)
        self._machine.engine.row("dialed", self._machine.name, (self.number, self.theirs.machine.name, answer))
        self.answered.wake()
