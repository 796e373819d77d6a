"""Which files of a persistence directory hold a history, and in which order. Does I/O: lists directories.

``state``                     events (since 0.12), or the whole state of a head (up to 0.11)
``state-<id>``                events before a rotation (since 0.22)
``state.migrated``            the events that went into ``hydra.db`` (since 2.1)
``old-state/hydra-<id>.db``   events before a rotation (since 2.1)
``hydra.db``                  events (since 2.1)
``server-output``             what clients were told; it is read only where ``state`` is the state of a head, because
                              elsewhere it follows from the events
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hydra_sync.errors import UsageError
from hydra_sync.importer.database import Database
from hydra_sync.importer.lines import Lines
from hydra_sync.importer.sources import Form, Source

__all__ = ["find_sources", "server_output"]

STATE: Final = "state"
MIGRATED: Final = "state.migrated"
OUTPUTS: Final = "server-output"
ROTATED_LINES: Final = re.compile(r"state-(\d{1,20})")
ROTATED_DATABASE: Final = re.compile(r"hydra-(\d{1,20})\.db")
LOOKED_FOR: Final = "state, state-<id>, state.migrated, hydra.db and old-state/hydra-<id>.db"


def find_sources(directory: Path) -> list[Source]:
    """The files that hold events, the oldest first as far as names tell. Raises `UsageError` if there are none."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory: name the --persistence-dir of a hydra-node")
    found = list(_sources(directory))
    if not found:
        raise UsageError(f"{directory} is not the persistence directory of a hydra-node: none of {LOOKED_FOR} is in it")
    return found


def server_output(directory: Path) -> Source | None:
    """The file of what clients were told, if it is there."""
    path = directory / OUTPUTS
    return Lines(path, OUTPUTS, Form.OUTPUT) if path.is_file() else None


def _sources(directory: Path) -> Iterator[Source]:
    for path in _rotated(directory, ROTATED_LINES):
        yield Lines(path, path.name)
    if (directory / MIGRATED).is_file():
        yield Lines(directory / MIGRATED, MIGRATED)
    for path in _rotated(directory / "old-state", ROTATED_DATABASE):
        yield Database(path, f"old-state/{path.name}")
    if (directory / "hydra.db").is_file():
        yield Database(directory / "hydra.db", "hydra.db")
    if (directory / STATE).is_file():
        yield Lines(directory / STATE, STATE)


def _rotated(directory: Path, name: re.Pattern[str]) -> list[Path]:
    """The rotated files, by the event at which they were."""
    if not directory.is_dir():
        return []
    found = [(int(match[1]), path) for path in directory.iterdir() if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found) if path.is_file()]
