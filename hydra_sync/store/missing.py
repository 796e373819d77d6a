"""Segment files that are not there: which ones, and the events that went with them. Does I/O: reads only.

A crash never takes a segment and leaves its index: indexes are made later and removed earlier. Somebody
has deleted the file, or the file system has lost it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hydra_sync.disk import Disk
from hydra_sync.errors import FormatError
from hydra_sync.ranges import SeqRange
from hydra_sync.store.files import read_file
from hydra_sync.store.index import INDEX_BYTES_MAX, Index, Mark, parse_index
from hydra_sync.store.layout import LogPlace, index_seqs, segment_seqs
from hydra_sync.store.scan import Placed, Walk

__all__ = ["NoFile", "gaps", "load_index", "lost_segments"]


class NoFile:
    """The `File` of a segment that is not there, for reading."""

    async def read_at(self, offset: int, size: int) -> bytes:
        return b""

    async def write_at(self, offset: int, data: bytes) -> None:
        raise AssertionError("there is no file to write to")

    async def sync(self) -> None:
        return

    async def truncate(self, size: int) -> None:
        raise AssertionError("there is no file to cut")

    async def size(self) -> int:
        return 0

    def close(self) -> None:
        return


async def load_index(disk: Disk, place: LogPlace, first_seq: int) -> Index | None:
    """The index file of a segment; None if there is none that can be used."""
    try:
        data = await read_file(disk, place.index(first_seq), INDEX_BYTES_MAX)
        return parse_index(data, place.author, first_seq)
    except (FileNotFoundError, FormatError):
        return None


async def lost_segments(disk: Disk, place: LogPlace, names: Sequence[str]) -> list[int]:
    """The first seqs of segments of which only an index is left, one that can be read; ascending."""
    there = segment_seqs(names)
    orphans = [seq for seq in index_seqs(names) if seq not in there]
    return [seq for seq in orphans if await load_index(disk, place, seq) is not None]


async def gaps(disk: Disk, place: LogPlace, seqs: Sequence[int]) -> list[SeqRange]:
    """Events between or before these segments, by first seq, that are in none of them.

    Costs the reading of their indexes. Behind a segment without one nothing is found: reading it tells.
    """
    found = [SeqRange(0, seqs[0])] if seqs and seqs[0] > 0 else []
    for first_seq, next_seq in pairwise(seqs):
        index = await load_index(disk, place, first_seq)
        if index is None or index.mark is None:
            continue
        end_seq = index.mark.tip.next_seq
        if end_seq < next_seq:
            end_seq = await _end_seq(disk, place, first_seq, index.mark)
        if end_seq < next_seq:
            found.append(SeqRange(end_seq, next_seq))
    return found


async def _end_seq(disk: Disk, place: LogPlace, first_seq: int, mark: Mark) -> int:
    # A disk that was full when the segment was sealed has left an index older than that.
    file = await disk.open(place.segment(first_seq), "read")
    try:
        seq = mark.tip.next_seq
        stop = await file.size()
        walk = Walk(file, mark.offset, stop, seq=seq, tip=mark.tip, signed=place.signed, open_ended=True)
        while (item := await walk.next()) is not None:
            if isinstance(item, Placed):
                seq = item.batch.header.stop
        return seq
    finally:
        file.close()
