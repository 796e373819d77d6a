"""What lasted for a while: hosts down or paused, links cut, clogged or unlike themselves. No I/O.

Rows of a trace say when such a thing began and when it ended; a band is the time between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from hydra_sync.testing.view.words import duration
from hydra_sync.testing.world.links import Shape
from hydra_sync.testing.world.streams import MILLION
from hydra_sync.testing.world.trace import Row

__all__ = ["Band", "BandKind", "find_bands"]

BandKind = Literal["down", "paused", "cut", "clog", "shape"]


@dataclass(frozen=True, slots=True)
class Band:
    """From row ``start`` on, until row ``stop`` or with None until the end. ``other`` is where a link leads."""

    kind: BandKind
    host: str
    other: str
    label: str
    start: int
    start_ns: int
    stop: int | None
    stop_ns: int | None


_LINKS: Final = frozenset({"cut", "heal", "clog", "reshape"})  # rows whose first word is where the link leads
_ENDS: Final[Mapping[str, BandKind]] = {
    "start": "down",
    "crash": "paused",
    "exit": "paused",
    "resume": "paused",
    "heal": "cut",
    "reshape": "shape",
}


def find_bands(rows: Sequence[Row]) -> list[Band]:
    """All of a trace, in the order of their beginnings."""
    usual = _usual_shapes(rows)
    found: list[Band] = []
    begun: dict[tuple[str, str, str], Band] = {}
    for row in rows:
        other = str(row.data[0]) if row.kind in _LINKS and row.data else ""
        ended = begun.pop((_ENDS.get(row.kind, ""), row.host, other), None)
        if ended is not None:
            found.append(replace(ended, stop=row.n, stop_ns=row.time_ns))
        band = _begin(row, other, usual)
        if band is not None and band.stop_ns is not None:
            found.append(band)
        elif band is not None:
            begun.setdefault((band.kind, row.host, other), band)
    return sorted([*found, *begun.values()], key=lambda band: band.start)


def _begin(row: Row, other: str, usual: Mapping[tuple[str, str], Shape]) -> Band | None:
    """The band that a row begins, if any."""

    def band(kind: BandKind, label: str, stop_ns: int | None = None) -> Band:
        return Band(kind, row.host, other, label, row.n, row.time_ns, None, stop_ns)

    match row.kind, *row.data:
        case "crash", *_:
            return band("down", "down")
        case "exit", *_:
            return band("down", "exited")
        case "pause", *_:
            return band("paused", "paused")
        case "cut", _:
            return band("cut", f"cut → {other}")
        case "clog", _, int(for_ns):
            return band("clog", f"clogged → {other}", row.time_ns + for_ns)  # no row tells its end
    shape = _shape(row) if row.kind == "reshape" else None
    if shape is None or shape == usual[row.host, other]:
        return None
    return band("shape", f"→ {other}: {_unlike(shape, usual[row.host, other])}")


def _shape(row: Row) -> Shape | None:
    values = [value for value in row.data[1:] if isinstance(value, int)]
    return Shape(*values) if len(values) == len(row.data) - 1 == 4 else None


def _usual_shapes(rows: Iterable[Row]) -> dict[tuple[str, str], Shape]:
    """What each reshaped link is like without faults. The trace does not say, so this is a guess:
    as links are by default, if it ever is, else what it was given most often."""
    seen: dict[tuple[str, str], Counter[Shape]] = {}
    for row in rows:
        if row.kind == "reshape" and (shape := _shape(row)) is not None:
            seen.setdefault((row.host, str(row.data[0])), Counter())[shape] += 1
    return {link: _usual(shapes) for link, shapes in seen.items()}


def _usual(shapes: Counter[Shape]) -> Shape:
    if Shape() in shapes or shapes.total() == 1:
        return Shape()
    return shapes.most_common(1)[0][0]


_WORDS: Final[tuple[tuple[str, Callable[[int], str]], ...]] = (
    ("latency_ns", lambda value: f"latency {duration(value)}"),
    ("jitter_ns", lambda value: f"jitter {duration(value)}"),
    ("bytes_per_s", lambda value: f"{value:,} B/s"),
    ("loss_ppm", lambda value: f"loss {100 * value / MILLION:g} %"),
)


def _unlike(shape: Shape, usual: Shape) -> str:
    """What is different."""
    changed = [words(getattr(shape, name)) for name, words in _WORDS if getattr(shape, name) != getattr(usual, name)]
    return ", ".join(changed)
