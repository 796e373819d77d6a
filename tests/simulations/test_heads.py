"""A head keeps its promises under all faults, and the scenario finds one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hydra_sync.head import asked, deciding, judging, machine, messages, signing
from hydra_sync.head.drafting import Draft
from hydra_sync.head.events import SnapshotRequested
from hydra_sync.head.evolving import Fold
from hydra_sync.head.ledger import Ledger, Transaction, Trial
from hydra_sync.head.state import Head, State
from hydra_sync.identity import MemberKey
from hydra_sync.machine import Machine
from hydra_sync.runtime import fold_from_checkpoint
from hydra_sync.runtime import runtime as runtimes
from hydra_sync.runtime.folding import Folded, ReadRange
from hydra_sync.runtime.history import Read
from simulations.heads import head

SEEDS = 10


@pytest.mark.parametrize("seed", range(6))
def test_a_head_keeps_its_promises(seed: int) -> None:
    """For a few seeds; a campaign runs more."""
    assert head.run(seed).failure is None


def gives_up_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = judging.gone_for_good

    def impatient(ledger: Ledger, where: Head, transaction: Transaction) -> str:
        return gone(ledger, where, transaction) or "its time is over"

    monkeypatch.setattr(judging, "gone_for_good", impatient)


def never_hears_its_own_decision_to_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_message(content: object) -> bool:
        return messages.is_message(content) and content[0] != "Signing"  # type: ignore[index]  # it is one

    monkeypatch.setattr(machine, "is_message", is_message)


def misses_what_comes_while_a_snapshot_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = deciding._heard

    def busy(draft: Draft, before: State, author: MemberKey, message: messages.Message) -> None:
        if not isinstance(message, messages.ReqTx) or draft.head(message.head).round is None:
            heard(draft, before, author, message)

    monkeypatch.setattr(deciding, "_heard", busy)


def applies_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double spend is confirmed."""

    class Credulous(Trial):
        def add(self, transaction: Transaction) -> None:
            pass

    monkeypatch.setattr(asked, "judged", lambda *_: None)
    monkeypatch.setattr(judging, "judged", lambda *_: None)
    monkeypatch.setattr(signing, "Trial", Credulous)


def confirms_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sign the same, and each confirms something else."""
    make = Fold._round

    def own(self: Fold, head: Head, event: SnapshotRequested) -> Head:
        after = make(self, head, event)
        if after.round is None:
            return after
        snapshot = replace(after.round.snapshot, utxo_hash=bytes(self.hearing.member))
        return replace(after, round=replace(after.round, snapshot=snapshot))

    monkeypatch.setattr(Fold, "_round", own)


def comes_back_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart leaves out the last part of the log."""
    whole = fold_from_checkpoint

    async def fold(machine: Machine[State], own: ReadRange, stop: int, contents: Read) -> Folded[State]:
        return await whole(machine, own, stop * 3 // 4, contents)

    monkeypatch.setattr(runtimes, "fold_from_checkpoint", fold)


def never_contests(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (deciding, signing):
        monkeypatch.setattr(module, "contest", lambda *_: None)


@pytest.mark.parametrize(
    ("plant", "name"),
    [(confirms_what_is_its_own, "H1"), (comes_back_older, "H2"), (applies_anything, "H3"), (never_contests, "H6")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_promise_of_a_head_is_watched(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], name: str
) -> None:
    """A planted bug that breaks this promise is found by the check of it."""
    plant(monkeypatch)
    failures = (head.run(seed).failure for seed in range(SEEDS))
    assert any(failure.invariant == name for failure in failures if failure)


def test_a_head_is_contested_rolled_back_and_taken_up_from_checkpoints() -> None:
    """What should happen sometimes does, within a few seeds."""
    wanted = {
        "a close is contested",
        "a close is rolled back",
        "a head is open again after a rollback",
        "a machine begins from a checkpoint",
    }
    for seed in range(SEEDS):
        wanted -= {name for name, count in head.run(seed).signals.items() if count}
        if not wanted:
            return
    assert not wanted


@pytest.mark.parametrize(
    "plant",
    [gives_up_what_waits, never_hears_its_own_decision_to_sign, misses_what_comes_while_a_snapshot_is_signed],
    ids=lambda plant: plant.__name__,
)
def test_a_head_that_breaks_its_promise_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Each planted bug fails a seed."""
    plant(monkeypatch)
    assert any(head.run(seed).failure for seed in range(SEEDS))
