"""An application of yours on the nodes of a cluster, in each process beside the node. Runs in a world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from hydra_sync.node import Node

__all__ = ["NotedNode", "Program"]

Program = Callable[[Node], Awaitable[None]]
"""What runs beside the node of one member."""


class NotedNode(Node):
    """The same node; what is appended through it is written down, for the invariants to compare."""

    def __init__(
        self, node: Node, write: Callable[[bytes], None], acknowledge: Callable[[int, list[bytes]], None]
    ) -> None:
        super().__init__(node._engine, node._meeting)  # noqa: SLF001  it is that node
        self._write = write
        self._acknowledge = acknowledge

    async def append_encoded(self, events: Sequence[bytes], *, replicas: int = 0) -> int:
        for event in events:
            self._write(event)
        last = await super().append_encoded(events, replicas=replicas)
        self._acknowledge(last + 1 - len(events), list(events))
        return last
