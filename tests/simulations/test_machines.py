"""Machines keep their promises under all faults, and the scenarios find a runtime that does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest

from hydra_sync.machine import Input, Machine, Progress
from hydra_sync.runtime import Read, fold_from_checkpoint, open_machine
from hydra_sync.runtime import runtime as runtimes
from hydra_sync.runtime.folding import Folded, ReadRange
from hydra_sync.testing.simulate import Simulation
from hydra_sync.tutorial import Bank
from hydra_sync.tutorial.bank import Accounts
from simulations import machines as scenarios
from simulations.machines import bank, replicated_map, wiped_map

SEEDS = 60

S = TypeVar("S")


@pytest.mark.parametrize("scenario", [bank, replicated_map], ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("seed", range(4))
def test_machines_keep_their_promises(scenario: Simulation, seed: int) -> None:
    """For a few seeds; a campaign runs more."""
    assert scenario.run(seed).failure is None


def forgets_what_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fold(machine: Machine[S], own: ReadRange, stop: int, contents: Read) -> Folded[S]:
        folded = await fold_from_checkpoint(machine, own, stop, contents)
        return replace(folded, progress=Progress(folded.progress.state, {}))

    monkeypatch.setattr(runtimes, "fold_from_checkpoint", fold)


def commits_an_input_before_its_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    async def append(self: runtimes.Runtime[object], events: Sequence[bytes]) -> int:
        first = await self.node.append_encoded(events[:1])
        if events[1:]:
            await self.node.append_encoded(events[1:])
        return first

    monkeypatch.setattr(runtimes.Runtime, "_append", append)


def spends_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Bank.decide

    def generous(self: Bank, state: Accounts, cause: Input) -> Sequence[object]:
        return decide(self, Accounts(dict.fromkeys(state.balances, 1000), 0), cause)

    monkeypatch.setattr(Bank, "decide", generous)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_answered_outlives_a_disk_and_what_was_not_given_away_is_not_answered(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Answered when it is only durable, a put is lost with the disk, and that is found."""
    assert wiped_map.run(seed).failure is None
    monkeypatch.setattr(scenarios, "open_machine", partial(open_machine, outputs="durable"))
    failure = wiped_map.run(seed).failure
    assert failure is not None
    assert (failure.invariant, "['unheard']" in failure.message) == ("M4", True)


@pytest.mark.parametrize(
    ("plant", "scenario"),
    [
        (forgets_what_was_heard, bank),
        (commits_an_input_before_its_decisions, bank),
        (spends_what_is_not_there, bank),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_runtime_that_breaks_its_promise_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], scenario: Simulation
) -> None:
    """Each planted bug fails a seed."""
    plant(monkeypatch)
    assert any(scenario.run(seed).failure for seed in range(SEEDS))
