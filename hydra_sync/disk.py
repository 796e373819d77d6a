"""The disk seam: the few file operations the store is built on, and the real ones. Does I/O.

Every call is a point where a node may crash; `hydra_sync.testing` has the twin that does. Paths
are absolute. Errors are the operating system's (`OSError`), which the store translates.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import trio

__all__ = ["Disk", "File", "Lock", "OpenMode", "RealDisk", "lock_holder"]

OpenMode = Literal["read", "write", "create"]
"""``read`` and ``write`` need the file to exist, ``create`` needs it not to; the last two may write."""

INLINE_BYTES: Final = 64 << 10  # copying so little to or from the page cache beats a thread switch

LOCK_TRIES: Final = 3
LOCK_RETRY_S: Final = 0.05

T = TypeVar("T")


class File(Protocol):
    """An open file. Concurrent calls are allowed; each acts at its own offset."""

    async def read_at(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes, fewer only where the file ends."""

    async def write_at(self, offset: int, data: bytes) -> None:
        """Write all of ``data``, growing the file as needed. Not durable before `sync`."""

    async def sync(self) -> None:
        """Return when what was written before is durable (fdatasync). After an error nothing
        about those writes is known: never retry, never trust."""

    async def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes. Not durable before `sync`."""

    async def size(self) -> int:
        """Bytes in the file now."""

    def close(self) -> None:
        """Close without syncing. Idempotent."""


class Lock(Protocol):
    """A lock that dies with its process."""

    def release(self) -> None:
        """Give the lock up. Idempotent."""


class Disk(Protocol):
    """The file operations a store needs."""

    async def open(self, path: Path, mode: OpenMode) -> File:
        """Open a file; see `OpenMode`."""

    async def list_dir(self, path: Path) -> list[str]:
        """Names in a directory, sorted. `FileNotFoundError` if there is no such directory."""

    async def make_dir(self, path: Path) -> None:
        """Make a directory and its parents; nothing happens where it exists.

        Durable after `sync_dir` of its parent, and of the parent of each parent that was made with it.
        """

    async def rename(self, source: Path, target: Path) -> None:
        """Replace ``target`` atomically. Durable after `sync_dir` of the parent."""

    async def remove(self, path: Path) -> None:
        """Remove a file. Durable after `sync_dir` of the parent."""

    async def sync_dir(self, path: Path) -> None:
        """Return when creations, renames and removals in this directory are durable.

        That is, the names in it: the directory's own name is its parent's, which is to be synced for it, too.
        """

    async def lock(self, path: Path, holder: str) -> Lock:
        """Lock the file for this process, creating it, and leave ``holder`` in it for others to read.

        Raises `BlockingIOError`, whose ``strerror`` is the present holder's text, if it is taken.
        """


async def _in_thread(call: Callable[[], T]) -> T:
    # Not abandoned on cancel: a write or a sync under way is finished before we go on.
    return await trio.to_thread.run_sync(call)


class RealDisk:
    """The operating system's disk, its blocking calls in threads."""

    async def open(self, path: Path, mode: OpenMode) -> File:
        flags = {"read": os.O_RDONLY, "write": os.O_RDWR, "create": os.O_RDWR | os.O_CREAT | os.O_EXCL}
        return _RealFile(os.open(path, flags[mode] | os.O_CLOEXEC, 0o644))

    async def list_dir(self, path: Path) -> list[str]:
        return await _in_thread(lambda: sorted(entry.name for entry in path.iterdir()))

    async def make_dir(self, path: Path) -> None:
        await _in_thread(lambda: path.mkdir(parents=True, exist_ok=True))

    async def rename(self, source: Path, target: Path) -> None:
        await _in_thread(lambda: source.replace(target))

    async def remove(self, path: Path) -> None:
        await _in_thread(path.unlink)

    async def sync_dir(self, path: Path) -> None:
        def sync() -> None:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

        await _in_thread(sync)

    async def lock(self, path: Path, holder: str) -> Lock:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            await _flock(fd)
        except BlockingIOError as error:
            other = _read_holder(fd)
            os.close(fd)
            raise BlockingIOError(error.errno, other) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()} ({holder})".encode(), 0)
        return _RealLock(fd)


class _RealFile:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def read_at(self, offset: int, size: int) -> bytes:
        def read() -> bytes:
            parts = []
            at, left = offset, size
            while left > 0 and (part := os.pread(self._fd, left, at)):
                parts.append(part)
                at, left = at + len(part), left - len(part)
            return b"".join(parts)

        if size <= INLINE_BYTES:
            await trio.lowlevel.checkpoint()
            return read()
        return await _in_thread(read)

    async def write_at(self, offset: int, data: bytes) -> None:
        def write() -> None:
            at, left = offset, memoryview(data)
            while left:
                done = os.pwrite(self._fd, left, at)
                at, left = at + done, left[done:]

        if len(data) <= INLINE_BYTES:
            await trio.lowlevel.checkpoint()
            write()
        else:
            await _in_thread(write)

    async def sync(self) -> None:
        await _in_thread(lambda: os.fdatasync(self._fd))

    async def truncate(self, size: int) -> None:
        await _in_thread(lambda: os.ftruncate(self._fd, size))

    async def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _RealLock:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lock_holder(path: Path) -> str | None:
    """Who holds the lock on the real file at ``path``, None if nobody does. Takes no lock for longer than a glance."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(fd)
    finally:
        os.close(fd)
    return None


async def _flock(fd: int) -> None:
    for _ in range(LOCK_TRIES - 1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await trio.sleep(LOCK_RETRY_S)  # it may be `lock_holder`, and a glance is over soon
        else:
            return
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_holder(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode(errors="replace").strip() or "an unknown process"
