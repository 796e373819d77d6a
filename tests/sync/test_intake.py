"""Runs arrive in any order; the store gets each event once, in order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip, link
from hydra_sync.sync.intake import Early, Intake
from tests.sync.pump import make_log, network_of, signing_keys, tip_of

KEY = signing_keys(1)[0]
NETWORK = network_of([KEY])
LOG = make_log(KEY, NETWORK, 24, events=2)
FORKED = make_log(KEY, NETWORK, 24, events=2, salt=1, after=LOG[:10])

cuts = st.tuples(st.integers(0, 23), st.integers(1, 8)).map(lambda cut: LOG[cut[0] : cut[0] + cut[1]])


def judge(_: Batch, before: Tip) -> None:
    """Every batch may stand where it is."""


def run(batches: list[Batch], link: int = 1) -> Early:
    """A verified run from this link."""
    return Early(link, 7, tuple(batches))


@settings(max_examples=120, deadline=None)
@given(runs=st.lists(cuts, max_size=14))
def test_any_arrival_order_gives_each_event_once_in_order(runs: list[list[Batch]]) -> None:
    """Overlaps, gaps, repeats: what comes out is a chain without gaps, as long as what came in allows."""
    intake = Intake(judge)
    out: list[Batch] = []
    returned = 0
    tip = EMPTY
    for batches in runs:
        intake.add(run(batches))
        ready, conflict = intake.drain()
        assert conflict is None
        for _, fresh in ready:
            out += fresh
            for batch in fresh:
                tip = link(tip, batch)
        returned += len(ready)
        assert intake.frontier == tip
    reached = 0
    for batches in sorted(runs, key=lambda batches: batches[0].header.first_seq):
        if batches[0].header.first_seq <= reached:
            reached = max(reached, batches[-1].header.stop)
    assert out == LOG[: len(out)]
    assert tip.next_seq == reached
    assert returned + len(intake.early) == len(runs)  # each run comes back: its credit is due


@settings(deadline=None)
@given(order=st.permutations(range(6)))
def test_all_orders_end_the_same(order: list[int]) -> None:
    """Six runs that make the log, however they come, make the log."""
    intake = Intake(judge)
    out: list[Batch] = []
    for number in order:
        intake.add(run(LOG[4 * number : 4 * number + 4]))
        out += [batch for _, fresh in intake.drain()[0] for batch in fresh]
    assert out == LOG
    assert intake.early == []


def test_another_history_is_a_conflict() -> None:
    """The run that does not stand on ours comes back as a conflict, nothing of it is taken."""
    intake = Intake(judge, tip_of(LOG[:12]), tip_of(LOG[:12]))
    for forked in (FORKED[12:14], FORKED[8:14], FORKED[11:13]):
        intake.add(run(forked))
        ready, conflict = intake.drain()
        assert ready == []
        assert conflict is not None
        assert conflict[0] == run(forked)
        assert intake.frontier == tip_of(LOG[:12])
        assert intake.early == []


def test_what_came_before_a_conflict_is_taken() -> None:
    """A good run is not lost because a bad one follows it; the next good one still fits."""
    intake = Intake(judge)
    intake.add(run(FORKED[12:14], link=2))
    intake.add(run(LOG[:12]))
    ready, conflict = intake.drain()
    assert [fresh for _, fresh in ready] == [tuple(LOG[:12])]
    assert conflict is not None
    assert conflict[0].link == 2
    intake.add(run(LOG[12:]))
    assert [fresh for _, fresh in intake.drain()[0]] == [tuple(LOG[12:])]


def test_a_failed_append_forgets_what_is_not_durable() -> None:
    """After `rewind` the same runs are wanted again, from the durable end on."""
    intake = Intake(judge)
    intake.add(run(LOG[:4]))
    intake.drain()
    intake.durable = tip_of(LOG[:2])
    intake.add(run(LOG[10:12]))
    intake.rewind()
    assert (intake.frontier, intake.early) == (tip_of(LOG[:2]), [])
    intake.add(run(LOG[:4]))
    assert [fresh for _, fresh in intake.drain()[0]] == [tuple(LOG[2:4])]


def test_an_early_run_knows_its_place_and_size() -> None:
    """Range and bytes, for planning and credit."""
    early = run(LOG[3:5])
    assert (early.range.start, early.range.stop) == (6, 10)
    assert early.size == sum(len(batch.record) for batch in LOG[3:5])
    assert Tip.after(LOG[4]).next_seq == 10
