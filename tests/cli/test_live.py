"""What commands beside a running node believe that it says: what is true now, and nothing rather than what was."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hydra_sync import Node
from hydra_sync.cli import live
from hydra_sync.cli.live import STATUS_FILE, publish_status, read_live
from tests.node.network import NetworkMaker, until

SOON_S = 0.01
NEVER_S = 1e6


@asynccontextmanager
async def published(make_network: NetworkMaker) -> AsyncIterator[tuple[Node, Path]]:
    """A node that says what it does, and has said it once; and the file."""
    async with make_network("alice").node("alice") as alice, publish_status(alice):
        await until(lambda: read_live(alice.config) is not None, "a word")
        yield alice, alice.config.persistence_dir / STATUS_FILE


def words(node: Node) -> tuple[str, ...]:
    said = read_live(node.config)
    assert said is not None
    return said.words


async def test_a_disk_without_room(make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written any more leaves nothing old behind, and comes back with the room."""
    monkeypatch.setattr(live, "STATUS_S", SOON_S)
    async with published(make_network) as (alice, file):
        with monkeypatch.context() as full:

            def refuse(path: Path, _: str) -> None:
                path.touch()
                raise OSError(errno.ENOSPC, "no space left")

            full.setattr(Path, "write_text", refuse)
            await alice.append("something new to say")
            await until(lambda: not file.exists(), "silence")
            assert read_live(alice.config) is None
            assert not list(file.parent.glob(f"{STATUS_FILE}*"))
        await until(lambda: read_live(alice.config) is not None, "a word again")


async def test_what_is_pressing_is_said_at_once(make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning does not wait for the next version, neither when it comes nor when it goes."""
    monkeypatch.setattr(live, "STATUS_S", NEVER_S)
    async with published(make_network) as (alice, _):
        alice._engine.refused[alice.config.key.member] = None
        await until(lambda: "no room" in words(alice)[0], "the warning")
        alice._engine.refused.clear()
        await until(lambda: not any("no room" in line for line in words(alice)), "the end of it")


async def test_what_is_old_says_how_old(make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs is not quoted as if it spoke now; one that has no news is."""
    monkeypatch.setattr(live, "STATUS_S", NEVER_S)
    async with published(make_network) as (alice, file):
        assert "ago" not in words(alice)[0]
        then = time.time() - 60
        os.utime(file, (then, then))
        assert re.match(r"this was so 6\d s ago: process \d+ \(node alice\) has said nothing since", words(alice)[0])
        said = read_live(alice.config)
        assert said is not None
        assert said.status["warnings"][0] == words(alice)[0]


async def test_a_node_without_news_is_not_old(make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file gets the time of day, and takes no room for that."""
    monkeypatch.setattr(live, "STATUS_S", NEVER_S)
    async with published(make_network) as (alice, file):
        status = alice.status()
        text = live._write(file, status, "")
        before = file.stat().st_ino
        os.utime(file, (0, 0))
        assert live._write(file, status, text) == text
        assert file.stat().st_ino == before
        assert "ago" not in words(alice)[0]
