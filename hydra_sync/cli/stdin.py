"""Standard input as lines, those that arrive together in one list. Does I/O."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from typing import Final

import trio

from hydra_sync.errors import UsageError
from hydra_sync.limits import EVENT_BYTES_MAX

__all__ = ["line_text", "read_lines"]

STDIN_BYTES: Final = 64 << 10  # lines that arrive together are committed together
LINE_BYTES_MAX: Final = 2 * EVENT_BYTES_MAX + 2  # the largest event in hexadecimal


async def read_lines() -> AsyncIterator[list[bytes]]:
    """Whole lines of standard input, those that arrive together in one list."""
    rest = b""
    while data := await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), STDIN_BYTES, abandon_on_cancel=True):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise UsageError(f"a line of standard input has more than {LINE_BYTES_MAX} bytes, more than an event may")
        if whole:
            yield whole
    if rest:
        yield [rest]


def line_text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"it is no UTF-8 text, {error}; send bytes with --format hex") from error
