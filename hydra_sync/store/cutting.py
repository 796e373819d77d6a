"""Taking out the end of a log, all of it or nothing: a note tells what goes until all of it is gone. Does I/O.

    cut.cbor = checked file "hydra-sync cut", version 1 (see `checked`)
    content  = [network, log, [offset, epoch, next_seq, hash]], where the log is to end

The note is durable before anything is taken out, and is itself taken out last. Who opens the log
meanwhile finishes the cut, or, reading only, sees the log as it will be.
"""

from __future__ import annotations

from typing import Final

from hydra_sync.chain import Tip
from hydra_sync.disk import Disk, File
from hydra_sync.errors import FormatError, NewerFormatError, StoreDamagedError, StoreError, StoreFullError
from hydra_sync.limits import HASH_BYTES, UINT_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.store import checked
from hydra_sync.store.faults import is_refusal, translated
from hydra_sync.store.files import read_file, remove_file, replace_file
from hydra_sync.store.index import Index, Mark, encode_index
from hydra_sync.store.layout import LogPlace, index_seqs, segment_seqs
from hydra_sync.store.missing import load_index

__all__ = ["Shortened", "begin_cut", "clipped", "cut_index", "finish_cut", "parse_cut", "pending_cut"]

FORMAT_VERSION: Final = 1
_KIND: Final = "hydra-sync cut"
_BYTES_MAX: Final = 1024  # three hashes and some numbers


class Shortened:
    """A segment file as it will be when the cut is finished, for reading."""

    def __init__(self, file: File, size: int) -> None:
        self._file = file
        self._size = size

    async def read_at(self, offset: int, size: int) -> bytes:
        return await self._file.read_at(offset, max(0, min(size, self._size - offset)))

    async def write_at(self, offset: int, data: bytes) -> None:
        raise AssertionError("the file is there for reading")

    async def sync(self) -> None:
        await self._file.sync()

    async def truncate(self, size: int) -> None:
        raise AssertionError("the file is there for reading")

    async def size(self) -> int:
        return min(await self._file.size(), self._size)

    def close(self) -> None:
        self._file.close()


async def begin_cut(disk: Disk, place: LogPlace, end: Mark) -> None:
    """Decide that the log ends at ``end``, in the segment that holds the event before it; durable on return.

    Raises `StoreFullError`, and then nothing was decided, or `StoreError`, and then nobody knows.
    """
    tip = end.tip
    note = checked.seal(
        _KIND, FORMAT_VERSION, [place.network, place.author, [end.offset, tip.epoch, tip.next_seq, tip.hash]]
    )
    with translated(f"writing {place.cut}"):
        await replace_file(disk, place.cut, note)
    try:
        with translated(f"syncing {place.directory}", may_be_full=False):
            await disk.sync_dir(place.directory)
    except StoreFullError as error:
        # A note that turned up again later would take out what was appended until then.
        try:
            await remove_file(disk, place.cut)
            await disk.sync_dir(place.directory)
        except OSError:
            raise StoreError(*error.args) from error
        raise


async def pending_cut(disk: Disk, place: LogPlace) -> Mark | None:
    """Where the log is to end, if a cut was begun and not finished. Raises `OSError` and `StoreDamagedError`."""
    try:
        data = await read_file(disk, place.cut, _BYTES_MAX)
    except FileNotFoundError:
        return None
    try:
        return parse_cut(data, place)
    except NewerFormatError as error:
        raise NewerFormatError(f"{place.cut}: {error}") from error
    except FormatError as error:
        raise StoreDamagedError(
            f"{place.cut} is damaged, {error}: where the log of member {place.author.hex()} ends is not known. "
            f"Move {place.directory} away and use `hydra-sync recover`, to fetch the log from other members"
        ) from error


def parse_cut(data: bytes, place: LogPlace) -> Mark:
    """Where the log at ``place`` is to end. Raises `FormatError` for anything but a note about it."""
    match checked.check(data, _KIND, FORMAT_VERSION):
        case (bytes(network), bytes(author), (int(offset), int(epoch), int(next_seq), bytes(digest))) if (
            (network, author) == (place.network, place.author)
            and all(type(number) is int and 0 <= number <= UINT_MAX for number in (offset, epoch, next_seq))
            and len(digest) == HASH_BYTES
        ):
            return Mark(offset, Tip(epoch, next_seq, digest))
    raise FormatError("it is not of this log")


async def finish_cut(disk: Disk, place: LogPlace, end: Mark) -> None:
    """Take out everything beyond ``end``, and the note; durable on return. May be done again at any time."""
    names = await disk.list_dir(place.directory)
    at = end.tip.next_seq
    for seq in index_seqs(names):
        if seq >= at:
            await remove_file(disk, place.index(seq))
    seqs = segment_seqs(names)
    for seq in seqs:
        if seq >= at:
            await remove_file(disk, place.segment(seq))
    kept = [seq for seq in seqs if seq < at]
    if kept:
        await _shorten(disk, place, kept[-1], end)
    await disk.sync_dir(place.directory)
    await remove_file(disk, place.cut)
    await disk.sync_dir(place.directory)


async def _shorten(disk: Disk, place: LogPlace, first_seq: int, end: Mark) -> None:
    index = await load_index(disk, place, first_seq)
    if index is not None and cut_index(index, end):
        try:
            await replace_file(disk, place.index(first_seq), encode_index(index, place.author))
        except OSError as error:
            if not is_refusal(error):
                raise
            await remove_file(disk, place.index(first_seq))  # it is a cache; this one would be wrong
    file = await disk.open(place.segment(first_seq), "write")
    try:
        if await file.size() > end.offset:
            await file.truncate(end.offset)
        await file.sync()  # also where a killed process has cut it
    finally:
        file.close()


def cut_index(index: Index, end: Mark) -> bool:
    """Let the index of the segment end at ``end``; whether it went further."""
    if index.mark is None or index.mark.offset <= end.offset:
        return False
    index.cut(end.offset)
    index.mark = end
    index.holes = clipped(index.holes, end.tip.next_seq)
    return True


def clipped(holes: tuple[SeqRange, ...], stop: int) -> tuple[SeqRange, ...]:
    """What of these ranges is below ``stop``."""
    return tuple(SeqRange(hole.start, min(hole.stop, stop)) for hole in holes if hole.start < stop)
