"""The command line ``hydra-sync``: one file a command; errors end here. Does I/O."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from hydra_sync.cli.exits import EXIT_INTERRUPTED, EXIT_USAGE, exit_code
from hydra_sync.tasks import leaves
from hydra_sync.version import VERSION

__all__ = ["cli", "main"]

COMMANDS: Final[Mapping[str, str]] = {
    "keygen": "keygen.keygen",
    "init": "init.init",
    "run": "run.run",
    "append": "append.append",
    "read": "read.read",
    "follow": "read.follow",
    "fetch": "fetch.fetch",
    "status": "status.status",
    "explain": "explain.explain",
    "recover": "recover.recover",
    "new-network": "new_network.new_network",
    "verify": "verify.verify",
    "fork-proof": "fork_proof.fork_proof",
    "replay": "replay.replay",
    "head": "head.head",
    "import": "importing.import_",
    "demo": "demo.demo",
    "simulate": "simulate.simulate",
    "chaos-proxy": "chaos_proxy.chaos_proxy",
}
"""Where each command is, in the order in which people meet them."""


class _Commands(click.Group):
    """Imports a command when it is asked for: what the others need would double the time of every start."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(importlib.import_module(f"hydra_sync.cli.{module}"), name)
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 a simulation found a bug, 2 wrong use or configuration, 3 damaged or unverifiable "
    "data, 4 a peer or missing events, 5 the disk, 130 interrupted. Try: hydra-sync demo",
)
@click.version_option(VERSION, prog_name="hydra-sync")
def cli() -> None:
    """Signed, persisted event logs that crashed nodes resync from their peers."""


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.stdout is None:  # it was closed, as by >&-, and is as good as a pipe that nobody reads
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  open to the end
    try:
        code = _main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        _discard_output()
        code = 0
    except OSError as error:
        code = _explain(error)
        _discard_output()
    sys.exit(code)


def _main() -> int:
    try:
        # With --help and --version click returns its own code, a command returns nothing.
        return cli(prog_name="hydra-sync", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        return _explain(error)
    except BaseExceptionGroup as group:
        return _explain(group)


def _explain(error: BaseException) -> int:
    """Say what went wrong; returns the exit code. Raises what is a bug of ours."""
    parts = list(leaves(error))
    if any(isinstance(part, KeyboardInterrupt) for part in parts):
        return EXIT_INTERRUPTED
    codes = [code for part in parts if (code := exit_code(part)) is not None]
    if len(codes) < len(parts):
        raise error
    for words in dict.fromkeys(map(_words, parts)):
        click.echo(f"hydra-sync: {words}", err=True)
    return codes[0]


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _discard_output() -> None:
    # Python flushes once more at its end, and must find something that takes it.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
