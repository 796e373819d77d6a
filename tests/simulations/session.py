"""The session in ``simulations/README.md``: runs its commands, and compares what they print. Does I/O.

``python -m tests.simulations.session`` writes numbers and picture anew, after the product has changed.
A line of the README stands for the first line printed since that is like it, numbers and what follows a
colon aside; ``...`` stands for any others. Which seeds fail is for the campaign to say.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "simulations" / "README.md"
PICTURE: Final = ROOT / "docs" / "diagram.png"
BROWSER: Final = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
    *("--virtual-time-budget=2000", "--window-size=1200,1000"),
)
BLOCK: Final = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """One command, as it stands in the README and as it was run, and what the two say."""

    written: str
    expected: list[str] = field(default_factory=list)
    ran: str = ""
    printed: list[str] = field(default_factory=list)
    code: int = -1

    def like(self, line: str, start: int) -> int:
        """Where a line like this one was printed, from ``start`` on; -1 if nowhere."""
        key = _key(line)
        return next((i for i in range(start, len(self.printed)) if _key(self.printed[i]) == key), -1)

    def missing(self) -> list[str]:
        """The lines that were promised and not printed, in this order."""
        place, lines = 0, []
        for line in self.expected:
            if line == "...":
                continue
            found = self.like(line, place)
            if found < 0:
                lines.append(line)
            else:
                place = found + 1
        return lines

    def renewed(self) -> str:
        """The step as it should stand in the README."""
        place, lines = 0, [f"$ {self.ran}"]
        for line in self.expected:
            found = -1 if line == "..." else self.like(line, place)
            lines.append(line if found < 0 else self.printed[found])
            place = max(place, found + 1)
        return "\n".join(lines) + "\n"


def _key(line: str) -> str:
    """A line as far as it may be compared: indented ones, which tell of faults, by their first word."""
    if line.startswith("    "):
        return "    a fault"
    head, _, _ = line.partition(": ")
    return re.sub(r"(?<=digest )\w+|[\d.,]+", "#", head)


def steps_of(text: str) -> list[Step]:
    """All commands of the README's console blocks, in order."""
    steps: list[Step] = []
    for line in "".join(BLOCK.findall(text)).splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        else:
            steps[-1].expected.append(line)
    return steps


def run(directory: Path) -> list[Step]:
    """Run the session there, with seeds that fail in place of those that do no more."""
    steps = steps_of(README.read_text())
    failing: list[str] = []
    shrunk: list[str] = []
    for step in steps:
        step.ran = _with_seeds(step.written, failing, shrunk)
        step.code, step.printed = _shell(step.ran, directory)
        failing += re.findall(r"^mutant_S1 (\d+) failed S1", "\n".join(step.printed), re.MULTILINE)
        shrunk += re.findall(r"^mutant_S1 (\d+): shrunk", "\n".join(step.printed), re.MULTILINE)
    return steps


def _with_seeds(command: str, failing: list[str], shrunk: list[str]) -> str:
    known = shrunk if "--setup" in command else failing
    seed = re.search(r"--seed (\d+)", command)
    if seed is None or not known or seed[1] in known:
        return command
    return command.replace(f"--seed {seed[1]}", f"--seed {known[0]}").replace(f"-{seed[1]}.", f"-{known[0]}.")


def _shell(command: str, directory: Path) -> tuple[int, list[str]]:
    shims = directory / "bin"
    shims.mkdir(exist_ok=True)
    for name, words in (("python", ""), ("hydra-sync", "-m hydra_sync ")):
        (shims / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        (shims / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{shims}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def rewrite() -> None:
    """Bring README and picture up to date."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        steps = run(directory)
        for step in steps:
            for line in step.missing():
                print(f"never printed by {step.ran}: {line}", file=sys.stderr)
        renewed = iter(steps)

        def block(found: re.Match[str]) -> str:
            return "".join(next(renewed).renewed() for _ in steps_of(f"```console\n{found[0]}```\n"))

        README.write_text(BLOCK.sub(block, README.read_text()))
        if shutil.which(BROWSER[0]) is not None:
            options = (f"--user-data-dir={directory / 'profile'}", f"--screenshot={PICTURE}")
            page = (directory / "run.html").as_uri()
            subprocess.run([*BROWSER, *options, page], check=True, capture_output=True)


if __name__ == "__main__":
    rewrite()
