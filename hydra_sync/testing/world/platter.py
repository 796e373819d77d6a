"""What a disk holds, and what of it survives a power cut. Pure: no I/O, no time.

Every file has two contents, the page cache and the platter; every directory has two lists of
names. A write or a rename changes the first at once and the second when it is synced, or at a
crash, if it happens to get there: in part, and in any order.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import PurePath
from typing import Final, Literal

from hydra_sync.testing.world.streams import Stream

__all__ = ["Directory", "Fate", "Image", "Keep", "Platter", "SECTOR_BYTES", "SimFileNode"]

SECTOR_BYTES: Final = 512  # what a disk writes wholly or not at all

Keep = Literal["random", "lost", "kept", "torn", "cache"]
"""What becomes of unsynced changes in a crash: each by chance, all lost, all kept, each write in
part; or all stay in the page cache, as when only the process is killed, and may be lost later."""

Image = dict[str, bytes | None]
"""A whole tree by path: the content of each file, None for each directory."""


@dataclass(slots=True)
class Fate:
    """How many unsynced changes survived a crash, wholly or in part."""

    lost: int = 0
    kept: int = 0
    torn: int = 0
    entries_lost: int = 0
    entries_kept: int = 0


@dataclass(slots=True)  # never changed; frozen ones take twice as long to make, and there is one a write
class _Change:
    """An unsynced write, or with no data a cut to ``offset`` bytes."""

    serial: int
    offset: int
    data: bytes | None
    astray: int = 0  # bytes by which the disk's arm misses

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
        else:
            _put(content, self.offset + self.astray, self.data)

    def apply_torn(self, content: bytearray, stream: Stream, sector: int) -> bool:
        """Apply some of the sectors; says whether there was anything to tear."""
        if self.data is None:
            return False
        pieces = list(_sectors(self.offset, len(self.data), sector))
        if len(pieces) < 2:
            return False
        written = _torn_choice(len(pieces), stream)
        for (start, stop), there in zip(pieces, written, strict=True):
            if there:
                _put(content, self.offset + self.astray + start, self.data[start:stop])
        return True


@dataclass(slots=True, eq=False)
class SimFileNode:
    """A file, by whatever name."""

    cache: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Directory:
    """The names in a directory: those one sees, and those on the platter."""

    entries: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)


Node = SimFileNode | Directory


@dataclass(frozen=True, slots=True)
class _EntryChange:
    """Names set or, with None, removed: all or none of them, as a journal does it."""

    names: tuple[tuple[Directory, str, Node | None], ...]

    def touches(self, directory: Directory) -> bool:
        return any(parent is directory for parent, _, _ in self.names)

    def apply(self) -> None:
        for directory, name, node in self.names:
            _set_entry(directory.durable, name, node)


class Platter:
    """A file system with a page cache. Errors are the `OSError` that the real one raises."""

    def __init__(self, sector_bytes: int = SECTOR_BYTES) -> None:
        self.used_bytes = 0
        self._sector_bytes = sector_bytes
        self._root = Directory()
        self._entry_changes: list[_EntryChange] = []
        self._serial = 0

    # Names

    def file(self, path: PurePath) -> SimFileNode:
        """The file of this name."""
        node = self._find(path)
        if isinstance(node, Directory):
            raise _error(errno.EISDIR, path)
        return node

    def directory(self, path: PurePath) -> Directory:
        """The directory of this name."""
        node = self._find(path)
        if not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, path)
        return node

    def create(self, path: PurePath) -> SimFileNode:
        """A new, empty file."""
        parent = self.directory(path.parent)
        if path.name in parent.entries:
            raise _error(errno.EEXIST, path)
        node = SimFileNode()
        self._change_entries((parent, path.name, node))
        return node

    def make_directory(self, path: PurePath) -> None:
        """A directory and its parents, as far as they are missing."""
        directory = self._root
        for name in path.parts[1:]:
            node = directory.entries.get(name)
            if node is None:
                node = Directory()
                self._change_entries((directory, name, node))
            if not isinstance(node, Directory):
                raise _error(errno.ENOTDIR, path)
            directory = node

    def rename(self, source: PurePath, target: PurePath) -> None:
        """Give a file another name, in place of what had it."""
        node, parent = self._find(source), self.directory(target.parent)
        replaced = parent.entries.get(target.name)
        if isinstance(replaced, Directory):
            raise _error(errno.EISDIR, target)
        if isinstance(replaced, SimFileNode) and replaced is not node:
            self.used_bytes -= len(replaced.cache)
        self._change_entries((self.directory(source.parent), source.name, None), (parent, target.name, node))

    def remove(self, path: PurePath) -> None:
        """Take a file's name away; who has it open can still use it."""
        self.used_bytes -= len(self.file(path).cache)
        self._change_entries((self.directory(path.parent), path.name, None))

    def sync_entries(self, directory: Directory) -> int:
        """Make the names in a directory durable; says how many changes that took."""
        due = [change for change in self._entry_changes if change.touches(directory)]
        for change in due:
            change.apply()
        self._entry_changes = [change for change in self._entry_changes if not change.touches(directory)]
        return len(due)

    # Contents

    def write(self, node: SimFileNode, offset: int, data: bytes, astray: int = 0) -> None:
        """Put bytes into the page cache. ``astray`` is by how much they will miss their place on the platter."""
        before = len(node.cache)
        _put(node.cache, offset, data)
        self.used_bytes += len(node.cache) - before
        node.pending.append(_Change(self._next_serial(), offset, data, astray))

    def truncate(self, node: SimFileNode, size: int) -> None:
        """Cut or extend the file in the page cache."""
        change = _Change(self._next_serial(), size, None)
        self.used_bytes += size - len(node.cache)
        change.apply(node.cache)
        node.pending.append(change)

    @property
    def newest(self) -> int:
        """The serial number of the latest change: what a sync that begins now has to cover."""
        return self._serial

    def sync(self, node: SimFileNode, newest: int) -> tuple[int, str]:
        """Make changes up to ``newest`` durable; gives the number of their bytes and the hash of them."""
        due, node.pending = _split(node.pending, newest)
        size, digest = 0, blake2b(digest_size=8)
        for change in due:
            change.apply(node.durable)
            digest.update(b"%d %d " % (change.offset, change.astray))
            digest.update(change.data or b"cut")
            size += len(change.data or b"")
        return size, digest.hexdigest()

    def fail_sync(self, node: SimFileNode, newest: int, stream: Stream) -> int:
        """Forget by chance some of the changes up to ``newest``, and that any were unsynced.

        The page cache still shows them, as Linux does after a failed fsync. Says how many are lost.
        """
        due, node.pending = _split(node.pending, newest)
        lost = 0
        for change in due:
            if stream.below(2):
                change.apply(node.durable)
            else:
                lost += 1
        return lost

    def crash(self, keep: Keep, stream: Stream) -> Fate:
        """Lose the page cache. What was not synced is kept, lost or torn."""
        fate = Fate()
        if keep == "cache":
            return fate
        for change in self._entry_changes:
            if keep in {"kept", "torn"} or (keep == "random" and stream.below(2)):
                change.apply()
                fate.entries_kept += 1
            else:
                fate.entries_lost += 1
        self._entry_changes.clear()
        self._restart(self._root, keep, stream, fate)
        self._count_used()
        return fate

    # Damage and copies

    def rot(self, node: SimFileNode, offset: int, mask: int) -> None:
        """Change the bits in ``mask`` of one durable byte, which a later read will show."""
        node.durable[offset] ^= mask
        if offset < len(node.cache):
            node.cache[offset] ^= mask

    def files(self, *, durable: bool = False) -> Iterator[tuple[str, SimFileNode]]:
        """Every file with its path, in order of paths."""
        for path, node in self._walk(self._root, "", durable):
            if isinstance(node, SimFileNode):
                yield path, node

    def image(self, *, durable: bool = False) -> Image:
        """A copy of everything, as one sees it now, or as it would be if all unsynced were lost."""
        return {
            path: None if isinstance(node, Directory) else bytes(node.durable if durable else node.cache)
            for path, node in self._walk(self._root, "", durable)
        }

    def replace(self, image: Image) -> None:
        """Hold this, durably, and nothing else."""
        self._root, self._entry_changes = Directory(), []
        for path in sorted(image):
            content, pure = image[path], PurePath(path)
            if content is None:
                self.make_directory(pure)
            else:
                node = self.create(pure)
                node.cache, node.durable = bytearray(content), bytearray(content)
        for change in self._entry_changes:
            change.apply()
        self._entry_changes.clear()
        self._count_used()

    # Inside

    def _find(self, path: PurePath) -> Node:
        if not path.is_absolute():
            raise _error(errno.EINVAL, path)
        node: Node = self._root
        for name in path.parts[1:]:
            if not isinstance(node, Directory):
                raise _error(errno.ENOTDIR, path)
            if name not in node.entries:
                raise _error(errno.ENOENT, path)
            node = node.entries[name]
        return node

    def _change_entries(self, *names: tuple[Directory, str, Node | None]) -> None:
        for directory, name, node in names:
            _set_entry(directory.entries, name, node)
        self._entry_changes.append(_EntryChange(names))

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def _restart(self, directory: Directory, keep: Keep, stream: Stream, fate: Fate) -> None:
        directory.entries = dict(sorted(directory.durable.items()))
        for node in directory.entries.values():
            if isinstance(node, Directory):
                self._restart(node, keep, stream, fate)
            else:
                self._survive(node, keep, stream, fate)

    def _survive(self, node: SimFileNode, keep: Keep, stream: Stream, fate: Fate) -> None:
        for change in node.pending:
            chance = {"lost": 0, "kept": 1, "torn": 2}.get(keep, -1)
            if chance < 0:
                chance = stream.below(3)
            if chance == 2 and change.apply_torn(node.durable, stream, self._sector_bytes):
                fate.torn += 1
            elif chance == 1 or (chance == 2 and stream.below(2)):
                change.apply(node.durable)
                fate.kept += 1
            else:
                fate.lost += 1
        node.pending.clear()
        node.cache = bytearray(node.durable)

    def _walk(self, directory: Directory, prefix: str, durable: bool) -> Iterator[tuple[str, Node]]:
        for name, node in sorted((directory.durable if durable else directory.entries).items()):
            path = f"{prefix}/{name}"
            yield path, node
            if isinstance(node, Directory):
                yield from self._walk(node, path, durable)

    def _count_used(self) -> None:
        self.used_bytes = sum(len(node.cache) for _, node in self.files())


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _set_entry(entries: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


def _split(changes: list[_Change], newest: int) -> tuple[list[_Change], list[_Change]]:
    if not changes or changes[-1].serial <= newest:
        return changes, []
    due = [change for change in changes if change.serial <= newest]
    return due, changes[len(due) :]


def _sectors(offset: int, size: int, sector: int) -> Iterator[tuple[int, int]]:
    """Where a write of ``size`` bytes at ``offset`` is cut by the borders of sectors."""
    start = 0
    while start < size:
        stop = min(size, start + sector - (offset + start) % sector)
        yield start, stop
        start = stop


def _torn_choice(count: int, stream: Stream) -> list[bool]:
    """Which of ``count`` sectors get there: often the first ones, sometimes any, never all or none."""
    if stream.below(2):
        first = stream.between(1, count - 1)
        return [index < first for index in range(count)]
    chosen = [bool(stream.below(2)) for _ in range(count)]
    if all(chosen) or not any(chosen):
        chosen[stream.below(count)] ^= True
    return chosen


def _error(number: int, path: PurePath) -> OSError:
    return OSError(number, os.strerror(number), str(path))
