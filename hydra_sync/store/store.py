"""A store directory, opened as a whole: the logs of all members behind one lock. Does I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from hydra_sync.chain import EMPTY
from hydra_sync.disk import Disk, Lock
from hydra_sync.errors import StoreDamagedError, StoreFullError, StoreLockedError, UnavailableError, UsageError
from hydra_sync.fork import ForkProof
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.limits import COMMIT_BYTES_MAX, SEGMENT_BYTES
from hydra_sync.standing import Standing
from hydra_sync.store.author import Author
from hydra_sync.store.checkpoints import first_event, read_checkpoint
from hydra_sync.store.directory import Directory, list_dir, read_manifest
from hydra_sync.store.faults import translated
from hydra_sync.store.layout import LOCK, LOGS, QUARANTINE, LogPlace
from hydra_sync.store.log import Log, open_log
from hydra_sync.store.manifest import Manifest
from hydra_sync.store.opening import Loss, OpeningReport
from hydra_sync.store.proofs import fork_positions, read_proofs
from hydra_sync.store.standing_file import GONE, StandingFile
from hydra_sync.tasks import open_tasks

__all__ = ["Store", "lock_store", "open_store"]


class Store:
    """An open store. Made by `open_store`, and closed by leaving its block."""

    def __init__(
        self,
        directory: Directory,
        logs: Mapping[MemberKey, Log],
        standings: Mapping[MemberKey, StandingFile],
        author: Author | None,
        proofs: Sequence[ForkProof],
        checkpoint: bytes | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        """The event that our own log is to begin with, before the application appends any."""
        self._forked_at = fork_positions(directory.manifest.network, proofs)
        self.proofs = proofs
        """Of forks, as they were kept when the store was opened."""
        self.logs = logs
        """Of all members; what is fetched is put into another member's log by `Log.commit`."""
        self._directory = directory
        self._standings = standings
        self._author = author

    @property
    def manifest(self) -> Manifest:
        """What the store says about itself."""
        return self._directory.manifest

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

    def standing(self, member: MemberKey) -> Standing:
        """What this node owes the other members about a log; durable. Raises `UsageError` for a stranger."""
        self.log(member)
        return self._standings[member].standing

    async def set_standing(self, member: MemberKey, standing: Standing) -> None:
        """Replace it; durable on return. See `StandingFile.set`."""
        self.log(member)
        await self._standings[member].set(standing)

    async def end_founding(self) -> None:
        """Be a founding store no more; durable on return. Raises as `write_manifest` and `StandingFile.set` do.

        From then on a log without a standing is one that the disk has lost.
        """
        if self.manifest.founding:
            for standing in self._standings.values():
                await standing.write()
        await self._directory.end_founding()

    async def begin(self) -> None:
        """See to it that our own log begins with the checkpoint of this store, if it has one. Raises as `append`."""
        if self.checkpoint is None:
            return
        try:
            has_begun = (await first_event(self.author.log))[0] is not None
        except UnavailableError:  # what cannot be read was written
            has_begun = True
        if not has_begun:
            await self.author.append([self.checkpoint])

    async def keep_proof(self, proof: ForkProof) -> None:
        """Keep the proof of a fork; durable on return."""
        await self._directory.keep_proof(proof)

    def forked_at(self, member: MemberKey) -> int | None:
        """From which seq on a log is forked, as the proof shows that was kept when the store was opened, if any."""
        return self._forked_at.get(member)

    def warnings(self, alias: Callable[[MemberKey], str]) -> tuple[str, ...]:
        """What people should know about the state of this store, in sentences; ``alias`` names members."""
        return tuple(
            line
            for member, log in self.logs.items()
            for line in (*log.warnings(alias(member)), *self._standings[member].warnings(alias(member)))
        )


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
    directory = Directory(disk, path, await read_manifest(disk, path))
    manifest = directory.manifest
    lock = None if read_only else await lock_store(disk, path, holder)
    logs: dict[MemberKey, Log] = {}
    standings: dict[MemberKey, StandingFile] = {}
    try:
        _check_identity(manifest, path, members, network, key)
        await _check_logs(disk, path, members)
        if not read_only:
            await _make_directories(disk, path, members)
        for member in members:
            is_own, place = member == manifest.member, LogPlace(path, network, member)
            standings[member] = await StandingFile.open(disk, place, is_due=not manifest.founding, read_only=read_only)
            logs[member] = await open_log(
                disk,
                place,
                # Our own commits are one record each, written by `Author`.
                commit_bytes=0 if is_own else COMMIT_BYTES_MAX,
                segment_bytes=segment_bytes,
                read_only=read_only,
                before_loss=partial(_remember, standings[member], is_own),
            )
        # By what is on the disk: so a crash in the midst of this leaves no other log out.
        if standings[manifest.member].standing.why == GONE and not read_only:
            for standing in standings.values():  # whatever took our own log may have taken any of the others
                await standing.forget("this node's own log was gone from the disk")
        proofs = await read_proofs(disk, path, network)
        checkpoint = await read_checkpoint(disk, path)
        async with open_tasks() as nursery:
            author: Author | None = None
            if key is not None and not read_only:
                author = Author(logs[key.member], key, network, wall_clock)
                nursery.start_soon(author.run)
            store = Store(directory, logs, standings, author, proofs, checkpoint)
            if author is not None and author.log.tip != EMPTY:
                with suppress(StoreFullError):  # a crash came before; so it is done at the next opening at the latest
                    await store.end_founding()
            yield store
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _close(logs, lock)


async def _remember(standing: StandingFile, is_own: bool, loss: Loss) -> None:
    # A torn tail of our own was never acknowledged, nor shown to anybody. That of a replica may be
    # what a disk has made of a commit that it called durable, and we told the author that we have it.
    if loss.was_durable or not is_own:
        await standing.forget(loss.reason)


async def _close(logs: Mapping[MemberKey, Log], lock: Lock | None) -> None:
    try:
        for log in logs.values():
            await log.flush()
    finally:
        for log in logs.values():
            log.close()
        if lock is not None:
            lock.release()


async def lock_store(disk: Disk, path: Path, holder: str) -> Lock:
    """Keep all others from writing to the store in ``path``. Raises `StoreLockedError`, which says who does."""
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
    for name in await list_dir(disk, path / LOGS):
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
