"""Every benchmark runs, at its smallest: a script that nobody ran since the code changed measures nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
SMALLEST: Final = {
    "catch_up": "--events 200 --per-batch 20",
    "head": "--count 2 --runs 1",
    "memory": "--gigabytes 0.0001",
    "simulated_floor": "--events 10 --rates 10",
    "simulated_time": "--events 10 --rates 10",
}


def test_every_benchmark_is_here() -> None:
    assert set(SMALLEST) == {path.stem for path in (ROOT / "benchmarks").glob("*.py")}


@pytest.mark.parametrize("script", SMALLEST)
def test_a_benchmark_runs(script: str) -> None:
    command = [sys.executable, f"benchmarks/{script}.py", *SMALLEST[script].split()]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
