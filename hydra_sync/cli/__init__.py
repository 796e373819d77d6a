"""The command line ``hydra-sync``: one file a command; errors end here. Does I/O."""

from __future__ import annotations

import os
import sys

import click

from hydra_sync.cli.append import append
from hydra_sync.cli.chaos_proxy import chaos_proxy
from hydra_sync.cli.demo import demo
from hydra_sync.cli.exits import EXIT_INTERRUPTED, EXIT_USAGE, exit_code
from hydra_sync.cli.explain import explain
from hydra_sync.cli.fetch import fetch
from hydra_sync.cli.fork_proof import fork_proof
from hydra_sync.cli.head import head
from hydra_sync.cli.importing import import_
from hydra_sync.cli.init import init
from hydra_sync.cli.keygen import keygen
from hydra_sync.cli.new_network import new_network
from hydra_sync.cli.read import follow, read
from hydra_sync.cli.recover import recover
from hydra_sync.cli.replay import replay
from hydra_sync.cli.run import run
from hydra_sync.cli.simulate import simulate
from hydra_sync.cli.status import status
from hydra_sync.cli.verify import verify
from hydra_sync.tasks import leaves
from hydra_sync.version import VERSION

__all__ = ["cli", "main"]

COMMANDS = (
    keygen,
    init,
    run,
    append,
    read,
    follow,
    fetch,
    status,
    explain,
    recover,
    new_network,
    verify,
    fork_proof,
    replay,
    head,
    import_,
    demo,
    simulate,
    chaos_proxy,
)


class _InOrder(click.Group):
    """A group that lists its commands in the order in which people meet them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 a simulation found a bug, 2 wrong use or configuration, 3 damaged or unverifiable "
    "data, 4 a peer or missing events, 5 the disk, 130 interrupted. Try: hydra-sync demo",
)
@click.version_option(VERSION, prog_name="hydra-sync")
def cli() -> None:
    """Signed, persisted event logs that crashed nodes resync from their peers."""


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit with its code."""
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
