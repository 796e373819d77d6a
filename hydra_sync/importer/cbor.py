"""CBOR one head at a time, for data whose arrays and maps do not say how many items they hold. No I/O.

hydra-node (master, ``user_version`` 2) writes constructors as their name and then their fields, without a
frame around them, and the head of a list or map counts such *logical* elements. A general decoder groups
them wrongly and notices nothing, so this reader leaves the grouping to who knows the form.
"""

from __future__ import annotations

from typing import Final

from hydra_sync.importer.fields import RecordError

__all__ = ["ARRAY", "BYTES", "MAP", "NEGATIVE", "SIMPLE", "TAG", "TEXT", "UNSIGNED", "CborReader"]

UNSIGNED: Final = 0
NEGATIVE: Final = 1
BYTES: Final = 2
TEXT: Final = 3
ARRAY: Final = 4
MAP: Final = 5
TAG: Final = 6
SIMPLE: Final = 7

DEPTH_MAX: Final = 256  # Plutus data nests, and whoever nests deeper wants to break us
BREAK: Final = 0xFF
FALSE: Final = 0xF4
_NAMES: Final = ("an integer", "a negative integer", "bytes", "a text", "a list", "a map", "a tag", "a simple value")


class CborReader:
    """A position in ``data``, and what can be read there. Everything raises `RecordError` with the offset."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def at_end(self) -> bool:
        return self.offset >= len(self.data)

    def fail(self, why: str) -> RecordError:
        return RecordError(f"not the CBOR expected at its byte {self.offset}: {why}")

    def peek(self) -> int:
        """The first byte of what is next."""
        if self.offset >= len(self.data):
            raise self.fail("it ends here")
        return self.data[self.offset]

    def head(self) -> tuple[int, int | None]:
        """The major type and the argument of the next item; None is an indefinite length."""
        if self.offset >= len(self.data):
            raise self.fail("it ends here")
        first = self.data[self.offset]
        major, low = first >> 5, first & 31
        if low < 24:
            self.offset += 1
            return major, low
        if low < 28:
            size = 1 << (low - 24)
            argument = self._take(1 + size)[1:]
            return major, int.from_bytes(argument)
        if low == 31 and major in (BYTES, TEXT, ARRAY, MAP):
            self.offset += 1
            return major, None
        raise self.fail(f"a byte {first:#04x}")

    def expect(self, major: int) -> int | None:
        start = self.offset
        found, argument = self.head()
        if found != major:
            self.offset = start
            raise self.fail(f"{_NAMES[found]}, not {_NAMES[major]}")
        return argument

    def integer(self) -> int:
        """An integer of any size (bignums, tags 2 and 3, too)."""
        if self.peek() in (0xC2, 0xC3):
            negative = self.data[self.offset] == 0xC3
            self.offset += 1
            number = int.from_bytes(self.byte_string())
            return -1 - number if negative else number
        start = self.offset
        major, argument = self.head()
        if major not in (UNSIGNED, NEGATIVE) or argument is None:
            self.offset = start
            raise self.fail(f"{_NAMES[major]}, not an integer")
        return argument if major == UNSIGNED else -1 - argument

    def byte_string(self) -> bytes:
        return self._string(BYTES)

    def text(self) -> str:
        try:
            return self._string(TEXT).decode()
        except UnicodeDecodeError as error:
            raise self.fail("a text that is not UTF-8") from error

    def boolean(self) -> bool:
        byte = self.peek()
        if byte not in (FALSE, FALSE + 1):
            raise self.fail("neither true nor false")
        self.offset += 1
        return byte != FALSE

    def at_break(self) -> bool:
        """Whether a list or map of indefinite length ends here; steps over its end."""
        if self.peek() != BREAK:
            return False
        self.offset += 1
        return True

    def skip(self, depth: int = 0) -> None:
        """Step over one item, in the usual grouping."""
        if depth > DEPTH_MAX:
            raise self.fail("nested too deeply")
        major, argument = self.head()
        if major <= NEGATIVE or major == SIMPLE:
            return
        if major in (BYTES, TEXT) and argument is not None:
            if argument > len(self.data) - self.offset:
                raise self.fail(f"{argument} bytes are not there")
            self.offset += argument
        elif major == TAG:
            self.skip(depth + 1)
        elif argument is None:
            while not self.at_break():
                self.skip(depth + 1)
        elif major in (ARRAY, MAP):
            for _ in range(argument * (2 if major == MAP else 1)):
                self.skip(depth + 1)

    def slice(self) -> bytes:
        """The bytes of one item, in the usual grouping."""
        start = self.offset
        self.skip()
        return self.data[start : self.offset]

    def _string(self, major: int) -> bytes:
        size = self.expect(major)
        if size is not None:
            return self._take(size)
        parts = []
        while not self.at_break():
            part = self.expect(major)
            if part is None:
                raise self.fail("a string in parts has a part in parts")
            parts.append(self._take(part))
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        if size > len(self.data) - self.offset:
            raise self.fail(f"{size} bytes are not there")
        found = self.data[self.offset : self.offset + size]
        self.offset += size
        return found
