"""Fixtures that run commands."""

from tests.cli.commands import cli, home, start

__all__ = ["cli", "home", "start"]
