"""Bytes taken out of a log are kept, with the reason, before they are taken out. Does I/O."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra_sync.disk import Disk, File
from hydra_sync.store.files import create_file, remove_file
from hydra_sync.store.layout import LogPlace
from hydra_sync.store.scan import CHUNK_BYTES

__all__ = ["Part", "keep"]


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes ``start`` up to ``stop`` of a file, or up to its end."""

    path: Path
    start: int
    stop: int | None = None


async def keep(disk: Disk, place: LogPlace, parts: Sequence[Part], *, seq: int, reason: str) -> Path:
    """Copy parts of a log's segments into one file of the quarantine; durable on return. We never delete it.

    ``seq`` is the first event that the bytes may have held. A segment that is gone is passed over.
    """
    target = place.quarantine / await _free_name(disk, place, seq)
    try:
        size = await _copy(disk, parts, target)
        text = (
            f"{size} bytes of the log of member {place.author.hex()}, from seq {seq}, at byte {parts[0].start}.\n"
            f"Why they were taken out: {reason}.\n"
        )
        await create_file(disk, target.with_suffix(".txt"), text.encode())
    except OSError:
        # Nothing was taken out yet. Where there is no room, what did fit must not take more each time.
        with suppress(OSError):
            await remove_file(disk, target)
            await remove_file(disk, target.with_suffix(".txt"))
        raise
    await disk.sync_dir(place.quarantine)
    return target


async def _copy(disk: Disk, parts: Sequence[Part], target: Path) -> int:
    copy = await disk.open(target, "create")
    try:
        size = 0
        for part in parts:
            size += await _append(disk, part, copy, size)
        await copy.sync()
        return size
    finally:
        copy.close()


async def _append(disk: Disk, part: Part, copy: File, offset: int) -> int:
    try:
        file = await disk.open(part.path, "read")
    except FileNotFoundError:
        return 0
    try:
        stop = await file.size() if part.stop is None else part.stop
        for at in range(part.start, stop, CHUNK_BYTES):
            await copy.write_at(offset + at - part.start, await file.read_at(at, min(CHUNK_BYTES, stop - at)))
        return max(0, stop - part.start)
    finally:
        file.close()


async def _free_name(disk: Disk, place: LogPlace, seq: int) -> str:
    taken = {name.partition(".")[0] for name in await disk.list_dir(place.quarantine)}
    number = 0
    while (name := f"{place.author.hex()}-{seq}-{number}") in taken:
        number += 1
    return f"{name}.bin"
