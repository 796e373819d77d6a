"""The Hydra head as a state machine over the logs of its members. No I/O."""

from hydra_sync.head.answers import Answers, Fate, SeenTransaction, SnapshotAnswer, Status

__all__ = ["Answers", "Fate", "SeenTransaction", "SnapshotAnswer", "Status"]
