"""A progress bar on the terminal of whoever waits. Does I/O: writes to standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["long_progress", "progress_bar", "time_left"]

NEWS_S: Final = 30.0  # between lines of progress where there is no terminal to draw on


@contextmanager
def progress_bar(what: str, total: int, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar that is drawn only on a terminal, and gone at the end; call what you get with how much is done."""
    console = Console(stderr=True)
    count: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def long_progress(total: float) -> Iterator[Callable[[float, str], None]]:
    """For what takes minutes: a bar with words of yours on a terminal, now and then the words elsewhere.

    Call what you get with how much of ``total`` is done, and the words.
    """
    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.description}", markup=False))
    last_s = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=total)

        def show(done: float, words: str) -> None:
            nonlocal last_s
            bar.update(task, completed=done, description=words)
            if not console.is_terminal and time.monotonic() - last_s >= NEWS_S:
                last_s = time.monotonic()
                console.print(Text(words), soft_wrap=True)

        yield show


def time_left(seconds: float) -> str:
    """How long something will take, no more exactly than can be known.

    >>> time_left(7), time_left(340), time_left(9000)
    ('about 7 s left', 'about 6 min left', 'about 2.5 h left')
    """
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"
