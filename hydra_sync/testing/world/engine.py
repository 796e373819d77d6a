"""What every part of one simulated world shares: time, chance, the trace. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import trio

from hydra_sync.testing.world.clock import EventClock
from hydra_sync.testing.world.incarnation import current_incarnation
from hydra_sync.testing.world.operations import Operations
from hydra_sync.testing.world.scheduler import Scheduler
from hydra_sync.testing.world.streams import Stream, Streams
from hydra_sync.testing.world.trace import Data, Trace

__all__ = ["Engine"]

YIELD_ONE_IN: Final = 16


@dataclass(slots=True)
class Engine:
    """Passed to hosts, links and disks by the world they are in."""

    streams: Streams
    clock: EventClock
    trace: Trace
    scheduler: Scheduler
    operations: Operations = field(default_factory=Operations)
    effects: Counter[str] = field(default_factory=Counter)
    ended: bool = False
    yields: Stream = field(init=False)

    def __post_init__(self) -> None:
        self.yields = self.streams["yields"]

    async def perhaps_yield(self) -> None:
        """Let other tasks run before this one goes on, one time in sixteen.

        trio's real sockets do so every time. In a world it is chance all the same who runs when, and
        every step that is not made makes the run faster.
        """
        if self.yields.below(YIELD_ONE_IN) == 0:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def row(self, kind: str, host: str, data: Data = (), cause: int = -1) -> int:
        """Write down what happened to a host; if it did it itself, in which of its incarnations."""
        incarnation = current_incarnation()
        number = incarnation.number if incarnation is not None and incarnation.host == host else 0
        return self.trace.row(kind, host, number, data, cause)

    def bit(self, effect: str) -> None:
        """Count that a fault had an effect, as opposed to having been injected."""
        self.effects[effect] += 1
