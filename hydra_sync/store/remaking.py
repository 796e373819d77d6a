"""A store made usable again for `recover`: what is there is kept, what may be forgotten is said. Does I/O.

A store that cannot say any more whose it is may have lost anything else too, so its word about every log
counts for nothing until each author has reminded it (design: 7, amnesia). Nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hydra_sync.disk import Disk
from hydra_sync.errors import NewerFormatError, StoreDamagedError, StoreMissingError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.store.directory import create_store, forget, list_dir, read_manifest, write_manifest
from hydra_sync.store.faults import translated
from hydra_sync.store.layout import LOGS, LogPlace
from hydra_sync.store.manifest import Manifest
from hydra_sync.store.standing_file import read_standing, write_standing
from hydra_sync.store.store import lock_store

__all__ = ["give_up", "move_aside", "move_log_aside", "remake_store"]

_HOLDER: Final = "recover"


async def remake_store(disk: Disk, path: Path, manifest: Manifest, members: Sequence[MemberKey]) -> list[str]:
    """Put a store where none is, or mend what keeps one from being opened; returns what was done, in sentences.

    ``manifest`` is used where the store has lost its own. Raises `UsageError` for the store of another
    member or network, and for a member on its own, whose log nobody else has; `StoreLockedError` for a
    store in use; `NewerFormatError`.
    """
    try:
        found = await read_manifest(disk, path)
    except StoreMissingError:
        if len(members) == 1:
            raise UsageError(
                "this member is the only one of its network: nobody else has its log, so nothing can be recovered. "
                "Begin a new network, under another name, with hydra-sync init"
            ) from None
        await create_store(disk, path, manifest, amnesiac=members, why="this store was made anew over a lost disk")
        return [f"made a store in {path}; it knows nothing yet, and its word counts for no log"]
    except NewerFormatError:
        raise
    except StoreDamagedError as error:
        return [await _rebuild(disk, path, manifest, members, error)]
    if (found.network, found.member) != (manifest.network, manifest.member):
        raise UsageError(
            f"the store in {path} belongs to member {found.member.hex()} of network {found.network.hex()}, and the "
            "configuration says another one: correct it, or name another directory"
        )
    return await _mend_standings(disk, path, found, members)


async def _rebuild(
    disk: Disk, path: Path, manifest: Manifest, members: Sequence[MemberKey], error: StoreDamagedError
) -> str:
    lock = await lock_store(disk, path, _HOLDER)
    try:
        with translated(f"rebuilding store.toml in {path}"):
            await disk.make_dir(path / LOGS)
            for member in members:
                await forget(disk, LogPlace(path, manifest.network, member), "its store.toml was lost or damaged")
            await write_manifest(disk, path, manifest)
    finally:
        lock.release()
    return (
        f"made store.toml again from the configuration ({error}). The logs are kept; the store's word about each "
        "counts again when its author has confirmed it"
    )


async def _mend_standings(disk: Disk, path: Path, manifest: Manifest, members: Sequence[MemberKey]) -> list[str]:
    done = []
    for member in members:
        place = LogPlace(path, manifest.network, member)
        try:
            await read_standing(disk, place)
        except StoreDamagedError as error:
            lock = await lock_store(disk, path, _HOLDER)
            try:
                await forget(disk, place, "what this node had promised was damaged on the disk")
            finally:
                lock.release()
            done.append(f"made {place.standing} again, as that of a node that forgot ({error})")
    return done


async def move_aside(disk: Disk, path: Path) -> Path:
    """Give the directory another name beside itself, and return that; durable on return.

    Raises `StoreLockedError` if it is in use.
    """
    lock = await lock_store(disk, path, _HOLDER)
    try:
        with translated(f"moving {path} aside"):
            taken = await list_dir(disk, path.parent)
            number = next(n for n in range(1, len(taken) + 2) if f"{path.name}.unusable-{n}" not in taken)
            target = path.with_name(f"{path.name}.unusable-{number}")
            await disk.rename(path, target)
            await disk.sync_dir(path.parent)
    finally:
        lock.release()
    return target


async def move_log_aside(disk: Disk, place: LogPlace, why: str) -> Path:
    """Give the place of a damaged log to one without events, of which nothing is known; durable on return.

    Returns where the damaged one is now. What the node has promised about the log is kept. After a crash on
    the way its directory is missing, which is noticed and means the same. Raises `StoreLockedError` if the store
    is in use.
    """
    lock = await lock_store(disk, place.root, _HOLDER)
    try:
        with translated(f"moving {place.directory} aside"):
            standing = await read_standing(disk, place)
            taken = await list_dir(disk, place.quarantine)
            names = (f"{place.author.hex()}-damaged-{number}" for number in range(1, len(taken) + 2))
            target = place.quarantine / next(name for name in names if name not in taken)
            await disk.rename(place.directory, target)
            for directory in (place.quarantine, place.directory.parent):
                await disk.sync_dir(directory)
            await forget(disk, place, why, before=standing)
    finally:
        lock.release()
    return target


async def give_up(disk: Disk, path: Path, manifest: Manifest, without: Sequence[MemberKey]) -> None:
    """Record the operator's word that the disks of these members are lost for good; the next epoch carries it.

    It takes the place of an earlier word; with nobody, that is taken back.
    """
    place, words = LogPlace(path, manifest.network, manifest.member), tuple(sorted(without))
    if (await read_standing(disk, place)).without == words:
        return  # as nearly always, at each start
    lock = await lock_store(disk, path, _HOLDER)
    try:
        await disk.make_dir(place.directory)
        await disk.sync_dir(place.directory.parent)
        await write_standing(disk, place, replace(await read_standing(disk, place), without=words))
    finally:
        lock.release()
