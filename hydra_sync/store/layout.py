"""Where the parts of a store lie below its directory. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hydra_sync.batch import Batch
from hydra_sync.errors import SignatureError
from hydra_sync.identity import MemberKey, NetworkId

__all__ = ["FORKS", "LOCK", "LOGS", "MANIFEST", "QUARANTINE", "LogPlace", "index_seqs", "segment_seqs"]

MANIFEST: Final = "store.toml"
LOCK: Final = "LOCK"
LOGS: Final = "logs"
FORKS: Final = "forks"
CHECKPOINT: Final = "checkpoint.cbor"
QUARANTINE: Final = "quarantine"

_SEGMENT_NAME: Final = re.compile(r"([0-9]{20})\.log")
_INDEX_NAME: Final = re.compile(r"([0-9]{20})\.idx")


@dataclass(frozen=True, slots=True)
class LogPlace:
    """One author's log in one store: its files, and whose signature its records carry."""

    root: Path
    network: NetworkId
    author: MemberKey

    @property
    def directory(self) -> Path:
        return self.root / LOGS / self.author.hex()

    @property
    def quarantine(self) -> Path:
        return self.root / QUARANTINE

    def segment(self, first_seq: int) -> Path:
        return self.directory / f"{first_seq:020d}.log"

    def index(self, first_seq: int) -> Path:
        return self.directory / f"{first_seq:020d}.idx"

    @property
    def standing(self) -> Path:
        """What the node owes the other members about this log."""
        return self.directory / "standing.cbor"

    @property
    def cut(self) -> Path:
        """There while the end of the log is being taken out."""
        return self.directory / "cut.cbor"

    def signed(self, batch: Batch) -> bool:
        """Whether the batch carries its author's own valid signature for this network."""
        try:
            batch.verify(self.network, self.author)
        except SignatureError:
            return False
        return True


def segment_seqs(names: Iterable[str]) -> list[int]:
    """The first seqs of the segments among these file names, ascending.

    >>> segment_seqs(["00000000000000000007.log", "00000000000000000000.log", "00000000000000000000.idx"])
    [0, 7]
    """
    return sorted(int(match[1]) for match in map(_SEGMENT_NAME.fullmatch, names) if match)


def index_seqs(names: Iterable[str]) -> list[int]:
    """The first seqs of the segments whose indexes are among these file names, ascending."""
    return sorted(int(match[1]) for match in map(_INDEX_NAME.fullmatch, names) if match)
