"""The simulated twin of `hydra_sync.disk.Disk`: a disk per host, with everything that disks do wrong.

Does no real I/O. Every call is a point where a crash may be armed, and takes a little virtual time: what
short ones take adds up, and is waited for by the call that makes it `PATIENCE_NS`.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

import trio

from hydra_sync.disk import File, Lock, OpenMode
from hydra_sync.errors import UsageError
from hydra_sync.testing.world.clock import MS, US
from hydra_sync.testing.world.engine import Engine
from hydra_sync.testing.world.incarnation import Incarnation, current_incarnation
from hydra_sync.testing.world.operations import NOTHING, Operation, Strike, effects_of, run_phase
from hydra_sync.testing.world.platter import SECTOR_BYTES, Fate, Image, Keep, Platter, SimFileNode
from hydra_sync.testing.world.trace import content_hash

__all__ = ["DISK_EFFECTS", "DiskSpeed", "SimDisk"]

DISK_EFFECTS: Final = ("read_error", "write_error", "sync_error", "sync_lie", "misdirect")
"""What a strike can make one call do wrong: the ``effect`` of `Operations.arm`."""


PATIENCE_NS: Final = 100 * US
"""Short calls, as writes into the page cache, add up; the call that brings the sum to this waits for all of them."""


@dataclass(frozen=True, slots=True)
class DiskSpeed:
    """How long calls take; each varies from half to one and a half of it."""

    read_ns: int = 50 * US
    write_ns: int = 20 * US
    sync_ns: int = MS
    entry_ns: int = 30 * US  # open, rename and the like


class SimDisk:
    """A disk. It outlives the processes of its host; what it holds between them is in `Platter`."""

    def __init__(self, engine: Engine, host: str, *, sector_bytes: int = SECTOR_BYTES) -> None:
        self.speed = DiskSpeed()
        self.capacity_bytes: int | None = None  # None: never full
        self._owed_ns = 0  # what short calls have taken, and nobody has waited for yet
        self.lies = False  # every sync returns at once, and nothing is durable
        self._engine = engine
        self._host = host
        self._stream = engine.streams[f"disk {host}"]
        self._platter = Platter(sector_bytes)
        self._locks: dict[str, tuple[Incarnation | None, str]] = {}

    # The twin

    async def open(self, path: Path, mode: OpenMode) -> File:
        due = await self._begin("open", path, self.speed.entry_ns)
        node = self._platter.create(path) if mode == "create" else self._platter.file(path)
        await self._end(due)
        return _SimFile(self, node, path, mode)

    async def list_dir(self, path: Path) -> list[str]:
        due = await self._begin("list_dir", path, self.speed.entry_ns)
        names = sorted(self._platter.directory(path).entries)
        await self._end(due)
        return names

    async def make_dir(self, path: Path) -> None:
        due = await self._begin("make_dir", path, self.speed.entry_ns)
        self._platter.make_directory(path)
        await self._end(due)

    async def rename(self, source: Path, target: Path) -> None:
        due = await self._begin("rename", target, self.speed.entry_ns)
        self._platter.rename(source, target)
        await self._end(due)

    async def remove(self, path: Path) -> None:
        due = await self._begin("remove", path, self.speed.entry_ns)
        self._platter.remove(path)
        await self._end(due)

    async def sync_dir(self, path: Path) -> None:
        due = await self._begin("sync_dir", path, self.speed.sync_ns)
        directory = self._platter.directory(path)
        if "sync_error" in effects_of(due):
            self._engine.bit("disk.sync_error")
            raise _error(errno.EIO, path)
        if self._lying(due):
            self._engine.bit("disk.sync_lie")
        else:
            changes = self._platter.sync_entries(directory)
            self._engine.row("sync_dir", self._host, (str(path), changes))
        await self._end(due)

    async def lock(self, path: Path, holder: str) -> Lock:
        due = await self._begin("lock", path, self.speed.entry_ns)
        taken = self._locks.get(str(path))
        if taken is not None:
            raise BlockingIOError(errno.EWOULDBLOCK, taken[1])
        self._write_holder(path, holder)
        self._locks[str(path)] = current_incarnation(), holder
        await self._end(due)
        return _SimLock(self._locks, str(path))

    # What may go wrong, and what a test may look at

    def crash(self, keep: Keep) -> Fate:
        """The process is gone, and its locks; unless ``keep`` is ``cache``, the page cache is, too."""
        self._locks.clear()
        self._owed_ns = 0
        fate = self._platter.crash(keep, self._stream)
        for name in ("lost", "kept", "torn", "entries_lost", "entries_kept"):
            if count := getattr(fate, name):
                self._engine.effects[f"disk.{name}"] += count
        counts = fate.lost, fate.kept, fate.torn, fate.entries_lost, fate.entries_kept
        self._engine.row("disk", self._host, (keep, *counts, self._fingerprint()))
        return fate

    def rot(self, pattern: str = "*", *, offset: int | None = None) -> bool:
        """Flip one durable bit in a file whose path matches; by chance where. False if there is none to flip."""
        files = [
            (path, node)
            for path, node in self._platter.files(durable=True)
            if PurePath(path).match(pattern) and len(node.durable) > (offset or 0)
        ]
        if not files:
            return False
        path, node = self._stream.pick(files)
        at = self._stream.below(len(node.durable)) if offset is None else offset
        self._platter.rot(node, at, 1 << self._stream.below(8))
        self._engine.bit("disk.rot")
        self._engine.row("rot", self._host, (path, at))
        return True

    def image(self, *, durable: bool = False) -> Image:
        """A copy of the disk as one sees it, or as it would be after a crash that loses all unsynced."""
        return self._platter.image(durable=durable)

    def replace(self, image: Image) -> None:
        """Hold this instead: a restored backup, or with an empty image a new disk."""
        self._platter.replace(image)
        self._engine.row("replace", self._host, (self._fingerprint(),))

    @property
    def used_bytes(self) -> int:
        """What counts against ``capacity_bytes``."""
        return self._platter.used_bytes

    # Calls on open files

    async def read_file(self, node: SimFileNode, path: Path, offset: int, size: int) -> bytes:
        due = await self._begin("read", path, self.speed.read_ns)
        if "read_error" in effects_of(due):
            self._engine.bit("disk.read_error")
            raise _error(errno.EIO, path)
        data = bytes(node.cache[offset : offset + size])
        await self._end(due)
        return data

    async def write_file(self, node: SimFileNode, path: Path, offset: int, data: bytes) -> None:
        data = bytes(data)
        due = await self._begin("write", path, self.speed.write_ns)
        effects = effects_of(due) if due else ()
        if "write_error" in effects:
            self._engine.bit("disk.write_error")
            raise _error(errno.EIO, path)
        room = self._room(node, offset)
        if room is not None and len(data) > room:
            self._platter.write(node, offset, data[:room])
            self._engine.bit("disk.full")
            raise _error(errno.ENOSPC, path)
        self._platter.write(node, offset, data, self._astray(node, offset) if "misdirect" in effects else 0)
        if due:
            await self._end(due)

    async def sync_file(self, node: SimFileNode, path: Path) -> None:
        newest = self._platter.newest
        due = await self._begin("sync", path, self.speed.sync_ns)
        if due and "sync_error" in effects_of(due):
            lost = self._platter.fail_sync(node, newest, self._stream)
            self._engine.bit("disk.sync_error")
            self._engine.row("sync_error", self._host, (str(path), lost))
            raise _error(errno.EIO, path)
        if self._lying(due):
            self._engine.bit("disk.sync_lie")
        else:
            self._engine.row("sync", self._host, (str(path), *self._platter.sync(node, newest)))
        if due:
            await self._end(due)

    async def truncate_file(self, node: SimFileNode, path: Path, size: int) -> None:
        due = await self._begin("truncate", path, self.speed.entry_ns)
        self._platter.truncate(node, size)
        await self._end(due)

    # Inside

    async def _begin(self, operation: Operation, path: Path, mean_ns: int) -> tuple[Strike, ...]:
        """A crash point, and the time that a call takes; in the order in which a real one would notice them."""
        await trio.lowlevel.checkpoint_if_cancelled()
        owner = self._owner()
        due = self._engine.operations.begin(self._host, operation, str(path))
        if due is not NOTHING:
            run_phase(due, "before")
            await _halt_if_dead(owner)
        self._owed_ns += mean_ns // 2 + self._stream.below(mean_ns) + 1
        if self._owed_ns >= PATIENCE_NS or due is not NOTHING:
            owed_ns, self._owed_ns = self._owed_ns, 0
            await self._engine.clock.sleep_uncancelled(owed_ns)
            self._owner()
        return due

    async def _end(self, due: tuple[Strike, ...]) -> None:
        if due is not NOTHING:
            run_phase(due, "after")
            await _halt_if_dead(current_incarnation())

    def _owner(self) -> Incarnation | None:
        owner = current_incarnation()
        if owner is not None and owner.host != self._host:
            raise UsageError(f"this is the disk of host {self._host!r}, used by code of host {owner.host!r}")
        if self._engine.ended or (owner is not None and owner.dead):
            raise OSError(errno.EIO, f"host {self._host} is dead")
        return owner

    def _lying(self, due: tuple[Strike, ...]) -> bool:
        return self.lies or (bool(due) and "sync_lie" in effects_of(due))

    def _room(self, node: SimFileNode, offset: int) -> int | None:
        """How many bytes at ``offset`` may be written before the disk is full; None for any number."""
        if self.capacity_bytes is None:
            return None
        free = max(0, self.capacity_bytes - self.used_bytes)
        return max(0, len(node.cache) - offset) + free

    def _astray(self, node: SimFileNode, offset: int) -> int:
        """To another sector of the same file, if it has any."""
        sectors = len(node.durable) // SECTOR_BYTES
        target = self._stream.below(sectors) if sectors else 0
        astray = (target - offset // SECTOR_BYTES) * SECTOR_BYTES
        if astray:
            self._engine.bit("disk.misdirect")
        return astray

    def _write_holder(self, path: Path, holder: str) -> None:
        try:
            node = self._platter.file(path)
        except FileNotFoundError:
            node = self._platter.create(path)
        self._platter.truncate(node, 0)
        self._platter.write(node, 0, holder.encode())

    def _fingerprint(self) -> str:
        parts = [f"{path} {content_hash(content or b'')}" for path, content in self.image().items()]
        return content_hash("\n".join(parts).encode())


class _SimFile:
    def __init__(self, disk: SimDisk, node: SimFileNode, path: Path, mode: OpenMode) -> None:
        self._disk = disk
        self._node = node
        self._path = path
        self._writable = mode != "read"
        self._closed = False

    async def read_at(self, offset: int, size: int) -> bytes:
        self._check()
        return await self._disk.read_file(self._node, self._path, offset, size)

    async def write_at(self, offset: int, data: bytes) -> None:
        self._check(write=True)
        await self._disk.write_file(self._node, self._path, offset, data)

    async def sync(self) -> None:
        self._check()
        await self._disk.sync_file(self._node, self._path)

    async def truncate(self, size: int) -> None:
        self._check(write=True)
        await self._disk.truncate_file(self._node, self._path, size)

    async def size(self) -> int:
        self._check()
        await trio.lowlevel.checkpoint()
        return len(self._node.cache)

    def close(self) -> None:
        self._closed = True

    def _check(self, *, write: bool = False) -> None:
        if self._closed or (write and not self._writable):
            raise _error(errno.EBADF, self._path)


class _SimLock:
    def __init__(self, locks: dict[str, tuple[Incarnation | None, str]], path: str) -> None:
        self._locks = locks
        self._path = path
        self._owned = True
        self._owner = current_incarnation()

    def release(self) -> None:
        if self._owned and not (self._owner is not None and self._owner.dead):
            self._locks.pop(self._path, None)
        self._owned = False


async def _halt_if_dead(owner: Incarnation | None) -> None:
    if owner is not None:
        await owner.halt_if_dead()


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
