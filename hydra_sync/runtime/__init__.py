"""Runs a machine on a node: inputs in, one batch an input, state out; and replays it from the logs alone. Does I/O."""

from hydra_sync.runtime.folding import Folded, fold, fold_from_checkpoint
from hydra_sync.runtime.history import Read
from hydra_sync.runtime.replaying import Difference, Replayed, replay_check
from hydra_sync.runtime.runtime import CHECKPOINT_BYTES_MIN, Runtime, open_machine
from hydra_sync.runtime.turns import Done, Waiting

__all__ = [
    "CHECKPOINT_BYTES_MIN",
    "Difference",
    "Done",
    "Folded",
    "Read",
    "Replayed",
    "Runtime",
    "Waiting",
    "fold",
    "fold_from_checkpoint",
    "open_machine",
    "replay_check",
]
