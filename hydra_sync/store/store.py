"""A store directory, opened as a whole: the logs of all members behind one lock. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from hydra_sync.disk import Disk, Lock
from hydra_sync.errors import StoreDamagedError, StoreLockedError, StoreMissingError, UsageError
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.limits import COMMIT_BYTES_MAX, SEGMENT_BYTES
from hydra_sync.store.author import Author
from hydra_sync.store.faults import translated
from hydra_sync.store.files import read_file, replace_file
from hydra_sync.store.layout import LOCK, LOGS, MANIFEST, QUARANTINE, LogPlace
from hydra_sync.store.log import Log, open_log
from hydra_sync.store.manifest import MANIFEST_BYTES_MAX, Manifest, parse_manifest, render
from hydra_sync.store.opening import OpeningReport
from hydra_sync.tasks import open_tasks

__all__ = ["Store", "create_store", "open_store", "read_manifest", "write_manifest"]


class Store:
    """An open store. Made by `open_store`, and closed by leaving its block."""

    def __init__(
        self,
        manifest: Manifest,
        logs: Mapping[MemberKey, Log],
        author: Author | None,
    ) -> None:
        self.manifest = manifest
        self.logs = logs
        """Of all members; what is fetched is put into another member's log by `Log.commit`."""
        self._author = author

    @property
    def author(self) -> Author:
        """The node's own log, for appending."""
        if self._author is None:
            raise UsageError("this store is open for reading only: it has no author")
        return self._author

    @property
    def reports(self) -> Mapping[MemberKey, OpeningReport]:
        """What opening found, for each log."""
        return {member: log.report for member, log in self.logs.items()}

    def log(self, member: MemberKey) -> Log:
        """The log of a member. Raises `UsageError` for a stranger."""
        if member not in self.logs:
            raise UsageError(f"{member.hex()} is not a member of this network")
        return self.logs[member]

    def warnings(self, alias: Callable[[MemberKey], str]) -> tuple[str, ...]:
        """What people should know about the state of this store, in sentences; ``alias`` names members."""
        return tuple(line for member, log in self.logs.items() for line in log.warnings(alias(member)))


async def create_store(disk: Disk, path: Path, manifest: Manifest) -> None:
    """Make a store without events. Raises `UsageError` where one, or its logs, exists already."""
    with translated(f"creating a store in {path}"):
        if await _exists(disk, path / MANIFEST) or await _list_dir(disk, path / LOGS):
            raise UsageError(f"there is a store in {path} already: choose another directory")
        for directory in (path / LOGS, path / QUARANTINE):
            await disk.make_dir(directory)
        # Last, because it is what makes the directory a store.
        await write_manifest(disk, path, manifest)
        await disk.sync_dir(path.parent)


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
        if data is None and await _list_dir(disk, path / LOGS):
            raise StoreDamagedError(
                f"{path} holds logs, but its store.toml is gone: `hydra-sync recover` makes it again"
            )
    if data is None:
        raise StoreMissingError(
            f"there is no store in {path}: `hydra-sync init` makes one for a new network; "
            "if this member has had a store and lost its disk, use `hydra-sync recover`"
        )
    return parse_manifest(data.decode(errors="replace"))


@asynccontextmanager
async def open_store(
    disk: Disk,
    path: Path,
    *,
    members: Sequence[MemberKey],
    network: NetworkId,
    key: SigningKey | None,
    wall_clock: Callable[[], int],
    holder: str,
    read_only: bool = False,
    segment_bytes: int = SEGMENT_BYTES,
) -> AsyncIterator[Store]:
    """The store in ``path``, until the block is left; ``holder`` tells others who has it.

    With ``read_only`` no ``key`` is needed, no lock is taken and nothing is changed, so it works beside
    a running node. Raises `StoreError`, `UsageError` or `NewerFormatError`, and says what to do next.
    """
    if key is None and not read_only:
        raise UsageError("a store is opened for writing with the member's signing key")
    manifest = await read_manifest(disk, path)
    lock = None if read_only else await _lock(disk, path, holder)
    logs: dict[MemberKey, Log] = {}
    try:
        _check_identity(manifest, path, members, network, key)
        await _check_logs(disk, path, members)
        if not read_only:
            await _make_directories(disk, path, members)
        for member in members:
            logs[member] = await open_log(
                disk,
                LogPlace(path, network, member),
                # Our own commits are one record each, written by `Author`.
                commit_bytes=0 if member == manifest.member else COMMIT_BYTES_MAX,
                segment_bytes=segment_bytes,
                read_only=read_only,
            )
        async with open_tasks() as nursery:
            author: Author | None = None
            if key is not None and not read_only:
                author = Author(logs[key.member], key, network, wall_clock)
                nursery.start_soon(author.run)
            yield Store(manifest, logs, author)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _close(logs, lock)


async def _close(logs: Mapping[MemberKey, Log], lock: Lock | None) -> None:
    try:
        for log in logs.values():
            await log.flush()
    finally:
        for log in logs.values():
            log.close()
        if lock is not None:
            lock.release()


async def _lock(disk: Disk, path: Path, holder: str) -> Lock:
    with translated(f"locking {path}"):
        try:
            return await disk.lock(path / LOCK, holder)
        except BlockingIOError as error:
            raise StoreLockedError(
                f"the store in {path} is in use by {error.strerror}: stop that first, or open it for reading only"
            ) from error


def _check_identity(
    manifest: Manifest, path: Path, members: Sequence[MemberKey], network: NetworkId, key: SigningKey | None
) -> None:
    if manifest.network != network:
        raise UsageError(
            f"the store in {path} belongs to network {manifest.network.hex()}, the configuration says "
            f"{network.hex()}: correct the network's name or members, or name another directory"
        )
    if key is not None and manifest.member != key.member:
        raise UsageError(
            f"the store in {path} belongs to member {manifest.member.hex()}, the signing key to "
            f"{key.member.hex()}: use the right key, or name another directory"
        )
    if manifest.member not in members:
        raise UsageError(f"the store in {path} belongs to {manifest.member.hex()}, who is not among the members")


async def _check_logs(disk: Disk, path: Path, members: Sequence[MemberKey]) -> None:
    known = {member.hex() for member in members}
    for name in await _list_dir(disk, path / LOGS):
        if name not in known:
            raise StoreDamagedError(
                f"{path / LOGS / name} is the log of no member: it does not belong to this store. "
                "Move it away; if the logs are of another network, name another directory"
            )


async def _make_directories(disk: Disk, path: Path, members: Sequence[MemberKey]) -> None:
    with translated(f"preparing {path}"):
        for directory in (path / QUARANTINE, *(path / LOGS / member.hex() for member in members)):
            await disk.make_dir(directory)
        await disk.sync_dir(path / LOGS)
        await disk.sync_dir(path)


async def _list_dir(disk: Disk, path: Path) -> list[str]:
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
