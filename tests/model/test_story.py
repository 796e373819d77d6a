"""Counterexamples read as stories."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from simulations.model import Act, Recovery, Rules, Step, search, tell, tell_step
from simulations.model.necessary import NEEDED
from simulations.model.properties import PROPERTIES
from simulations.model.story import MEANINGS


def test_counterexample_tells_who_did_what() -> None:
    """The promise is named, broken, and missed."""
    result = search(Recovery(Rules().without("promise_fences"), NEEDED["promise_fences"].bounds))
    assert list(tell(result.trace)) == [
        "  1. alice appends and syncs a batch: [0.a]",
        "  2. alice's disk is lost, and is known to be",
        "  3. alice picks a ballot and sends Prepare: ballot 1",
        "  4. bob promises, persists it, and answers: ballot 1, tip []",
        "  5. alice commits an epoch batch: [E1]",
        "  6. bob takes over batches: [0.a]",
        "     alice has [E1] and may append",
        "     bob has [0.a], promised 1 to start 1, and showed [0.a]",
    ]


@pytest.mark.parametrize("act", Act)
def test_every_step_has_a_sentence(act: Act) -> None:
    """No two kinds read alike."""
    sentences = {tell_step(Step(one, 1)) for one in Act}
    assert len(sentences) == len(Act)
    assert tell_step(Step(act, 1)).isprintable()


def test_every_property_has_a_meaning() -> None:
    """WEDGE is the checker's own."""
    assert set(MEANINGS) == {*PROPERTIES, "WEDGE"}


@pytest.mark.parametrize("name", ["", ".chains", ".rules", ".protocol", ".story"])
def test_examples_run(name: str) -> None:
    """What the docstrings show is what happens."""
    results = doctest.testmod(import_module(f"simulations.model{name}"))
    assert results.attempted
    assert not results.failed
