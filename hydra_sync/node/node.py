"""A node as an application sees it: append, read, follow, status. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Literal

import trio

from hydra_sync import store as stores
from hydra_sync.checkpoint import Checkpoint
from hydra_sync.config import Address, Config
from hydra_sync.encoding import encode_event
from hydra_sync.errors import StoreError, UsageError
from hydra_sync.limits import STORE_ID_BYTES
from hydra_sync.node.engine import Engine
from hydra_sync.node.events import Event
from hydra_sync.node.looking import look
from hydra_sync.node.meeting import Meeting
from hydra_sync.node.reading import Durable, Events, Reach, Stable
from hydra_sync.node.seams import Seams
from hydra_sync.node.status import Status
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Manifest, open_store
from hydra_sync.sync import Notice
from hydra_sync.tasks import open_tasks

__all__ = ["Delivery", "Node", "create_store", "open_node"]

GOODBYE_S: Final = 1.0  # how long a stopping node waits for its goodbyes to be read

Delivery = Literal["eager", "uniform"]


class Node:
    """One member's node, open until its `open_node` block ends."""

    def __init__(self, engine: Engine, meeting: Meeting) -> None:
        self.config: Final = engine.config
        self.machine: str | None = None
        """The name of the machine that runs on this node, if one does."""
        self._engine = engine
        self._meeting = meeting

    @property
    def address(self) -> Address | None:
        """Where the node listens, with the port that the system chose if the configuration says 0."""
        return self._meeting.listening

    async def append(self, value: object, *, replicas: int = 0) -> int:
        """Append one value to this node's own log; returns its seq once it is durable here.

        ``value`` is anything CBOR can carry. With ``replicas=k`` it is durable on k other members
        too. If cancelled, the event may be in the log all the same.

        Raises `UsageError` for a value or a k that cannot be, `StoreFullError` if the disk is full
        (nothing was appended), `StoreError` if the store has failed, or this process may not append any more
        (then the event may be in the log, and durable on fewer members).
        """
        return await self.append_many([value], replicas=replicas)

    async def append_many(self, values: Iterable[object], *, replicas: int = 0) -> int:
        """Append values with consecutive seqs, in one batch if they fit in one; returns the last seq.

        Raises as `append` does, and `UsageError` if there are no values.
        """
        return await self.append_encoded([encode_event(value) for value in values], replicas=replicas)

    async def append_encoded(self, events: Sequence[bytes], *, replicas: int = 0) -> int:
        """As `append_many`, for events that are CBOR already: one value each, which the caller has made sure of."""
        if not events:
            raise UsageError("append_many needs at least one value")
        others = len(self.config.members) - 1
        if not 0 <= replicas <= others:
            raise UsageError(f"replicas={replicas}, but this network has {others} other members")
        await self.wait_started()
        seqs = await self._engine.store.author.append(events)
        while self._replicated(seqs.stop) < replicas:
            self._require_unhalted()
            await self._engine.receipts_changed.wait()
        return seqs.stop - 1

    async def wait_started(self) -> None:
        """Wait until this node may append: until enough others have granted an epoch to this start.

        `status` says whom it waits for. Raises `StoreError` if it may not any more.
        """
        engine = self._engine
        while not (engine.replicator.agreement.is_ready and engine.has_begun) and engine.halted is None:
            await engine.started.wait()
        self._require_unhalted()

    def _require_unhalted(self) -> None:
        if self._engine.halted is not None:
            raise StoreError(self._engine.halted)

    async def wait_stable(self, seq: int) -> None:
        """Wait until the event ``seq`` of this node's own log is stable, and so is never taken back.

        Raises `StoreError` where this process may not append any more, and so nobody tells it what became of that.
        """
        stable = self._engine.replicator.agreement.stability.stable
        while stable.get(self.config.key.member, 0) <= seq:
            self._require_unhalted()
            await self._engine.stable_changed.wait()

    def read(self, log: str | bytes, seqs: SeqRange, *, epochs: bool = False) -> AsyncIterator[Event]:
        """The application's events in ``[start, stop)`` of a member's log, all of them or an error.

        With ``epochs`` also those that begin an epoch of the log, and then each seq has its event.

        ``log`` is an alias or a key. Raises `UnavailableError` that names the first range which
        this node cannot supply, and `UsageError` for a log of no member.
        """
        member = self.config.find(log)
        return Events(
            self._engine.store.log(member),
            self.config.alias(member),
            seqs.start,
            seqs.stop,
            epochs=epochs,
            forked_at=partial(self._engine.replicator.forks.position, member),
        )

    def follow(
        self,
        log: str | bytes,
        start: int = 0,
        *,
        delivery: Delivery = "uniform",
        resumes: bool = False,
        epochs: bool = False,
        beyond_fork: bool = False,
    ) -> AsyncIterator[Event]:
        """Every event of a member's log from ``start`` on, each once, in order: history, then live.

        With ``uniform`` delivery an event comes when it is stable, durable on a majority: no crash can
        take it back, and every correct node delivers it. With ``eager`` delivery it comes when it is
        durable here, and may have to be taken back: then `OrphanedError` is raised, and following goes
        on from its ``start``. Who ``resumes`` has taken all before ``start`` by uniform delivery, in an earlier
        process perhaps: so that is stable, which nobody else may know if the author is gone, and which this node
        then tells the others. ``epochs`` as in `read`.

        Raises `ForkedError` where the author signed two histories, unless the one that is here is wanted
        ``beyond_fork``, by who has taken it before that was known; and `UnavailableError` for what this node
        cannot supply.
        """
        member, engine = self.config.find(log), self._engine
        reach: Reach = Durable(engine.store.log(member))
        if delivery == "uniform":
            stable = engine.replicator.agreement.stability.stable
            reach = Stable(engine.store.log(member), lambda: stable.get(member, 0), engine.stable_changed)
            if resumes:
                engine.perform(engine.replicator.agreement.taken(member, start))
        alias, orphaned = self.config.alias(member), engine.orphaned[member]
        forked_at = (lambda: None) if beyond_fork else partial(engine.replicator.forks.position, member)
        return Events(
            engine.store.log(member),
            alias,
            start,
            None,
            reach=reach,
            orphaned=orphaned,
            epochs=epochs,
            forked_at=forked_at,
        )

    def status(self) -> Status:
        """Members, links, tips and lag at this moment; what the start waits for, and what each log is worth."""
        return look(self._engine, self.address)

    def _replicated(self, stop: int) -> int:
        return sum(receipt >= stop for receipt in self._engine.replicator.receipts.values())


def _ignore(_: Notice) -> None:
    pass


async def create_store(config: Config, *, checkpoint: Checkpoint | None = None, seams: Seams | None = None) -> None:
    """Make the empty store of a node that begins a new network, in ``config.persistence_dir``.

    With ``checkpoint`` the network takes the place of an older one: that is then the first event of the
    node's own log. A node that lost its disk is not new: it would sign a second history. Raises
    `UsageError` where a store exists, or for a checkpoint of this very network, and `StoreError` if the
    disk refuses.
    """
    if checkpoint is not None and checkpoint.network == config.network_id:
        raise UsageError(
            f"{config.network} is the network that the checkpoint is of, with the same members: give the new network "
            "another name, or other members"
        )
    seams = seams or Seams()
    manifest = Manifest(config.network_id, config.key.member, seams.entropy(STORE_ID_BYTES), founding=True)
    event = None if checkpoint is None else checkpoint.event()
    await stores.create_store(seams.disk, config.persistence_dir, manifest, checkpoint=event)


@asynccontextmanager
async def open_node(
    config: Config, *, seams: Seams | None = None, observe: Callable[[Notice], None] = _ignore
) -> AsyncIterator[Node]:
    """Open the store, listen, reach for the other members, and serve them until the block ends.

    ``observe`` is called with every notice: connections, fetches, sources replaced. Raises
    `UsageError` for a configuration that cannot work (a port in use, a store of another network)
    and `StoreError` if the store cannot be opened, or fails while the node runs.
    """
    seams = seams or Seams()
    async with (
        open_store(
            seams.disk,
            config.persistence_dir,
            members=config.keys,
            network=config.network_id,
            key=config.key,
            wall_clock=seams.wall_clock,
            holder=f"node {config.me.alias}",
        ) as store,
        open_tasks() as nursery,
    ):
        engine = Engine(config, seams, store, observe)
        await nursery.start(engine.run)
        meeting = Meeting(engine, seams)
        await nursery.start(meeting.run)
        yield Node(engine, meeting)
        engine.say_goodbye()
        with trio.move_on_after(GOODBYE_S):
            while not engine.silent:
                await engine.links_changed.wait()
        nursery.cancel_scope.cancel()
