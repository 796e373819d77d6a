"""A machine on a running node: inputs are decided on, made durable, and only then part of the state. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Generic, Literal, TypeVar

import trio

from hydra_sync.errors import ForkedError, StoreFullError, UnavailableError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.machine import (
    Alarm,
    Began,
    Forked,
    Group,
    Machine,
    MachineError,
    Progress,
    RejectedError,
    entry_value,
    guarded,
    split_checkpoint,
)
from hydra_sync.node import Node
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.runtime.folding import Folded, fold_from_checkpoint
from hydra_sync.runtime.history import heard_of
from hydra_sync.runtime.turns import Done, Turn, Waiting, command, encoded
from hydra_sync.tasks import Signal, leaves, open_tasks

__all__ = ["CHECKPOINT_BYTES_MIN", "Outputs", "Runtime", "open_machine"]

S = TypeVar("S")

Outputs = Literal["stable", "durable"]

INPUTS_MAX: Final = 512  # decided on together: they share a sync, and wait for one another's decisions
WAITING_MAX: Final = 1024  # inputs taken and not decided on; who brings more has to wait
CHECKPOINT_BYTES_MIN: Final = 4 << 20  # of log since the last checkpoint: folded in about a second
CHECKPOINT_SHARE: Final = 4  # and so many times the checkpoint's own size, so that they are a fifth of the log at most
ATTEMPTS: Final = 3  # to read the logs at the start
AGAIN_S: Final = 5.0  # until what a full disk refused, or a damaged replica lacks, is tried again


class Runtime(Generic[S]):
    """A machine that runs on a node, until its `open_machine` block ends or it fails."""

    def __init__(
        self,
        node: Node,
        machine: Machine[S],
        folded: Folded[S],
        wall_clock: Callable[[], int],
        outputs: Outputs,
        observe: Callable[[int, Group[S]], None],
        checkpoint_bytes_min: int,
    ) -> None:
        self.node: Final = node
        self.machine: Final = machine
        self.folded: Final = folded
        """What it began from."""
        self.changed: Final = Signal()
        """The state has changed, or the machine has failed."""
        self.failure: MachineError | None = None
        """Why the machine runs no more."""
        self.waits: str | None = None
        """Why nothing can be made durable now."""
        self.deaf: Final[dict[MemberKey, str]] = {}
        """Logs that cannot be heard now, and why."""
        self._progress = folded.progress
        self._wall_clock = wall_clock
        self._outputs = outputs
        self._observe = observe
        self._checkpoint_bytes_min = checkpoint_bytes_min
        self._next: Waiting | None = None
        self._open: dict[Waiting, None] = {}
        """Commands that somebody waits for."""
        self._send, self._receive = trio.open_memory_channel[Waiting](WAITING_MAX)

    @property
    def state(self) -> S:
        """The state after everything that is durable here."""
        return self._progress.state

    @property
    def progress(self) -> Progress[S]:
        """The state, and how far each log was heard."""
        return self._progress

    async def submit(self, content: object) -> Done:
        """Give the machine a command; returns when what it decided is stable, or with ``outputs="durable"`` durable.

        If cancelled, it may be decided on all the same. What is stable no crash takes back; what is only durable
        here is lost with this disk. Raises `RejectedError` with the machine's reason, `UsageError` for content that
        is no event, `MachineError` if the machine has failed.
        """
        return await self.outcome(await self.offer(content))

    async def offer(self, content: object) -> Waiting:
        """As `submit`, for commands that must keep their order: returns when it is in the queue, before it is decided.

        `outcome` has the rest. Raises `UsageError`.
        """
        waiting = Waiting(command(content, self._wall_clock()))
        await self._send.send(waiting)
        if self.failure is None:
            self._open[waiting] = None
        else:
            waiting.settle(self.failure)
        return waiting

    async def outcome(self, waiting: Waiting) -> Done:
        """How a command ended; as `submit`."""
        await waiting.settled.wait()
        self._open.pop(waiting, None)
        match waiting.outcome:
            case Done() as done:
                if self._outputs == "stable":
                    await self.node.wait_stable(done.seq)
                return done
            case Exception() as error:
                raise type(error)(*error.args) from error  # a traceback belongs to one task
        raise AssertionError("settled without an outcome")

    async def run(self) -> None:
        """Decide, until cancelled. Once the machine has failed, commands are answered with the failure."""
        try:
            async with trio.open_nursery() as nursery:
                for member in self.node.config.keys:
                    nursery.start_soon(self._hear, member)
                nursery.start_soon(self._wake)
                await self._decide()
        except* MachineError as group:
            self.failure = next(error for error in leaves(group) if isinstance(error, MachineError))
            for waiting in self._open:
                if not waiting.settled.is_set():
                    waiting.settle(self.failure)
            self.changed.fire()
        async for _ in self._receive:  # nobody shall wait for room in the queue of a machine that has failed
            pass

    async def _decide(self) -> None:
        """Decide on the tentative state while what was decided before is being made durable."""
        send, receive = trio.open_memory_channel[Turn[S]](0)
        failure: MachineError | None = None
        async with open_tasks() as nursery:
            nursery.start_soon(self._commit, receive)
            with send:
                progress = self._progress
                try:
                    while True:
                        turn = await self._take(progress)
                        progress = turn.progress
                        await send.send(turn)
                except MachineError as error:
                    failure = error  # what was decided before it stands, and becomes durable
        assert failure is not None
        raise failure

    async def _commit(self, turns: trio.MemoryReceiveChannel[Turn[S]]) -> None:
        """Make turns durable, in order, and only then show what they lead to."""
        if not self.folded.began:
            await self._append([encoded(entry_value(Began(self.machine.name)))])
        since, checkpoint_bytes = self.folded.tail_bytes, self.folded.checkpoint_bytes
        async for turn in turns:
            if turn.events:
                seq = await self._append(turn.events)
                self._progress = turn.progress
                for waiting, group in turn.taken:
                    self._observe(seq, group)
                    waiting.settle(Done(group.decided, seq + len(group.decided)))
                    seq += len(group.records)
                self.changed.fire()
                since += sum(map(len, turn.events))
            if since >= max(self._checkpoint_bytes_min, CHECKPOINT_SHARE * checkpoint_bytes):
                state = self._progress.encode(self.machine)
                await self._append([encoded(entry_value(part)) for part in split_checkpoint(state)])
                since, checkpoint_bytes = 0, len(state)

    async def _take(self, progress: Progress[S]) -> Turn[S]:
        """Decide on what waits, at least on one input, and as much as fits one batch."""
        turn = Turn(progress)
        self._next = self._next or await self._receive.receive()
        while self._next is not None and len(turn.taken) < INPUTS_MAX:
            try:
                if not turn.decide(self.machine, self._next):
                    return turn
            except RejectedError as error:
                self._next.settle(error)
            except MachineError:
                if turn.taken:  # those come first, and then it fails again
                    return turn
                raise
            try:
                self._next = self._receive.receive_nowait()
            except trio.WouldBlock:
                self._next = None
        return turn

    async def _append(self, events: Sequence[bytes]) -> int:
        """Make records durable, however long the disk is full; returns the seq of the first."""
        while True:
            try:
                first = await self.node.append_encoded(events) + 1 - len(events)
            except StoreFullError as error:
                self.waits = str(error)
                await trio.sleep(AGAIN_S)
            else:
                self.waits = None
                return first

    async def _hear(self, member: MemberKey) -> None:
        """Bring what a member's machine decided, from where this one last heard it."""
        start = self._progress.heard.get(member, 0)
        while member not in self._progress.forked:
            try:
                async for event in self.node.follow(member, start, resumes=True):
                    self.deaf.pop(member, None)
                    start = event.seq + 1
                    heard = heard_of(event)
                    if heard is not None and guarded("hears", heard, self.machine.hears, heard.content):
                        await self._send.send(Waiting(heard))
            except ForkedError as error:
                self.deaf[member] = str(error)
                await self._send.send(Waiting(Forked(member, start)))
                return
            except UnavailableError as error:
                self.deaf[member] = str(error)
                await trio.sleep(AGAIN_S)

    async def _wake(self) -> None:
        """Bring the alarm that the machine asks for, once for each time it asks."""
        rung: int | None = None
        while True:
            due = guarded("alarm_us", self.state, self.machine.alarm_us, self.state)
            now = self._wall_clock()
            if due is None or due == rung:
                await self.changed.wait()
            elif due <= now:
                rung = due
                await self._send.send(Waiting(Alarm(now)))
            else:
                with trio.move_on_after((due - now) / 1e6):
                    await self.changed.wait()


def _ignore(_: int, __: object) -> None:
    pass


@asynccontextmanager
async def open_machine(
    node: Node,
    machine: Machine[S],
    *,
    wall_clock: Callable[[], int] = wall_clock_us,
    outputs: Outputs = "stable",
    observe: Callable[[int, Group[S]], None] = _ignore,
    checkpoint_bytes_min: int = CHECKPOINT_BYTES_MIN,
) -> AsyncIterator[Runtime[S]]:
    """Rebuild the machine's state from the node's logs, and run it until the block ends.

    Waits until the node may append (`Node.wait_started`), and for what was heard before and its replicas have
    lost since. Commands are answered when what they led to is ``outputs``. ``wall_clock`` gives microseconds
    since 1970. ``observe`` is called with each input that became durable, what was decided, and the seq of its
    record. Checkpoints are at least ``checkpoint_bytes_min`` of log apart. Raises `UnavailableError` if the node's
    copy of what was heard is damaged, and `MachineError` if the log is another machine's.
    """
    if node.machine is not None:
        raise UsageError(f"machine {node.machine!r} runs on this node already: a log is one machine's")
    node.machine = machine.name
    try:
        await node.wait_started()
        folded = await _fold(node, machine)
        runtime = Runtime(node, machine, folded, wall_clock, outputs, observe, checkpoint_bytes_min)
        async with open_tasks() as nursery:
            nursery.start_soon(runtime.run)
            yield runtime
            nursery.cancel_scope.cancel()
    finally:
        node.machine = None


async def _fold(node: Node, machine: Machine[S]) -> Folded[S]:
    me = node.config.key.member
    stop = node.status().me.log.tip.next_seq
    # What was heard was heard: a fork that was proven since does not take it out of the state.
    contents = partial(node.follow, delivery="eager", beyond_fork=True)
    attempt = 1
    while True:
        try:
            return await fold_from_checkpoint(machine, partial(node.read, me), stop, contents)
        except UnavailableError:  # a disk may fail once
            if attempt == ATTEMPTS:
                raise
        attempt += 1
        await trio.sleep(AGAIN_S)
