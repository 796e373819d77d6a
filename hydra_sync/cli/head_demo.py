"""``hydra-sync head demo``. Does I/O."""

from __future__ import annotations

import click

__all__ = ["demo"]


@click.command()
def demo() -> None:
    """Three heads, real transactions, three kills."""
