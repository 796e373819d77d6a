"""What many runs come to: failures, effects of faults, coverage signals, and what is wrong with all that. No I/O.

A campaign that passes has shown little if its faults did nothing. So a kind of fault fails it that

- was in `PLANS_ENOUGH` plans and never had an effect, or
- was in no plan at all, after `RUNS_ENOUGH` runs of scenarios that may draw it.

What a smaller campaign has not seen is a remark. Scenarios that may not draw a kind are never blamed for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from hydra_sync.testing.campaign.verdicts import USUAL, Verdict
from hydra_sync.testing.plan.faults import FAULT_KINDS

__all__ = ["Tally", "count", "short_name"]

# The kinds that bite least (a misdirected write, a disk that is full) do so in a third of the plans that have
# them: after 20 plans, less than one sound campaign in 3,000 is blamed by chance.
PLANS_ENOUGH: Final = 20
# Scenarios have a kind in at least a seventh of their plans: after 50 runs, it is missing once in 2,000 campaigns.
RUNS_ENOUGH: Final = 50


def short_name(scenario: str) -> str:
    """A scenario's name without its module."""
    return scenario.rpartition(":")[2]


class Tally:
    """Counts verdicts, each seed once. With ``strict``, an unhit signal is a complaint, and so is a
    kind of fault that had no effect or was in no plan, however small the campaign.

    ``drawn`` says which kinds of fault each scenario may draw.
    """

    def __init__(self, *, strict: bool = False, drawn: Mapping[str, Collection[str]] = MappingProxyType({})) -> None:
        self.runs = 0
        self.seeds_of: Counter[str] = Counter()
        """How many of the runs each scenario had."""
        self.second_runs = 0
        """Runs in another environment, which are counted here alone."""
        self.steps = 0
        self.virtual_s = 0.0
        self.work_s = 0.0
        """Wall time that the runs took, over all processes."""
        self.failures: list[Verdict] = []
        self.effects: Counter[str] = Counter()
        self.signals: Counter[str] = Counter()
        self.planned: Counter[str] = Counter()
        """In how many plans each kind of fault was."""
        self.bit: Counter[str] = Counter()
        """In how many runs a kind that was in the plan had an effect."""
        self.checked = 0
        self.differing: list[tuple[Verdict, Verdict]] = []
        """Runs that came out differently in another process."""
        self.codes: dict[str, set[str]] = {}
        """The versions of the code that each scenario ran on. Scenarios of different modules are different code."""
        self._strict = strict
        self._drawn = drawn
        self._unpaired: dict[tuple[str, str, int], Verdict] = {}

    def add(self, verdict: Verdict) -> None:
        """Count one more verdict. Those of other environments are compared, and else not counted."""
        self.codes.setdefault(verdict.scenario, set()).add(verdict.code)
        self._compare(verdict)
        if verdict.environment != USUAL:
            self.second_runs += 1
            return
        self.runs += 1
        self.seeds_of[verdict.scenario] += 1
        self.steps += verdict.steps
        self.virtual_s += verdict.virtual_s
        self.work_s += verdict.wall_s
        self.effects.update(verdict.effects)
        self.signals.update(verdict.signals)
        self.planned.update(verdict.kinds)
        for kind in verdict.kinds:
            fault = FAULT_KINDS.get(kind)
            self.bit[kind] += fault is None or fault.bit(verdict.effects)
        if verdict.failure is not None:
            self.failures.append(verdict)

    @property
    def toothless(self) -> list[str]:
        """The kinds of fault that were in plans often enough, and never had an effect."""
        enough = 1 if self._strict else PLANS_ENOUGH
        return sorted(kind for kind, plans in self.planned.items() if plans >= enough and not self.bit[kind])

    @property
    def missing(self) -> dict[str, int]:
        """The kinds of fault that were in no plan, and how many runs might have had them."""
        runs: Counter[str] = Counter()
        for scenario, kinds in self._drawn.items():
            runs.update(dict.fromkeys(kinds, self.seeds_of[scenario]))
        return {kind: number for kind, number in sorted(runs.items()) if number and not self.planned[kind]}

    @property
    def unhit(self) -> list[str]:
        """The registered signals that no run hit."""
        return sorted(name for name, hits in self.signals.items() if not hits)

    @property
    def complaints(self) -> list[str]:
        """Why the campaign failed, a sentence each; empty if it did not."""
        words = []
        if self.failures:
            words.append(f"{count(len(self.failures), 'seed')} failed")
        if self.differing:
            seeds = ", ".join(f"{short_name(one.scenario)} {one.seed}" for one, _ in self.differing)
            words.append(f"not deterministic: another process came to another digest, for {seeds}")
        planned = {kind: count(self.planned[kind], "plan") for kind in self.toothless}
        words += [f"{kind} was in {plans} and never had an effect" for kind, plans in planned.items()]
        enough = 1 if self._strict else RUNS_ENOUGH
        words += [f"{kind} was in none of {runs:,} plans" for kind, runs in self.missing.items() if runs >= enough]
        if self._strict:
            words += [f"the signal {name!r} was never hit" for name in self.unhit]
        if any(len(codes) > 1 for codes in self.codes.values()):
            words.append("the code was changed meanwhile: start again, to have one verdict on one version")
        return words

    @property
    def remarks(self) -> list[str]:
        """What is not a failure, and yet to be known."""
        words = []
        if not self._strict and self.unhit:
            words.append(f"signals that were never hit: {', '.join(map(repr, self.unhit))}")
        for kind, plans in sorted(self.planned.items()):
            if not self.bit[kind] and kind not in self.toothless:
                words.append(f"{kind} had no effect in the {count(plans, 'plan')} that had it; that is too few to tell")
        if not self._strict and (few := [kind for kind, runs in self.missing.items() if runs < RUNS_ENOUGH]):
            words.append(f"in no plan yet: {', '.join(few)}")
        return words

    def bugs(self) -> dict[tuple[str, str], list[Verdict]]:
        """The failures by scenario and invariant, the shortest run first."""
        groups: dict[tuple[str, str], list[Verdict]] = {}
        for verdict in sorted(self.failures, key=lambda verdict: (verdict.steps, verdict.seed)):
            assert verdict.failure is not None
            groups.setdefault((verdict.scenario, verdict.failure.invariant), []).append(verdict)
        return groups

    def _compare(self, verdict: Verdict) -> None:
        """Put the two runs of one seed side by side, when both are there."""
        key = (verdict.code, verdict.scenario, verdict.seed)
        other = self._unpaired.get(key)
        if other is None or (other.environment == USUAL) == (verdict.environment == USUAL):
            self._unpaired[key] = verdict
            return
        del self._unpaired[key]
        usual, elsewhere = (verdict, other) if verdict.environment == USUAL else (other, verdict)
        if usual.digest and elsewhere.digest:  # else it was ended from outside, which says nothing
            self.checked += 1
            if (usual.digest, usual.failure) != (elsewhere.digest, elsewhere.failure):
                self.differing.append((usual, elsewhere))


def count(number: int, what: str) -> str:
    """So many of them, in words."""
    return f"{number:,} {what}" + ("s" if number != 1 else "")
