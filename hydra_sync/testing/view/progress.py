"""How far a host had a log, as rows of a trace tell it. No I/O.

Any scenario may tell it, by notes of the kind ``seq``: a log, and the seq up to which the host has it.
Members of a cluster tell it when they open, acknowledge and deliver.
"""

from __future__ import annotations

from hydra_sync.testing.world.trace import Row

__all__ = ["progress_of"]


def progress_of(row: Row) -> list[tuple[str, int]]:
    """Logs, and the seq up to which the host of the row now has each, not included.

    >>> progress_of(Row(0, 0, "bob", 1, "deliver", -1, ("alice", 6)))
    [('alice', 7)]
    >>> progress_of(Row(0, 0, "bob", 1, "open", -1, ("alice:7", "bob:0")))
    [('alice', 7), ('bob', 0)]
    """
    match row.kind, *row.data:
        case "seq", str(log), int(seq):
            return [(log, seq)]
        case "deliver", str(log), int(last):
            return [(log, last + 1)]
        case "acknowledge", int(last):
            return [(row.host, last + 1)]
        case "open", *tips:
            return [tip for text in tips if (tip := _tip(str(text))) is not None]
    return []


def _tip(text: str) -> tuple[str, int] | None:
    log, colon, seq = text.rpartition(":")
    return (log, int(seq)) if colon and seq.isascii() and seq.isdecimal() and len(seq) < 20 else None
