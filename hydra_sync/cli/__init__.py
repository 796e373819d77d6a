"""The command line ``hydra-sync``: one file a command, errors and exit codes here. Does I/O."""

from __future__ import annotations

import sys
from typing import Final

import click

from hydra_sync.cli.append import append
from hydra_sync.cli.demo import demo
from hydra_sync.cli.fetch import fetch
from hydra_sync.cli.init import init
from hydra_sync.cli.keygen import keygen
from hydra_sync.cli.read import follow, read
from hydra_sync.cli.run import run
from hydra_sync.cli.status import status
from hydra_sync.cli.verify import verify
from hydra_sync.errors import (
    FormatError,
    HydraSyncError,
    PeerError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreMissingError,
    UnavailableError,
    UsageError,
)
from hydra_sync.version import VERSION

__all__ = ["cli", "main"]

# The first kind that fits decides. 1 is left to Python: a traceback, and a bug of ours.
_EXIT_CODES: Final[tuple[tuple[type[HydraSyncError], int], ...]] = (
    (UsageError, 2),
    (StoreMissingError, 2),
    (StoreLockedError, 2),
    (StoreDamagedError, 3),
    (FormatError, 3),
    (PeerError, 4),
    (UnavailableError, 4),
    (StoreError, 5),
    (HydraSyncError, 4),
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 wrong use or configuration, 3 damaged or unverifiable data, "
    "4 a peer or missing events, 5 the disk. Try: hydra-sync demo",
)
@click.version_option(VERSION, prog_name="hydra-sync")
def cli() -> None:
    """Signed, persisted event logs that crashed nodes resync from their peers."""


for command in (keygen, init, run, append, read, follow, fetch, status, verify, demo):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        cli(prog_name="hydra-sync")
    except HydraSyncError as error:
        click.echo(f"hydra-sync: {error}", err=True)
        sys.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        sys.stderr.close()
        sys.exit(0)
