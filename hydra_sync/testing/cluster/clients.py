"""The clients of a cluster: they write, and insist until a node has acknowledged. Runs in a world."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import trio

from hydra_sync.encoding import encode_event
from hydra_sync.errors import StoreError, StoreFullError
from hydra_sync.testing.cluster.member import Member
from hydra_sync.testing.cluster.state import ClusterState
from hydra_sync.testing.signals import reachable
from hydra_sync.testing.world.clock import SECOND, nanoseconds
from hydra_sync.testing.world.host import HostDiedError

__all__ = ["Clients"]

RETRY_S: Final = 0.5

_refused = reachable("an append fails", cluster=True)
_unknown = reachable("a node dies while an append is under way", cluster=True)


class Clients:
    """Those of one cluster."""

    def __init__(self, state: ClusterState, members: Mapping[str, Member], nursery: trio.Nursery) -> None:
        self._state = state
        self._members = members
        self._nursery = nursery

    async def write(self, alias: str, *, count: int, size: int, replicas: int, together: int) -> None:
        """See `Cluster.write`."""
        self._begin(alias)
        await self._insist(alias, count=count, size=size, replicas=replicas, together=together)

    def start_writing(self, alias: str, *, count: int, size: int, replicas: int, together: int) -> None:
        """See `Cluster.start_writing`. It is pending on return, so that one may wait until it is not."""
        self._begin(alias)
        task = partial(self._insist, alias, count=count, size=size, replicas=replicas, together=together)
        self._nursery.start_soon(task)

    def _begin(self, alias: str) -> None:
        self._state.require(alias)
        self._state.pending[alias] += 1

    async def _insist(self, alias: str, *, count: int, size: int, replicas: int, together: int) -> None:
        state = self._state
        try:
            while count > 0:
                some = min(together, count)
                if await self._append(alias, some, size, replicas):
                    count -= some
                elif alias in state.halted and not state.is_sound(alias):
                    return
                else:
                    await trio.sleep(RETRY_S)
        finally:
            self._state.pending[alias] -= 1

    async def chatter(self, operations: int, seconds: float) -> None:
        """See `Cluster.start_chatter`."""
        state = self._state
        dice = state.world.random("chatter")
        began_ns, span_ns = state.world.clock.now_ns, max(1, nanoseconds(seconds))
        for moment_ns in sorted(dice.below(span_ns) for _ in range(operations)):
            await trio.sleep(max(0, began_ns + moment_ns - state.world.clock.now_ns) / SECOND)
            correct = [alias for alias in state.aliases if alias not in state.hostile]
            alias, together = dice.pick(correct), dice.pick((1, 1, 1, 2, 5))
            size, replicas = dice.pick((0, 0, 100, 1000, 5000)), dice.pick((0, 0, 0, min(1, len(state.aliases) - 1)))
            self.start_writing(alias, count=together, size=size, replicas=replicas, together=together)

    async def _append(self, alias: str, count: int, size: int, replicas: int) -> bool:
        """One append; whether it was acknowledged."""
        member = self._members[alias]
        node = await member.wait_open()
        first = len(self._state.ledger.written[alias])
        values = [[alias, number, _filling(number, size)] for number in range(first, first + count)]
        events = [encode_event(value) for value in values]
        for event in events:
            self._state.ledger.write(alias, event)

        async def append() -> None:
            self._state.world.note("append", count)
            try:
                last = await node.append_many(values, replicas=replicas)
            except StoreFullError:
                raise
            except StoreError as error:
                if alias not in self._state.halted:  # an application that cannot write any more stops
                    member.give_up(error)
                raise
            member.acknowledge(last + 1 - count, events)

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
