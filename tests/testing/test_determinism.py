"""The same seed is the same run, to the last byte, in every process and on every Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_sync.testing.plan.faults import FAULT_KINDS
from tests.testing import chaos

ROOT = Path(__file__).resolve().parents[2]
SEED = 11


def in_another_process(python: str = sys.executable, **environment: str) -> str:
    """The digest that another process comes to."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [python, str(Path(chaos.__file__)), str(SEED)],
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[0]


@pytest.fixture(scope="module")
def digest() -> str:
    """What this process comes to, with everything recorded."""
    return chaos.run(SEED, record=True)[1].digest


def test_the_chaos_is_chaotic() -> None:
    """Every kind of fault found something to break, and had an effect."""
    injected, toothless = chaos.run(SEED)[1].value
    assert injected == sorted(FAULT_KINDS)
    assert toothless == []


def test_another_seed_is_another_run(digest: str) -> None:
    """Or all of this would prove nothing."""
    assert chaos.run(SEED + 1)[1].digest != digest


def test_recording_changes_nothing(digest: str) -> None:
    """One can look at what happened."""
    assert chaos.run(SEED)[1].digest == digest


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_hash_seeds_change_nothing(digest: str, hash_seed: str) -> None:
    """Nothing depends on the order of sets of text."""
    assert in_another_process(PYTHONHASHSEED=hash_seed) == digest


@pytest.mark.parametrize("allocator", ["malloc", "pymalloc_debug"])
def test_allocators_change_nothing(digest: str, allocator: str) -> None:
    """Nothing depends on the addresses of objects; hash seeds alone do not show that."""
    assert in_another_process(PYTHONMALLOC=allocator, PYTHONHASHSEED="5") == digest


def interpreters() -> list[str]:
    """Pythons on this machine, other than this one, of which some may be able to run us."""
    named = os.environ.get("HYDRA_SYNC_PYTHONS", "")
    on_path = (shutil.which(f"python3.{minor}") for minor in range(11, 20))
    managed = sorted((Path.home() / ".pyenv" / "versions").glob("*/bin/python"))
    return [*filter(None, named.split(":")), *filter(None, on_path), *map(str, managed)]


def able(python: str) -> tuple[int, int] | None:
    """Its version, if it is 3.11 or newer, can import what we need, and is not the one we are in."""
    probe = "import sys, trio, cbor2; assert trio.__version__.startswith('0.35.'); print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    version = tuple(map(int, done.stdout.split()))
    if len(version) == 2 and (3, 11) <= version != sys.version_info[:2]:
        return version
    return None


def test_python_versions_change_nothing(digest: str) -> None:
    """A seed found on one Python is replayed on every other. Name more of them in HYDRA_SYNC_PYTHONS."""
    found = {version: python for python in interpreters() if (version := able(python)) is not None}
    if not found:
        pytest.skip("no other Python here has trio 0.35 and cbor2; name some in HYDRA_SYNC_PYTHONS")
    assert {version: in_another_process(python) for version, python in found.items()} == dict.fromkeys(found, digest)
