"""The Hydra head as a state machine over the logs of its members. No I/O.

What comes in is parsed by `commands` and `messages`; what follows is chosen in `deciding` by the rules of
`asked` (clients), `judging` (transactions), `signing` (snapshots) and `mainchain` (layer 1), and written as
`messages`, which all members hear, and `events`, which stay here. `evolving` and `hearing` fold both into a
`state`, which `freezing` turns into a checkpoint and `answering` into the four answers. Ledgers (`simple_tx`,
`utxo`) stand behind the seam of `ledger`.

A snapshot takes four steps: ReqTx, ReqSn by the leader, Signing (a decision that its author hears back, stable)
and AckSn. Nothing of it has a time limit. A client whose transactions wait for what never comes can have them
dropped by side-loading the snapshot that the head has: they then no longer count as being on their way.

Not here: deposits and decommits (the version stays 0), partial fan-out, validity intervals and scripts.
"""

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
