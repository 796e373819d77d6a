"""What a campaign keeps of each run: one JSON line, in a file that grows. Does I/O: reads and appends files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

import hydra_sync
from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.sources import directory_sources, program_sources
from hydra_sync.testing.plan.checked import build
from hydra_sync.testing.plan.scenario import Failure, Outcome
from hydra_sync.version import VERSION

__all__ = ["USUAL", "Key", "Verdict", "VerdictFile", "code_version"]

USUAL: Final = "usual"
"""The environment of all runs but those that are repeated elsewhere, to be compared."""

Key = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one run without its rows; ``digest`` is empty where none came of it (see ``failure``)."""

    code: str
    """The version of the code that ran; see `code_version`."""
    scenario: str
    """As ``MODULE:SCENARIO``."""
    seed: int
    environment: str = USUAL
    digest: str = ""
    steps: int = 0
    virtual_s: float = 0.0
    wall_s: float = 0.0
    kinds: tuple[str, ...] = ()
    """The kinds of fault in the plan."""
    effects: Mapping[str, int] = field(default_factory=dict)
    signals: Mapping[str, int] = field(default_factory=dict)
    failure: Failure | None = None

    @classmethod
    def of(cls, outcome: Outcome, code: str, scenario: str, wall_s: float, environment: str = USUAL) -> Verdict:
        """What there is to keep of an outcome."""
        kinds = tuple(sorted({type(fault).__name__ for fault in outcome.setup.plan}))
        figures = (outcome.digest, outcome.steps, outcome.virtual_s, wall_s, kinds)
        effects = {name: outcome.effects[name] for name in sorted(outcome.effects)}
        signals = {name: outcome.signals[name] for name in sorted(outcome.signals)}
        return cls(code, scenario, outcome.seed, environment, *figures, effects, signals, outcome.failure)

    @property
    def key(self) -> Key:
        """What results are merged by."""
        return self.code, self.scenario, self.seed, self.environment

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """What `to_json` wrote. `ValueError` or `UsageError` for anything else."""
        values = json.loads(text)
        if isinstance(values, dict) and values.get("failure") is not None:
            values["failure"] = build(Failure, values["failure"])
        return build(cls, values)


class VerdictFile:
    """Verdicts in a JSONL file, merged by key; of several for one key the last counts.

    A torn last line, as a killed campaign leaves it, is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.verdicts: dict[Key, Verdict] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read()

    def append(self, verdict: Verdict) -> None:
        """Keep a verdict, in the file too when this returns."""
        self.verdicts[verdict.key] = verdict
        with self.path.open("a", encoding="utf-8") as file:
            file.write(verdict.to_json() + "\n")

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                verdict = Verdict.from_json(line.decode())
            except (ValueError, UsageError) as error:
                raise UsageError(
                    f"line {number} of {self.path} is not the result of a run ({error}): remove that line, "
                    "or give another --out"
                ) from error
            self.verdicts[verdict.key] = verdict


def code_version(scenario: str = "") -> str:
    """The release, and a hash over the sources of hydra_sync and of the program that the scenario's module is of.

    So results of code that has been edited since are not taken for results of the code at hand. What
    `program_sources` does not see, such as data files, is not in it.
    """
    sources = directory_sources("hydra_sync", Path(hydra_sync.__file__).parent)
    sources |= program_sources(scenario.partition(":")[0])
    digest = blake2b(digest_size=6)
    for name in sorted(sources):
        digest.update(f"{name}\n".encode())
        digest.update(sources[name])
    return f"{VERSION}+{digest.hexdigest()}"
