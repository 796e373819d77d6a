"""The development chain: one head at a time, contests until the deadline, rollbacks, the same in its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from hydra_sync.errors import FormatError, UsageError
from hydra_sync.head.commands import Point
from hydra_sync.head.events import PostTx
from hydra_sync.identity import SigningKey
from hydra_sync.limits import UINT_MAX
from hydra_sync.mainchain import DevChain, FileChain, Line

PARTIES = tuple(SigningKey(bytes([n]) * 32).member for n in (1, 2))
OUTPUTS = ((b"\x01", b""), (b"\x02", b""))
INIT = PostTx("Init", b"", 0, 0, b"", PARTIES, 10)
SECOND_US = 1_000_000


def post(kind: str, head: bytes, number: int = 0) -> PostTx:
    return PostTx(kind, head, 0, number, bytes(32), (), 0)


def add(chain: DevChain, what: PostTx, now_us: int = 0) -> Line:
    line = chain.post(what, now_us)
    assert isinstance(line, Line), line
    chain.lines.append(line)
    return line


def opened(chain: DevChain) -> bytes:
    head = add(chain, INIT).fact[1]
    assert isinstance(head, bytes)
    return head


def test_a_head_opens_once_is_contested_until_its_deadline_and_ends() -> None:
    """The whole life; everything out of place is refused with words."""
    chain = DevChain(OUTPUTS)
    assert "at most" in str(chain.post(replace(INIT, contestation_s=UINT_MAX), 0))
    head = opened(chain)
    assert chain.lines[0].fact == ("HeadOpened", head, PARTIES, 10, OUTPUTS)
    assert chain.post(INIT, 0) == "a head is open already"
    assert chain.post(post("Close", b"other"), 0) == f"head {b'other'.hex()} is not on the chain"
    assert chain.post(post("Fanout", head), 0) == "Fanout has no place after HeadOpened"
    assert chain.tick(10**12) is None
    add(chain, post("Close", head, 3), 5 * SECOND_US)
    assert chain.lines[-1].fact == ("HeadClosed", head, 3, 15 * SECOND_US)
    assert chain.post(post("Contest", head, 3), 6 * SECOND_US) == (
        "the head is closed with snapshot 3, which is no older"
    )
    add(chain, post("Contest", head, 4), 6 * SECOND_US)
    assert chain.post(post("Contest", head, 5), 15 * SECOND_US) == "the deadline has passed"
    assert chain.tick(15 * SECOND_US - 1) is None
    ready = chain.tick(15 * SECOND_US)
    assert ready is not None
    chain.lines.append(ready)
    assert chain.tick(10**12) is None
    add(chain, post("Fanout", head))
    assert [line.fact[0] for line in chain.blocks] == [
        "HeadOpened",
        "HeadClosed",
        "HeadContested",
        "ReadyToFanout",
        "FannedOut",
    ]
    assert opened(chain) != head


def test_a_rollback_takes_blocks_back_and_who_has_seen_them_is_told() -> None:
    """A block that comes again is another one; following resumes behind whatever was seen, rolled back or not."""
    chain = DevChain(OUTPUTS)
    head = opened(chain)
    closed = add(chain, post("Close", head, 1))
    chain.lines.append(chain.roll_back(1))
    assert chain.lines[-1] == Line(chain.lines[0].point, ("RolledBack",))
    again = add(chain, post("Close", head, 1))
    assert (again.point.slot, again.point.block != closed.point.block) == (closed.point.slot, True)
    assert chain.after(Point(0, b"")) == 0
    assert chain.after(closed.point) == 2
    assert chain.after(chain.lines[2].point) == 3
    with pytest.raises(UsageError, match="another one"):
        chain.after(Point(7, b"x"))
    with pytest.raises(UsageError, match="2 blocks"):
        chain.roll_back(3)
    chain.lines.append(chain.roll_back(2))
    assert chain.blocks == []
    assert chain.lines[-1].point == Point(0, b"")
    assert chain.after(chain.lines[-1].point) == len(chain.lines), "who was told of it is not told again"
    assert chain.after(chain.lines[0].point) < len(chain.lines), "who was not, is"


def test_lines_are_read_back_and_others_refused() -> None:
    """The encoding has a way back; what is none raises the one error."""
    line = Line(Point(3, b"hash"), ("HeadClosed", b"head", 4, 5))
    assert Line.decode(line.encode()) == line
    for bad in (b"", b"\x80", b"\x83\x01\x41a\x80", b"\x83\x01\x41a\x81\x01"):
        with pytest.raises(FormatError):
            Line.decode(bad)


async def test_processes_share_a_chain_in_a_file(tmp_path: Path) -> None:
    """What one posts the other sees, time makes its block once, and a half-written line was never there."""
    path = tmp_path / "chain.jsonl"
    FileChain.create(path, OUTPUTS)
    with pytest.raises(UsageError, match="name another file"):
        FileChain.create(path, OUTPUTS)
    clock = [0]
    one, other = FileChain(path, lambda: clock[0]), FileChain(path, lambda: clock[0])
    assert await one.post(INIT) is None
    assert await other.post(INIT) == "a head is open already"
    with path.open("ab") as file:
        file.write(b'{"slot": 2, "fa')
    seen: dict[str, list[object]] = {"one": [], "other": []}

    async def follow(name: str, chain: FileChain) -> None:
        point = Point(0, b"")
        while seen[name][-1:] != ["ReadyToFanout"]:
            for line in await chain.after(point):
                point = line.point
                seen[name].append(line.fact[0])
                if line.fact[0] == "HeadOpened":
                    await chain.post(post("Close", line.fact[1], 1))  # type: ignore[arg-type]  # it is the head's id
                    clock[0] = 11 * SECOND_US

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, "one", one)
            nursery.start_soon(follow, "other", other)
    assert seen["one"] == seen["other"] == ["HeadOpened", "HeadClosed", "ReadyToFanout"]
    assert one.roll_back(1).fact == ("RolledBack",)


async def test_what_is_no_chain_is_said(tmp_path: Path) -> None:
    """Garbage, another file, no file: each is named with what is wrong, and left as it is."""
    path = tmp_path / "x"
    for data in (b"", b"a key", b"garbage\nmore", b'{"cbor": "01"}\n', b'{"cbor": "80"}\n{"cbor": "80"}\n'):
        path.write_bytes(data)
        with pytest.raises(UsageError, match="no development chain"):
            await FileChain(path, lambda: 0).post(INIT)
        with pytest.raises(UsageError, match="no development chain"):
            FileChain(path, lambda: 0).roll_back(1)
        assert path.read_bytes() == data
    with pytest.raises(UsageError, match="cannot be"):
        await FileChain(tmp_path / "none", lambda: 0).post(INIT)
