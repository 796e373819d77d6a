"""What the tests of the pool have other processes do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

__all__ = ["about", "die", "echo", "fail", "loop", "orphan", "sleep"]


def echo(value: object) -> object:
    print("this goes to standard error")
    return value


def about() -> dict[str, object]:
    names = ("PYTHONHASHSEED", "PYTHONMALLOC")
    return {"pid": os.getpid()} | {name: os.environ.get(name) for name in names}


def fail() -> None:
    raise LookupError("as ordered")


def sleep() -> None:
    time.sleep(600)


def loop(tell: str) -> None:
    """Work for ever, and tell a file which process does."""
    Path(tell).write_text(f"{os.getpid()}\n", encoding="ascii")
    while True:
        pass


def die() -> None:
    os.write(2, b"last words")
    os._exit(3)


def orphan() -> None:
    """Kill whoever asked us."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
