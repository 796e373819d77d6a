"""Exit codes, and what a person reads when a command fails. No I/O."""

from __future__ import annotations

from typing import Final

from hydra_sync.errors import (
    FormatError,
    HydraSyncError,
    PeerError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreMissingError,
    UnavailableError,
    UsageError,
)

__all__ = ["EXIT_DAMAGED", "EXIT_DISK", "EXIT_INTERRUPTED", "EXIT_USAGE", "exit_code"]

EXIT_USAGE: Final = 2
EXIT_DAMAGED: Final = 3
EXIT_DISK: Final = 5
EXIT_INTERRUPTED: Final = 130  # 128 and the number of SIGINT, as shells have it

# The first kind that fits decides. 1 is left to Python: a traceback, and a bug of ours.
_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (UsageError, EXIT_USAGE),
    (StoreMissingError, EXIT_USAGE),
    (StoreLockedError, EXIT_USAGE),
    (StoreDamagedError, EXIT_DAMAGED),
    (FormatError, EXIT_DAMAGED),
    (PeerError, 4),
    (UnavailableError, 4),
    (StoreError, EXIT_DISK),
    (HydraSyncError, 4),
    (OSError, EXIT_DISK),
)


def exit_code(error: BaseException) -> int | None:
    """The code that tells this kind of error; None for a bug of ours."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)
