"""Ask for a value that changes while a test runs, in a way that mypy does not take for settled. No I/O."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def currently(value: T) -> T:
    """``value``, of which an assertion says nothing about later.

    After ``assert not node.is_ready`` mypy holds the attribute to be false until it is assigned, whatever is called
    in between, and does not check what follows ``assert node.is_ready``. It concludes nothing about a call.
    """
    return value
