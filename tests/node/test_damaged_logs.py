"""Logs that are damaged on a disk: `recover` has them fetched anew, and nothing that the others hold is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from hydra_sync import Seams, SeqRange
from hydra_sync.node.recovering import recover_store
from tests.node.network import Network, holds, until

NAMES = ("alice", "bob", "carol")
COUNT = 50

Spoil = Callable[[Path], None]


async def write(network: Network) -> int:
    """Carol's events are on all three disks; the first seq behind them."""
    async with AsyncExitStack() as running:
        nodes = {name: await running.enter_async_context(network.node(name)) for name in NAMES}
        for number in range(COUNT):
            last = await nodes["carol"].append(number, replicas=2)
    return last + 1


def segment(network: Network, name: str, log: str) -> Path:
    (found,) = (network.directory / name / "logs" / network.configs[log].key.member.hex()).glob("*.log")
    return found


def cut_short(path: Path) -> None:
    """As a file system does that lost the end of a file which was durable."""
    with path.open("r+b") as file:
        file.truncate(300)


def flip(path: Path) -> None:
    """One byte in the midst of it."""
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [cut_short, flip])
async def test_a_damaged_copy_is_fetched_anew(tmp_path: Path, spoil: Spoil) -> None:
    """Of three, both others have to remember carol's log before she may append again."""
    network = Network(tmp_path, NAMES, Seams(), "prove")
    stop = await write(network)
    spoil(segment(network, "alice", "carol"))
    said = await recover_store(network.configs["alice"])
    assert len(said) == 1
    assert said[0].startswith("carol's log was damaged")
    async with AsyncExitStack() as running:
        nodes = {name: await running.enter_async_context(network.node(name)) for name in NAMES}
        await nodes["carol"].wait_started()
        await nodes["carol"].append("and on", replicas=2)
        await until(holds(nodes["alice"], "carol", stop + 2))
        values = [event.value async for event in nodes["alice"].read("carol", SeqRange(0, stop + 2))]
        assert values == [*range(COUNT), "and on"]
        assert not nodes["alice"].status().members[2].log.holes
    assert await recover_store(network.configs["alice"]) == ()


@pytest.mark.parametrize("spoil", [cut_short, flip])
async def test_a_damaged_log_of_ones_own_is_fetched_anew(tmp_path: Path, spoil: Spoil) -> None:
    network = Network(tmp_path, NAMES, Seams(), "prove")
    stop = await write(network)
    spoil(segment(network, "carol", "carol"))
    (said,) = await recover_store(network.configs["carol"])
    assert said.startswith("its own log was damaged")
    assert list((tmp_path / "carol" / "quarantine").glob("*-damaged-1/*.log"))
    async with AsyncExitStack() as running:
        nodes = {name: await running.enter_async_context(network.node(name)) for name in NAMES}
        with trio.fail_after(30):
            await nodes["carol"].wait_started()
        await nodes["carol"].append("and on", replicas=2)
        values = [event.value async for event in nodes["carol"].read("carol", SeqRange(0, stop + 2))]
        assert values == [*range(COUNT), "and on"]


async def test_a_sound_store_is_left_as_it_is(tmp_path: Path) -> None:
    network = Network(tmp_path, NAMES, Seams(), "prove")
    await write(network)
    seen: list[int] = []
    assert await recover_store(network.configs["alice"], progress=lambda _log, size: seen.append(size)) == ()
    assert max(seen) == len(network.records("alice", "carol"))
