"""Mutants: the product with one bug planted, for each invariant one that it must find. Patches code in this process.

A mutant is a scenario like any other, so what finds it also shrinks and replays it.
"""
# ruff: noqa: SLF001 (a bug is planted where it hurts)

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import trio

from hydra_sync import Node
from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.config import Member
from hydra_sync.identity import MemberKey
from hydra_sync.node import Event, meeting, reading
from hydra_sync.node.engine import Engine
from hydra_sync.node.events import events_of
from hydra_sync.node.node import Delivery
from hydra_sync.ranges import SeqRange
from hydra_sync.store.log import Log
from hydra_sync.store.segment import Segment
from hydra_sync.sync import Effect, Replicator, TipsDue, asking, session
from hydra_sync.sync.asking import Asked
from hydra_sync.sync.fetching import Fetcher
from hydra_sync.sync.receipts import Receipts
from hydra_sync.sync.stability import Stability
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.hostile import forge, knock
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.cluster.insider import HostileProgram
from hydra_sync.testing.plan.scenario import Outcome, Scenario, Setup
from hydra_sync.testing.plan.swarm import Swarm
from hydra_sync.testing.simulate import simulate
from hydra_sync.testing.world.scheduler import Policy
from hydra_sync.testing.world.world import current_host
from hydra_sync.wire import LogTip
from simulations.agreement import STORIES
from simulations.invariants import FEATURES

__all__ = ["MUTANTS", "Mutant", "Patches"]

T = TypeVar("T")

SMALL: Final = Swarm(nodes=(3, 3), seconds=(3, 5), operations=(10, 25), each=(1, 2))


class Patches:
    """Changes of attributes that are undone in the end."""

    def __init__(self) -> None:
        self._undo: list[tuple[object, str, object]] = []

    def set(self, owner: object, name: str, value: object) -> None:
        """Put ``value`` in the place of an attribute."""
        self._undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self) -> None:
        """Put everything back."""
        while self._undo:
            setattr(*self._undo.pop())


@dataclass(frozen=True)
class Mutant:
    """A `Scenario` in which the product has a bug that ``invariant`` must find."""

    invariant: str
    bug: str
    plant: Callable[[Patches], None]
    scenario: Scenario

    @property
    def name(self) -> str:
        return f"mutant_{self.invariant}"

    def draw(self, seed: int) -> Setup:
        """The setup of this seed."""
        return self.scenario.draw(seed)

    def run(self, seed: int, setup: Setup | None = None, *, record: bool = False, policy: Policy = "random") -> Outcome:
        """One run with the bug."""
        with self._planted():
            outcome = self.scenario.run(seed, setup, record=record, policy=policy)
        return replace(outcome, scenario=self.name)

    @contextmanager
    def _planted(self) -> Iterator[None]:
        patches = Patches()
        try:
            self.plant(patches)
            yield
        finally:
            patches.undo()


# Stories


async def converge(cluster: Cluster) -> None:
    """Write while faults happen, and settle."""
    cluster.start_chatter()
    async with cluster.faults():
        await cluster.run_for()
    await cluster.settle()
    cluster.check_all()


async def besieged(cluster: Cluster) -> None:
    """Strangers knock at every door."""
    cluster.byzantine(cluster.aliases[-1], knock())
    cluster.start_chatter()
    await cluster.run_for()


def _with(program: Callable[[], HostileProgram]) -> Callable[[Cluster], Awaitable[None]]:
    async def story(cluster: Cluster) -> None:
        cluster.byzantine(cluster.aliases[-1], program())
        await converge(cluster)

    return story


async def rot(cluster: Cluster) -> None:
    """A replica rots, and its node starts again."""
    await cluster.write("n0", count=3, size=1000)
    await cluster.run_for()
    cluster.crash("n1")
    cluster.restart("n1")  # once it is open again, what it holds is known to be durable
    await cluster.run_for()
    cluster.damaged["n1"] = None
    cluster.crash("n1")
    cluster.world.host("n1").disk.rot(f"{member_key('n0').hex()}/*.log", offset=300)
    await cluster.settle(core=cluster.aliases)


async def without_one(cluster: Cluster) -> None:
    """One member is gone for good, and nobody waits for it."""
    await cluster.write("n0", count=3)
    cluster.crash("n2")
    await cluster.run_for(20)
    await cluster.settle(core=["n0", "n1"])
    cluster.check_all()


# Bugs


def _never_sync(patches: Patches) -> None:
    async def sync(_: Segment) -> None:
        await trio.lowlevel.checkpoint()

    patches.set(Segment, "_sync", sync)


def _sync_late(patches: Patches) -> None:
    commit, sync = Log.commit, Segment._sync

    async def late(self: Log, batches: Sequence[Batch]) -> None:
        await commit(self, batches)
        if self._segment is not None and _is_own(self._segment):
            await sync(self._segment)

    async def sync_replicas(self: Segment) -> None:
        if not _is_own(self):
            await sync(self)

    patches.set(Log, "commit", late)
    patches.set(Segment, "_sync", sync_replicas)


def _is_own(segment: Segment) -> bool:
    """Whether a segment belongs to the log of the host that is running."""
    return segment.path.parent.name == member_key(current_host().name).hex()


def _never_sync_replicas(patches: Patches) -> None:
    sync = Segment._sync

    async def sync_own(self: Segment) -> None:
        if _is_own(self):
            await sync(self)

    patches.set(Segment, "_sync", sync_own)


def _count_from_the_start_of_the_read(patches: Patches) -> None:
    def shifted(
        log: MemberKey, batch: Batch, *, start: int, stop: int | None = None, epochs: bool = False
    ) -> Iterator[Event]:
        first = max(start, batch.header.first_seq)
        whole = events_of(log, batch, start=0, epochs=epochs)
        for seq, event in enumerate(whole, first):
            if (stop is None or seq < stop) and seq < batch.header.stop:
                yield replace(event, seq=seq)

    patches.set(reading, "events_of", shifted)


def _trust_relays(patches: Patches) -> None:
    patches.set(asking, "verify_run", lambda batches, network, author: None)


def _resume_behind_the_cursor(patches: Patches) -> None:
    follow = Node.follow

    def late(
        self: Node, log: str | bytes, start: int = 0, *, delivery: Delivery = "uniform", **options: bool
    ) -> object:
        return follow(self, log, start + 1 if start else 0, delivery=delivery, **options)

    patches.set(Node, "follow", late)


def _let_everyone_in(patches: Patches) -> None:
    patches.set(meeting, "HANDSHAKES_MAX", 1 << 30)


def _forget_what_was_cancelled(patches: Patches) -> None:
    cancel = Fetcher._cancel

    def forget(self: Fetcher, asked: Asked) -> list[Effect]:
        effects = cancel(self, asked)
        self._asked.pop(asked.request, None)
        return effects

    patches.set(Fetcher, "_cancel", forget)


def _date_events_on_arrival(patches: Patches) -> None:
    def dated(
        log: MemberKey, batch: Batch, *, start: int, stop: int | None = None, epochs: bool = False
    ) -> Iterator[Event]:
        for event in events_of(log, batch, start=start, stop=stop, epochs=epochs):
            yield replace(event, time_us=current_host().wall_clock())

    patches.set(reading, "events_of", dated)


def _never_ping(patches: Patches) -> None:
    patches.set(session, "PING_S", float("inf"))
    patches.set(session, "SILENCE_S", float("inf"))


def _count_no_receipts(patches: Patches) -> None:
    patches.set(Receipts, "take", lambda self, peer, shown: [])


def _never_repair(_: Patches) -> None:
    """Nothing to plant: this release does not repair rot, and the invariant is switched on all the same."""


def _never_redial(patches: Patches) -> None:
    async def reach_once(self: meeting.Meeting, member: Member) -> None:
        await trio.sleep(0.2)
        assert member.address is not None
        await self._try(member.address, member.key)
        await trio.sleep_forever()

    patches.set(meeting.Meeting, "_reach", reach_once)


def _tell_tips_again(patches: Patches) -> None:
    tick = Replicator.tick

    def tell(self: Replicator, now: float) -> list[Effect]:
        effects = tick(self, now)
        for one in self.sessions.values():
            if one.syncing:
                one.unshown[self.me] = None
                effects.append(TipsDue(one.link))
        return effects

    patches.set(Replicator, "tick", tell)


def _append_only_when_all_are_here(patches: Patches) -> None:
    append_many = Node.append_many

    async def when_all(self: Node, values: Sequence[object], *, replicas: int = 0) -> int:
        while len(self._engine.replicator.nodes) < len(self.config.members) - 1:
            await self._engine.links_changed.wait()
        return await append_many(self, values, replicas=replicas)

    patches.set(Node, "append_many", when_all)


def _deliver_what_is_durable_here(patches: Patches) -> None:
    def reach(self: Stability, tip: Tip, mine: LogTip, *_: object, **__: object) -> int | None:
        if tip.next_seq <= self.stable.get(mine.log, 0):
            return None
        self.stable[mine.log] = tip.next_seq
        return tip.next_seq

    patches.set(Stability, "update", reach)


def _hide_orphans(patches: Patches) -> None:
    def orphaned(self: Engine, member: MemberKey, events: SeqRange) -> None:
        self.perform(self.replicator.orphaned(member, events))

    patches.set(Engine, "_orphaned", orphaned)


def _wait_for_the_author(patches: Patches) -> None:
    update = Stability.update

    def only_own(
        self: Stability, tip: Tip, mine: LogTip, forked_at: int | None = None, *, is_silent: bool = False
    ) -> int | None:
        return update(self, tip, mine, forked_at, is_silent=is_silent) if mine.log == self._me else None

    patches.set(Stability, "update", only_own)


_CRASHES: Final = SMALL.only("crash", "torn")
_OUTAGES: Final = SMALL.only("crash", "torn", "partition")
_TORN: Final = replace(SMALL, nodes=(2, 2), operations=(30, 60), each=(4, 8)).only("torn")
_MEETINGS: Final = SMALL.only("reset", "crash")
_CALM: Final = replace(SMALL, kinds=())

MUTANTS: Final[dict[str, Mutant]] = {
    mutant.invariant: mutant
    for mutant in (
        Mutant("S1", "an append returns before its sync", _never_sync, simulate(swarm=_OUTAGES)(converge)),
        Mutant("S2", "peers see a batch before it is synced", _sync_late, simulate(swarm=_TORN)(converge)),
        Mutant(
            "S3",
            "a read that starts inside of a batch counts from there",
            _count_from_the_start_of_the_read,
            simulate(swarm=_CALM)(converge),
        ),
        Mutant("S4", "a relay is trusted", _trust_relays, simulate(swarm=_CALM)(_with(forge))),
        Mutant(
            "S5", "one event is skipped after a restart", _resume_behind_the_cursor, simulate(swarm=_CRASHES)(converge)
        ),
        Mutant("S6", "replicas are not synced", _never_sync_replicas, simulate(swarm=_CRASHES)(converge)),
        Mutant("S7", "any number of strangers is let in", _let_everyone_in, simulate(swarm=_CALM)(besieged)),
        Mutant(
            "S8",
            "the answer to a cancelled fetch counts as unrequested",
            _forget_what_was_cancelled,
            simulate(swarm=_CRASHES)(converge),
        ),
        Mutant("S9", "events are dated when they arrive", _date_events_on_arrival, simulate(swarm=_CALM)(converge)),
        Mutant(
            "L1",
            "a half-open connection is never noticed",
            _never_ping,
            simulate(nodes=2, swarm=SMALL.only("half_open"))(converge),
        ),
        Mutant("L2", "receipts are not counted", _count_no_receipts, simulate(swarm=_CALM)(converge)),
        Mutant("L3", "rot is not repaired", _never_repair, simulate(swarm=_CALM, features=["repair"])(rot)),
        Mutant("L4", "each member is dialed once", _never_redial, simulate(swarm=_MEETINGS)(converge)),
        Mutant("L5", "tips are told again and again", _tell_tips_again, simulate(swarm=_CALM)(converge)),
        Mutant(
            "L6",
            "an append waits until every member is connected",
            _append_only_when_all_are_here,
            simulate(swarm=_CALM)(without_one),
        ),
        Mutant("S10", "what is durable here is taken for stable", _deliver_what_is_durable_here, STORIES["left_out"]),
        Mutant("S11", "nobody is told of orphans", _hide_orphans, STORIES["left_out"]),
        Mutant(
            "L7",
            "only an author counts receipts",
            _wait_for_the_author,
            simulate(swarm=_CALM, features=FEATURES, restart="prove")(converge),
        ),
    )
}
