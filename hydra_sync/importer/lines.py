"""Records that are lines of a file. Does I/O: reads only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Final

from hydra_sync.importer.sources import Form, Found, Position, Problem, Progress, Raw

__all__ = ["LINE_BYTES_MAX", "Lines"]

LINE_BYTES_MAX: Final = 64 << 20  # a checkpoint of a busy head has some; a hole of zeros may have any number
PIECE_BYTES: Final = 1 << 20


class Lines:
    """A file of JSON lines. Empty ones count for the numbers and are passed over, as hydra-node does."""

    def __init__(self, path: Path, name: str, form: Form = Form.JSON) -> None:
        self.name = name
        self.form = form
        self._path = path

    @property
    def size(self) -> int:
        return self._path.stat().st_size

    def opened(self) -> AbstractContextManager[None]:
        return nullcontext()

    def read(self, progress: Progress) -> Iterator[Found]:
        with self._path.open("rb") as file:
            number = offset = 0
            while data := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                position = Position(self.name, line=number, offset=offset)
                offset += len(data)
                if len(data) > LINE_BYTES_MAX:
                    offset += _skip_line(file)
                    yield Problem(position, f"a line of more than {LINE_BYTES_MAX >> 20} MiB, not read")
                elif line := data.strip():
                    yield Raw(position, self.form, line, unterminated=not data.endswith(b"\n"))
                progress(offset)


def _skip_line(file: BinaryIO) -> int:
    """Step over the rest of a line, without holding it; returns its bytes."""
    skipped = 0
    while data := file.readline(PIECE_BYTES):
        skipped += len(data)
        if data.endswith(b"\n"):
            break
    return skipped
