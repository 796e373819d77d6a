"""A run in files: the setup to replay it from, and the trace of what happened. Does I/O: reads and writes files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from hydra_sync.errors import UsageError
from hydra_sync.testing.plan.scenario import Outcome, Setup

__all__ = ["read_setup", "write_setup", "write_trace"]


def read_setup(path: Path) -> Setup:
    """The setup that `write_setup` wrote, or that a person has edited since. Raises `UsageError`."""
    try:
        return Setup.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the setup {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a setup, with nodes, seconds, operations and a plan: {error}") from error


def write_setup(setup: Setup, path: Path) -> None:
    """Keep a setup for people to read, and for `read_setup`."""
    path.write_text(setup.to_json() + "\n", encoding="utf-8")


def write_trace(outcome: Outcome, path: Path, code: str) -> None:
    """Write a recorded outcome as JSON lines: a header, then one row each.

    A row is ``[number, time_ns, host, incarnation, kind, cause, data]``, where ``cause`` is the number
    of the row that brought it about, or -1.
    """
    header = {
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "code": code,
        "setup": json.loads(outcome.setup.to_json()),
        "digest": outcome.digest,
        "failure": outcome.failure and asdict(outcome.failure),
    }
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in (header, *outcome.rows))
