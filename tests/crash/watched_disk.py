"""A disk that knows how far each log is synced, and tells when a log is worked on. Does I/O through another disk.

A process killed with SIGKILL leaves its page cache behind, so killing alone cannot show that a sync was
forgotten. This disk can: what a node shows or acknowledges has to be synced *here* before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from hydra_sync.batch import parse_batch, record_size
from hydra_sync.disk import Disk, File, Lock, OpenMode
from hydra_sync.errors import FormatError

__all__ = ["Act", "SyncedLog", "WatchedDisk"]

Act = Literal["write", "sync"]

PAGE_BYTES: Final = 4096


@dataclass(slots=True)
class SyncedLog:
    """How far the events of one log are synced, by the bytes that went to the disk."""

    written_stop: int = 0
    synced_stop: int = 0
    unsynced: dict[Path, int] = field(default_factory=dict)
    """Segments with writes that no sync covers yet, and how many writes."""

    def opened(self, next_seq: int) -> None:
        """The log was opened and ends at ``next_seq``: nothing it shows may wait for a sync."""
        assert not self.unsynced, f"a log shows {next_seq} events and has not synced {sorted(self.unsynced)}"
        self.written_stop = self.synced_stop = next_seq

    def require(self, next_seq: int, what: str) -> None:
        """Fail unless all events before ``next_seq``, which are ``what`` now, are synced."""
        assert next_seq <= self.synced_stop, (
            f"events up to seq {next_seq} are {what}, but only those up to {self.synced_stop} are synced "
            f"and those up to {self.written_stop} written"
        )

    def wrote(self, path: Path, data: bytes) -> None:
        """Bytes went to a segment: zeros that make room, or whole records."""
        self.unsynced[path] = self.unsynced.get(path, 0) + 1
        stop = _last_stop(data)
        if stop is not None:
            self.written_stop = stop

    def synced(self, path: Path, writes: int, stop: int) -> None:
        """A sync is done that began after so many ``writes``, when events up to ``stop`` were written."""
        left = self.unsynced.pop(path, 0) - writes
        if left > 0:
            self.unsynced[path] = left
        self.synced_stop = max(self.synced_stop, stop)


class WatchedDisk:
    """Another disk, watched: ``logs`` by the name of their directory.

    ``during`` gives the context in which a segment of a log is written or synced. Writes are done page
    by page, as a kernel may, so that a kill can come between.
    """

    def __init__(
        self,
        disk: Disk,
        during: Callable[[str, Act], AbstractContextManager[None]] = lambda _log, _act: nullcontext(),
    ) -> None:
        self.logs: dict[str, SyncedLog] = {}
        self.during = during
        self._disk = disk

    async def open(self, path: Path, mode: OpenMode) -> File:
        file = await self._disk.open(path, mode)
        if path.suffix != ".log" or mode == "read":
            return file
        log = self.logs.setdefault(path.parent.name, SyncedLog())
        return _WatchedFile(file, path, log, self.during)

    async def list_dir(self, path: Path) -> list[str]:
        return await self._disk.list_dir(path)

    async def make_dir(self, path: Path) -> None:
        await self._disk.make_dir(path)

    async def rename(self, source: Path, target: Path) -> None:
        await self._disk.rename(source, target)

    async def remove(self, path: Path) -> None:
        await self._disk.remove(path)

    async def sync_dir(self, path: Path) -> None:
        await self._disk.sync_dir(path)

    async def lock(self, path: Path, holder: str) -> Lock:
        return await self._disk.lock(path, holder)


class _WatchedFile:
    def __init__(
        self, file: File, path: Path, log: SyncedLog, during: Callable[[str, Act], AbstractContextManager[None]]
    ) -> None:
        self._file = file
        self._path = path
        self._log = log
        self._during = during

    async def read_at(self, offset: int, size: int) -> bytes:
        return await self._file.read_at(offset, size)

    async def write_at(self, offset: int, data: bytes) -> None:
        with self._during(self._path.parent.name, "write"):
            at = 0
            while at < len(data):
                size = PAGE_BYTES - (offset + at) % PAGE_BYTES
                await self._file.write_at(offset + at, data[at : at + size])
                at += size
        self._log.wrote(self._path, data)

    async def sync(self) -> None:
        writes, stop = self._log.unsynced.get(self._path, 0), self._log.written_stop
        with self._during(self._path.parent.name, "sync"):
            await self._file.sync()
        self._log.synced(self._path, writes, stop)

    async def truncate(self, size: int) -> None:
        await self._file.truncate(size)
        self._log.wrote(self._path, b"")

    async def size(self) -> int:
        return await self._file.size()

    def close(self) -> None:
        self._file.close()


def _last_stop(data: bytes) -> int | None:
    """Where the last of these whole records ends, None if the bytes are something else."""
    at, last = 0, None
    try:
        while at < len(data):
            size = record_size(data, at)
            if size is None or at + size > len(data):
                return None
            at, last = at + size, data[at : at + size]
        return parse_batch(last).header.stop if last is not None else None
    except FormatError:
        return None
