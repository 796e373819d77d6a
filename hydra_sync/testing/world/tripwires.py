"""Tripwires on everything that a seed cannot replay: real time, entropy, threads, sockets and files.

While a world runs, code of its hosts that touches one fails the world, with an error that names the
seam to use. Everyone else (the scenario, the test runner, trio) is let through. Names that a module of
the user's has imported (``from time import time``) are exchanged, too. Not noticed are names that are
kept elsewhere (default arguments, class attributes) or by installed packages, and what C code does by itself.
"""

from __future__ import annotations

import builtins
import datetime
import functools
import importlib.util
import io
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from hydra_sync.testing.places import is_installed
from hydra_sync.testing.world import _trio_internals as internals
from hydra_sync.testing.world.dates import DATES, guarded_date
from hydra_sync.testing.world.incarnation import current_incarnation

__all__ = ["TripwireError", "tripwires"]

_TIME: Final = "take time from trio (trio.current_time, trio.sleep) or from Host.wall_clock"
_ENTROPY: Final = "take random bytes from Host.entropy, or make a random.Random from them"
_THREADS: Final = "threads cannot be replayed: hand the work to a seam that a test replaces"
_SOCKETS: Final = "use trio.open_tcp_stream, trio.serve_tcp or trio.socket"
_FILES: Final = "use a hydra_sync.disk.Disk, here Host.disk"

# Whoever of these is on the way from the program to the tripwire does it for itself: the import of
# a module reads files, a log record takes the time.
_EXCUSED: Final = frozenset(
    {"importlib", "logging", "linecache", "traceback", "warnings", "_pytest", "coverage", "pdb", "bdb"}
)
_NOT_THE_USERS: Final = sys.stdlib_module_names | {"hydra_sync", "trio"}

_WIRES: Final = (
    *((time, name, _TIME) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
    *((time, name, _TIME) for name in ("perf_counter", "perf_counter_ns", "process_time", "process_time_ns")),
    *((time, name, _TIME) for name in ("thread_time", "thread_time_ns") if hasattr(time, name)),
    *((time, name, _TIME) for name in ("clock_gettime", "clock_gettime_ns") if hasattr(time, name)),
    *((os, name, _ENTROPY) for name in ("urandom", "getrandom") if hasattr(os, name)),
    *((random, name, _ENTROPY) for name in random.__all__ if name[0].islower()),
    *((random.SystemRandom, name, _ENTROPY) for name in ("random", "getrandbits", "randbytes")),
    *((secrets, name, _ENTROPY) for name in ("token_bytes", "token_hex", "token_urlsafe")),
    *((secrets, name, _ENTROPY) for name in ("randbelow", "randbits", "choice")),
    *((uuid, name, _ENTROPY) for name in ("uuid1", "uuid4")),
    (threading.Thread, "start", _THREADS),
    (subprocess.Popen, "__init__", _THREADS),
    *((os, name, _THREADS) for name in ("fork", "system", "posix_spawn", "posix_spawnp") if hasattr(os, name)),
    (socket.socket, "__init__", _SOCKETS),
    (builtins, "open", _FILES),
    (io, "open", _FILES),
    *((os, name, _FILES) for name in ("open", "listdir", "scandir", "stat", "lstat", "mkdir", "makedirs", "rmdir")),
    *((os, name, _FILES) for name in ("rename", "replace", "remove", "unlink", "link", "symlink", "truncate")),
    *(
        (importlib.import_module(name), "connect", _FILES)
        for name in ("sqlite3",)
        if importlib.util.find_spec(f"_{name}")
    ),
)

# These take the time if they are not given one, which is an argument less than this.
_TIME_GIVEN: Final = {"gmtime": 1, "localtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}


class TripwireError(AssertionError):
    """A program under simulation touched something that no seed can replay."""


@contextmanager
def tripwires(report: Callable[[BaseException], None]) -> Iterator[None]:
    """Hang up all tripwires. Who trips one gets the error, and so does ``report``, in case it is swallowed."""

    def trip(what: str, seam: str) -> None:
        incarnation = current_incarnation()
        if incarnation is not None and not _excused():
            error = TripwireError(f"code of host {incarnation.host} called {what}: {seam}")
            report(error)
            raise error

    def trip_date(what: str) -> None:
        trip(f"datetime.{what}", _TIME)

    def trip_thread() -> None:
        trip("trio.to_thread or the like", _THREADS)
        # Nothing waits for threads here, so even in a scenario they would look like a deadlock.
        raise TripwireError(f"the scenario called trio.to_thread or the like: {_THREADS}")

    with ExitStack() as undo:
        undo.enter_context(internals.own_threads(trip_thread))
        twins: list[tuple[object, object]] = []
        for owner, name, seam in _WIRES:
            what = f"{getattr(owner, '__name__', owner)}.{name}"
            twins.append(_hang(undo, owner, name, functools.partial(trip, what, seam)))
        for name, count in _TIME_GIVEN.items():
            twins.append(_hang(undo, time, name, functools.partial(trip, f"time.{name} without a time", _TIME), count))
        for date, names in DATES:
            twins.append(_exchange(undo, datetime, date.__name__, guarded_date(date, names, trip_date)))
        _hang_unseeded(undo, functools.partial(trip, "random.Random without a seed", _ENTROPY))
        _exchange_imported(twins)
        undo.callback(_exchange_imported, [(guarded, real) for real, guarded in twins])
        yield


def _hang(
    undo: ExitStack, owner: object, name: str, trip: Callable[[], None], harmless_with: int | None = None
) -> tuple[object, object]:
    """Guard a function, but for calls with so many arguments. What was there, and what is there now."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def guarded(*args: object, **kwargs: object) -> object:
        if harmless_with is None or sum(arg is not None for arg in args) < harmless_with:
            trip()
        return real(*args, **kwargs)

    if owner is os:  # which knows its functions by what they can do
        for able in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if real in able:
                able.add(guarded)
                undo.callback(able.discard, guarded)
    return _exchange(undo, owner, name, guarded)


def _exchange(undo: ExitStack, owner: object, name: str, guarded: object) -> tuple[object, object]:
    real = getattr(owner, name)
    undo.callback(setattr, owner, name, real)
    setattr(owner, name, guarded)
    return real, guarded


def _exchange_imported(twins: Iterable[tuple[object, object]]) -> None:
    """Where a module of the user's has one of these as a global, let it have the other."""
    other_of = {id(one): other for one, other in twins}
    for module_name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and _is_the_users(module_name, module.__dict__.get("__file__")):
            names = module.__dict__
            for name in [name for name, value in names.items() if id(value) in other_of]:
                names[name] = other_of[id(names[name])]


@functools.cache
def _is_the_users(module: str, file: str | None) -> bool:
    """Neither Python's, nor ours, nor installed."""
    return not (file is not None and is_installed(Path(file))) and module.partition(".")[0] not in _NOT_THE_USERS


def _hang_unseeded(undo: ExitStack, trip: Callable[[], None]) -> None:
    real = random.Random.__init__

    def guarded(self: random.Random, x: int | str | None = None) -> None:
        if x is None:
            trip()
        real(self, x)

    undo.callback(setattr, random.Random, "__init__", real)
    setattr(random.Random, "__init__", guarded)  # noqa: B010 (mypy: assigning to a method)


def _excused() -> bool:
    """Whether the call comes from one of `_EXCUSED`, between the program and us."""
    frame = sys._getframe(1)  # noqa: SLF001 (documented)
    while frame is not None and frame.f_code.co_name != "unrolled_run":
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _EXCUSED:
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
