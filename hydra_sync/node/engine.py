"""Carries out what the protocol core decides: links, appends to replicas, time. Does I/O.

Nothing is decided here. Effects are carried out without waiting, in the order they were decided;
what takes time has a task of its own and reports back to the core when it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.config import Address, Config
from hydra_sync.errors import StoreFullError, UnavailableError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import COMMIT_BYTES_MAX, HOLES_MAX, STALL_S
from hydra_sync.node.link import Link
from hydra_sync.node.seams import Seams
from hydra_sync.store import Store
from hydra_sync.sync import (
    Advanced,
    Append,
    AppendRefused,
    Connected,
    Drop,
    Effect,
    NoSession,
    Notice,
    OwnLogAhead,
    Read,
    Receipt,
    Replicator,
    Send,
    TipsDue,
)
from hydra_sync.tasks import Signal
from hydra_sync.version import AGENT
from hydra_sync.wire import GoodbyeReason, Hello, LogTip, Role

__all__ = ["Engine"]

TICK_S_MIN: Final = 0.01
TICK_S_MAX: Final = 1.0  # a deadline that appears meanwhile is kept so late at worst
TOLD_MAX: Final = 256  # failures remembered so as not to be told twice; attempts go on for ever


class Engine:
    """The moving parts of a node, between its store and its connections."""

    def __init__(self, config: Config, seams: Seams, store: Store, observe: Callable[[Notice], None]) -> None:
        self.config: Final = config
        self.store: Final = store
        self.replicator: Final = Replicator(
            me=config.key.member,
            network=config.network_id,
            hello=_hello(config, store),
            held={member: self._held(member) for member in config.keys},
            seed=seams.entropy(16),
        )
        self.last_error: Final[dict[MemberKey, str]] = {}
        """Why the last connection to a member, or attempt at one, ended."""
        self.halted: str | None = None
        """Why nothing may be appended to our own log any more."""
        self.refused: Final[dict[MemberKey, None]] = {}
        """Logs for which our own disk has no room now."""
        self._observe = observe
        self._stopping = False
        self._told: dict[NoSession, None] = {}
        self._advertised: dict[MemberKey, Address] = {}
        self._links: dict[int, Link] = {}
        self._link_count = 0
        self.links_changed: Final = Signal()
        """A connection began or ended."""
        self.receipts_changed: Final = Signal()
        """A member showed how far it holds our own log."""
        self._at_hand: deque[tuple[Read, Sequence[Batch]]] = deque()
        """Reads that were answered from memory, for the core to take when it has said all that it has to."""
        self._appends: dict[MemberKey, deque[Append]] = {member: deque() for member in config.keys}
        self._append_due = {member: trio.Event() for member in config.keys}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. Raises `StoreError` when the disk fails: the node must stop."""
        async with trio.open_nursery() as nursery:
            for member in self.config.keys:
                self.store.log(member).on_durable(partial(self._durable, member))
                self.store.log(member).on_damage(partial(self._damaged, member))
                if member != self.config.key.member:
                    nursery.start_soon(self._append, member)
            nursery.start_soon(self._tick)
            task_status.started()

    async def carry(self, stream: trio.abc.Stream, peer: MemberKey, *, dialed: bool) -> bool:
        """Run a session on ``stream`` until it ends; says whether it came as far as tips, and no fault ended it."""
        if self._stopping:
            await trio.aclose_forcefully(stream)
            return False
        self._link_count += 1
        link = Link(self, self._link_count, stream, peer)
        self._links[link.number] = link
        try:
            why = await link.run(dialed=dialed)
        finally:
            del self._links[link.number]
            self.links_changed.fire()
        self.last_error[peer] = why
        if not link.introduced and link.goodbye not in (GoodbyeReason.DUPLICATE, GoodbyeReason.CLOSING):
            self.tell_once(NoSession(peer, None, dialed, why))
        return link.introduced and not link.faulty

    def tell_once(self, failure: NoSession) -> None:
        """Give notice of a failed attempt, unless it was given since the last session with that peer."""
        if failure not in self._told:
            self._told[failure] = None
            if len(self._told) > TOLD_MAX:
                del self._told[next(iter(self._told))]
            self._observe(failure)

    def say_goodbye(self) -> None:
        """Tell every peer that this node stops, and meet nobody any more."""
        self._stopping = True
        self.perform(self.replicator.stop())

    @property
    def silent(self) -> bool:
        """Whether no connection is left."""
        return not self._links

    def advertised(self, member: MemberKey) -> Address | None:
        """Where a member said it listens when it was last connected."""
        return self._advertised.get(member)

    def perform(self, effects: Sequence[Effect]) -> None:
        """Carry out effects, in order, without waiting."""
        for effect in effects:
            self._perform(effect)
        while self._at_hand:
            read, batches = self._at_hand.popleft()
            for effect in self.replicator.read(read, batches, trio.current_time()):
                self._perform(effect)

    async def read(self, read: Read) -> Sequence[Batch]:
        """The batches asked for, none where they are damaged here."""
        try:
            return await self.store.log(read.log).read(read.start, read.stop, read.bytes_max)
        except UnavailableError:
            return ()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send():
                if link := self._links.get(effect.link):
                    link.send(effect.message)
            case TipsDue():
                if link := self._links.get(effect.link):
                    link.tips_due()
            case Read():
                if link := self._links.get(effect.link):
                    self._read(link, effect)
            case Append():
                self._appends[effect.log].append(effect)
                self._append_due[effect.log].set()
            case Drop():
                if link := self._links.get(effect.link):
                    link.drop(effect.goodbye, effect.fault)
            case _:
                self._take_notice(effect)

    def _read(self, link: Link, read: Read) -> None:
        """Read for a peer: at once what is in memory, as new events are; the rest is the link's to wait for."""
        batches = self.store.log(read.log).recent(read.start, read.stop, read.bytes_max) if link.may_read else ()
        if batches:
            self._at_hand.append((read, batches))
        else:
            link.read_soon(read)

    def _take_notice(self, notice: Notice) -> None:
        if isinstance(notice, OwnLogAhead):
            self.halted = (
                f"{self.config.alias(notice.peer)} proved that this node's own log once reached seq {notice.next_seq}, "
                f"beyond what the store holds: appending would fork it. The disk lost data or is an old copy; "
                f"restore the newest store, or wait for a release with 'hydra-sync recover'"
            )
        elif isinstance(notice, AppendRefused):
            self.refused[notice.log] = None
        elif isinstance(notice, Advanced):
            self.refused.pop(notice.log, None)
        elif isinstance(notice, Receipt):
            self.receipts_changed.fire()
        elif isinstance(notice, Connected) and not notice.tool:
            self.links_changed.fire()
            self._note_address(notice.peer)
            self._told = {failure: None for failure in self._told if failure.peer != notice.peer}
        self._observe(notice)

    def _note_address(self, peer: MemberKey) -> None:
        hello = self.replicator.sessions[self.replicator.nodes[peer]].hello
        if hello is not None and hello.advertise:
            with suppress(UsageError):  # a peer's odd idea of an address is no reason to leave it
                self._advertised[peer] = Address.parse(hello.advertise)

    def _durable(self, member: MemberKey, tip: Tip) -> None:
        self.perform(self.replicator.appended(member, tip, trio.current_time()))

    def _damaged(self, member: MemberKey) -> None:
        self.perform(self.replicator.damaged(self._held(member)))

    async def _append(self, member: MemberKey) -> None:
        """Write what was fetched; runs that come while a commit is under way share the next one."""
        log = self.store.log(member)
        waiting = self._appends[member]
        while True:
            if not waiting:
                self._append_due[member] = trio.Event()
                await self._append_due[member].wait()
            try:
                await log.commit(_take(waiting, COMMIT_BYTES_MAX))
            except StoreFullError:
                waiting.clear()
                now = trio.current_time()
                self.perform(self.replicator.append_failed(member, now + STALL_S, now))

    async def _tick(self) -> None:
        while True:
            now = trio.current_time()
            self.perform(self.replicator.tick(now))
            due = min(self.replicator.deadline(), now + TICK_S_MAX)
            await trio.sleep(max(due - now, TICK_S_MIN))

    def _held(self, member: MemberKey) -> LogTip:
        log = self.store.log(member)
        return LogTip(member, log.tip, log.first_seq, log.holes[:HOLES_MAX])


def _hello(config: Config, store: Store) -> Hello:
    return Hello(
        network=config.network_id,
        agent=AGENT,
        role=Role.NODE,
        store_id=store.manifest.store_id,
        founding=store.manifest.founding,
        advertise=str(config.advertise or ""),
    )


def _take(runs: deque[Append], bytes_max: int) -> list[Batch]:
    """The first runs, each whole, at least one, of at most ``bytes_max`` bytes otherwise.

    A commit ends where a run ends: at a signature that verifies, so that what is durable can be handed on.
    """
    taken = list(runs.popleft().batches)
    size = sum(len(batch.record) for batch in taken)
    while runs and (size := size + sum(len(batch.record) for batch in runs[0].batches)) <= bytes_max:
        taken += runs.popleft().batches
    return taken
