"""State machines whose every input and decision is an event in their node's own log. No I/O."""

from hydra_sync.machine.deciding import Group, MachineError, Progress, check_name, decide, guarded, replay
from hydra_sync.machine.entries import (
    Began,
    CheckpointPart,
    Consumed,
    Entry,
    entry_value,
    parse_entry,
    split_checkpoint,
)
from hydra_sync.machine.form import (
    Alarm,
    Command,
    Decided,
    Forked,
    Heard,
    Input,
    Machine,
    Place,
    Record,
    RejectedError,
    state_hash,
)

__all__ = [
    "Alarm",
    "Began",
    "CheckpointPart",
    "Command",
    "Consumed",
    "Decided",
    "Entry",
    "Forked",
    "Group",
    "Heard",
    "Input",
    "Machine",
    "MachineError",
    "Place",
    "Progress",
    "Record",
    "RejectedError",
    "check_name",
    "decide",
    "entry_value",
    "guarded",
    "parse_entry",
    "replay",
    "split_checkpoint",
    "state_hash",
]
