"""Bytes taken out of a log are kept, with the reason, before they are taken out. Does I/O."""

from __future__ import annotations

from pathlib import Path

from hydra_sync.disk import Disk, File
from hydra_sync.store.files import create_file
from hydra_sync.store.layout import LogPlace
from hydra_sync.store.scan import CHUNK_BYTES

__all__ = ["keep"]


async def keep(disk: Disk, place: LogPlace, file: File, start: int, stop: int, *, seq: int, reason: str) -> Path:
    """Copy bytes ``start`` to ``stop`` of a segment to the quarantine; durable on return. We never delete them.

    ``seq`` is the first event that the bytes may have held.
    """
    target = place.quarantine / await _free_name(disk, place, seq)
    copy = await disk.open(target, "create")
    try:
        for at in range(start, stop, CHUNK_BYTES):
            await copy.write_at(at - start, await file.read_at(at, min(CHUNK_BYTES, stop - at)))
        await copy.sync()
    finally:
        copy.close()
    text = (
        f"{stop - start} bytes of the log of member {place.author.hex()}, from seq {seq}, at byte {start}.\n"
        f"Why they were taken out: {reason}.\n"
    )
    await create_file(disk, target.with_suffix(".txt"), text.encode())
    await disk.sync_dir(place.quarantine)
    return target


async def _free_name(disk: Disk, place: LogPlace, seq: int) -> str:
    taken = {name.partition(".")[0] for name in await disk.list_dir(place.quarantine)}
    number = 0
    while (name := f"{place.author.hex()}-{seq}-{number}") in taken:
        number += 1
    return f"{name}.bin"
