"""What a running node is doing, for commands beside it, and for who waits at its terminal. Does I/O.

The node's process writes ``status.json`` into the store's directory when its status changes, and gives it the
time of day as long as it does not. It is no part of the store: it may be stale, so it counts only while the
process that wrote it holds the store, and who reads it is told its age.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from hydra_sync.config import Config
from hydra_sync.disk import lock_holder
from hydra_sync.node import Node, Status, explain, explain_start
from hydra_sync.store.layout import LOCK
from hydra_sync.tasks import open_tasks

__all__ = ["Live", "publish_status", "read_live", "tell_waits"]

STATUS_FILE: Final = "status.json"
STATUS_S: Final = 1.0  # between two versions of the file, if nothing is pressing
PRESSING_S: Final = 0.1  # between two looks for what is: the node is ready, or has another warning
AGE_S: Final = 5.0  # what is older than this is not what the node says now
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
    written, told, due = "", None, trio.current_time()
    while True:
        status = node.status()
        pressing = status.start.ready, status.warnings
        if pressing != told or trio.current_time() >= due:
            written = _write(path, status, written)
            told, due = pressing, trio.current_time() + STATUS_S
        await trio.sleep(PRESSING_S)


def _write(path: Path, status: Status, written: str) -> str:
    """Write the status, or only the time if it is as it was ``written``; returns what is in the file then."""
    text = json.dumps({"pid": os.getpid(), "status": status.to_json(), "explain": explain(status)})
    new = path.with_name(path.name + ".new")
    try:
        if text == written:
            os.utime(path)
        else:
            new.write_text(text)  # not synced: after a crash nobody wants to know
            new.replace(path)
    except OSError:  # on a full disk, say: better nothing than what is true no more
        for file in (new, path):
            with suppress(OSError):
                file.unlink()
        return ""
    return text


def read_live(config: Config) -> Live | None:
    """What the node that has the store now says; None if none runs, or it says nothing at the moment."""
    holder = lock_holder(config.persistence_dir / LOCK)
    if holder is None:
        return None
    path = config.persistence_dir / STATUS_FILE
    try:
        fields, age_s = json.loads(path.read_text()), time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    match fields:
        case {"pid": int(pid), "status": dict(status), "explain": list(words)} if holder.startswith(f"process {pid} "):
            old = [f"this was so {age_s:.0f} s ago: {holder} has said nothing since"] if age_s > AGE_S else []
            return Live(status | {"warnings": old + status["warnings"]}, (*old, *map(str, words)))
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
