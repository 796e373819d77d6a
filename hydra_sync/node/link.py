"""One open connection: tasks that read, write, fetch records to serve, and look up where branches part. Does I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import trio

from hydra_sync.batch import Batch
from hydra_sync.channel import explain
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import OUTBOX_BYTES_LOW, OUTBOX_BYTES_MAX
from hydra_sync.sync import Effect, Explain, Read, Replicator
from hydra_sync.tasks import Flag
from hydra_sync.wire import End, FrameReader, Goodbye, GoodbyeReason, Message, encode_frame

__all__ = ["Host", "Link"]

RECEIVE_BYTES: Final = 64 << 10
GOODBYE_S: Final = 1.0  # a peer that does not read does not hear it


class Host(Protocol):
    """What a link needs of its node."""

    @property
    def replicator(self) -> Replicator:
        """The protocol core."""

    def perform(self, effects: Sequence[Effect]) -> None:
        """Carry out effects, in order, without waiting."""

    async def read(self, read: Read) -> Sequence[Batch]:
        """The batches asked for, none where they are damaged here."""

    async def explain(self, explain: Explain) -> tuple[int, int]:
        """The epoch that was asked for, and where it began."""


class Link:
    """Carries frames between the protocol core and one peer."""

    def __init__(self, host: Host, number: int, stream: trio.abc.Stream, peer: MemberKey) -> None:
        self.number = number
        self.peer = peer
        self.faulty = False
        """Whether the peer broke the protocol."""
        self.goodbye: GoodbyeReason | None = None
        """What the last goodbye gave as its reason, ours or the peer's."""
        self._host = host
        self._stream = stream
        self._frames: deque[bytes] = deque()
        self._frame_bytes = 0
        self._reads: deque[Read] = deque()
        self._explains: dict[int, Explain] = {}
        """By request, what a peer on another branch waits for: one after the other, as each costs many reads."""
        self._explaining: tuple[int, trio.CancelScope] | None = None
        self._writable = Flag()
        self._readable = Flag()
        self._explainable = Flag()
        self._drained = Flag()
        self._scope = trio.CancelScope()
        self._serving = False
        self._tips_due = False
        self._closing = False
        self._introduced = False
        self._why = "the connection was closed"

    async def run(self, *, dialed: bool) -> str:
        """Carry the session until it ends, and close the stream. Returns why, for people."""
        replicator = self._host.replicator
        self._host.perform(replicator.connect(self.number, self.peer, dialed=dialed, now=trio.current_time()))
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._serve)
                    nursery.start_soon(self._explain)
                    await self._until_broken(self._read)
                    if not self._closing:  # else the writer ends all, once it has said goodbye
                        nursery.cancel_scope.cancel()
        finally:
            self._host.perform(replicator.disconnect(self.number, self._why, trio.current_time()))
            with trio.move_on_after(GOODBYE_S, shield=True):
                await trio.aclose_forcefully(self._stream)
        return self._why

    @property
    def introduced(self) -> bool:
        """Whether the session has come as far as tips from the peer."""
        return self._introduced

    def send(self, message: Message) -> None:
        """Queue ``message``. A peer that leaves too much unread is dropped."""
        if isinstance(message, End):
            self._leave_unexplained(message.request)
        if self._closing:
            return
        if isinstance(message, Goodbye):
            self._why = message.text or message.reason.name.lower()
        frame = encode_frame(message)
        self._frames.append(frame)
        self._frame_bytes += len(frame)
        self._writable.set()
        if self._frame_bytes > OUTBOX_BYTES_MAX:
            self._why = "the peer does not read what we send"
            self._scope.cancel()

    def tips_due(self) -> None:
        """The writer takes the latest tips once everything before is written."""
        self._tips_due = True
        self._writable.set()

    @property
    def may_read(self) -> bool:
        """Whether records may be read for this peer now, with none before them and no more waiting than should."""
        return not self._reads and not self._serving and self._frame_bytes <= OUTBOX_BYTES_LOW

    def read_soon(self, read: Read) -> None:
        """Queue a read whose records will be served."""
        self._reads.append(read)
        self._readable.set()

    def explain_soon(self, explain: Explain) -> None:
        """Queue what a peer is to be told about its branch."""
        self._explains[explain.request] = explain
        self._explainable.set()

    def drop(self, goodbye: Goodbye, fault: str | None) -> None:
        """Say goodbye, then close."""
        self.send(goodbye)
        self.goodbye = goodbye.reason
        self._why = fault or self._why
        self.faulty = self.faulty or fault is not None
        self._closing = True
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + GOODBYE_S)

    def close(self, why: str) -> None:
        """Close without another word."""
        self._why = why
        self._scope.cancel()

    async def _read(self) -> None:
        frames = FrameReader()
        replicator = self._host.replicator
        while data := await self._stream.receive_some(RECEIVE_BYTES):
            now = trio.current_time()
            try:
                for message in frames.feed(bytes(data)):
                    self._host.perform(replicator.receive(self.number, message, now))
                    if type(message) is Goodbye and not self._closing:
                        self.goodbye = message.reason
                        self.close(f"it said goodbye: {message.text or message.reason.name.lower()}")
                        return
            except PeerError as error:
                self._host.perform(replicator.blame(self.number, str(error)))
                return
            replicator.heard(self.number, now, partial=frames.partial)
            if session := replicator.sessions.get(self.number):
                self._introduced = session.introduced
        self._lost("the connection was closed")

    async def _write(self) -> None:
        await self._until_broken(self._write_frames)
        self._scope.cancel()

    async def _write_frames(self) -> None:
        while True:
            if self._tips_due and not self._frames and not self._closing:
                tips = self._host.replicator.take_tips(self.number, trio.current_time())
                if tips is None:
                    self._tips_due = False
                else:
                    self.send(tips)
            if not self._frames:
                if self._closing:
                    return
                await self._writable.wait()
                continue
            frame = self._frames.popleft()
            await self._stream.send_all(frame)
            self._frame_bytes -= len(frame)
            if self._reads and self._frame_bytes <= OUTBOX_BYTES_LOW:
                self._drained.set()

    async def _serve(self) -> None:
        while True:
            if not self._reads:
                await self._readable.wait()
                continue
            while self._frame_bytes > OUTBOX_BYTES_LOW:
                await self._drained.wait()
            read = self._reads.popleft()
            session = self._host.replicator.sessions.get(self.number)
            if session is None or read.request not in session.serving:
                continue  # cancelled while it waited: reading it would be work for nothing
            self._serving = True
            batches = await self._host.read(read)
            self._serving = False
            self._host.perform(self._host.replicator.read(read, batches))

    async def _explain(self) -> None:
        while True:
            if not self._explains:
                await self._explainable.wait()
                continue
            explain = self._explains.pop(next(iter(self._explains)))
            epoch = first_seq = 0
            with trio.CancelScope() as scope:
                self._explaining = explain.request, scope
                epoch, first_seq = await self._host.explain(explain)
            self._explaining = None
            if not scope.cancel_called:
                self._host.perform(self._host.replicator.explained(explain, epoch, first_seq))

    def _leave_unexplained(self, request: int) -> None:
        """A fetch is over: nobody waits for what was to be found out for it."""
        self._explains.pop(request, None)
        if self._explaining is not None and self._explaining[0] == request:
            self._explaining[1].cancel()

    async def _until_broken(self, carry: Callable[[], Awaitable[None]]) -> None:
        try:
            await carry()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._lost(explain(error))

    def _lost(self, why: str) -> None:
        session = self._host.replicator.sessions.get(self.number)
        if session is not None and session.hello is None:
            # TLS 1.3 lets a client finish before the server has judged its key.
            why = f"{why} before hello: does the other side have our key among its members?"
        if not self._closing:
            self._why = why
