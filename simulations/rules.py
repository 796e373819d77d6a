"""The product without one of the rules of recovery: for each, a story in which the invariants find what breaks.

As `mutants`, which has a bug for each invariant. What breaks without them in the model: `model/necessary`.
Patches code in this process.
"""
# ruff: noqa: SLF001 (a rule is taken away where it is kept)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.epoch import Grant, epoch_event, order
from hydra_sync.identity import MemberKey
from hydra_sync.standing import Standing
from hydra_sync.store import Store, directory, opening
from hydra_sync.sync import BeginEpoch, Effect, fetching, stability
from hydra_sync.sync.starting import Phase, Starting
from hydra_sync.sync.witness import Witness
from hydra_sync.wire import LogState, LogTip
from simulations.agreement import STORIES
from simulations.mutants import Mutant, Patches

__all__ = ["RULES", "RuleMutant"]


@dataclass(frozen=True)
class RuleMutant(Mutant):
    """A `Mutant` that is named after the rule that it does without; ``invariant`` is the one that breaks first."""

    rule: str = ""

    @property
    def name(self) -> str:
        return f"without_{self.rule}"


def _never_fence(patches: Patches) -> None:
    patches.set(Witness, "counted", lambda self, log, tip: tip)


def _promise_in_memory(patches: Patches) -> None:
    keep = Store.set_standing

    async def forget(self: Store, log: MemberKey, standing: Standing) -> None:
        if standing.amnesiac != self.standing(log).amnesiac:
            await keep(self, log, standing)

    patches.set(Store, "set_standing", forget)


def _number_by_what_is_seen(patches: Patches) -> None:
    step = Starting.step

    def next_number(self: Starting, tip: Tip) -> list[Effect]:
        effects = step(self, tip)
        if self.phase is not Phase.SEALING or not effects:
            return effects
        self.number = max(tip, self.target, key=order).epoch + 1
        answers = {witness: signed for witness, (signed, _) in self.answers.items()}
        grant = Grant(self.number, self.start, self.founding, answers, tuple(self.without))
        return [BeginEpoch(self.number, epoch_event(grant))]

    def accept(batch: Batch, before: Tip, **_: object) -> None:
        return None

    patches.set(Starting, "step", next_number)
    patches.set(fetching, "check_epoch", accept)


def _add_up_epochs(patches: Patches) -> None:
    def counts(shown: LogTip, tip: Tip, **_: object) -> bool:
        is_other = shown.tip.next_seq == tip.next_seq and shown.tip.hash != tip.hash
        return shown.state is LogState.OK and not is_other

    patches.set(stability, "_counts", counts)


def _take_part_at_once(patches: Patches) -> None:
    async def remember(*_: object) -> None:
        return None

    patches.set(directory, "forget", remember)
    patches.set(Witness, "forget", lambda self, why, *, but=None: [])


def _count_amnesiacs(patches: Patches) -> None:
    state = Witness.state

    def ok(self: Witness, log: bytes, tip: Tip) -> LogState:
        found = state(self, log, tip)  # type: ignore[arg-type]
        return LogState.OK if found is LogState.AMNESIAC else found

    patches.set(Witness, "state", ok)


def _open_as_it_is(patches: Patches) -> None:
    repair = opening._TailOpening.repair

    async def only_cut(self: opening._TailOpening, before_loss: object) -> list[opening.Cut]:
        if self.survey.data_end > self.survey.offset:
            return await repair(self, before_loss)  # type: ignore[arg-type]
        return []

    patches.set(opening._TailOpening, "repair", only_cut)


RULES: Final[Mapping[str, RuleMutant]] = {
    mutant.rule: mutant
    for mutant in (
        RuleMutant("S10", "a promise holds no tip back", _never_fence, STORIES["left_out"], "promise"),
        RuleMutant("S10", "a promise is only in memory", _promise_in_memory, STORIES["left_out"], "durable_promise"),
        RuleMutant(
            "S2",
            "an epoch is the highest that was seen, plus one",
            _number_by_what_is_seen,
            STORIES["same_number"],
            "ballot_as_epoch",
        ),
        RuleMutant(
            "S10", "tips of all epochs add up to stable", _add_up_epochs, STORIES["left_out"], "one_epoch_stability"
        ),
        RuleMutant(
            "S10", "who lost its disk takes part at once", _take_part_at_once, STORIES["forgetful_witness"], "amnesia"
        ),
        RuleMutant(
            "S10", "the tips of amnesiacs count", _count_amnesiacs, STORIES["left_out"], "no_receipts_of_amnesiacs"
        ),
        RuleMutant(
            "S6", "what a killed process left is shown at once", _open_as_it_is, STORIES["killed_then_cut"], "rewriting"
        ),
    )
}
"""By rule."""
