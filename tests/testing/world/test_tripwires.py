"""Whatever a seed cannot replay fails loudly in hosts, and nowhere else."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import datetime
import importlib
import logging
import os
import random
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import date as imported_date
from pathlib import Path
from time import time as imported_time

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
# ruff: noqa: DTZ002, DTZ003, DTZ011, PTH103, PTH105, PTH110, PTH123, PTH208 (what nobody should do is done here)
LEAKS: dict[str, tuple[Callable[[], object], str]] = {
    "time.time": (lambda: time.time(), "trio.current_time"),
    "time.monotonic": (lambda: time.monotonic(), "trio.current_time"),
    "time.perf_counter": (lambda: time.perf_counter(), "trio.current_time"),
    "time.clock_gettime": (lambda: time.clock_gettime(time.CLOCK_MONOTONIC), "trio.current_time"),
    "time.localtime": (lambda: time.localtime(), "trio.current_time"),
    "time.ctime": (lambda: time.ctime(None), "trio.current_time"),
    "time.strftime": (lambda: time.strftime("%Y"), "trio.current_time"),
    "time, imported": (lambda: imported_time(), "trio.current_time"),
    "datetime.now": (lambda: datetime.datetime.now(datetime.UTC), "trio.current_time"),
    "datetime.utcnow": (lambda: datetime.datetime.utcnow(), "trio.current_time"),
    "datetime.today": (lambda: datetime.datetime.today(), "called datetime.datetime.today"),
    "date.today": (lambda: datetime.date.today(), "called datetime.date.today"),
    "date, imported": (lambda: imported_date.today(), "trio.current_time"),
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
    "os.system": (lambda: os.system("true"), "threads cannot be replayed"),
    "os.popen": (lambda: os.popen("true"), "threads cannot be replayed"),
    "os.posix_spawn": (lambda: os.posix_spawn("/bin/true", ["true"], {}), "threads cannot be replayed"),
    "socket": (lambda: socket.socket(), "trio.open_tcp_stream"),
    "open": (lambda: builtins.open("/dev/null"), "Host.disk"),  # noqa: SIM115  it must not get so far
    "pathlib": (lambda: Path("/dev/null").read_bytes(), "Host.disk"),
    "os.open": (lambda: os.open("/dev/null", os.O_RDONLY), "Host.disk"),
    "os.listdir": (lambda: os.listdir("/"), "Host.disk"),
    "os.walk": (lambda: list(os.walk("/nowhere")), "Host.disk"),
    "os.path.exists": (lambda: os.path.exists("/"), "Host.disk"),
    "os.makedirs": (lambda: os.makedirs("/"), "Host.disk"),
    "os.replace": (lambda: os.replace("/nowhere", "/nowhere else"), "Host.disk"),
    "Path.unlink": (lambda: Path("/nowhere").unlink(), "Host.disk"),
    "sqlite3": (lambda: sqlite3.connect(":memory:"), "Host.disk"),
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


def test_dates_and_times_that_are_given_are_let_through() -> None:
    """They are real ones, to a program that is under a tripwire as to everybody else."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    real = datetime.date

    def harmless() -> None:
        assert time.strftime("%Y", time.gmtime(0)) == "1970"
        assert datetime.datetime.fromtimestamp(0, datetime.UTC) == epoch
        assert type(imported_date(1970, 1, 1)) is real
        assert isinstance(epoch, datetime.datetime)
        assert isinstance(epoch, imported_date)
        assert issubclass(real, datetime.date)
        assert not isinstance(real(1970, 1, 1), datetime.datetime)

        class Day(datetime.date):
            pass

        assert isinstance(Day(1970, 1, 1), Day)
        assert not isinstance(real(1970, 1, 1), Day)

    World(seed=1).run(in_a_host(harmless))  # type: ignore[arg-type]  # any program will do


def test_everything_is_put_back() -> None:
    """Names that were imported, too, even while the world ran."""

    async def scenario(world: World) -> None:
        assert time.time() <= imported_time()
        globals()["imported_late"] = time.monotonic

    World(seed=1).run(scenario)
    assert imported_time is time.time
    assert imported_date is datetime.date
    assert globals().pop("imported_late") is time.monotonic
    assert os.stat in os.supports_follow_symlinks


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
        shutil.copy2(tmp_path / "file", tmp_path / "copy")
        assert datetime.datetime.now(datetime.UTC).year > 2000
        with pytest.raises(TripwireError, match=r"the scenario called trio\.to_thread"):
            await trio.to_thread.run_sync(time.sleep, 0)
        await in_a_host(harmless)(world)  # type: ignore[misc]

    sys.path.insert(0, str(tmp_path))
    try:
        World(seed=1).run(scenario)
    finally:
        sys.path.remove(str(tmp_path))
