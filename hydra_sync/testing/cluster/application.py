"""An application of yours on the nodes of a cluster, in each process beside the node. Runs in a world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from hydra_sync.node import Node

if TYPE_CHECKING:
    from hydra_sync.testing.cluster.cluster import Cluster

__all__ = ["Application", "NotedNode"]

Application = Callable[["Cluster", str, Node], Awaitable[None]]
"""Called with the cluster, the member's alias and its node, in the node's process, once in the life of each."""


class NotedNode(Node):
    """The same node; what is appended through it goes into the cluster's ledger, for the invariants to compare."""

    def __init__(self, cluster: Cluster, alias: str, node: Node) -> None:
        super().__init__(node._engine, node._meeting)  # noqa: SLF001  it is that node
        self._cluster = cluster
        self._alias = alias

    async def append_encoded(self, events: Sequence[bytes], *, replicas: int = 0) -> int:
        for event in events:
            self._cluster.ledger.write(self._alias, event)
        last = await super().append_encoded(events, replicas=replicas)
        self._cluster.acknowledge(self._alias, last + 1 - len(events), list(events))
        return last
