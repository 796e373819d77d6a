"""The development chain in a file that several processes of one machine share. Does I/O.

The first line holds the outputs that a head opens with, each other one a block or a rollback: JSON, with what
counts as CBOR in hexadecimal beside a few words for people. Lines are only added, under a lock, and synced.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import trio

from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.head.commands import Point
from hydra_sync.head.events import PostTx
from hydra_sync.mainchain.dev_chain import DevChain, Line
from hydra_sync.mainchain.following import PolledChain

__all__ = ["FileChain"]


class FileChain(PolledChain):
    """A chain in the file ``path``; ``wall_clock`` gives microseconds since 1970."""

    poll_s = 0.05  # other processes do not tell us when they add a block

    def __init__(self, path: Path, wall_clock: Callable[[], int]) -> None:
        self._path = path
        self._wall_clock = wall_clock

    @staticmethod
    def create(path: Path, outputs: Sequence[tuple[bytes, bytes]]) -> None:
        """Begin a chain. Raises `UsageError` if the file exists, or cannot be made."""
        try:
            with path.open("xb") as file:
                file.write(_line({"development chain": 1, "outputs": len(outputs)}, encode(tuple(outputs))))
        except OSError as error:
            raise UsageError(f"{path} cannot be made: {error.strerror}; name another file") from error

    async def post(self, post: PostTx) -> str | None:
        """Put a transaction on the chain; why it was refused, if it was. Raises `UsageError` for no chain."""
        return await trio.to_thread.run_sync(self._post, post)

    async def known(self, point: Point) -> Sequence[Line]:
        """What has happened after ``point`` so far. Raises `UsageError` if that was never on this chain."""
        chain = await trio.to_thread.run_sync(self._look)
        return chain.lines[chain.after(point) :]

    def roll_back(self, count: int) -> Line:
        """Take back the last ``count`` blocks. Raises `UsageError`."""
        with self._locked() as (file, chain):
            line = chain.roll_back(count)
            _add(file, line)
            return line

    def _post(self, post: PostTx) -> str | None:
        with self._locked() as (file, chain):
            line = chain.post(post, self._wall_clock())
            if isinstance(line, str):
                return line
            _add(file, line)
            return None

    def _look(self) -> DevChain:
        chain = self._read()
        if chain.tick(self._wall_clock()) is None:
            return chain
        with self._locked() as (file, chain):
            line = chain.tick(self._wall_clock())  # another process may have been faster
            if line is not None:
                _add(file, line)
                chain.lines.append(line)
            return chain

    def _read(self) -> DevChain:
        try:
            return self._parse(self._path.read_bytes())
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[tuple[BinaryIO, DevChain]]:
        try:
            file = self._path.open("r+b")
        except OSError as error:
            raise UsageError(f"{self._path} cannot be opened: {error.strerror}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            data = file.read()
            chain = self._parse(data)  # before anything is cut off: this may be somebody's other file
            file.truncate(data.rfind(b"\n") + 1)  # a line that a killed process did not finish was never there
            file.seek(0, os.SEEK_END)
            yield file, chain

    def _parse(self, data: bytes) -> DevChain:
        lines = data.split(b"\n")[:-1]
        try:
            first, *rest = (bytes.fromhex(json.loads(line)["cbor"]) for line in lines)
            match decode(first):
                case tuple(outputs):
                    pairs = tuple((bytes(name), bytes(output)) for name, output in outputs)
                    return DevChain(pairs, [Line.decode(line) for line in rest])
        except (ValueError, TypeError, KeyError, FormatError) as error:
            raise UsageError(f"{self._path} is no development chain: {error}") from error
        raise UsageError(f"{self._path} is no development chain: its first line holds no outputs")


def _add(file: BinaryIO, line: Line) -> None:
    file.write(_line({"slot": line.point.slot, "fact": line.fact[0]}, line.encode()))
    file.flush()
    os.fsync(file.fileno())


def _line(words: dict[str, object], cbor: bytes) -> bytes:
    return json.dumps({**words, "cbor": cbor.hex()}).encode() + b"\n"
