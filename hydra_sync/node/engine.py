"""Carries out what the protocol core decides: links, appends to replicas, time. Does I/O.

Nothing is decided here. Effects are carried out without waiting, in the order they were decided;
what takes time has a task of its own and reports back to the core when it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import trio

from hydra_sync.batch import Batch
from hydra_sync.chain import DivergedError, Tip
from hydra_sync.config import Address, Config
from hydra_sync.errors import StoreFullError, UnavailableError, UsageError
from hydra_sync.fork import prove
from hydra_sync.identity import MemberKey
from hydra_sync.limits import COMMIT_BYTES_MAX, HOLES_MAX, STALL_S, START_ID_BYTES
from hydra_sync.node.checkpoints import origin
from hydra_sync.node.link import Link
from hydra_sync.node.seams import Seams
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Log, Store, first_event, own_log_forked
from hydra_sync.sync import (
    Advanced,
    Append,
    AppendRefused,
    BecameStable,
    BeginEpoch,
    Compare,
    Connected,
    Drop,
    Effect,
    EndFounding,
    Explain,
    Fetched,
    Forked,
    KeepProof,
    Locate,
    NoSession,
    Notice,
    OwnLogAhead,
    OwnLogTaken,
    Persist,
    Read,
    Receipt,
    Replicator,
    Send,
    Started,
    TipsDue,
)
from hydra_sync.tasks import Flag, Signal
from hydra_sync.version import AGENT
from hydra_sync.wire import GoodbyeReason, Hello, LogTip, Role

__all__ = ["Engine"]

_E = TypeVar("_E", BeginEpoch, Compare, Locate)

TICK_S_MIN: Final = 0.01
TICK_S_MAX: Final = 1.0  # a deadline that appears meanwhile is kept so late at worst
TOLD_MAX: Final = 256  # failures remembered so as not to be told twice; attempts go on for ever


class Engine:
    """The moving parts of a node, between its store and its connections."""

    def __init__(self, config: Config, seams: Seams, store: Store, observe: Callable[[Notice], None]) -> None:
        self.config: Final = config
        self.store: Final = store
        self.replicator: Final = Replicator(
            key=config.key,
            network=config.network_id,
            hello=_hello(config, store),
            held={member: self._held(member) for member in config.keys},
            seed=seams.entropy(16),
            standings={member: store.standing(member) for member in config.keys},
            start=seams.entropy(START_ID_BYTES) if _proves(config, store) else None,
            proofs=store.proofs,
        )
        self.last_error: Final[dict[MemberKey, str]] = {}
        """Why the last connection to a member, or attempt at one, ended."""
        forked_at = self.replicator.forks.position(config.key.member)
        self.halted: str | None = None if forked_at is None else own_log_forked(forked_at)
        """Why nothing may be appended to our own log any more."""
        self.refused: Final[dict[MemberKey, None]] = {}
        """Logs for which our own disk has no room now."""
        self.unkept: Persist | EndFounding | KeepProof | None = None
        """What our own disk has no room for now, and what was decided after it waits too."""
        self.orphaned: Final[dict[MemberKey, list[SeqRange]]] = {member: [] for member in config.keys}
        """What of each log a later epoch has left out since this node runs, in order."""
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
        self.started: Final = Signal()
        """This node may append, or may not any more."""
        self.stable_changed: Final = Signal()
        """More of a log is stable."""
        self._at_hand: deque[tuple[Read, Sequence[Batch]]] = deque()
        """Reads that were answered from memory, for the core to take when it has said all that it has to."""
        self._appends: dict[MemberKey, deque[Append]] = {member: deque() for member in config.keys}
        self._append_due = {member: Flag() for member in config.keys}
        self.has_begun = store.checkpoint is None
        """Whether our own log begins as it is to: the application may append."""
        self.origins: Final[dict[MemberKey, bytes]] = {}
        """Of each log whose first event is here, what it comes from; see `checkpoints`."""
        self._origin_from = dict.fromkeys(config.keys, 0)
        """Where the application's first event of each log is, or will be, at the earliest."""
        self._origins_sought: dict[MemberKey, None] = {}
        """Logs in which it is being looked for now."""
        self._persists: deque[Persist | EndFounding | KeepProof] = deque()
        self._persist_due = Flag()
        self._nursery: trio.Nursery | None = None
        """For what is begun while this node runs; the store's tasks outlive it."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. Raises `StoreError` when the disk fails: the node must stop."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for member in self.config.keys:
                self.store.log(member).on_durable(partial(self._durable, member))
                self.store.log(member).on_damage(partial(self._damaged, member))
                self.store.log(member).on_orphaned(partial(self._orphaned, member))
                nursery.start_soon(self._append, member)
                self._look_at_origin(member)
            nursery.start_soon(self._persist)
            nursery.start_soon(self._begin)
            nursery.start_soon(self._tick)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:  # what becomes durable from now on is looked at by the next node
                self._nursery = None

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
            for effect in self.replicator.read(read, batches):
                self._perform(effect)

    async def read(self, read: Read) -> Sequence[Batch]:
        """The batches asked for, none where they are damaged here."""
        try:
            return await self.store.log(read.log).read(read.start, read.stop, read.bytes_max)
        except UnavailableError:
            return ()

    async def explain(self, explain: Explain) -> tuple[int, int]:
        """The epoch of the event before what was asked for, and where it began; epoch 0 where that cannot be read."""
        log, seq = self.store.log(explain.log), explain.seq
        try:
            return await log.epoch_at(min(seq, log.tip.next_seq) - 1) if seq > 0 else (0, 0)
        except UnavailableError:
            return 0, 0

    def _perform(self, effect: Effect) -> None:  # noqa: C901, PLR0912  one case an effect
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
            case Persist() | EndFounding() | KeepProof():
                _queue(self._persists, effect)
                self._persist_due.set()
            case BeginEpoch():
                self._start_soon(self._begin_epoch, effect)
            case Compare():
                self._start_soon(self._compare, effect)
            case Locate():
                self._start_soon(self._locate, effect)
            case Explain():
                if link := self._links.get(effect.link):
                    link.explain_soon(effect)
            case _:
                self._take_notice(effect)

    def _start_soon(self, act: Callable[[_E], Awaitable[None]], effect: _E) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(act, effect)

    def _read(self, link: Link, read: Read) -> None:
        """Read for a peer: at once what is in memory, as new events are; the rest is the link's to wait for."""
        batches = self.store.log(read.log).recent(read.start, read.stop, read.bytes_max) if link.may_read else ()
        if batches:
            self._at_hand.append((read, batches))
        else:
            link.read_soon(read)

    def _take_notice(self, notice: Notice) -> None:  # noqa: C901  one case a notice
        kind = type(notice)  # nearly all are of the first four, and there are many
        if kind is Advanced:
            if self.refused:
                self.refused.pop(notice.log, None)  # type: ignore[union-attr]  # as `kind` says
        elif kind is Fetched:
            pass
        elif kind is Receipt:
            self.receipts_changed.fire()
        elif kind is BecameStable:
            self.stable_changed.fire()
        elif isinstance(notice, OwnLogAhead):
            self._halt(
                f"{self.config.alias(notice.peer)} proved that this node's own log once reached seq {notice.next_seq}, "
                f"beyond what the store holds: appending would fork it. The disk lost data or is an old copy: "
                "stop this node, and get the log back with 'hydra-sync recover'"
            )
        elif isinstance(notice, OwnLogTaken):
            self._halt(
                f"{self.config.alias(notice.peer)} has epoch {notice.epoch} of this node's own log, begun by another "
                "process with the same key: this one appends nothing any more. Stop one of the two"
            )
        elif isinstance(notice, Forked):
            self.stable_changed.fire()
            self.store.log(notice.log).look_again()
            if notice.log == self.config.key.member:
                self._halt(own_log_forked(notice.seq))
        elif isinstance(notice, Started):
            self.started.fire()
        elif isinstance(notice, AppendRefused):
            self.refused[notice.log] = None
        elif isinstance(notice, Connected) and not notice.tool:
            self.links_changed.fire()
            self._note_address(notice.peer)
            self._told = {failure: None for failure in self._told if failure.peer != notice.peer}
        self._observe(notice)

    def _halt(self, why: str) -> None:
        """Nothing may be appended to our own log any more: whoever waits for what becomes of it is told."""
        self.halted = why
        for changed in (self.started, self.receipts_changed, self.stable_changed):
            changed.fire()

    def _note_address(self, peer: MemberKey) -> None:
        hello = self.replicator.sessions[self.replicator.nodes[peer]].hello
        if hello is not None and hello.advertise:
            with suppress(UsageError):  # a peer's odd idea of an address is no reason to leave it
                self._advertised[peer] = Address.parse(hello.advertise)

    async def _begin(self) -> None:
        """Let our own log begin as it is to, before the application appends."""
        while not self.has_begun:
            while not self.replicator.agreement.is_ready:
                await self.started.wait()
            try:
                await self.store.begin()
            except StoreFullError:
                await trio.sleep(STALL_S)
            else:
                self.has_begun = True
                self.started.fire()

    def _look_at_origin(self, member: MemberKey) -> None:
        if self._nursery is None or member in self.origins or member in self._origins_sought:
            return
        if self._origin_from[member] < self.store.log(member).tip.next_seq:
            self._origins_sought[member] = None
            self._nursery.start_soon(self._find_origin, member)

    async def _find_origin(self, member: MemberKey) -> None:
        log, left = self.store.log(member), self.orphaned[member]
        with suppress(UnavailableError):
            while member not in self.origins and self._origin_from[member] < log.tip.next_seq:
                branches = len(left)
                event, seq = await first_event(log, self._origin_from[member])
                if len(left) == branches:  # else another branch has taken over meanwhile
                    self._origin_from[member] = seq
                    if event is not None:
                        self.origins[member] = origin(event)
        del self._origins_sought[member]

    def _durable(self, member: MemberKey, tip: Tip) -> None:
        self._look_at_origin(member)
        self.perform(self.replicator.appended(member, tip, trio.current_time()))

    def _orphaned(self, member: MemberKey, events: SeqRange) -> None:
        self.orphaned[member].append(events)
        self.origins.pop(member, None)
        self._origin_from[member] = min(self._origin_from[member], events.start)
        self.perform(self.replicator.orphaned(member, events))

    def _damaged(self, member: MemberKey) -> None:
        self.perform(self.replicator.damaged(self._held(member)))

    async def _append(self, member: MemberKey) -> None:
        """Write what was fetched; runs that come while a commit is under way share the next one."""
        log = self.store.log(member)
        waiting = self._appends[member]
        while True:
            while not waiting:
                await self._append_due[member].wait()
            batches = _take(waiting, COMMIT_BYTES_MAX, log.tip.next_seq)
            first_seq = batches[0].header.first_seq
            try:
                if first_seq < log.tip.next_seq:
                    await log.rebranch(first_seq, batches)
                else:
                    await log.commit(batches)
            except StoreFullError:
                waiting.clear()
                now = trio.current_time()
                self.perform(self.replicator.append_failed(member, now + STALL_S, now))
            except (DivergedError, ValueError):
                # It was fetched for a branch that has been left meanwhile: ask again from where the log ends.
                waiting.clear()
                now = trio.current_time()
                self.perform(self.replicator.append_void(member, now))

    async def _persist(self) -> None:
        """Make durable what we promised and what is said of our store, in the order in which it was decided.

        Of each log only the last waits: what it took the place of was said to nobody.
        """
        while True:
            while not self._persists:
                await self._persist_due.wait()
            effect = self._persists.popleft()
            try:
                if isinstance(effect, EndFounding):
                    await self.store.end_founding()
                elif isinstance(effect, KeepProof):
                    await self.store.keep_proof(effect.proof)
                else:
                    await self.store.set_standing(effect.log, effect.standing)
                    self.perform(self.replicator.persisted(effect.log, effect.standing, trio.current_time()))
            except StoreFullError:  # what was decided is said when there is room for it, and not before
                self.unkept = effect
                self._persists.appendleft(effect)
                await trio.sleep(STALL_S)
            else:
                self.unkept = None

    async def _begin_epoch(self, begin: BeginEpoch) -> None:
        # A full disk is waited for: whoever wants to append is told so by the status.
        while True:
            try:
                await self.store.author.begin_epoch(begin.epoch, begin.event)
            except StoreFullError:
                self.refused[self.config.key.member] = None
                await trio.sleep(STALL_S)
            except UsageError:  # the log has had a later epoch since that was decided
                self.perform(self.replicator.epoch_void(begin, trio.current_time()))
                return
            else:
                self.refused.pop(self.config.key.member, None)
                return

    async def _compare(self, compare: Compare) -> None:
        """Hold what a peer sent against our own copy: two histories of one epoch are a proof."""
        first, last = compare.batches[0].header, compare.batches[-1].header
        ours = await self.store.log(compare.log).run_round(SeqRange(first.first_seq, last.stop))
        proof = prove(self.config.network_id, compare.log, ours, compare.batches) if ours else None
        self.perform(self.replicator.compared(compare, proof, trio.current_time()))

    async def _locate(self, locate: Locate) -> None:
        log, seq = self.store.log(locate.log), locate.seq
        tip = None
        with suppress(UnavailableError):  # a disk may fail once, and then nobody knows where: not at the beginning
            if locate.of_epoch and seq > 0:
                seq = await self._epoch_start(log, min(seq, log.tip.next_seq))
            tip = await log.tip_at(seq)
        self.perform(self.replicator.located(locate, tip, trio.current_time()))

    async def _epoch_start(self, log: Log, seq: int) -> int:
        """Where the epoch of the event before ``seq`` began, or the damage before ``seq`` that hides it."""
        try:
            return (await log.epoch_at(seq - 1))[1]
        except UnavailableError:
            below = [hole.start for hole in log.holes if hole.start < seq]
            if not below:
                raise
            return below[-1]

    async def _tick(self) -> None:
        while True:
            now = trio.current_time()
            self.perform(self.replicator.tick(now))
            due = min(self.replicator.deadline(), now + TICK_S_MAX)
            await trio.sleep(max(due - now, TICK_S_MIN))

    def _held(self, member: MemberKey) -> LogTip:
        log = self.store.log(member)
        return LogTip(member, log.tip, log.first_seq, log.holes[:HOLES_MAX])


def _proves(config: Config, store: Store) -> bool:
    # A store that was made again knows less of its own log than the others: there is no disk to trust.
    return config.restart == "prove" or store.standing(config.key.member).amnesiac


def _hello(config: Config, store: Store) -> Hello:
    return Hello(
        network=config.network_id,
        agent=AGENT,
        role=Role.NODE,
        store_id=store.manifest.store_id,
        founding=store.manifest.founding,
        advertise=str(config.advertise or ""),
    )


def _queue(waiting: deque[Persist | EndFounding | KeepProof], effect: Persist | EndFounding | KeepProof) -> None:
    """Queue ``effect``, or put it where one waits that it makes void: logs take turns, however often one changes.

    But never past the end of founding, and never so that a log was not amnesiac for once where it was to be: what
    else we do may wait for that.
    """
    for at in range(len(waiting) - 1, -1, -1):
        before = waiting[at]
        if isinstance(before, EndFounding):
            break
        if isinstance(effect, KeepProof) and isinstance(before, KeepProof) and before.proof.log == effect.proof.log:
            waiting[at] = effect
            return
        if isinstance(effect, Persist) and isinstance(before, Persist) and before.log == effect.log:
            if before.standing.amnesiac != effect.standing.amnesiac:
                break
            waiting[at] = effect
            return
    waiting.append(effect)


def _take(runs: deque[Append], bytes_max: int, next_seq: int) -> list[Batch]:
    """The first runs, each whole, at least one, of at most ``bytes_max`` bytes otherwise.

    A commit ends where a run ends: at a signature that verifies, so that what is durable can be handed on.
    A run that begins below ``next_seq``, or below the end of those before it, changes the branch and goes alone.
    """
    taken = list(runs.popleft().batches)
    if taken[0].header.first_seq < next_seq:
        return taken
    size = sum(len(batch.record) for batch in taken)
    while runs and runs[0].batches[0].header.first_seq == taken[-1].header.stop:
        size += sum(len(batch.record) for batch in runs[0].batches)
        if size > bytes_max:
            break
        taken += runs.popleft().batches
    return taken
