"""Tripwires on everything that a seed cannot replay: real time, entropy, threads, sockets and files.

While a world runs, code of its hosts that touches one fails the world, with an error that names the
seam to use. Everyone else (the scenario, the test runner, trio) is let through. A name that was
imported before (``from time import time``) and what C code does by itself are not noticed.
"""

from __future__ import annotations

import builtins
import functools
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from hydra_sync.testing.world import _trio_internals as internals
from hydra_sync.testing.world.incarnation import current_incarnation

__all__ = ["TripwireError", "tripwires"]

_TIME: Final = "take time from trio (trio.current_time, trio.sleep) or from Host.wall_clock"
_ENTROPY: Final = "take random bytes from Host.entropy, or make a random.Random from them"
_THREADS: Final = "threads cannot be replayed: hand the work to a seam that a test replaces"
_SOCKETS: Final = "use trio.open_tcp_stream, trio.serve_tcp or trio.socket"
_FILES: Final = "use a hydra_sync.disk.Disk, here Host.disk"

# Whoever of these is on the way from the program to the tripwire does it for itself: the import of
# a module reads files, a log record takes the time.
_EXCUSED: Final = frozenset({"importlib", "logging", "linecache", "traceback", "warnings", "_pytest", "pdb", "bdb"})

_WIRES: Final = (
    *((time, name, _TIME) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
    *((time, name, _TIME) for name in ("perf_counter", "perf_counter_ns", "process_time")),
    *((os, name, _ENTROPY) for name in ("urandom", "getrandom") if hasattr(os, name)),
    *((random, name, _ENTROPY) for name in random.__all__ if name[0].islower()),
    *((random.SystemRandom, name, _ENTROPY) for name in ("random", "getrandbits", "randbytes")),
    *((secrets, name, _ENTROPY) for name in ("token_bytes", "token_hex", "token_urlsafe")),
    *((secrets, name, _ENTROPY) for name in ("randbelow", "randbits", "choice")),
    *((uuid, name, _ENTROPY) for name in ("uuid1", "uuid4")),
    (threading.Thread, "start", _THREADS),
    (subprocess.Popen, "__init__", _THREADS),
    (os, "fork", _THREADS),
    (socket.socket, "__init__", _SOCKETS),
    (builtins, "open", _FILES),
    (io, "open", _FILES),
    (os, "open", _FILES),
)


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

    def trip_thread() -> None:
        trip("trio.to_thread or the like", _THREADS)
        # Nothing waits for threads here, so even in a scenario they would look like a deadlock.
        raise TripwireError(f"the scenario called trio.to_thread or the like: {_THREADS}")

    with ExitStack() as undo:
        undo.enter_context(internals.own_threads(trip_thread))
        for owner, name, seam in _WIRES:
            _hang(undo, owner, name, functools.partial(trip, f"{getattr(owner, '__name__', owner)}.{name}", seam))
        _hang_unseeded(undo, functools.partial(trip, "random.Random without a seed", _ENTROPY))
        yield


def _hang(undo: ExitStack, owner: object, name: str, trip: Callable[[], None]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def guarded(*args: object, **kwargs: object) -> object:
        trip()
        return real(*args, **kwargs)

    undo.callback(setattr, owner, name, real)
    setattr(owner, name, guarded)


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
