"""A node to be killed: it appends as fast as it can and says outside what it promised. A process, does I/O.

    python -m tests.crash.victim CONFIG PAGE LIFE

On standard output, one line each:

    ready LOG=NEXT_SEQ ...      the store is open, and holds so much of each log
    tip LOG NEXT_SEQ            a log is durable up to here
    ack SEQ ID                  the node's own event ID is durable, at this seq
    resting NEXT_SEQ            nothing more will be appended; the node's own log ends here

On standard input ``rest`` ends the appending and ``stop``, or the end of the input, the node.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

import hydra_sync.node.node
import hydra_sync.store.author
import hydra_sync.store.log
from hydra_sync.batch import seal_batch
from hydra_sync.config import Config, load_config
from hydra_sync.disk import RealDisk
from hydra_sync.identity import MemberKey
from hydra_sync.node import Node, Seams, open_node
from hydra_sync.store import Log, Store, open_store, verify_segment
from hydra_sync.store.layout import LogPlace, segment_seqs
from hydra_sync.sync import Advanced, Connected, Notice
from tests.crash.phases import Page, Phase
from tests.crash.watched_disk import Act, SyncedLog, WatchedDisk

SEGMENT_BYTES: Final = 512 << 10  # so that a short test also meets what happens between two segments
INDEX_FLUSH_BYTES: Final = 128 << 10
APPENDERS: Final = 5
MANY: Final = 10  # events of a call; their acknowledgements fit into one atomic write to the pipe
BIG_BYTES: Final = 100_000  # many pieces of a write, so that a kill can tear it
BIG_PAUSE_S: Final = 0.1


class Life:
    """One life of a victim: what it does, marked on the page, and what it tells."""

    def __init__(self, config: Config, page: Page, number: int) -> None:
        self.config = config
        self.page = page
        self.disk = WatchedDisk(RealDisk(), self._during)
        self.resting = False
        self._me = config.key.member
        self._node: Node | None = None
        self._names = (f"{number}.{count}" for count in itertools.count())
        self._draw = random.Random(f"{config.me.alias} {number}")
        self._held: dict[MemberKey, int] = {}
        self._goals: dict[MemberKey, int] = {}
        self._acknowledged = 0

    def seal_batch(self, seal: Callable[..., object], *args: object, **options: object) -> object:
        """Seal a batch, in its phase."""
        with self.page.during([Phase.ENCODE]):
            return seal(*args, **options)

    @asynccontextmanager
    async def open_store(
        self, open_it: Callable[..., AbstractAsyncContextManager[Store]], *args: object, **options: object
    ) -> AsyncIterator[Store]:
        """Open the store with small segments, tell what it holds, and begin to watch what it promises."""
        async with open_it(*args, **options, segment_bytes=SEGMENT_BYTES) as store:
            for log in store.logs.values():
                self._held[log.author] = log.tip.next_seq
                self._log(log.author).opened(log.tip.next_seq)
                await self._require_clean_tail(log)
            self._acknowledged = self._held[self._me]
            self._tell("ready " + " ".join(f"{self.config.alias(log)}={seq}" for log, seq in self._held.items()))
            yield store

    def opened(self, node: Node) -> None:
        """The node is open, and may be connected already."""
        self._node = node
        for member in node.status().members:
            self._note_shown(MemberKey(bytes.fromhex(member.key)))

    def observe(self, notice: Notice) -> None:
        """Check and tell what the node shows."""
        match notice:
            case Advanced(log, next_seq):
                alias = self.config.alias(log)
                self._log(log).require(next_seq, f"shown of the log of {alias}")
                self._held[log] = next_seq
                self._mark_acknowledging()
                self._tell(f"tip {alias} {next_seq}")
            case Connected(peer, tool=False):
                self._note_shown(peer)
            case _:
                pass

    async def append(self, node: Node, count: int, size: int, pause_s: float = 0) -> None:
        """A client: append ``count`` values of up to about ``size`` bytes in a call, and tell, again and again."""
        while not self.resting:
            names = list(itertools.islice(self._names, count))
            values = [[self._draw.randbytes(self._draw.randrange(size)), name] for name in names]
            last = await (node.append(values[0]) if count == 1 else node.append_many(values))
            self._log(self._me).require(last + 1, "acknowledged")
            first = last + 1 - count
            self._tell("\n".join(f"ack {first + at} {name}" for at, name in enumerate(names)))
            self._acknowledged += count
            self._mark_acknowledging()
            await trio.sleep(self._draw.random() * pause_s)

    def rest(self, node: Node) -> None:
        """Nothing is appended any more."""
        own = next(member for member in node.status().members if member.me)
        self._tell(f"resting {own.log.tip.next_seq}")

    async def _require_clean_tail(self, log: Log) -> None:
        """Fail if an opened log leaves anything behind its last record, as a torn tail that was not cut.

        Later records would lie over it, so that it would not show in the end.
        """
        place = LogPlace(self.config.persistence_dir, self.config.network_id, log.author)
        seqs = segment_seqs(path.name for path in place.directory.iterdir())
        if seqs:
            report = await verify_segment(RealDisk(), place, place.segment(seqs[-1]), seqs[-1])
            assert report.is_sound, f"opened, and has in its last segment: {report.damage}"
            assert seqs[-1] + report.events == log.tip.next_seq, f"opened at {log.tip}, and holds {report}"

    def _during(self, log: str, act: Act) -> AbstractContextManager[None]:
        if log == self._me.hex():
            return self.page.during([Phase.WRITE if act == "write" else Phase.SYNC])
        key = MemberKey(bytes.fromhex(log))
        behind = self._held.get(key, 0) < self._goals.get(key, 0)
        return self.page.during([Phase.CATCH_UP] if behind else [])

    def _mark_acknowledging(self) -> None:
        self.page[Phase.ACKNOWLEDGE] = self._held[self._me] > self._acknowledged

    def _note_shown(self, peer: MemberKey) -> None:
        """Remember what a member who is connected now shows: getting that is catching up."""
        for member in self._node.status().members if self._node else ():
            if member.key == peer.hex():
                for alias, next_seq in member.shows.items():
                    log = self.config.find(alias)
                    self._goals[log] = max(self._goals.get(log, 0), next_seq)

    def _log(self, key: MemberKey) -> SyncedLog:
        return self.disk.logs.setdefault(key.hex(), SyncedLog())

    def _tell(self, lines: str) -> None:
        os.write(1, f"{lines}\n".encode())


async def run(config: Config, page: Page, number: int) -> None:
    """Live until told to stop, or killed."""
    life = Life(config, page, number)
    for module, name, ours in (
        (hydra_sync.store.author, "seal_batch", partial(life.seal_batch, seal_batch)),
        (hydra_sync.store.log, "INDEX_FLUSH_BYTES", INDEX_FLUSH_BYTES),
        (hydra_sync.node.node, "open_store", partial(life.open_store, open_store)),
    ):
        assert hasattr(module, name)
        setattr(module, name, ours)
    async with open_node(config, seams=Seams(disk=life.disk), observe=life.observe) as node:
        life.opened(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, life, nursery.cancel_scope)
            async with trio.open_nursery() as clients:
                for _ in range(APPENDERS):
                    clients.start_soon(life.append, node, 1, 300)
                clients.start_soon(life.append, node, MANY, 300)
                clients.start_soon(life.append, node, 1, BIG_BYTES, BIG_PAUSE_S)
            life.rest(node)


async def _listen(life: Life, scope: trio.CancelScope) -> None:
    rest = b""
    async with trio.lowlevel.FdStream(os.dup(0)) as orders:
        async for data in orders:
            *lines, rest = (rest + data).split(b"\n")
            life.resting |= b"rest" in lines
            if b"stop" in lines:
                break
    scope.cancel()


if __name__ == "__main__":
    config_file, page_file, life_number = sys.argv[1:]
    shared = Page(Path(page_file))
    shared.clear()
    trio.run(run, load_config(Path(config_file)), shared, int(life_number))
