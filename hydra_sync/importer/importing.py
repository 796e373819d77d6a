"""Reading a persistence directory to its end: the four answers, and everything that is wrong. Does I/O: reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hydra_sync.head import Answers
from hydra_sync.importer.fold import HeadFold
from hydra_sync.importer.reading import Directory, open_directory
from hydra_sync.importer.records import Record
from hydra_sync.importer.sources import Problem, Progress

__all__ = ["PROBLEMS_MAX", "Import", "Imported", "import_directory"]

UNKNOWN: Final = "(not understood)"
PROBLEMS_MAX: Final = 1000  # told one by one; a file of another kind would have one on every line


@dataclass(slots=True)
class Imported:
    """What a directory came to."""

    path: Path
    files: tuple[str, ...] = ()
    records: int = 0
    duplicates: int = 0
    ignored: int = 0
    """Events of other heads than the one that was there when they came."""
    events: Counter[str] = field(default_factory=Counter)
    """How many of each kind."""
    problems: list[Problem] = field(default_factory=list)
    damage: int = 0
    """How many problems there were that are not harmless, those beyond `PROBLEMS_MAX` too."""
    untold: int = 0
    """How many are beyond it."""
    local_outputs: int | None = None
    answers: Answers | None = None

    @property
    def is_sound(self) -> bool:
        """Whether everything was read and understood; what was half written at the end never counted."""
        return not self.damage


class Import:
    """One pass over a directory: iterate for its records; at the end ``result`` is complete.

    Only what the answers need is kept: ids, not transactions.
    """

    def __init__(self, directory: Directory, progress: Progress = lambda _: None) -> None:
        self.result = Imported(directory.path, tuple(source.name for source in directory.sources))
        self._directory = directory
        self._progress = progress
        self._fold = HeadFold()

    def __iter__(self) -> Iterator[Record]:
        for item in self._directory.read(self._progress):
            if isinstance(item, Problem):
                self._note(item)
            else:
                self._take(item)
                yield item
        self.result.duplicates = self._directory.duplicates
        self.result.ignored = self._fold.ignored
        self.result.local_outputs = self._fold.local_outputs
        self.result.answers = self._fold.answers()

    def _take(self, record: Record) -> None:
        self.result.records += 1
        self.result.events[UNKNOWN if record.problem else record.tag] += 1
        if record.problem:
            self._note(Problem(record.position, record.problem))
        for change in record.changes:
            if why := self._fold.apply(change):
                self._note(Problem(record.position, why))

    def _note(self, problem: Problem) -> None:
        self.result.damage += not problem.harmless
        if len(self.result.problems) < PROBLEMS_MAX:
            self.result.problems.append(problem)
        else:
            self.result.untold += 1


def import_directory(path: Path, progress: Progress = lambda _: None) -> Imported:
    """Read a hydra-node's persistence directory; nothing in it is changed, nor any file added.

    Raises `UsageError` if it is none, and `OSError` where it cannot be read.
    """
    with ExitStack() as stack:
        job = Import(open_directory(path, stack), progress)
        for _ in job:
            pass
        return job.result
