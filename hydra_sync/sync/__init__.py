"""The protocol without I/O: what to say, whom to ask, what to serve, from messages and time alone."""

from hydra_sync.sync.effects import (
    Advanced,
    Append,
    CaughtUp,
    Connected,
    Disconnected,
    Diverged,
    Drop,
    Effect,
    Fetched,
    Fetching,
    NoSession,
    Notice,
    OwnLogAhead,
    Read,
    Send,
    SourceReplaced,
    TipsDue,
)
from hydra_sync.sync.replicator import Replicator

__all__ = [
    "Advanced",
    "Append",
    "CaughtUp",
    "Connected",
    "Disconnected",
    "Diverged",
    "Drop",
    "Effect",
    "Fetched",
    "Fetching",
    "NoSession",
    "Notice",
    "OwnLogAhead",
    "Read",
    "Replicator",
    "Send",
    "SourceReplaced",
    "TipsDue",
]
