"""The way into the command line: whoever presses Ctrl-C while Python still imports it gets no traceback. Does I/O.

It stands beside the package, since whatever stands inside is imported after the package itself, and that takes
half of the time.
"""

from __future__ import annotations

import importlib
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        importlib.import_module("hydra_sync.cli").main()
    except KeyboardInterrupt:
        sys.exit(130)  # as the command line has it
