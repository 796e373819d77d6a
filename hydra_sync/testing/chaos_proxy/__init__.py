"""A TCP proxy that does to real connections what a plan of network faults says. Does network I/O.

The same plans that break the links of a simulated `World` break those of real processes, in any
language, that talk to each other through the proxy. The links are the very same code: latency,
jitter, bandwidth, loss as retransmission delay, cuts, clogs. So the proxy can run in a `World`, too.

What a proxy cannot do: its kernel answers whoever dials it, so behind a cut link a dial succeeds and
then nothing comes, where without a proxy the dial itself would hang.
"""

from __future__ import annotations

from hydra_sync.testing.chaos_proxy.proxy import ChaosProxy, Trouble
from hydra_sync.testing.chaos_proxy.relay import CONNECTIONS_MAX
from hydra_sync.testing.chaos_proxy.routes import CLEAR, Route, require_network_faults

__all__ = ["CLEAR", "CONNECTIONS_MAX", "ChaosProxy", "Route", "Trouble", "require_network_faults"]
