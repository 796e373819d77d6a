"""The README of the simulations is true: its session is run, its examples work, its table is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hydra_sync.testing.plan.faults import FAULT_KINDS, plan_from_json
from hydra_sync.testing.plan.swarm import KINDS, Swarm
from hydra_sync.testing.simulate import Simulation
from tests.simulations.session import PICTURE, README, Step, run


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """All commands, run in one directory as a reader would."""
    return run(tmp_path_factory.mktemp("session"))


def test_every_command_prints_what_the_readme_says(steps: list[Step]) -> None:
    """Numbers aside; all of them look at a bug, and none of them fails otherwise."""
    assert {step.ran: step.missing() for step in steps} == {step.ran: [] for step in steps}
    found = [step for step in steps if "S1" in step.ran]
    assert len(found) >= 3
    assert {step.code for step in found} == {1}
    assert {step.code for step in steps if step not in found} <= {0}
    assert not [step.ran for step in steps if "Traceback" in "\n".join(step.printed)]


def test_a_failing_seed_is_found_shrunk_and_replayed(steps: list[Step]) -> None:
    """The bug is of the same kind all the way, and the plan has three faults at most in the end."""
    campaign, replay, *_ = steps
    printed = "\n".join(campaign.printed)
    again = re.findall(r"again:  (python .* --setup .*)", printed)
    assert replay.ran.removesuffix(" --fifo") in {line.removesuffix(" --fifo") for line in again}
    assert re.search(r"^S1 failed at ", "\n".join(replay.printed), re.MULTILINE)
    faults = re.findall(r", (\d+) faults?, ", "\n".join(replay.printed))
    assert faults
    assert int(faults[0]) <= 3


def test_the_table_has_every_kind_of_fault() -> None:
    """Each with the name by which swarms draw it, and all of those."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)`", README.read_text(), re.MULTILINE)
    assert {fault for fault, _ in rows} == FAULT_KINDS.keys()
    assert {kind for _, kind in rows} == set(KINDS)
    for fault, kind in rows:
        assert kind in KINDS
        assert fault in Swarm.calm().also(kind).fault_kinds


def test_the_example_of_a_program_of_ones_own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there: it passes with its retries, and finds the bug when they are taken out."""
    (program,) = re.findall(r"^```python\n(# pings\.py.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    scope: dict[str, object] = {"__name__": "pings"}
    exec(compile(program, "pings.py", "exec"), scope)
    simulation = scope["test_every_ping_is_answered"]
    assert isinstance(simulation, Simulation)
    assert [simulation.run(seed).failure for seed in range(5)] == [None] * 5
    hasty: dict[str, object] = {"__name__": "pings"}
    without = program.replace("while True:", "for _ in range(1):")
    assert without != program
    exec(compile(without, "pings.py", "exec"), hasty)
    simulation = hasty["test_every_ping_is_answered"]
    assert isinstance(simulation, Simulation)
    assert any(simulation.run(seed).failure for seed in range(20))


def test_its_pictures_are_there() -> None:
    """In the size in which it is legible."""
    for name in re.findall(r"\]\(([^)]*\.png)\)", README.read_text()):
        assert (README.parent / name).read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size > 50_000


def test_the_plan_for_the_chaos_proxy_is_a_plan() -> None:
    """The JSON in the README is understood."""
    (text,) = re.findall(r"^```json\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len(plan_from_json(text)) == len(json.loads(text))
