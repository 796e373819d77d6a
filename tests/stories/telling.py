"""What several stories ask of a cluster: who holds what, who supplied it, what was written in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import combinations
from pathlib import PurePath
from typing import Final

from hydra_sync.sync import Fetched, Notice
from hydra_sync.testing import SECOND
from hydra_sync.testing.cluster.cluster import Cluster
from hydra_sync.testing.cluster.identities import member_key
from hydra_sync.testing.plan.faults import At

__all__ = [
    "LONG_NS",
    "NOW",
    "Seen",
    "all_meet",
    "all_met",
    "hold",
    "log_bytes",
    "log_files",
    "numbers",
    "sources",
    "stop_of",
    "wait_held",
    "warnings",
]

Seen = Sequence[tuple[str, Notice]]

NOW: Final = At(0)
LONG_NS: Final = 3600 * SECOND  # of faults that last until the story settles


def log_files(log: str) -> str:
    """The pattern of a log's segment files, on any disk."""
    return f"*/{member_key(log).hex()}/*.log"


def log_bytes(cluster: Cluster, alias: str, log: str) -> bytes:
    """What a member's disk durably holds of a log: its records, without the zeros preallocated behind them."""
    image = cluster.world.host(alias).disk.image(durable=True)
    files = [path for path in sorted(image) if PurePath(path).match(log_files(log))]
    return b"".join((image[path] or b"").rstrip(b"\0") for path in files)


def stop_of(cluster: Cluster, alias: str, log: str) -> int:
    """How far a member holds a log durably; -1 if it is down."""
    held = cluster.logs(alias)
    return held[log].tip.next_seq if held else -1


def hold(cluster: Cluster, members: Iterable[str], log: str, stop: int) -> bool:
    """Whether all of them hold a log up to ``stop``, and have delivered it."""
    cursors = cluster.ledger.cursors
    return all(stop_of(cluster, alias, log) >= stop and cursors[alias, log] >= stop for alias in members)


async def wait_held(
    cluster: Cluster, members: Iterable[str], log: str, stop: int | None = None, *, within_s: float = 60
) -> None:
    """Until all of them have delivered a log up to ``stop``, by default as far as it was acknowledged."""
    members = list(members)
    stop = cluster.ledger.acknowledged_stop(log) if stop is None else stop
    holding = partial(hold, cluster, members, log, stop)
    await cluster.until(holding, f"{', '.join(members)} to hold {log} up to {stop}", within_s=within_s)


def all_met(cluster: Cluster, members: Iterable[str] | None = None) -> bool:
    """Whether each of them says that it is connected with each other one, and of crossing connections one has gone."""
    members = list(cluster.aliases if members is None else members)
    network = cluster.world.network
    if not all({*members} - {alias} <= {*cluster.connected(alias)} for alias in members):
        return False
    pairs = combinations(members, 2)
    ends = ([*network.connections(one, other), *network.connections(other, one)] for one, other in pairs)
    return all(len(both) == 2 and both[0].peer is both[1] for both in ends)


async def all_meet(cluster: Cluster, members: Iterable[str] | None = None, *, within_s: float = 30) -> None:
    """Until each is connected with each other one, and has seen its tips."""
    members = list(cluster.aliases if members is None else members)
    await cluster.until(partial(all_met, cluster, members), f"{', '.join(members)} to meet", within_s=within_s)
    await cluster.run_for(0.5)


def sources(cluster: Cluster, seen: Seen, alias: str, log: str) -> Counter[str]:
    """From whom a member got how many events of a log."""
    counts: Counter[str] = Counter()
    for who, notice in seen:
        if who == alias and isinstance(notice, Fetched) and cluster.alias_of(notice.log) == log:
            counts[cluster.alias_of(notice.peer)] += notice.events.count
    return counts


def numbers(cluster: Cluster, log: str) -> list[int]:
    """What was delivered of a log, by seq: the how manieth event it is that the author's client tried to write."""
    seen, written = cluster.ledger.seen[log], cluster.ledger.written[log]
    return [written[seen[seq].data] for seq in range(len(seen))]


def warnings(cluster: Cluster, alias: str) -> str:
    """What a member's node says of itself."""
    node = cluster.node(alias)
    return "" if node is None else "\n".join(node.status().warnings)
