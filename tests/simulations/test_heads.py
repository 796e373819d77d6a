"""A head keeps its promises under all faults, and the scenario finds one that does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hydra_sync.head import deciding, judging, machine, messages
from hydra_sync.head.drafting import Draft
from hydra_sync.head.ledger import Ledger, Transaction
from hydra_sync.head.state import Head, State
from hydra_sync.identity import MemberKey
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
