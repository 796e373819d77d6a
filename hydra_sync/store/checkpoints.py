"""Where logs end, for a new network to begin from, and the checkpoint that a store begins from itself. Does I/O.

<dir>/checkpoint.cbor     the checkpoint of the old network, until, and after, it is the first event of the own log
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.checkpoint import Position, is_checkpoint_event, parse_checkpoint
from hydra_sync.disk import Disk
from hydra_sync.epoch import is_epoch_batch
from hydra_sync.errors import FormatError, StoreDamagedError, UnavailableError, UsageError
from hydra_sync.limits import DATA_BYTES_TARGET, EVENT_BYTES_MAX
from hydra_sync.store.checked import check, seal
from hydra_sync.store.faults import translated
from hydra_sync.store.files import read_file, replace_file
from hydra_sync.store.layout import CHECKPOINT
from hydra_sync.store.view import LogView

__all__ = ["first_event", "position_of", "read_checkpoint", "read_checkpoint_file", "write_checkpoint"]

_KIND: Final = "hydra-sync checkpoint file"
_VERSION: Final = 1
_FILE_BYTES_MAX: Final = EVENT_BYTES_MAX + 256


async def position_of(log: LogView, alias: str, stop: int) -> Position:
    """The last place at or before ``stop`` where its author signed that the log ends.

    Raises `UnavailableError` where that is damaged here, `UsageError` if the log does not come that far.
    """
    if stop > log.tip.next_seq:
        raise UsageError(
            f"{alias}'s log ends at {log.tip.next_seq} here, and not at {stop}: start the old node to fetch the rest, "
            "or take the checkpoint from who has it"
        )
    while stop > 0:
        try:
            batches = await log.read(stop - 1, stop, 1)
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}. A checkpoint ends where a log is whole: start the old node to have it mended, or name an "
                f"earlier place with --up-to {alias}=SEQ"
            ) from error
        batch = batches[0]
        if batch.header.stop == stop and log.signed(batch):
            return Position(log.author, Tip.after(batch), batch.cose)
        stop = batch.header.first_seq
    return Position(log.author, EMPTY, b"")


async def first_event(log: LogView, start: int = 0) -> tuple[bytes | None, int]:
    """The first event of a log from seq ``start`` on that is its application's, and the seq of its batch.

    As long as there is none: None, and the seq from which to go on. Raises `UnavailableError` where that
    cannot be read.
    """
    seq = start
    while batches := await log.read(seq, log.tip.next_seq, DATA_BYTES_TARGET):
        for batch in batches:
            if not is_epoch_batch(batch):
                return batch.events()[0], seq
            seq = batch.header.stop
    return None, seq


async def write_checkpoint(disk: Disk, path: Path, event: bytes) -> None:
    """Keep the checkpoint that the store in ``path`` begins from; durable on return."""
    with translated(f"writing {path / CHECKPOINT}"):
        await replace_file(disk, path / CHECKPOINT, seal(_KIND, _VERSION, event))
        await disk.sync_dir(path)


async def read_checkpoint(disk: Disk, path: Path) -> bytes | None:
    """The checkpoint that the store in ``path`` begins from, if it does. Raises `StoreDamagedError`."""
    try:
        return await read_checkpoint_file(disk, path / CHECKPOINT)
    except FileNotFoundError:
        return None
    except FormatError as error:
        raise StoreDamagedError(
            f"{path / CHECKPOINT} is damaged, {error}: copy the file of another member of this network"
        ) from error


async def read_checkpoint_file(disk: Disk, path: Path) -> bytes:
    """The checkpoint in a file that `write_checkpoint` made. Raises `FormatError`, and as opening files does."""
    content = check(await read_file(disk, path, _FILE_BYTES_MAX), _KIND, _VERSION)
    if not isinstance(content, bytes) or not is_checkpoint_event(content):
        raise FormatError("there is no checkpoint in it")
    parse_checkpoint(content)
    return content
