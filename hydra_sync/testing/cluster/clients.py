"""The clients of a cluster: they write, and insist until a node has acknowledged. Runs in a world."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from hydra_sync.encoding import encode_event
from hydra_sync.errors import StoreError, StoreFullError
from hydra_sync.testing.signals import reachable
from hydra_sync.testing.world.clock import SECOND, nanoseconds
from hydra_sync.testing.world.host import HostDiedError

if TYPE_CHECKING:
    from hydra_sync.testing.cluster.cluster import Cluster

__all__ = ["Clients"]

RETRY_S: Final = 0.5

_refused = reachable("an append fails", cluster=True)
_unknown = reachable("a node dies while an append is under way", cluster=True)


class Clients:
    """Those of one cluster. ``pending`` counts the writes under way, by member."""

    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        self.pending: Counter[str] = Counter()
        self._cluster = cluster
        self._ledger = cluster.ledger
        self._nursery = nursery

    async def write(self, alias: str, *, count: int, size: int, replicas: int, together: int) -> None:
        """See `Cluster.write`."""
        self.pending[alias] += 1
        await self._insist(alias, count=count, size=size, replicas=replicas, together=together)

    def start_writing(self, alias: str, *, count: int, size: int, replicas: int, together: int) -> None:
        """See `Cluster.start_writing`. It is pending on return, so that one may wait until it is not."""
        self.pending[alias] += 1
        task = partial(self._insist, alias, count=count, size=size, replicas=replicas, together=together)
        self._nursery.start_soon(task)

    async def _insist(self, alias: str, *, count: int, size: int, replicas: int, together: int) -> None:
        cluster = self._cluster
        try:
            while count > 0:
                some = min(together, count)
                if await self._append(alias, some, size, replicas):
                    count -= some
                elif alias in cluster.halted and not cluster.is_sound(alias):
                    return
                else:
                    await trio.sleep(RETRY_S)
        finally:
            self.pending[alias] -= 1

    async def chatter(self, operations: int, seconds: float) -> None:
        """See `Cluster.start_chatter`."""
        cluster = self._cluster
        dice = cluster.world.random("chatter")
        began_ns, span_ns = cluster.world.clock.now_ns, max(1, nanoseconds(seconds))
        for moment_ns in sorted(dice.below(span_ns) for _ in range(operations)):
            await trio.sleep(max(0, began_ns + moment_ns - cluster.world.clock.now_ns) / SECOND)
            correct = [alias for alias in cluster.aliases if alias not in cluster.hostile]
            alias, together = dice.pick(correct), dice.pick((1, 1, 1, 2, 5))
            size, replicas = dice.pick((0, 0, 100, 1000, 5000)), dice.pick((0, 0, 0, min(1, len(cluster.aliases) - 1)))
            self.start_writing(alias, count=together, size=size, replicas=replicas, together=together)

    async def _append(self, alias: str, count: int, size: int, replicas: int) -> bool:
        """One append; whether it was acknowledged."""
        member = self._cluster.member(alias)
        node = await member.wait_open()
        first = len(self._ledger.written[alias])
        values = [[alias, number, _filling(number, size)] for number in range(first, first + count)]
        events = [encode_event(value) for value in values]
        for event in events:
            self._ledger.write(alias, event)

        async def append() -> None:
            self._cluster.world.note("append", count)
            try:
                last = await node.append_many(values, replicas=replicas)
            except StoreFullError:
                raise
            except StoreError as error:
                if alias not in self._cluster.halted:  # an application that cannot write any more stops
                    member.give_up(error)
                raise
            self._cluster.acknowledge(alias, last + 1 - count, events)

        try:
            await member.host.call(append)
        except HostDiedError:
            _unknown()
            return False
        except StoreError:
            _refused()
            return False
        return True


def _filling(number: int, size: int) -> bytes:
    """So many bytes, no sector of them all zeros: where one is missing on a preallocated file, that shows."""
    pattern = b"%08x" % number
    return (pattern * (size // len(pattern) + 1))[:size]
