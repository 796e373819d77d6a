"""The demonstration: three real processes, a kill, a resync, and a verdict that reads the stores."""

from hydra_sync.demo.story import Outcome, tell_story
from hydra_sync.demo.transactions import generate, read_dataset
from hydra_sync.demo.verdict import Verdict, judge

__all__ = ["Outcome", "Verdict", "generate", "judge", "read_dataset", "tell_story"]
