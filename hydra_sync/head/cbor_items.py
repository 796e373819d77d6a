"""CBOR read item by item, with the place of each: for bytes that are hashed as they were received. No I/O.

Cardano's transactions come in whatever valid encoding their author chose, indefinite lengths included, and
their id is the hash of those very bytes. So they are never decoded and encoded again: a cursor walks over them,
and what it passes can be cut out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hydra_sync.errors import FormatError
from hydra_sync.head.bounds import DEPTH_MAX

__all__ = ["Items"]

UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, OTHER = range(8)
INDEFINITE: Final = -1
BREAK: Final = 0xFF
SET_TAG: Final = 258  # what Conway puts before arrays that are sets


class Items:
    """A cursor over CBOR. Every method raises `FormatError` where the bytes are not what it reads.

    >>> items = Items(bytes.fromhex("82 1903e8 4161"))
    >>> [(items.uint() if place == 0 else items.blob()) for place in items.array()]
    [1000, b'a']
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def uint(self) -> int:
        """An unsigned number of at most 64 bits."""
        major, value = self._head()
        if major != UINT:
            raise FormatError("an unsigned number is needed")
        return value

    def blob(self) -> bytes:
        """A byte string, in one piece or several."""
        major, length = self._head()
        if major != BYTES:
            raise FormatError("a byte string is needed")
        if length != INDEFINITE:
            return self._take(length)
        pieces: list[bytes] = []
        while not self._broken():
            pieces.append(self._piece(BYTES))
        return b"".join(pieces)

    def is_next(self, first: int) -> bool:
        """Whether the next item begins with this very byte; if so, it is passed."""
        if self.at < len(self.data) and self.data[self.at] == first:
            self.at += 1
            return True
        return False

    def major(self) -> int:
        """The kind of the next item, which stays the next."""
        if self.at >= len(self.data):
            raise FormatError("CBOR ends where an item is needed")
        return self.data[self.at] >> 5

    def array(self) -> Iterator[int]:
        """The places of an array's items; each must be read, or skipped, before the next is asked for."""
        return self._each(ARRAY)

    def map(self) -> Iterator[int]:
        """The places of a map's entries; of each the key and the value must be read or skipped."""
        return self._each(MAP)

    def set(self) -> Iterator[int]:
        """The places of the items of an array that may be marked as a set."""
        if self.major() == TAG and self._head() != (TAG, SET_TAG):
            raise FormatError(f"the tag is not that of a set, {SET_TAG}")
        return self._each(ARRAY)

    def raw(self) -> bytes:
        """The bytes of the next item, whatever it is."""
        start = self.at
        self._skip(DEPTH_MAX)
        return self.data[start : self.at]

    def end(self) -> None:
        """Nothing may follow."""
        if self.at != len(self.data):
            raise FormatError(f"{len(self.data) - self.at} bytes follow the end")

    def _each(self, kind: int) -> Iterator[int]:
        major, count = self._head()
        if major != kind:
            raise FormatError("an array is needed" if kind == ARRAY else "a map is needed")
        place = 0
        while not self._broken() if count == INDEFINITE else place < count:
            yield place
            place += 1

    def _skip(self, depth: int) -> None:
        if depth == 0:
            raise FormatError(f"CBOR is nested deeper than {DEPTH_MAX}")
        major, value = self._head()
        if major in (BYTES, TEXT) and value != INDEFINITE:
            self._take(value)
        elif major in (BYTES, TEXT, ARRAY, MAP) and value == INDEFINITE:
            self._skip_to_break(major, depth)
        elif major in (ARRAY, MAP):
            for _ in range(value * (2 if major == MAP else 1)):
                self._skip(depth - 1)
        elif major == TAG:
            self._skip(depth - 1)

    def _skip_to_break(self, major: int, depth: int) -> None:
        while not self._broken():
            if major in (BYTES, TEXT):
                self._piece(major)
                continue
            self._skip(depth - 1)
            if major == MAP:
                self._skip(depth - 1)

    def _piece(self, kind: int) -> bytes:
        """One piece of a string without a length."""
        major, length = self._head()
        if major != kind or length == INDEFINITE:
            raise FormatError("a string is made of strings of its kind")
        return self._take(length)

    def _broken(self) -> bool:
        return self.is_next(BREAK)

    def _head(self) -> tuple[int, int]:
        """Kind and number of an item's head, `INDEFINITE` if it has no length."""
        if self.at >= len(self.data):
            raise FormatError("CBOR ends where an item is needed")
        first = self.data[self.at]
        self.at += 1
        major, low = first >> 5, first & 31
        if low < 24:
            return major, low
        if low < 28:
            return major, int.from_bytes(self._take(1 << (low - 24)), "big")
        if low == 31 and major in (BYTES, TEXT, ARRAY, MAP):
            return major, INDEFINITE
        raise FormatError(f"no item begins with the byte {first:#04x}")

    def _take(self, count: int) -> bytes:
        stop = self.at + count
        if stop > len(self.data):
            raise FormatError("CBOR ends within an item")
        taken = self.data[self.at : stop]
        self.at = stop
        return taken
