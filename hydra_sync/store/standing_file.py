"""The standing of one log on disk: read when the store is opened, replaced durably. Does I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import trio

from hydra_sync.disk import Disk
from hydra_sync.errors import FormatError, NewerFormatError, StoreDamagedError, StoreError, StoreFullError
from hydra_sync.limits import TEXT_BYTES_MAX
from hydra_sync.standing import Standing
from hydra_sync.store.faults import translated
from hydra_sync.store.files import read_file, replace_file
from hydra_sync.store.layout import LogPlace
from hydra_sync.store.standing import STANDING_BYTES_MAX, encode_standing, parse_standing
from hydra_sync.tasks import Turn

__all__ = ["StandingFile", "read_standing", "write_standing"]

WHY_CHARS_MAX: Final = TEXT_BYTES_MAX // 4  # whatever they are

GONE: Final = "what it held and promised is gone from the disk"
_NEW: Final = Standing()


async def read_standing(disk: Disk, place: LogPlace, missing: Standing = _NEW) -> Standing:
    """What ``standing.cbor`` says; ``missing`` if there is none.

    Raises `StoreDamagedError` or `NewerFormatError`, each saying what to do next.
    """
    with translated(f"reading {place.standing}"):
        try:
            data = await read_file(disk, place.standing, STANDING_BYTES_MAX)
        except FileNotFoundError:
            return missing
    try:
        return parse_standing(data, place.network, place.author)
    except NewerFormatError as error:
        raise NewerFormatError(f"{place.standing}: {error}") from error
    except FormatError as error:
        raise StoreDamagedError(
            f"{place.standing} is damaged, {error}: what this node promised about the log of member "
            f"{place.author.hex()} is not known any more. The log itself is untouched, and `hydra-sync recover` "
            "makes the file again, as that of a node that forgot"
        ) from error


async def write_standing(disk: Disk, place: LogPlace, standing: Standing) -> None:
    """Put ``standing`` in the place of the one before; durable on return.

    Raises `StoreFullError`, which leaves the one before in force, or `StoreError`, after which either may be.
    """
    with translated(f"writing {place.standing}"):
        await replace_file(disk, place.standing, encode_standing(standing, place.network, place.author))
    try:
        await disk.sync_dir(place.directory)
    except OSError as error:
        # Whatever the reason: the new one is there, and may or may not stay.
        raise StoreError(f"syncing {place.directory}: {error}") from error


class StandingFile:
    """The standing of one log in an open store. Made by `open`."""

    def __init__(self, disk: Disk, place: LogPlace, standing: Standing) -> None:
        self.standing = standing
        """What is durable."""
        self.failure: str | None = None
        """Why it cannot be changed any more, if so."""
        self._disk = disk
        self._place = place
        self._turn = Turn()

    @classmethod
    async def open(cls, disk: Disk, place: LogPlace, *, is_due: bool, read_only: bool) -> StandingFile:
        """The standing of the log at ``place``, durable unless it is only looked at. Raises as `read_standing`.

        Where it ``is_due`` and there is none, the disk has lost it, and may have lost all else of the log.
        """
        missing = Standing(amnesiac=True, why=GONE) if is_due else _NEW
        standing = await read_standing(disk, place, missing)
        if standing is missing:
            opened = cls(disk, place, missing)
            if is_due and not read_only:
                await opened.write()
            return opened
        if not read_only:
            # A process that was killed may have put it there, and not synced its name.
            with translated(f"syncing {place.directory}", may_be_full=False):
                await disk.sync_dir(place.directory)
        return cls(disk, place, standing)

    async def set(self, standing: Standing) -> None:
        """Replace the standing; durable on return. Of several calls at once the last one wins.

        What was begun is finished even if the caller is cancelled. Raises `StoreFullError` if there is no
        room (nothing has changed, try again later), and `StoreError` when the disk fails: from then on
        every call raises it.
        """
        async with self._turn:
            await self._set(standing)

    async def write(self) -> None:
        """See to it that there is a file, whatever it says; durable on return. Raises as `set` does."""
        async with self._turn:
            self._require_sound()
            await self._write(self.standing)

    async def forget(self, why: str) -> None:
        """Make the log amnesiac, unless it is; durable on return. Raises as `set` does."""
        async with self._turn:
            if not self.standing.amnesiac:
                await self._set(replace(self.standing, amnesiac=True, why=why[:WHY_CHARS_MAX]))

    async def _set(self, standing: Standing) -> None:
        self._require_sound()
        if standing != self.standing:
            await self._write(standing)

    async def _write(self, standing: Standing) -> None:
        with trio.CancelScope(shield=True):
            try:
                await write_standing(self._disk, self._place, standing)
            except StoreFullError:
                raise
            except StoreError as error:
                self.failure = str(error)
                self._require_sound()
        self.standing = standing

    def _require_sound(self) -> None:
        if self.failure is not None:
            raise StoreError(
                f"log of member {self._place.author.hex()}: no more promises, because the disk failed "
                f"({self.failure}): restart the node"
            )

    def warnings(self, alias: str) -> list[str]:
        """What people should know, in sentences."""
        said = []
        if self.standing.amnesiac:
            said.append(
                f"log of {alias}: this node may have lost some of it ({self.standing.why}), and does not count for it "
                "until it has all of it again"
            )
        if self.failure is not None:
            said.append(f"log of {alias}: no more promises, the disk failed ({self.failure}): restart the node")
        return said
