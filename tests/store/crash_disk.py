"""A disk in memory that crashes: what was not synced is lost, torn or reordered, sector by sector."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from hydra_sync.disk import File, Lock, OpenMode

SECTOR = 512


@dataclass(eq=False)
class Inode:
    """Bytes as a process sees them, and as they would be after a loss of power."""

    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)


class MemoryDisk:
    """The disk seam in memory, with counters, faults, and `crash`.

    ``fault`` is called before every operation with its name and path, and may raise `OSError`.
    """

    def __init__(self) -> None:
        self.names: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self.dirs: set[Path] = set()
        self.durable_dirs: set[Path] = set()
        self.syncs = 0
        self.bytes_read = 0
        self.file_bytes_max = 1 << 30  # a write beyond it stops there: the disk is full
        self.gate: trio.Event | None = None  # syncs wait for it
        self.fault: Callable[[str, Path], None] = lambda name, path: None
        self.locks: dict[Path, str] = {}

    async def begin(self, name: str, path: Path) -> None:
        await trio.lowlevel.checkpoint()
        self.fault(name, path)

    async def open(self, path: Path, mode: OpenMode) -> File:
        await self.begin("open", path)
        if mode == "create":
            if path in self.names:
                raise FileExistsError(path)
            if path.parent not in self.dirs:
                raise FileNotFoundError(path)
            self.names[path] = Inode()
        if path not in self.names:
            raise FileNotFoundError(path)
        return MemoryFile(self, path, self.names[path], mode)

    async def list_dir(self, path: Path) -> list[str]:
        await self.begin("list_dir", path)
        if path not in self.dirs:
            raise FileNotFoundError(path)
        return sorted(p.name for p in [*self.names, *self.dirs] if p.parent == path and p != path)

    async def make_dir(self, path: Path) -> None:
        await self.begin("make_dir", path)
        self.dirs |= {path, *path.parents}

    async def rename(self, source: Path, target: Path) -> None:
        await self.begin("rename", source)
        self.names[target] = self.names.pop(source)

    async def remove(self, path: Path) -> None:
        await self.begin("remove", path)
        if path not in self.names:
            raise FileNotFoundError(path)
        del self.names[path]

    async def sync_dir(self, path: Path) -> None:
        await self.begin("sync_dir", path)
        for known, now in ((self.durable_names, self.names),):
            for name in [p for p in known if p.parent == path and p not in now]:
                del known[name]
            known.update({p: inode for p, inode in now.items() if p.parent == path})
        self.durable_dirs |= {p for p in self.dirs if p.parent == path}

    async def lock(self, path: Path, holder: str) -> Lock:
        await self.begin("lock", path)
        if path in self.locks:
            raise BlockingIOError(errno.EAGAIN, self.locks[path])
        self.locks[path] = holder
        return MemoryLock(self, path)

    def kill(self) -> None:
        """The process dies, the machine lives: everything written is still there, synced or not."""
        self.locks.clear()

    def crash(self, random: Random) -> None:
        """Power is lost: of what was not synced, each sector and each name survives or not."""
        self.kill()
        kept = dict(self.durable_names)
        for path in sorted({*self.names, *kept}):
            if self.names.get(path) is not kept.get(path) and random.random() < 0.5:
                if path in self.names:
                    kept[path] = self.names[path]
                else:
                    del kept[path]
        self.dirs = {p for p in self.dirs if p in self.durable_dirs or random.random() < 0.5}
        self.dirs = {p for p in self.dirs if all(q in self.dirs for q in p.parents)}
        self.names = {path: inode for path, inode in kept.items() if path.parent in self.dirs}
        self.durable_names, self.durable_dirs = dict(self.names), set(self.dirs)
        for path in sorted(self.names):
            _lose_sectors(self.names[path], random)


def _lose_sectors(inode: Inode, random: Random) -> None:
    size = random.choice([len(inode.live), len(inode.durable)])
    luck = random.choice([0.0, 0.5, 1.0])
    after = bytearray(size)
    for at in range(0, size, SECTOR):
        source = inode.live if random.random() < luck else inode.durable
        part = source[at : min(at + SECTOR, size)]
        after[at : at + len(part)] = part
    inode.live, inode.durable = after, bytearray(after)


class MemoryFile:
    def __init__(self, disk: MemoryDisk, path: Path, inode: Inode, mode: OpenMode) -> None:
        self.disk, self.path, self.inode, self.mode = disk, path, inode, mode

    async def read_at(self, offset: int, size: int) -> bytes:
        await self.disk.begin("read_at", self.path)
        data = bytes(self.inode.live[offset : offset + size])
        self.disk.bytes_read += len(data)
        return data

    async def write_at(self, offset: int, data: bytes) -> None:
        await self.disk.begin("write_at", self.path)
        assert self.mode != "read"
        live = self.inode.live
        if len(live) < offset:
            live.extend(bytes(offset - len(live)))
        fits = data[: max(0, self.disk.file_bytes_max - offset)]
        live[offset : offset + len(fits)] = fits
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, "full")

    async def sync(self) -> None:
        wanted = bytearray(self.inode.live)
        self.disk.syncs += 1
        await self.disk.begin("sync", self.path)
        if self.disk.gate is not None:
            await self.disk.gate.wait()
        self.inode.durable = wanted

    async def truncate(self, size: int) -> None:
        await self.disk.begin("truncate", self.path)
        del self.inode.live[size:]

    async def size(self) -> int:
        await self.disk.begin("size", self.path)
        return len(self.inode.live)

    def close(self) -> None:
        return


class MemoryLock:
    def __init__(self, disk: MemoryDisk, path: Path) -> None:
        self.disk, self.path = disk, path

    def release(self) -> None:
        self.disk.locks.pop(self.path, None)
