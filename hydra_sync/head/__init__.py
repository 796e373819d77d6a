"""The Hydra head as a state machine over the logs of its members. No I/O."""

from hydra_sync.head.answers import Answers, Fate, SeenTransaction, SnapshotAnswer, Status
from hydra_sync.head.bounds import HeadLimits
from hydra_sync.head.ledger import Ledger
from hydra_sync.head.machine import HeadMachine
from hydra_sync.head.simple_tx import SimpleLedger
from hydra_sync.head.utxo import UtxoLedger

__all__ = [
    "Answers",
    "Fate",
    "HeadLimits",
    "HeadMachine",
    "Ledger",
    "SeenTransaction",
    "SimpleLedger",
    "SnapshotAnswer",
    "Status",
    "UtxoLedger",
]
