"""Signed, persisted event logs that crashed nodes resync from their peers, by sequence range.

>>> import hydra_sync
>>> hydra_sync.SeqRange(3, 5).count
2
"""

from hydra_sync.checkpoint import Checkpoint, parse_checkpoint
from hydra_sync.config import Address, Config, Member, load_config
from hydra_sync.errors import (
    DeliveryError,
    FormatError,
    HydraSyncError,
    NewerFormatError,
    PeerError,
    SignatureError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreMissingError,
    UnavailableError,
    UsageError,
)
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.node import Event, Node, Seams, Status, create_store, open_node
from hydra_sync.ranges import SeqRange
from hydra_sync.version import VERSION

__version__ = VERSION

__all__ = [
    "Address",
    "Checkpoint",
    "Config",
    "DeliveryError",
    "Event",
    "FormatError",
    "HydraSyncError",
    "Member",
    "MemberKey",
    "NewerFormatError",
    "Node",
    "PeerError",
    "Seams",
    "SeqRange",
    "SignatureError",
    "SigningKey",
    "Status",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "StoreLockedError",
    "StoreMissingError",
    "UnavailableError",
    "UsageError",
    "__version__",
    "create_store",
    "load_config",
    "open_node",
    "parse_checkpoint",
]
