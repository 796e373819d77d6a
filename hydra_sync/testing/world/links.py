"""A directed link between two machines: when does a packet arrive, if ever? No I/O.

Below TCP there is only delay: what a link loses or cuts off is sent again, later and later, so it
shows as retransmission delay. Only packets that nobody repeats (a reset) are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVarTuple

from hydra_sync.testing.world.clock import MS, SECOND
from hydra_sync.testing.world.streams import Streams
from hydra_sync.testing.world.trace import Data

__all__ = ["Carrier", "Flow", "Link", "Shape", "Timetable", "next_retry_ns"]

Ts = TypeVarTuple("Ts")

RTO_NS: Final = 200 * MS  # first retransmission, as in Linux
RTO_NS_MAX: Final = 120 * SECOND
_LOSSES_MAX: Final = 8  # of one segment in a row; keeps a link of 100 % loss from looping


@dataclass(frozen=True, slots=True)
class Shape:
    """What a link is like: delays, capacity, and losses in parts per million of all segments."""

    latency_ns: int = 10 * MS
    jitter_ns: int = 5 * MS  # added to the latency, evenly distributed
    bytes_per_s: int = 12_500_000  # 100 Mbit/s
    loss_ppm: int = 0


LOOPBACK: Final = Shape(latency_ns=20_000, jitter_ns=0, bytes_per_s=1_000_000_000)


class Flow(Protocol):
    """One direction of a connection: its segments never overtake one another."""

    floor_ns: int


class Timetable(Protocol):
    """Says what time it is, and calls back."""

    @property
    def now_ns(self) -> int:
        """Since the beginning."""

    def at(self, time_ns: int, act: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call ``act`` at a time, or now if that has passed; in order of calling among equals."""


class Carrier(Protocol):
    """What links need of the world they are in: a simulated one, or a proxy's."""

    @property
    def clock(self) -> Timetable: ...

    @property
    def streams(self) -> Streams: ...

    def row(self, kind: str, host: str, data: Data = (), cause: int = -1) -> int:
        """Write down what happened."""

    def bit(self, effect: str) -> None:
        """Count that a fault had an effect."""


@dataclass(frozen=True, slots=True)
class _Stalled:
    since_ns: int
    flow: Flow
    size: int
    arrive: Callable[[], object]


def next_retry_ns(since_ns: int, now_ns: int) -> int:
    """When a segment first sent at ``since_ns`` is tried again, not before ``now_ns``.

    >>> next_retry_ns(0, 0), next_retry_ns(0, 28 * SECOND) // MS
    (200000000, 51000)
    """
    wait_ns, retry_ns = RTO_NS, since_ns + RTO_NS
    while retry_ns < now_ns:
        wait_ns = min(2 * wait_ns, RTO_NS_MAX)
        retry_ns += wait_ns
    return retry_ns


class Link:
    """Carries packets one way, from ``source`` to ``target``."""

    def __init__(self, engine: Carrier, source: str, target: str, shape: Shape) -> None:
        self.source = source
        self.target = target
        self.shape = self.usual = shape
        self.is_cut = False
        self._engine = engine
        self._stream = engine.streams[f"link {source}>{target}"]
        self._free_ns = 0
        self._clogged_ns = 0
        self._bites: tuple[str, ...] = ()  # what the present shape does to every packet
        self._stalled: list[_Stalled] = []

    def reshape(self, shape: Shape) -> None:
        """Be another link for all packets sent from now on; those behind which they queue leave at its pace, too."""
        now_ns = max(self._engine.clock.now_ns, self._clogged_ns)
        if self._free_ns > now_ns and shape.bytes_per_s != self.shape.bytes_per_s:
            self._free_ns = now_ns + (self._free_ns - now_ns) * self.shape.bytes_per_s // shape.bytes_per_s
        self.shape = shape
        slower = shape.latency_ns + shape.jitter_ns > self.usual.latency_ns + self.usual.jitter_ns
        narrower = shape.bytes_per_s < self.usual.bytes_per_s
        self._bites = ("link.slow",) * slower + ("link.throttle",) * narrower
        row = shape.latency_ns, shape.jitter_ns, shape.bytes_per_s, shape.loss_ppm
        self._engine.row("reshape", self.source, (self.target, *row))

    def cut(self) -> None:
        """Let nothing through any more, until `heal`."""
        self.is_cut = True
        self._engine.row("cut", self.source, (self.target,))

    def heal(self) -> None:
        """Undo `cut`. What stalled is sent when TCP next tries: the longer cut, the later."""
        if not self.is_cut:
            return
        self.is_cut = False
        self._engine.row("heal", self.source, (self.target,))
        stalled, self._stalled = self._stalled, []
        now_ns = self._engine.clock.now_ns
        for segment in stalled:
            wait_ns = next_retry_ns(segment.since_ns, now_ns) - now_ns
            self._send(segment.flow, segment.size, wait_ns, segment.arrive)

    def clog(self, duration_ns: int) -> None:
        """Hold back every packet for some time, without loss: a full queue somewhere."""
        self._engine.row("clog", self.source, (self.target, duration_ns))
        self._clogged_ns = max(self._clogged_ns, self._engine.clock.now_ns + duration_ns)
        self._free_ns = max(self._free_ns, self._clogged_ns)

    def carry(self, flow: Flow, size: int, arrive: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call ``arrive`` when a segment of ``size`` bytes has arrived, after all before it in its flow."""
        if self.is_cut:
            self._engine.bit("link.cut")
            self._stalled.append(_Stalled(self._engine.clock.now_ns, flow, size, partial(arrive, *args)))
        else:
            self._send(flow, size, 0, arrive, *args)

    def datagram(self, size: int, arrive: Callable[[*Ts], object], *args: *Ts) -> bool:
        """As `carry`, for a packet that nobody repeats; says whether it will arrive."""
        if self.is_cut or self._stream.chance(self.shape.loss_ppm):
            self._engine.bit("link.cut" if self.is_cut else "link.loss")
            return False
        self._engine.clock.at(self._passed_ns(size) + self._travel_ns(), arrive, *args)
        return True

    def _send(self, flow: Flow, size: int, wait_ns: int, arrive: Callable[[*Ts], object], *args: *Ts) -> None:
        """Let it arrive: after all before it in its flow, and so much later."""
        arrival_ns = self._passed_ns(size) + self._travel_ns() + wait_ns
        if self.shape.loss_ppm:
            arrival_ns += self._retries_ns()
        flow.floor_ns = max(flow.floor_ns, arrival_ns)
        self._engine.clock.at(flow.floor_ns, arrive, *args)

    def _passed_ns(self, size: int) -> int:
        """When the last byte has left, behind everything that was sent before."""
        now_ns = self._engine.clock.now_ns
        if now_ns < self._clogged_ns:
            self._engine.bit("link.clog")
        for effect in self._bites:
            self._engine.bit(effect)
        self._free_ns = max(self._free_ns, now_ns) + size * SECOND // self.shape.bytes_per_s
        return self._free_ns

    def _travel_ns(self) -> int:
        shape = self.shape
        return shape.latency_ns + (self._stream.below(shape.jitter_ns) if shape.jitter_ns else 0)

    def _retries_ns(self) -> int:
        losses = 0
        while losses < _LOSSES_MAX and self._stream.chance(self.shape.loss_ppm):
            losses += 1
            self._engine.bit("link.loss")
        return RTO_NS * ((1 << losses) - 1)
