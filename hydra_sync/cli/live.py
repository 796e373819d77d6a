"""What a running node is doing, for commands beside it, and for who waits at its terminal. Does I/O.

The node's process writes ``status.json`` into the store's directory when its status changes. It is no part
of the store: it may be stale, so it counts only while the process that wrote it holds the store.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from hydra_sync.config import Config
from hydra_sync.disk import lock_holder
from hydra_sync.node import Node, explain, explain_start
from hydra_sync.store.layout import LOCK
from hydra_sync.tasks import open_tasks

__all__ = ["Live", "publish_status", "read_live", "tell_waits"]

STATUS_FILE: Final = "status.json"
STATUS_S: Final = 1.0  # between two versions of the file
WAIT_S: Final = 3.0  # a start that takes no longer is not worth a word
GLANCE_S: Final = 0.5  # between two looks at a start that waits


@dataclass(frozen=True, slots=True)
class Live:
    """What a running node said of itself not long ago."""

    status: dict[str, Any]
    words: tuple[str, ...]


@asynccontextmanager
async def publish_status(node: Node) -> AsyncIterator[None]:
    """Keep ``status.json`` true while the block lasts; it is removed at its end."""
    path = node.config.persistence_dir / STATUS_FILE
    async with open_tasks() as nursery:
        nursery.start_soon(_write_changes, node, path)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
            with suppress(OSError):
                path.unlink()


async def _write_changes(node: Node, path: Path) -> None:
    written = ""
    while True:
        status = node.status()
        fields = {"pid": os.getpid(), "status": status.to_json(), "explain": explain(status)}
        if (text := json.dumps(fields)) != written:
            with suppress(OSError):  # a full disk shows elsewhere
                new = path.with_name(path.name + ".new")
                new.write_text(text)  # not synced: after a crash nobody wants to know
                new.replace(path)
                written = text
        await trio.sleep(STATUS_S)


def read_live(config: Config) -> Live | None:
    """What the node that has the store now says; None if none runs, or says nothing yet."""
    holder = lock_holder(config.persistence_dir / LOCK)
    if holder is None:
        return None
    try:
        fields = json.loads((config.persistence_dir / STATUS_FILE).read_text())
    except (OSError, ValueError):
        return None
    match fields:
        case {"pid": int(pid), "status": dict(status), "explain": list(words)} if holder.startswith(f"process {pid} "):
            return Live(status, tuple(map(str, words)))
    return None


async def tell_waits(node: Node, tell: Callable[[Sequence[str]], None]) -> None:
    """Tell why the node does not append yet, if that takes long, and again when the reason changes."""
    await trio.sleep(WAIT_S)
    told: Sequence[str] = ()
    while True:
        status = node.status()
        lines = () if status.start.ready else explain_start(status)
        if lines and lines != told:
            tell(lines)
        told = lines
        await trio.sleep(GLANCE_S)
