"""Fixtures that run commands."""

from tests.cli.commands import cli, home, start
from tests.node.network import make_network

__all__ = ["cli", "home", "make_network", "start"]
