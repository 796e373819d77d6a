"""A tool's connection: fetch one range from one node, verified, without being a node. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from hydra_sync.batch import Batch
from hydra_sync.config import Address, Config
from hydra_sync.errors import PeerError, UnavailableError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import FRAME_S, STORE_ID_BYTES
from hydra_sync.node.dialing import dial
from hydra_sync.node.seams import Seams
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.asking import Asked
from hydra_sync.version import AGENT
from hydra_sync.wire import (
    Credit,
    Data,
    End,
    EndReason,
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

__all__ = ["Tool", "open_tool"]

RECEIVE_BYTES = 64 << 10


@asynccontextmanager
async def open_tool(
    config: Config, address: Address, *, expected: MemberKey | None, seams: Seams | None = None
) -> AsyncIterator[Tool]:
    """A tool's connection to the node at ``address``, which has to be ``expected`` unless that is None.

    A running node's own key may be used: a tool's connection replaces no other, and its word about
    logs is never counted. Raises `PeerError` if the node cannot be reached or breaks the protocol.
    """
    seams = seams or Seams()
    stream, _ = await dial(seams.channel(config.key, config.keys), address, expected=expected)
    try:
        tool = Tool(config, stream)
        await tool.greet()
        yield tool
        await tool.send(Goodbye(GoodbyeReason.CLOSING))
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)


class Tool:
    """An open connection to one node."""

    def __init__(self, config: Config, stream: trio.abc.Stream) -> None:
        self.shown: dict[MemberKey, LogTip] = {}
        """What the node holds of each log."""
        self._config = config
        self._stream = stream
        self._frames = FrameReader()
        self._waiting: list[Message] = []

    async def send(self, message: Message) -> None:
        try:
            await self._stream.send_all(encode_frame(message))
        except trio.BrokenResourceError as error:
            raise PeerError("the node closed the connection") from error

    async def receive(self) -> Message:
        while not self._waiting:
            try:
                with trio.fail_after(FRAME_S):
                    data = await self._stream.receive_some(RECEIVE_BYTES)
            except trio.TooSlowError:
                raise PeerError(f"the node was silent for {FRAME_S:g} s") from None
            except trio.BrokenResourceError as error:
                raise PeerError("the node closed the connection: does it know this key?") from error
            if not data:
                raise PeerError("the node closed the connection")
            self._waiting.extend(self._frames.feed(bytes(data)))
        return self._waiting.pop(0)

    async def expect(self) -> Message:
        """The next message that is not about liveness. Raises `PeerError` for a goodbye."""
        while True:
            message = await self.receive()
            match message:
                case Ping(nonce):
                    await self.send(Pong(nonce))
                case Goodbye(reason, words):
                    raise PeerError(f"the node said goodbye: {words or reason.name.lower()}")
                case Pong():
                    pass
                case _:
                    return message

    async def greet(self) -> None:
        """Exchange hellos and tips."""
        await self.send(_hello(self._config))
        hello = await self.expect()
        if not isinstance(hello, Hello):
            raise PeerError("the node did not begin with Hello")
        if hello.network != self._config.network_id:
            raise PeerError(
                f"wrong network: the node is in {hello.network.hex()[:16]}, the configuration says "
                f"{self._config.network_id.hex()[:16]}; a network is its name and its members"
            )
        await self.send(Tips(True, ()))
        tips = await self.expect()
        if not isinstance(tips, Tips):
            raise PeerError("the node did not show its tips")
        self.shown = {tip.log: tip for tip in tips.logs}

    async def fetch(self, log: MemberKey, seqs: SeqRange) -> AsyncIterator[tuple[Batch, ...]]:
        """The batches that hold ``seqs``, each verified as its author's, the two at the ends whole.

        Raises `UnavailableError` if the node cannot supply the events.
        """
        asked = Asked(link=0, request=1, log=log, next_seq=seqs.start, stop=seqs.stop, prev_hash=None)
        await self.send(asked.message())
        while True:
            match await self.expect():
                case Data() as data:
                    yield asked.receive(data, self._config.network_id)
                    if credit := asked.durable(len(data.records)):
                        await self.send(Credit(asked.request, credit))
                case End(_, next_seq, EndReason.DONE) if next_seq >= seqs.stop:
                    return
                case End() as end:
                    raise UnavailableError(self._missing(log, seqs, end))
                case Tips():
                    pass
                case other:
                    raise PeerError(f"the node sent {type(other).__name__} to a tool")

    def _missing(self, log: MemberKey, seqs: SeqRange, end: End) -> str:
        missing = SeqRange(end.next_seq, max(end.next_seq, seqs.stop))
        held = self.shown.get(log)
        first = held.first_seq if held else 0
        reach = held.tip.next_seq if held else 0
        why = end.reason.name.lower()
        return (
            f"the node cannot supply events {missing} of {self._config.alias(log)} ({why}): it has [{first}, {reach})"
        )


def _hello(config: Config) -> Hello:
    return Hello(network=config.network_id, agent=AGENT, role=Role.TOOL, store_id=bytes(STORE_ID_BYTES), founding=False)
