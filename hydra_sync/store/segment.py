"""The active segment: records are written behind one another, into space allocated before. Does I/O.

A synced write into allocated bytes costs half of one that grows the file, so the file grows by extents
of real zeros. A sealed segment has none left: it is a plain CBOR Sequence of records.
"""

from __future__ import annotations

from pathlib import Path

from hydra_sync.disk import Disk, File
from hydra_sync.errors import StoreFullError
from hydra_sync.limits import EXTENT_BYTES_MAX, EXTENT_BYTES_MIN
from hydra_sync.store.faults import is_refusal, translated
from hydra_sync.store.layout import LogPlace

__all__ = ["Segment"]


class Segment:
    """A segment that takes appends. ``offset`` is the end of what is durable in it.

    Methods raise `StoreFullError`, which leaves everything as it was, or `StoreError`, after which
    nothing is known about the bytes beyond ``offset``.
    """

    def __init__(self, file: File, path: Path, *, first_seq: int, offset: int, allocated: int, bytes_max: int) -> None:
        self.file = file
        self.path = path
        self.first_seq = first_seq
        self.offset = offset
        self._allocated = allocated
        self._bytes_max = bytes_max
        self._extent = EXTENT_BYTES_MIN
        self._is_sealed = False

    @classmethod
    async def create(cls, disk: Disk, place: LogPlace, first_seq: int, bytes_max: int) -> Segment:
        """A new and empty segment file. Its name is durable before anything can be written to it."""
        path = place.segment(first_seq)
        with translated(f"creating {path}"):
            file = await disk.open(path, "create")
        try:
            with translated(f"syncing {place.directory}", may_be_full=False):
                await disk.sync_dir(place.directory)
        except StoreFullError:
            file.close()
            # The log may go on in the segment before, and then this one would begin inside that one.
            with translated(f"removing {path}"):
                await disk.remove(path)
            raise
        except BaseException:
            file.close()
            raise
        return cls(file, path, first_seq=first_seq, offset=0, allocated=0, bytes_max=bytes_max)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes may go here; the first ones always may."""
        return self.offset == 0 or self.offset + size <= self._bytes_max

    async def reserve(self, size: int) -> None:
        """Allocate room for ``size`` more bytes. Only this may find the disk full, and it changes no record."""
        needed = self.offset + size
        if needed <= self._allocated:
            return
        self._is_sealed = False
        target = max(needed, min(self._allocated + self._extent, self._bytes_max))
        try:
            await self.file.write_at(self._allocated, bytes(target - self._allocated))
        except OSError as error:
            # What did fit may be enough, and is not lost.
            self._allocated = await self.file.size()
            if not is_refusal(error) or self._allocated < needed:
                with translated(f"extending {self.path}"):
                    raise
        else:
            self._allocated = target
            self._extent = min(2 * self._extent, EXTENT_BYTES_MAX)

    async def write(self, data: bytes) -> None:
        """Put ``data`` behind what is there; durable on return."""
        with translated("writing {}", self.path):
            await self.file.write_at(self.offset, data)
        await self._sync()
        self.offset += len(data)
        self._allocated = max(self._allocated, self.offset)

    async def seal(self) -> None:
        """Give back the space that is not used. Idempotent."""
        # Also where there is none: a process that died here may have cut the file, and not synced that.
        if not self._is_sealed:
            with translated(f"sealing {self.path}"):
                await self.file.truncate(self.offset)
            await self._sync()
            self._allocated = self.offset
            self._is_sealed = True

    async def _sync(self) -> None:
        with translated("syncing {}", self.path, may_be_full=False):
            await self.file.sync()
