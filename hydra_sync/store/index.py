"""The index of a segment: where records start, and what is known to be durable. No I/O.

    file    = CBOR array [payload, SHA-256(payload)]
    payload = << ["hydra-sync index", 1, author, first_seq, mark, [seq, offset, ...], [start, stop, ...]] >>
    mark    = [offset, epoch, next_seq, hash], the durable end of the segment when the index was written

It is a cache: a file that is missing or wrong is made again by scanning the segment.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hydra_sync.chain import Tip
from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import HASH_BYTES, INDEX_STEP_BYTES, UINT_MAX
from hydra_sync.ranges import SeqRange

__all__ = ["INDEX_BYTES_MAX", "Index", "Mark", "encode_index", "parse_index"]

FORMAT_VERSION: Final = 1
INDEX_BYTES_MAX: Final = 16 << 20  # a segment of 64 MiB has some 20 kB; more is not ours
_KIND: Final = "hydra-sync index"


def _numbers() -> array[int]:
    return array("Q")


@dataclass(frozen=True, slots=True)
class Mark:
    """Everything before ``offset`` was synced, and the log ended there with this tip."""

    offset: int
    tip: Tip


@dataclass(slots=True)
class Index:
    """Sparse positions of one segment's records, at most one in `INDEX_STEP_BYTES`.

    >>> index = Index(first_seq=7)
    >>> index.add(7, 0), index.add(8, 100), index.add(9, 70_000)
    (None, None, None)
    >>> index.find(8), index.find(9)
    ((7, 0), (9, 70000))
    """

    first_seq: int
    mark: Mark | None = None
    holes: tuple[SeqRange, ...] = ()
    """Damage of the whole log known when the index was written."""
    _seqs: array[int] = field(default_factory=_numbers)
    _offsets: array[int] = field(default_factory=_numbers)

    def add(self, seq: int, offset: int) -> None:
        """Remember that the record of ``seq`` starts at ``offset``, if that is far enough from the last."""
        if not self._offsets or offset >= self._offsets[-1] + INDEX_STEP_BYTES:
            self._seqs.append(seq)
            self._offsets.append(offset)

    def find(self, seq: int) -> tuple[int, int]:
        """The last known (seq, offset) of a record at or before ``seq``; else the start of the segment."""
        at = bisect_right(self._seqs, seq)
        return (self._seqs[at - 1], self._offsets[at - 1]) if at else (self.first_seq, 0)

    def cut(self, offset: int) -> None:
        """Forget the records that start at ``offset`` or later."""
        keep = bisect_left(self._offsets, offset)
        del self._seqs[keep:], self._offsets[keep:]


def encode_index(index: Index, author: MemberKey) -> bytes:
    """The bytes of an index file. The index must have a mark."""
    mark = index.mark
    assert mark is not None
    pairs = zip(index._seqs, index._offsets, strict=True)  # noqa: SLF001 - its own other form
    payload = encode(
        [
            _KIND,
            FORMAT_VERSION,
            author,
            index.first_seq,
            [mark.offset, mark.tip.epoch, mark.tip.next_seq, mark.tip.hash],
            [number for pair in pairs for number in pair],
            [number for hole in index.holes for number in (hole.start, hole.stop)],
        ]
    )
    return encode([payload, hashlib.sha256(payload).digest()])


def parse_index(data: bytes, author: MemberKey, first_seq: int) -> Index:
    """The index of this author's segment in these bytes. Raises `FormatError` for anything else."""
    match decode(data):
        case (bytes(payload), bytes(digest)) if hashlib.sha256(payload).digest() == digest:
            fields = decode(payload)
        case _:
            raise FormatError("the index file is damaged")
    match fields:
        case (
            kind,
            1,
            owner,
            first,
            (int(offset), int(epoch), int(next_seq), bytes(digest)),
            tuple(pairs),
            tuple(ends),
        ):
            mark_fits = next_seq >= first_seq and offset >= 0 <= epoch and len(digest) == HASH_BYTES
            if (kind, owner, first) == (_KIND, author, first_seq) and mark_fits:
                index = Index(first_seq, Mark(offset, Tip(epoch, next_seq, digest)), _parse_holes(ends))
                index._seqs, index._offsets = _parse_pairs(pairs, offset)  # noqa: SLF001 - its own other form
                return index
    raise FormatError("the index file is of another form or another segment")


def _parse_pairs(numbers: Sequence[object], offset_max: int) -> tuple[array[int], array[int]]:
    seqs, offsets = _ascending(numbers[::2]), _ascending(numbers[1::2])
    if len(seqs) != len(offsets) or (offsets and offsets[-1] >= offset_max):
        raise FormatError("the index file names records beyond its own end")
    return seqs, offsets


def _parse_holes(numbers: Sequence[object]) -> tuple[SeqRange, ...]:
    ends = _ascending(numbers)
    if len(ends) % 2:
        raise FormatError("the index file has half a range")
    return tuple(SeqRange(start, stop) for start, stop in zip(ends[::2], ends[1::2], strict=True))


def _ascending(numbers: Sequence[object]) -> array[int]:
    parsed = _numbers()
    for number in numbers:
        if type(number) is not int or not (parsed[-1] if parsed else -1) < number <= UINT_MAX:
            raise FormatError("the index file's numbers are not in order")
        parsed.append(number)
    return parsed
