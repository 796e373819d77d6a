"""How any command starts: soon, quietly if it is interrupted then, and also where a stream is closed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from hydra_sync.cli import COMMANDS, cli
from tests.cli.commands import ENVIRONMENT, PATIENCE_S

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
INTERRUPTED = """
import sys

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[-1]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
"""
STARTED = """
import atexit, sys
atexit.register(lambda: print(*sys.modules))
sys.argv[1:] = [sys.argv[1], "--help"]
"""


CLOSED = """
import os, sys
os.close(1)
sys.stdout = None  # as Python has it where it starts so
"""


def entered(before: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as it is installed, after other code, and with these words."""
    module, _, main = PROJECT["scripts"]["hydra-sync"].partition(":")
    code = f"{before}\nfrom {module} import {main}\n{main}()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("module", ["hydra_sync", "hydra_sync.cli", "trio"])
def test_an_interrupt_while_it_is_imported(module: str) -> None:
    """Ends the command as a later one does, without a word."""
    done = entered(INTERRUPTED, module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_standard_output_that_is_closed(home: Path) -> None:
    """What a command says goes nowhere; what it does is done."""
    done = entered(CLOSED, "keygen", "--output-file", "new")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Path("new.vk").exists()


def test_a_command_imports_what_it_needs() -> None:
    """A node waits neither for the simulation to be imported nor for the importer."""
    done = entered(STARTED, "run")
    assert done.returncode == 0
    modules = done.stdout.split()
    assert "hydra_sync.node" in modules
    assert not {"hydra_sync.testing", "hydra_sync.importer", "hydra_sync.head", "hydra_sync.demo"} & set(modules)


def test_every_command_is_where_the_table_says() -> None:
    """And has the name that it is listed under."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.name == name
