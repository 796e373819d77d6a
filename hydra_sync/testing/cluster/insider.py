"""What a hostile program has to work with: a member's keys and address, and the wire protocol. Runs in a world."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final

import trio

from hydra_sync.batch import Batch, seal_batch
from hydra_sync.chain import Tip
from hydra_sync.config import Config
from hydra_sync.encoding import encode_event
from hydra_sync.errors import HydraSyncError
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.node import Node, open_node
from hydra_sync.testing.cluster.channel import PlaintextChannel, simulated_seams
from hydra_sync.testing.cluster.state import ClusterState
from hydra_sync.testing.world.host import Host
from hydra_sync.wire import (
    Data,
    End,
    EndReason,
    Fetch,
    FrameReader,
    Goodbye,
    Hello,
    LogTip,
    Message,
    Ping,
    Pong,
    Role,
    Tips,
    encode_frame,
)

__all__ = ["EXPECTED", "Answer", "HostileProgram", "Insider", "Talk", "Wire", "converse", "serve"]

EXPECTED: Final = (OSError, HydraSyncError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What may end a hostile program without anyone being sorry."""

REDIAL_S: Final = 3.0
RECEIVE_BYTES: Final = 64 << 10


class Wire:
    """A connection with a member that has proven who it is, and whom it believes to be another one."""

    def __init__(self, stream: trio.abc.Stream, peer: str) -> None:
        self.peer = peer
        self.shown: dict[MemberKey, LogTip] = {}
        self._stream = stream
        self._turn = trio.Lock()
        self._frames = FrameReader()
        self._heard: deque[Message] = deque()

    async def say(self, *messages: Message) -> None:
        """Send messages, in one go."""
        await self.say_bytes(b"".join(map(encode_frame, messages)))

    async def say_bytes(self, data: bytes) -> None:
        """Send anything."""
        async with self._turn:
            await self._stream.send_all(data)

    async def hear(self) -> Message | None:
        """The next message; None at the end, or when we are told to go."""
        while not self._heard:
            data = await self._stream.receive_some(RECEIVE_BYTES)
            if not data:
                return None
            self._heard.extend(self._frames.feed(bytes(data)))
        message = self._heard.popleft()
        if isinstance(message, Tips):
            self.shown |= {tip.log: tip for tip in message.logs}
        return None if isinstance(message, Goodbye) else message


Talk = Callable[[Wire], Awaitable[None]]
Answer = Callable[[Wire, Fetch], Iterable[Message]]


class Insider:
    """What a hostile program has to work with: a member's keys, and the others' addresses."""

    def __init__(self, state: ClusterState, config: Config, host: Host) -> None:
        self.alias = config.me.alias
        self.config = config
        self.dice = state.world.random(f"hostile {self.alias}")
        self._state = state
        self._host = host
        self._channel = PlaintextChannel(config.key, config.keys)

    def entropy(self, count: int) -> bytes:
        """Random bytes."""
        return self._host.entropy(count)

    def write(self, event: bytes) -> None:
        """Say that this event, encoded, is ours, whoever delivers it."""
        self._state.ledger.write(self.alias, event)

    @property
    def others(self) -> list[str]:
        """The other members."""
        return [member.alias for member in self.config.members if member.alias != self.alias]

    def hello(self) -> Hello:
        """As a node says it."""
        return Hello(self.config.network_id, "hostile/1", Role.NODE, self._host.entropy(16), founding=True)

    def seal(self, values: Iterable[object], after: Tip, *, epoch: int = 0, log: str | None = None) -> Batch:
        """A batch of our own log or, signed by the wrong key, of somebody else's."""
        events = [encode_event(value) for value in values]
        if log is None or log == self.alias:
            for event in events:
                self.write(event)
        return self.seal_events(events, after, epoch=epoch)

    def seal_events(self, events: Sequence[bytes], after: Tip, *, epoch: int, key: SigningKey | None = None) -> Batch:
        """A batch of encoded events, by default signed with our own key."""
        return seal_batch(
            key or self.config.key,
            self.config.network_id,
            events,
            epoch=epoch,
            first_seq=after.next_seq,
            time_us=self._host.wall_clock(),
            prev_hash=after.hash,
        )

    def alias_of(self, key: MemberKey) -> str:
        """The member with this key."""
        return self._state.alias_of(key)

    def open_node(self) -> AbstractAsyncContextManager[Node]:
        """The member's node as it would be, on its own disk: for who lies only now and then."""
        return open_node(self.config, seams=simulated_seams(self._host))

    async def meet(self, talk: Talk) -> None:
        """Listen, dial everyone again and again, and ``talk`` on every connection. Never returns."""
        address = self.config.me.address
        assert address is not None
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, partial(self._welcome, talk), address.port, host=address.host)
            nursery.start_soon(serve)
            for member in self.config.members:
                if member.alias != self.alias and member.address is not None:
                    nursery.start_soon(self._dial, member.alias, talk)

    async def visit(self, alias: str, talk: Talk) -> None:
        """Dial one member, once, and ``talk``."""
        address = next(member.address for member in self.config.members if member.alias == alias)
        assert address is not None
        with suppress(*EXPECTED), trio.move_on_after(60):
            transport = await trio.open_tcp_stream(address.host, address.port)
            async with transport:
                await self._talk(*await self._channel.connect(transport), talk)

    async def _welcome(self, talk: Talk, transport: trio.SocketStream) -> None:
        with suppress(*EXPECTED):
            await self._talk(*await self._channel.accept(transport), talk)
        await trio.aclose_forcefully(transport)

    async def _dial(self, alias: str, talk: Talk) -> None:
        while True:
            await self.visit(alias, talk)
            await trio.sleep(REDIAL_S)

    async def _talk(self, stream: trio.abc.Stream, peer: MemberKey, talk: Talk) -> None:
        await talk(Wire(stream, self.alias_of(peer)))


HostileProgram = Callable[[Insider], Awaitable[None]]


async def converse(insider: Insider, wire: Wire, tips: Callable[[], Iterable[LogTip]], answer: Answer) -> None:
    """Behave as a node would that holds what ``tips`` claims, and answers fetches by ``answer``."""
    await wire.say(insider.hello())
    introduced = False
    while (message := await wire.hear()) is not None:
        match message:
            case Tips():
                shown = tuple(tips())
                await wire.say(Tips(not introduced, shown if introduced or shown else ()))
                introduced = True
            case Ping():
                await wire.say(Pong(message.nonce))
            case Fetch():
                for reply in answer(wire, message):
                    await wire.say(reply)
            case _:
                pass


def serve(batches: Sequence[Batch], fetch: Fetch) -> Iterable[Message]:
    """Everything from a log that was asked for, whatever credit there is."""
    stop = fetch.stop
    wanted = [
        batch
        for batch in batches
        if batch.header.stop > fetch.start and (stop is None or batch.header.first_seq < stop)
    ]
    if wanted:
        yield Data(fetch.request, b"".join(batch.record for batch in wanted))
    if stop is not None:
        yield End(fetch.request, wanted[-1].header.stop if wanted else fetch.start, EndReason.DONE)
