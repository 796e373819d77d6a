"""Lines for readers that are slow, absent or gone: nobody waits for them who must not, and what is lost is counted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TextIO

import pytest
import trio

from hydra_sync.cli import output
from hydra_sync.cli.output import LINES_MAX, LineWriter, lost_json, lost_line, open_writers
from tests.cli.commands import FILLING, fill


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A full pipe: its reading end, and what a process writes to."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "w") as writer:
        yield reader.fileno(), writer


def drain(fd: int) -> bytes:
    """What is in a pipe now."""
    os.set_blocking(fd, False)
    data = b""
    try:
        while part := os.read(fd, 1 << 20):
            data += part
    except BlockingIOError:
        pass
    os.set_blocking(fd, True)
    return data


async def read_until(fd: int, end: bytes) -> list[str]:
    data = b""
    while end not in data:
        data += await trio.to_thread.run_sync(os.read, fd, 1 << 16)
    return data.lstrip(FILLING).decode().splitlines()


async def test_notices_that_nobody_reads_are_counted(pipe: tuple[int, TextIO]) -> None:
    """`offer` returns at once; the first ones come, and then how many did not. Later ones come again."""
    fd, stream = pipe
    fill(stream.fileno())
    writer = LineWriter(stream, lost_line)
    with trio.fail_after(30):
        async with open_writers([writer]):
            for n in range(LINES_MAX + 7):
                writer.offer(str(n))
            lines = await read_until(fd, b"keep up\n")
            writer.offer("later")
            await writer.flush()
    assert lines[: output.WRITE_LINES_MAX] == [str(n) for n in range(output.WRITE_LINES_MAX)]
    assert lines[-1] == "7 notices lost: the reader did not keep up"
    assert len(lines) == LINES_MAX + 1
    assert drain(fd) == b"later\n"


async def test_acknowledgements_wait_for_room(pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch) -> None:
    """None is lost, whatever notices come between."""
    monkeypatch.setattr(output, "LINES_MAX", 5)
    monkeypatch.setattr(output, "ACKNOWLEDGEMENTS_MAX", 10)
    fd, stream = pipe
    fill(stream.fileno())
    writer = LineWriter(stream, lost_json)
    put = 0

    async def acknowledge() -> None:
        nonlocal put
        for n in range(40):
            await writer.put(f"appended {n}")
            writer.offer("notice")
            put += 1
        await writer.put("end")

    with trio.fail_after(30):
        async with open_writers([writer]), trio.open_nursery() as nursery:
            nursery.start_soon(acknowledge)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert put < 10
            lines = await read_until(fd, b"end\n")
    assert [line for line in lines if line.startswith("appended")] == [f"appended {n}" for n in range(40)]
    assert any(line.startswith('{"event": "lost", "notices": ') for line in lines)


async def test_the_end_waits_a_second_at_most(pipe: tuple[int, TextIO]) -> None:
    """What is read by then is whole; a reader that does not read is left."""
    fd, stream = pipe
    writer = LineWriter(stream, lost_line)
    async with open_writers([writer]):
        for n in range(1000):
            writer.offer(str(n))
    assert drain(fd).decode().split() == [str(n) for n in range(1000)]
    fill(stream.fileno())
    start = trio.current_time()
    writer = LineWriter(stream, lost_line)
    async with open_writers([writer]):
        writer.offer("nobody reads this")
    assert trio.current_time() - start < 10
    drain(fd)  # and the thread that was left ends


async def test_a_reader_that_has_gone_is_noticed() -> None:
    """`closed` says so, whoever waits for room goes on, and nothing is raised."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream, trio.fail_after(30):
        writer = LineWriter(stream, lost_line)
        async with open_writers([writer]):
            writer.offer("x")
            await writer.closed.wait()
            await writer.put("y")
            await writer.flush()


async def test_a_stream_that_was_never_open() -> None:
    """As with `>&-`: lines go nowhere."""
    writer = LineWriter(None, lost_line)
    async with open_writers([writer]):
        writer.offer("x")
        await writer.put("y")
