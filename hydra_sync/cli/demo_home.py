"""Where a demonstration keeps its keys and stores. Makes temporary directories."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra_sync.errors import UsageError

__all__ = ["demo_home"]


@contextmanager
def demo_home(directory: Path | None) -> Iterator[Path]:
    """``directory``, to stay, or one that is gone at the end. Raises `UsageError` if it is not empty."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="hydra-sync-demo-") as home:
            yield Path(home)
        return
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty: name a new directory with --dir")
    yield directory
