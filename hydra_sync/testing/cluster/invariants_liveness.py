"""The liveness of a cluster, L1 to L7: once the faults have stopped, things get well in time. No I/O.

They speak of the core, a connected majority that is whole again; whoever is not in it may stay down,
cut off or hostile for ever. What the disks of damaged members lost is not theirs to bring back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from hydra_sync.limits import DIAL_DELAY_S_MAX, DIAL_S_MAX, HANDSHAKE_S, SILENCE_S, STALL_PENALTY_S
from hydra_sync.testing.cluster.invariant import Invariant
from hydra_sync.wire import Message, Ping, Pong

__all__ = [
    "LIVENESS",
    "Acknowledging",
    "Agreeing",
    "Converging",
    "Progressing",
    "Quiescent",
    "Reconnecting",
    "Repairing",
]

RESTART_S: Final = 5.0  # a node that stopped with its disk is started again and opens its store


class Converging(Invariant):
    name = "L1"
    promise = "all members of the core come to hold, and deliver, equal logs of sound authors"
    within_s = SILENCE_S + DIAL_S_MAX + DIAL_DELAY_S_MAX + STALL_PENALTY_S + RESTART_S

    def unmet(self) -> str | None:
        cluster, cursors = self.cluster, self.ledger.cursors
        held = {alias: cluster.logs(alias) for alias in cluster.core if alias not in cluster.rotten}
        for log in filter(cluster.is_sound, cluster.aliases):
            stops = {alias: logs[log].tip.next_seq if logs else -1 for alias, logs in held.items()}
            # What came after a promise is shown to nobody until its author, which is not here, has started.
            staged = log not in cluster.core and any(
                logs[log].counted < logs[log].tip.next_seq for logs in held.values() if logs
            )
            if len(set(stops.values())) > 1 and not staged:
                return f"the log of {log} reaches {stops}"
            for alias, stop in stops.items():
                if cursors[alias, log] != stop:
                    return f"{alias} holds the log of {log} up to {stop}, and has delivered {cursors[alias, log]}"
        return None


class Acknowledging(Invariant):
    name = "L2"
    promise = "every append of a member of the core returns"

    def unmet(self) -> str | None:
        for alias in self.cluster.sound_core:
            if count := self.cluster.pending[alias]:
                return f"{count} writes of {alias} are not acknowledged"
        return None


class Repairing(Invariant):
    name = "L3"
    promise = "what rotted at a member of the core is fetched again from its peers"
    needs = ("repair",)

    def unmet(self) -> str | None:
        for alias in self.cluster.core:
            for log, status in self.cluster.logs(alias).items():
                if status.holes:
                    return f"events {status.holes[0]} of {log} are damaged at {alias}"
        return None


class Reconnecting(Invariant):
    name = "L4"
    promise = "any two members of the core are connected again within the cap of their back-off"
    within_s = SILENCE_S + DIAL_S_MAX + DIAL_DELAY_S_MAX + HANDSHAKE_S + RESTART_S

    def unmet(self) -> str | None:
        connected = {alias: self.cluster.connected(alias) for alias in self.cluster.core}
        for one, other in combinations(self.cluster.core, 2):
            if other not in connected[one] or one not in connected[other]:
                return f"{one} and {other} are not connected"
        return None


class Progressing(Invariant):
    name = "L6"
    promise = "nobody is stuck: each member of the core writes once more, and all of it deliver that"
    stage = 2
    writes = True

    def healed(self) -> None:
        self._probes: list[tuple[str, int]] | None = None

    def unmet(self) -> str | None:
        cluster = self.cluster
        core = cluster.sound_core
        if self._probes is None:
            self._probes = [(alias, self.ledger.acknowledgements[alias]) for alias in core]
        taken = [self.ledger.cursors, *([self.ledger.uniform_cursors] if "uniform" in cluster.features else [])]
        for log, count in self._probes:
            if self.ledger.acknowledgements[log] <= count:
                return f"{log} does not get another event into its log"
            for alias in core:
                for cursors in taken:
                    if cursors[alias, log] < self.ledger.acknowledged_last[log]:
                        return f"{alias} does not get to event {cursors[alias, log]} of {log}"
        return None


class Agreeing(Invariant):
    name = "L7"
    promise = "what any node delivered uniformly, all members of the core deliver, even if the author is gone"
    needs = ("uniform",)
    within_s = Converging.within_s

    def unmet(self) -> str | None:
        for log in filter(self.cluster.is_sound, self.cluster.aliases):
            stop = self.ledger.agreed_stop(log)
            for alias in self.cluster.sound_core:
                if (cursor := self.ledger.uniform_cursors[alias, log]) < stop:
                    return f"{log} is stable up to {stop}, and {alias} has delivered it up to {cursor}"
        return None


class Quiescent(Invariant):
    name = "L5"
    promise = "with nothing new, the core falls silent but for heartbeats"
    stage = 3
    within_s = 60.0

    SILENT_S = 12.0
    HEARTBEATS = (Ping, Pong)

    def healed(self) -> None:
        self._last: tuple[float, str] = (self.cluster.now_s, "faults ended")

    def sent(self, source: str, target: str, message: type[Message], frame: bytes) -> None:
        if self.cluster.core and message not in self.HEARTBEATS and {source, target} <= set(self.cluster.core):
            self._last = (self.cluster.now_s, f"{source} sent {target} a {message.__name__}")

    def unmet(self) -> str | None:
        if self.cluster.hostile:  # who wants to can keep others talking
            return None
        time_s, what = self._last
        return what if self.cluster.now_s < time_s + self.SILENT_S else None


LIVENESS: Final[Sequence[type[Invariant]]] = (
    Converging,
    Acknowledging,
    Repairing,
    Reconnecting,
    Quiescent,
    Progressing,
    Agreeing,
)
