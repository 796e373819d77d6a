"""Two small machines to learn from, and to begin one's own with: a replicated map, and a bank. No I/O."""

from hydra_sync.tutorial.bank import Accounts, Bank
from hydra_sync.tutorial.replicated_map import Entries, ReplicatedMap

__all__ = ["Accounts", "Bank", "Entries", "ReplicatedMap"]
