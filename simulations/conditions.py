"""The conditions of a measurement: how many nodes, in what network, with how much to do. Reads files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal, DecimalException
from itertools import product
from pathlib import Path
from typing import Final

from hydra_sync.errors import UsageError
from hydra_sync.limits import EVENT_BYTES_MAX, MEMBERS_MAX
from hydra_sync.testing import MS, Shape

__all__ = [
    "SWEPT",
    "TOPOLOGIES",
    "Conditions",
    "grid",
    "parse_sweep",
    "parse_values",
    "read_latencies",
    "read_topology",
]

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
    writers: int = 2
    """From the first node on; the last one is away, and writes nothing."""
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


# What may be asked for


@dataclass(frozen=True, slots=True)
class _Range:
    """The numbers that a condition may be, both ends included."""

    low: float
    high: float
    is_whole: bool = False

    def take(self, name: str, value: float) -> float:
        """``value``, if it may be that. Raises `UsageError`."""
        if not self.low <= value <= self.high or (self.is_whole and value % 1):
            raise UsageError(f"{name} cannot be {value:,}: it is {self}")
        return int(value) if self.is_whole else value

    def __str__(self) -> str:
        return f"a {'whole ' * self.is_whole}number from {self.low:,} to {self.high:,}"


_RANGES: Final[Mapping[str, _Range]] = {
    "nodes": _Range(2, MEMBERS_MAX, is_whole=True),
    "loss": _Range(0, 0.99),  # of 1, nothing arrives
    "latency_ms": _Range(0, 60_000),
    "jitter_ms": _Range(0, 60_000),
    "mbit_s": _Range(0.001, 1_000_000),  # links have whole bytes a second: 125 and more
    "writers": _Range(1, MEMBERS_MAX - 1, is_whole=True),  # and less than there are nodes
    "events": _Range(1, 100_000, is_whole=True),  # each is written down
    "rate": _Range(0.001, 1_000_000),
    "event_bytes": _Range(0, EVENT_BYTES_MAX - 5, is_whole=True),  # with the head of a CBOR string
    "down_s": _Range(0, 86_400),
}
SWEPT: Final = tuple(name for name in _RANGES if name != "nodes")
STEPS_MAX: Final = 1000
WRITERS: Final = 3  # if nobody says how many, and there are more nodes


def parse_sweep(text: str) -> tuple[str, tuple[float, ...]]:
    """What to vary, and its values: ``loss=0:0.3:0.1`` (both ends included) or ``rate=1,10``. Raises `UsageError`.

    >>> parse_sweep("loss=0:0.3:0.1")
    ('loss', (0.0, 0.1, 0.2, 0.3))
    """
    name, _, values = text.partition("=")
    if name not in SWEPT:
        raise UsageError(f"{name!r} cannot be swept: {', '.join(SWEPT)} can")
    return name, parse_values(name, values)


def parse_values(name: str, text: str) -> tuple[float, ...]:
    """The values of a condition, ``1,10`` or ``0:0.3:0.1``, each one that it may have. Raises `UsageError`."""
    try:
        values = tuple(map(float, map(Decimal, text.split(",")) if ":" not in text else _steps(text)))
    except (DecimalException, ValueError) as error:
        raise UsageError(
            f"{name}={text} is no sweep of at most {STEPS_MAX} steps: write START:STOP:STEP or ONE,OTHER; "
            f"{name} is {_RANGES[name]}"
        ) from error
    return tuple(_RANGES[name].take(name, value) for value in values)


def _steps(text: str) -> list[Decimal]:
    start, stop, step = map(Decimal, text.split(":"))
    steps = (stop - start) / step
    if not 0 <= steps < STEPS_MAX:
        raise ValueError("too many steps, or none")
    return [start + i * step for i in range(int(steps) + 1)]


def grid(
    settings: Mapping[str, object], nodes: Iterable[float], sweeps: Iterable[tuple[str, Sequence[float]]]
) -> Iterator[Conditions]:
    """All combinations of numbers of nodes and swept values, the rest as set. Raises `UsageError`."""
    axes = [[(name, value) for value in values] for name, values in sweeps]
    for count in nodes:
        for changes in product(*axes):
            chosen = {"nodes": count, "writers": min(WRITERS, count - 1), **settings, **dict(changes)}
            cell = Conditions(**chosen)  # type: ignore[arg-type]  # names and values have passed `_RANGES`
            if cell.writers >= cell.nodes:
                raise UsageError(
                    f"writers cannot be {cell.writers} of {cell.nodes} nodes: they are from 1 to {cell.nodes - 1}, "
                    "for one node is away"
                )
            yield replace(cell, edges=_edges(cell))


# Topologies

TOPOLOGIES: Final = ("full", "ring", "star", "line")


def _edges(cell: Conditions) -> Edges | None:
    nodes = cell.nodes
    if cell.topology == "full":
        return None
    if cell.topology == "star":
        return tuple((0, other) for other in range(1, nodes))
    if cell.topology in TOPOLOGIES:
        ring = ((nodes - 1, 0),) if cell.topology == "ring" else ()
        return (*((i, i + 1) for i in range(nodes - 1)), *ring)
    edges = cell.edges or ()
    if any(max(edge) >= nodes for edge in edges):
        raise UsageError(f"the topology {cell.topology} has more than {nodes} nodes: leave so few out of --nodes")
    if apart := set(range(nodes)) - _reached(edges):
        raise UsageError(
            f"the topology {cell.topology} does not connect all {nodes} nodes: 0 cannot reach {min(apart)}"
        )
    return edges


def _reached(edges: Edges) -> set[int]:
    """The nodes that are linked with node 0, or with others that are."""
    reached, size = {0}, 0
    while len(reached) > size:
        size = len(reached)
        for edge in edges:
            if not reached.isdisjoint(edge):
                reached.update(edge)
    return reached


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
        rows = [[float(cell) for cell in row] for row in csv.reader(_lines(path))]
    except ValueError as error:
        raise UsageError(f"{path} is no table of milliseconds: {error}") from error
    if not rows or any(len(row) != len(rows) for row in rows):
        raise UsageError(f"{path} is no square of latencies in milliseconds")
    latency_ms = _RANGES["latency_ms"]
    return tuple(tuple(latency_ms.take(f"latency_ms in {path}", cell) for cell in row) for row in rows)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
