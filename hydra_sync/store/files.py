"""Small files read and replaced as a whole. Does I/O."""

from __future__ import annotations

from pathlib import Path

from hydra_sync.disk import Disk

__all__ = ["create_file", "read_file", "remove_file", "replace_file"]


async def read_file(disk: Disk, path: Path, bytes_max: int) -> bytes:
    """The first ``bytes_max`` bytes of a file. `FileNotFoundError` if there is none."""
    file = await disk.open(path, "read")
    try:
        return await file.read_at(0, min(await file.size(), bytes_max))
    finally:
        file.close()


async def create_file(disk: Disk, path: Path, data: bytes) -> None:
    """Make a new file whose bytes are durable; its name is after `Disk.sync_dir`."""
    file = await disk.open(path, "create")
    try:
        await file.write_at(0, data)
        await file.sync()
    finally:
        file.close()


async def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Put ``data`` in the place of the file, if any: a crash leaves the old file or the new one.

    Which of the two is decided by `Disk.sync_dir` of the directory.
    """
    temporary = path.with_name(path.name + ".new")
    await remove_file(disk, temporary)  # of an attempt that a crash or a full disk ended
    await create_file(disk, temporary, data)
    await disk.rename(temporary, path)


async def remove_file(disk: Disk, path: Path) -> None:
    """Remove the file if it is there."""
    try:
        await disk.remove(path)
    except FileNotFoundError:
        return
