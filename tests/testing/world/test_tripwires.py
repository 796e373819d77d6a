"""Whatever a seed cannot replay fails loudly in hosts, and nowhere else."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import importlib
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from hydra_sync.disk import RealDisk
from hydra_sync.testing import Host, TripwireError, World


def in_a_host(function: Callable[[], object]) -> Callable[[World], object]:
    async def scenario(world: World) -> None:
        async def main(host: Host) -> None:
            result = function()
            if asyncio.iscoroutine(result):
                await result

        world.host("a").start(main)
        await world.host("a").wait_end()

    return scenario


# ruff: noqa: PLW0108 (a lambda looks the name up when it is called, with the tripwire hung)
LEAKS: dict[str, tuple[Callable[[], object], str]] = {
    "time.time": (lambda: time.time(), "trio.current_time"),
    "time.monotonic": (lambda: time.monotonic(), "trio.current_time"),
    "time.perf_counter": (lambda: time.perf_counter(), "trio.current_time"),
    "time.sleep": (lambda: time.sleep(0), "trio.sleep"),
    "os.urandom": (lambda: os.urandom(1), "Host.entropy"),
    "random.random": (lambda: random.random(), "Host.entropy"),
    "random.Random()": (lambda: random.Random(), "Host.entropy"),
    "random.SystemRandom": (lambda: random.SystemRandom(1).random(), "Host.entropy"),
    "random.shuffle": (lambda: random.shuffle([1, 2]), "Host.entropy"),
    "secrets": (lambda: secrets.token_hex(), "Host.entropy"),
    "uuid": (lambda: uuid.uuid4(), "Host.entropy"),
    "threading": (lambda: threading.Thread(target=print).start(), "threads cannot be replayed"),
    "to_thread": (lambda: trio.to_thread.run_sync(print), "threads cannot be replayed"),
    "subprocess": (lambda: subprocess.run(["true"], check=False), "threads cannot be replayed"),
    "socket": (lambda: socket.socket(), "trio.open_tcp_stream"),
    "open": (lambda: builtins.open("/dev/null"), "Host.disk"),  # noqa: PTH123, SIM115
    "pathlib": (lambda: Path("/dev/null").read_bytes(), "Host.disk"),
    "os.open": (lambda: os.open("/dev/null", os.O_RDONLY), "Host.disk"),
    "RealDisk": (lambda: RealDisk().list_dir(Path("/")), "threads cannot be replayed"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_fail_and_name_the_seam(leak: str) -> None:
    """The world fails with the tripwire's error, which says what to use instead."""
    function, seam = LEAKS[leak]
    with pytest.raises(TripwireError, match=seam):
        World(seed=1).run(in_a_host(function))  # type: ignore[arg-type]


def test_a_swallowed_tripwire_fails_the_world_all_the_same() -> None:
    """Programs catch more than they should."""

    def swallow() -> None:
        with contextlib.suppress(BaseException):
            time.time()

    with pytest.raises(TripwireError):
        World(seed=1).run(in_a_host(swallow))  # type: ignore[arg-type]


def test_tripwires_may_be_left_out() -> None:
    """For programs that are to be looked at before they are put in order."""
    World(seed=1, guarded=False).run(in_a_host(time.time))  # type: ignore[arg-type]


def test_everyone_else_is_let_through(tmp_path: Path) -> None:
    """The scenario, seeded generators, imports and log records."""
    (tmp_path / "a_module_to_import.py").write_text("ANSWER = 42\n")

    def harmless() -> None:
        random.Random(5).random()
        logging.getLogger("test").warning("a log record takes the time")
        assert importlib.import_module("a_module_to_import").ANSWER == 42

    async def scenario(world: World) -> None:
        time.time()
        os.urandom(1)
        (tmp_path / "file").write_text("of the scenario's")
        with pytest.raises(TripwireError, match=r"the scenario called trio\.to_thread"):
            await trio.to_thread.run_sync(time.sleep, 0)
        await in_a_host(harmless)(world)  # type: ignore[misc]

    sys.path.insert(0, str(tmp_path))
    try:
        World(seed=1).run(scenario)
    finally:
        sys.path.remove(str(tmp_path))
