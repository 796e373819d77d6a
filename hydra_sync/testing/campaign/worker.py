"""One process of a pool: reads calls as JSON lines, answers each with a line. Does I/O: standard input and output.

``python -m hydra_sync.testing.campaign.worker``; `hydra_sync.testing.campaign.pool` starts it.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import math
import os
import select
import signal
import sys
import threading
import traceback
from contextlib import suppress
from typing import Final, TextIO

__all__ = ["main"]

GRACE_S: Final = 5


def main() -> None:
    """Answer calls until there are no more."""
    # The answers go where print() went; what programs print goes to standard error.
    # Asked by whoever is about to kill us. Not a handler in Python: those wake trio, and change the run.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers, suppress(BrokenPipeError):
        os.dup2(2, 1)
        _serve(sys.stdin, answers)


def _serve(calls: TextIO, answers: TextIO) -> None:
    for line in calls:
        call = json.loads(line)
        # Who waits for the answer kills us in time; this is for when he is no longer there, and nobody told us.
        signal.alarm(math.ceil(call["timeout_s"]) + GRACE_S)
        answers.write(json.dumps(_answer(call["function"], call["arguments"])) + "\n")
        answers.flush()
        signal.alarm(0)


def _end_with(parent: int) -> None:
    """End this process, whatever it does, as soon as the one that started it is gone. On Linux only."""
    with suppress(AttributeError, OSError):  # no such call here, or not for us
        select.select([os.pidfd_open(parent)], [], [])
        os._exit(1)


def _answer(name: str, arguments: dict[str, object]) -> dict[str, object]:
    module, _, attribute = name.partition(":")
    try:
        return {"value": getattr(importlib.import_module(module), attribute)(**arguments)}
    except Exception as error:  # whoever called is told
        return {"error": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}


if __name__ == "__main__":
    main()
