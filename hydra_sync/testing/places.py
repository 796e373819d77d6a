"""Where in somebody's own code something happened: not in what simulates it, nor in Python or a package. No I/O."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import hydra_sync

__all__ = ["is_installed", "place_of", "places_in"]

_PLACES_MAX: Final = 4  # of a stack, innermost first
_LIBRARY: Final = frozenset(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_HYDRA_SYNC: Final = Path(hydra_sync.__file__).parent
_HARNESS: Final = frozenset({_HYDRA_SYNC / "testing", _HYDRA_SYNC / "cli"})


def place_of(error: BaseException) -> str:
    """The last line that an error passed, as ``in FILE, line N``: the same words in every process. Empty if none."""
    own = list(_own(traceback.extract_tb(error.__traceback__)))
    return f"in {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


def places_in(frame: FrameType | None, outermost: CodeType) -> str:
    """The innermost lines of a stack, up to a frame of ``outermost``, in the words of `faulthandler`. Empty if none."""
    inner = takewhile(lambda place: place[0].f_code is not outermost, traceback.walk_stack(frame))
    own = list(_own(traceback.StackSummary.extract(inner, lookup_lines=False)))
    return ", called from ".join(f'File "{one.filename}", line {one.lineno} in {one.name}' for one in own[:_PLACES_MAX])


def is_installed(file: Path) -> bool:
    """Whether a file is of Python itself or of an installed package."""
    return not _INSTALLED.isdisjoint(file.parts) or not _LIBRARY.isdisjoint(file.parents)


def _own(frames: Iterable[traceback.FrameSummary]) -> Iterator[traceback.FrameSummary]:
    for frame in frames:
        file = Path(frame.filename)
        if _HARNESS.isdisjoint(file.parents) and not is_installed(file) and not frame.filename.startswith("<frozen "):
            yield frame
