"""What a node takes from outside itself: disk, channel, wall clock, entropy. The real ones do I/O."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hydra_sync.channel import Channel, TlsChannel
from hydra_sync.disk import Disk, RealDisk
from hydra_sync.identity import MemberKey, SigningKey

__all__ = ["Seams", "wall_clock_us"]


def wall_clock_us() -> int:
    """Microseconds since 1970, by the operating system's clock."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Seams:
    """The real world by default; `hydra_sync.testing` has a simulated twin of each.

    Time that passes and sockets come from trio, which has seams of its own.
    """

    disk: Disk = field(default_factory=RealDisk)
    channel: Callable[[SigningKey, Iterable[MemberKey]], Channel] = TlsChannel
    wall_clock: Callable[[], int] = wall_clock_us
    entropy: Callable[[int], bytes] = os.urandom
