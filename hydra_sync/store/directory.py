"""The directory that is a store: made once, and what it says about itself. Does I/O."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import trio

from hydra_sync.disk import Disk
from hydra_sync.errors import (
    NewerFormatError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreMissingError,
    UsageError,
)
from hydra_sync.fork import ForkProof
from hydra_sync.identity import MemberKey
from hydra_sync.standing import Standing
from hydra_sync.store.checkpoints import write_checkpoint
from hydra_sync.store.faults import translated
from hydra_sync.store.files import read_file, replace_file
from hydra_sync.store.layout import LOGS, MANIFEST, QUARANTINE, LogPlace, index_seqs, segment_seqs
from hydra_sync.store.manifest import MANIFEST_BYTES_MAX, Manifest, parse_manifest, render
from hydra_sync.store.proofs import write_proof
from hydra_sync.store.standing_file import read_standing, write_standing

__all__ = ["Directory", "create_store", "forget", "list_dir", "read_manifest", "write_manifest"]


async def create_store(
    disk: Disk,
    path: Path,
    manifest: Manifest,
    *,
    amnesiac: Sequence[MemberKey] = (),
    why: str = "",
    checkpoint: bytes | None = None,
) -> None:
    """Make a store without events; durable on return, with every directory on the way to it.

    Raises `UsageError` where one, or its logs, exists already.

    A store that is made again, for ``recover``, names all members in ``amnesiac``: it may have forgotten
    anything about their logs, and its standing in each says so, and ``why``, before there is a store.
    ``checkpoint`` is the event that the own log is to begin with.
    """
    if amnesiac and manifest.founding:
        raise UsageError("a store that is made again is no founding one")
    with translated(f"creating a store in {path}"):
        if await _exists(disk, path / MANIFEST) or await _has_logs(disk, path, may_have_standings=bool(amnesiac)):
            raise UsageError(f"there is a store in {path} already: choose another directory")
        await _make_dir(disk, path)
        for directory in (path / LOGS, path / QUARANTINE):
            await disk.make_dir(directory)
        await disk.sync_dir(path)
        for member in amnesiac:
            await forget(disk, LogPlace(path, manifest.network, member), why)
        if checkpoint is not None:
            await write_checkpoint(disk, path, checkpoint)
        # Last, because it is what makes the directory a store.
        await write_manifest(disk, path, manifest)


async def _make_dir(disk: Disk, path: Path) -> None:
    """Make a directory and its parents; durable on return, also what a process that was killed has made of them."""
    missing = [path]
    for parent in path.parents:
        try:
            await disk.list_dir(parent)
        except FileNotFoundError:
            missing.append(parent)
            continue
        # Each is durable before the next is made: so only the last one that is there may not be.
        with suppress(PermissionError):  # then it was not made by this user
            await disk.sync_dir(parent.parent)
        break
    for directory in reversed(missing):
        await disk.make_dir(directory)
        await disk.sync_dir(directory.parent)


async def _has_logs(disk: Disk, path: Path, *, may_have_standings: bool) -> bool:
    """Whether there are logs; not counting, if those may be there, standings of a creation that a crash ended."""
    names = await list_dir(disk, path / LOGS)
    if not may_have_standings:
        return bool(names)
    for name in names:
        files = await list_dir(disk, path / LOGS / name)
        if segment_seqs(files) or index_seqs(files):
            return True
    return False


async def forget(disk: Disk, place: LogPlace, why: str, *, before: Standing | None = None) -> None:
    """Make the node's word about a log count for nothing, until it is reminded; durable on return.

    What is known of its standing ``before``, here by default, is kept: a promise still binds.
    """
    await disk.make_dir(place.directory)
    await disk.sync_dir(place.directory.parent)
    if before is None:
        try:
            before = await read_standing(disk, place)
        except (StoreDamagedError, NewerFormatError):
            before = Standing()
    await write_standing(disk, place, replace(before, amnesiac=True, why=why))


async def write_manifest(disk: Disk, path: Path, manifest: Manifest) -> None:
    """Put a new ``store.toml`` in the place of the old one, if any; durable on return."""
    with translated(f"writing {path / MANIFEST}"):
        await replace_file(disk, path / MANIFEST, render(manifest).encode())
        await disk.sync_dir(path)


async def read_manifest(disk: Disk, path: Path) -> Manifest:
    """What the store in ``path`` says about itself.

    Raises `StoreMissingError`, `StoreDamagedError` or `NewerFormatError`, each saying what to do next.
    """
    with translated(f"reading {path / MANIFEST}"):
        try:
            data = await read_file(disk, path / MANIFEST, MANIFEST_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError):
            data = None
        if data is None and await list_dir(disk, path / LOGS):
            raise StoreDamagedError(
                f"{path} holds logs, but its store.toml is gone: `hydra-sync recover` makes it again"
            )
    if data is None:
        raise StoreMissingError(
            f"there is no store in {path}: `hydra-sync init` makes one for a new network; "
            "if this member has had a store and lost its disk, use `hydra-sync recover`"
        )
    return parse_manifest(data.decode(errors="replace"))


class Directory:
    """The directory of an open store, and its manifest."""

    def __init__(self, disk: Disk, path: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._disk = disk
        self._path = path
        self._turn = trio.Lock()
        self._failure: StoreError | None = None

    async def keep_proof(self, proof: ForkProof) -> None:
        """Keep the proof of a fork; durable on return."""
        await write_proof(self._disk, self._path, self.manifest.network, proof)

    async def end_founding(self) -> None:
        """Be a founding store no more; durable on return.

        Raises `StoreFullError` if there is no room (nothing has changed, try again later), and
        `StoreError` when the disk fails: from then on every call raises it.
        """
        async with self._turn:
            if self._failure is not None:
                raise StoreError(*self._failure.args)
            if not self.manifest.founding:
                return
            manifest = replace(self.manifest, founding=False)
            with trio.CancelScope(shield=True):
                try:
                    await write_manifest(self._disk, self._path, manifest)
                except StoreFullError:
                    raise
                except StoreError as error:
                    self._failure = error
                    raise
            self.manifest = manifest


async def list_dir(disk: Disk, path: Path) -> list[str]:
    """Names in a directory; none if there is no such directory."""
    try:
        return await disk.list_dir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


async def _exists(disk: Disk, path: Path) -> bool:
    try:
        file = await disk.open(path, "read")
    except (FileNotFoundError, NotADirectoryError):
        return False
    file.close()
    return True
