"""What a running node tells, kept apart from the node: a reader that does not read holds up nobody. Does I/O."""

from __future__ import annotations

import json
import os
import select
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, TextIO

import trio

from hydra_sync.tasks import Signal, open_tasks

__all__ = ["LINES_MAX", "LineWriter", "lost_json", "lost_line", "open_writers"]

LINES_MAX: Final = 10_000  # notices that wait for a reader; at most a few megabytes
ACKNOWLEDGEMENTS_MAX: Final = 2 * LINES_MAX  # they wait where notices cannot crowd them out
WRITE_LINES_MAX: Final = 500  # one write: few enough that a slow reader gets a sign of life
FLUSH_S: Final = 1.0  # how long a stopping node waits for its reader


class LineWriter:
    """Lines for one stream, written in order by one task of its own, in a thread.

    The stream's buffer is not used: a thread that waits for a reader would hold its lock at the end of the
    process, which then could not end either.
    """

    def __init__(self, stream: TextIO | None, lost: Callable[[int], str]) -> None:
        self.closed = trio.Event()
        """Nobody reads any more."""
        self._fd = None if stream is None else stream.fileno()
        self._encoding = "utf-8" if stream is None else stream.encoding
        self._lost_line = lost
        self._lost = 0
        self._lines: deque[str] = deque()
        self._changed = Signal()

    def offer(self, line: str) -> None:
        """Write a line soon, or count it as lost if too many wait. Never blocks, never raises."""
        if self._over:
            return
        if len(self._lines) >= LINES_MAX:
            self._lost += 1
        else:
            self._push(line)

    async def put(self, line: str) -> None:
        """Write a line soon; waits while too many do, and loses none."""
        while len(self._lines) >= ACKNOWLEDGEMENTS_MAX and not self._over:
            await self._changed.wait()
        if not self._over:
            self._push(line)

    async def flush(self) -> None:
        """Return when every line is written, or nobody reads any more."""
        while self._lines and not self._over:
            await self._changed.wait()

    async def run(self) -> None:
        """Write lines as they come, until cancelled or nobody reads any more."""
        if self._fd is None:
            return
        while True:
            while not self._lines:
                await self._changed.wait()
            lines = list(islice(self._lines, WRITE_LINES_MAX))  # they keep their places until they are written
            data = "".join(f"{line}\n" for line in lines).encode(self._encoding, "backslashreplace")
            try:
                await trio.to_thread.run_sync(_write, self._fd, data, abandon_on_cancel=True)
            except OSError:
                self._lines.clear()
                self.closed.set()
                self._changed.fire()
                return
            for _ in lines:
                self._lines.popleft()
            if self._lost:
                lost, self._lost = self._lost, 0
                self._lines.append(self._lost_line(lost))
            self._changed.fire()

    @property
    def _over(self) -> bool:
        return self._fd is None or self.closed.is_set()

    def _push(self, line: str) -> None:
        self._lines.append(line)
        self._changed.fire()


@asynccontextmanager
async def open_writers(writers: Iterable[LineWriter]) -> AsyncIterator[None]:
    """Run the writers; at the end they get `FLUSH_S` to write what waits."""
    async with open_tasks() as nursery:
        for writer in writers:
            nursery.start_soon(writer.run)
        try:
            yield
        finally:
            with trio.move_on_after(FLUSH_S, shield=True):
                for writer in writers:
                    await writer.flush()
            nursery.cancel_scope.cancel()


def lost_line(notices: int) -> str:
    """For people: so many notices were not written.

    >>> lost_line(1)
    '1 notice lost: the reader did not keep up'
    """
    return f"{notices} notice{'' if notices == 1 else 's'} lost: the reader did not keep up"


def lost_json(notices: int) -> str:
    """For programs: so many notices were not written."""
    return json.dumps({"event": "lost", "notices": notices})


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # whoever shares the stream with us made it so
            select.select([], [fd], [])
