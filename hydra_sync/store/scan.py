"""Walking over the records in a file and telling sound ones from damage. Does I/O: reads only.

A record's form and body hash are its own affair. Its header is confirmed by the record after it,
which names its hash; where there is none, by the known hash of the log's end or by its signature.
So no flipped bit in the bytes walked over goes unseen, and few signatures are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hydra_sync.batch import Batch, parse_batch, record_size
from hydra_sync.chain import DivergedError, Tip, link
from hydra_sync.disk import File
from hydra_sync.errors import FormatError
from hydra_sync.limits import COSE_BYTES_MAX

__all__ = ["CHUNK_BYTES", "Damage", "Placed", "Walk", "data_end", "record_at"]

CHUNK_BYTES: Final = 64 << 10  # what the disk reads without a thread switch
_HEADS_BYTES: Final = 4 + COSE_BYTES_MAX + 5  # a record's size is known from these
_RECORD_START: Final = b"\x82\x59"


@dataclass(frozen=True, slots=True)
class Placed:
    """A sound record and where it starts in its file."""

    offset: int
    batch: Batch

    @property
    def stop(self) -> int:
        return self.offset + len(self.batch.record)


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes ``start`` up to ``stop`` that hold no sound record."""

    start: int
    stop: int
    reason: str


class Walk:
    """The records of a file from ``start`` up to ``stop``, in order, in constant memory.

    ``seq`` is the first that is expected, ``tip`` what the first record stands on and ``end`` the hash
    of the last one, as far as they are known. After damage the walk goes on at the next record that
    carries its author's own signature: an event may well contain the bytes of some other record.

    With ``open_ended``, zeros up to ``stop`` are space not used yet; otherwise they are damage too.
    """

    def __init__(
        self,
        file: File,
        start: int,
        stop: int,
        *,
        seq: int,
        signed: Callable[[Batch], bool],
        tip: Tip | None = None,
        end: bytes | None = None,
        open_ended: bool = False,
    ) -> None:
        self._window = _Window(file, stop)
        self._offset = start
        self._limit: int | None = None if open_ended else stop  # where data ends; found when needed
        self._seq = seq
        self._signed = signed
        self._tip = tip
        self._end = end
        self._last: Batch | None = None
        self._ahead: Placed | Damage | None = None

    async def next(self) -> Placed | Damage | None:
        """The next record, or the bytes that should be one; None at the end."""
        item = self._ahead or await self._take()
        self._ahead = None
        if not isinstance(item, Placed):
            return item
        self._ahead = await self._take()
        if self._confirmed(item.batch, self._ahead) or self._signed(item.batch):
            return item
        return Damage(item.offset, item.stop, "neither a signature nor the next batch confirms this one")

    def _confirmed(self, batch: Batch, ahead: Placed | Damage | None) -> bool:
        if isinstance(ahead, Placed):
            return ahead.batch.header.prev_hash == batch.hash
        return ahead is None and self._end == batch.hash

    async def _take(self) -> Placed | Damage | None:
        if self._offset >= self._window.stop:
            return None
        found = await self._parse(self._offset)
        reason = self._refusal(found) if isinstance(found, Batch) else found
        if isinstance(found, Batch) and reason is None:
            return self._accept(found)
        if self._limit is None:
            self._limit = await data_end(self._window.file, self._offset, self._window.stop)
        return await self._skip(str(reason), self._limit) if self._offset < self._limit else None

    def _accept(self, batch: Batch) -> Placed:
        placed = Placed(self._offset, batch)
        self._offset = placed.stop
        self._seq, self._tip, self._last = batch.header.stop, Tip.after(batch), batch
        return placed

    def _refusal(self, batch: Batch) -> str | None:
        first_seq = batch.header.first_seq
        if self._tip is None and first_seq == self._seq:
            return None
        try:
            if self._tip is not None:
                link(self._tip, batch)
                return None
            reason = f"the batch of {batch.header.range} is not at seq {self._seq}"
        except DivergedError as error:
            reason = str(error)
        # Either this one is damaged or the one before it: signatures tell.
        before_is_sound = first_seq == self._seq and (self._last is None or self._signed(self._last))
        return reason if first_seq < self._seq or before_is_sound or not self._signed(batch) else None

    async def _skip(self, reason: str, limit: int) -> Damage:
        start = self._offset
        self._offset = at = start + 1
        while at < limit:
            part = await self._window.rest(at)
            found = part.find(_RECORD_START)
            if found < 0:
                at += max(len(part) - 1, 1) if part else limit  # the mark may begin with the last byte
                continue
            at += found
            batch = await self._parse(at)
            if isinstance(batch, Batch) and self._resumes(batch, at - start):
                self._seq, self._tip, self._last = batch.header.first_seq, None, None
                self._offset = at
                return Damage(start, at, reason)
            at += 1
        self._offset = self._window.stop
        return Damage(start, limit, reason)

    def _resumes(self, batch: Batch, skipped_bytes: int) -> bool:
        # The bytes skipped held at least one event, and an event has at least one byte.
        skipped = batch.header.first_seq - self._seq
        return 1 <= skipped <= skipped_bytes and self._signed(batch)

    async def _parse(self, offset: int) -> Batch | str:
        try:
            return await _record(self._window, offset)
        except FormatError as error:
            return str(error)


class _Window:
    """A part of a file in memory, read again only where a request leaves it."""

    def __init__(self, file: File, stop: int) -> None:
        self.file = file
        self.stop = stop
        self._offset = 0
        self._data = b""

    async def at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``, fewer where the file or the walk ends."""
        size = min(size, self.stop - offset)
        start = offset - self._offset
        if start < 0 or start + size > len(self._data):
            await self._read(offset, size)
            start = 0
        return self._data[start : start + size]

    async def rest(self, offset: int) -> bytes:
        """The bytes in memory from ``offset``, at least two unless the file ends."""
        if not 0 <= offset - self._offset <= len(self._data) - 2:
            await self._read(offset, CHUNK_BYTES)
        return self._data[offset - self._offset :]

    async def _read(self, offset: int, size: int) -> None:
        self._data = await self.file.read_at(offset, min(max(size, CHUNK_BYTES), self.stop - offset))
        self._offset = offset


async def record_at(file: File, offset: int, stop: int) -> Batch:
    """The record that starts at ``offset`` and ends before ``stop``. Raises `FormatError`."""
    return await _record(_Window(file, stop), offset)


async def _record(window: _Window, offset: int) -> Batch:
    size = record_size(await window.at(offset, _HEADS_BYTES))
    record = b"" if size is None else await window.at(offset, size)
    if len(record) != size:
        raise FormatError("the bytes end inside a batch record")
    return parse_batch(record)


async def data_end(file: File, start: int, stop: int) -> int:
    """Where the zeros begin that reach up to ``stop``; ``start`` if there is nothing else."""
    while stop > start:
        at = max(start, stop - CHUNK_BYTES)
        data = (await file.read_at(at, stop - at)).rstrip(b"\0")
        if data:
            return at + len(data)
        stop = at
    return start
