"""The conditions of a measurement: how many nodes, in what network, with how much to do. Reads files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from itertools import product
from pathlib import Path
from typing import Final

from hydra_sync.errors import UsageError
from hydra_sync.testing import MS, Shape

__all__ = ["SWEPT", "TOPOLOGIES", "Conditions", "grid", "parse_sweep", "read_latencies", "read_topology"]

Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one measurement is made under. Times are virtual."""

    nodes: int = 3
    loss: float = 0.0
    """The share of segments that are lost, and sent again by TCP."""
    latency_ms: float = 10.0
    jitter_ms: float = 5.0
    mbit_s: float = 100.0
    writers: int = 3
    events: int = 40
    """How many events each writer appends; one node is away for the second half."""
    rate: float = 10.0
    """Events a second, each writer."""
    event_bytes: int = 200
    down_s: float = 0.0
    """How much longer than the writing the node is away."""
    topology: str = "full"
    edges: Edges | None = None
    """Who can reach whom, both ways; None is everybody."""
    latencies_ms: tuple[tuple[float, ...], ...] = field(default=())
    """From where to where, in place of ``latency_ms``; node i is in place i, modulo their number."""

    def shape(self, source: int, target: int) -> Shape:
        """What the link from one node to another is like."""
        places = len(self.latencies_ms)
        latency_ms = self.latencies_ms[source % places][target % places] if places else self.latency_ms
        return Shape(
            round(latency_ms * MS),
            round(self.jitter_ms * MS),
            round(self.mbit_s * 125_000),
            round(self.loss * 1_000_000),
        )

    def linked(self, one: int, other: int) -> bool:
        """Whether two nodes can reach each other."""
        return self.edges is None or (one, other) in self.edges or (other, one) in self.edges

    def row(self) -> dict[str, object]:
        """The columns of a table: all that is one value."""
        return {name: value for name, value in asdict(self).items() if name not in {"edges", "latencies_ms"}}

    @classmethod
    def from_fields(cls, values: Mapping[str, object]) -> Conditions:
        """From what `asdict` gave, once it has travelled as JSON."""
        return cls(**{name: _tuples(value) for name, value in values.items()})  # type: ignore[arg-type]


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


# Sweeps

_UNSWEPT: Final = frozenset({"nodes", "topology", "edges", "latencies_ms"})
SWEPT: Final = tuple(item.name for item in fields(Conditions) if item.name not in _UNSWEPT)
STEPS_MAX: Final = 1000


def parse_sweep(text: str) -> tuple[str, tuple[float, ...]]:
    """What to vary, and its values: ``loss=0:0.3:0.1`` (both ends included) or ``rate=1,10``. Raises `UsageError`.

    >>> parse_sweep("loss=0:0.3:0.1")
    ('loss', (0.0, 0.1, 0.2, 0.3))
    """
    name, _, values = text.partition("=")
    if name not in SWEPT:
        raise UsageError(f"{name!r} cannot be swept: {', '.join(SWEPT)} can")
    try:
        parts = [Decimal(part) for part in values.replace(",", ":").split(":")]
    except InvalidOperation:
        parts = []
    if not parts or any(part < 0 for part in parts):
        raise UsageError(f"{text!r} is no sweep: write {name}=START:STOP:STEP or {name}=ONE,OTHER")
    if "," in values or len(parts) == 1:
        return name, tuple(map(float, parts))
    if len(parts) != 3 or not parts[2] or not 0 <= (parts[1] - parts[0]) / parts[2] < STEPS_MAX:
        raise UsageError(f"{text!r} is no sweep of at most {STEPS_MAX} steps: write {name}=START:STOP:STEP")
    start, stop, step = parts
    return name, tuple(float(start + i * step) for i in range(int((stop - start) / step) + 1))


def grid(base: Conditions, nodes: Sequence[int], sweeps: Iterable[tuple[str, Sequence[float]]]) -> Iterator[Conditions]:
    """All combinations of numbers of nodes and swept values."""
    axes = [[(name, value) for value in values] for name, values in sweeps]
    for count in nodes:
        for changes in product(*axes):
            typed = {name: type(getattr(base, name))(value) for name, value in changes}
            yield replace(base, nodes=count, edges=_edges(base, count), **typed)


# Topologies

TOPOLOGIES: Final = ("full", "ring", "star", "line")


def _edges(base: Conditions, nodes: int) -> Edges | None:
    if base.topology == "full":
        return None
    if base.topology == "star":
        return tuple((0, other) for other in range(1, nodes))
    if base.topology in TOPOLOGIES:
        ring = ((nodes - 1, 0),) if base.topology == "ring" else ()
        return (*((i, i + 1) for i in range(nodes - 1)), *ring)
    edges = base.edges or ()
    if any(max(edge) >= nodes for edge in edges):
        raise UsageError(f"the topology {base.topology} has more than {nodes} nodes: leave so few out of --nodes")
    return edges


def read_topology(path: Path) -> Edges:
    """Who is linked with whom: two numbers of nodes, from 0, a line. Raises `UsageError`."""
    edges = []
    for number, line in enumerate(_lines(path), start=1):
        words = line.replace(",", " ").split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            raise UsageError(f"line {number} of {path} is no link: write the numbers of two nodes, as in: 0 1")
        edges.append((int(words[0]), int(words[1])))
    return tuple(edges)


def read_latencies(path: Path) -> tuple[tuple[float, ...], ...]:
    """A square of milliseconds as CSV, rows from and columns to. Raises `UsageError`."""
    try:
        rows = tuple(tuple(float(cell) for cell in row) for row in csv.reader(_lines(path)))
    except ValueError as error:
        raise UsageError(f"{path} is no table of milliseconds: {error}") from error
    if not rows or any(len(row) != len(rows) for row in rows) or any(cell < 0 for row in rows for cell in row):
        raise UsageError(f"{path} is no square of latencies in milliseconds, none of them negative")
    return rows


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
