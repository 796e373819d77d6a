"""A node that runs on a terminal until it is stopped, and what stops it. Does I/O."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from hydra_sync.cli.live import publish_status, tell_waits
from hydra_sync.cli.node_output import NodeOutput
from hydra_sync.cli.output import LineWriter, open_writers
from hydra_sync.config import Config
from hydra_sync.node import Node, open_node
from hydra_sync.sync import Notice
from hydra_sync.tasks import open_tasks

__all__ = ["run_node", "until_signal"]


@asynccontextmanager
async def run_node(
    config: Config, output: NodeOutput, observe: Callable[[Notice], None]
) -> AsyncIterator[tuple[Node, trio.Nursery]]:
    """The node, running and telling its story, and a nursery whose end stops it: as a signal does, or a lost reader.

    ``observe`` is called with every notice.
    """
    async with (
        open_writers((output.out, output.err)),
        open_node(config, observe=observe) as node,
        publish_status(node),
        open_tasks() as nursery,
    ):
        nursery.start_soon(until_signal, nursery.cancel_scope)
        nursery.start_soon(_until_taken, node, output)
        nursery.start_soon(tell_waits, node, output.waits)
        for writer in (output.out, output.err):
            nursery.start_soon(_until_closed, writer, nursery.cancel_scope)
        output.ready(node)
        yield node, nursery


async def until_signal(scope: trio.CancelScope) -> None:
    """Cancel the scope on Ctrl-C, or when asked to end."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def _until_taken(node: Node, output: NodeOutput) -> None:
    """The older of two processes with one key ends: it could append nothing, and would be in the other's way."""
    await output.taken.wait()
    await node.wait_started()  # raises, and says why


async def _until_closed(writer: LineWriter, scope: trio.CancelScope) -> None:
    await writer.closed.wait()
    scope.cancel()
