"""What counts for what is stable: receipts of one epoch, on one branch, up to the first hole; the author's word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.epoch import majority
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.stability import Stability
from hydra_sync.wire import LogState, LogTip
from tests.sync.pump import signing_keys

MEMBERS = [key.member for key in signing_keys(5)]
AUTHOR, ME, *OTHERS = MEMBERS
MINE = LogTip(AUTHOR, EMPTY)


def tip(next_seq: int, epoch: int = 1) -> Tip:
    return Tip(epoch, next_seq, bytes([next_seq]) * 32)


def shown(next_seq: int, epoch: int = 1, state: LogState = LogState.OK) -> LogTip:
    return LogTip(AUTHOR, tip(next_seq, epoch), state=state)


def counted(*receipts: LogTip, at: Tip | None = None, members: int = 5, mine: LogTip = MINE) -> int | None:
    """What a member that shows ``mine`` finds stable after these receipts, of one other member each."""
    stability = Stability(ME, members)
    for peer, receipt in zip(OTHERS, receipts, strict=False):
        stability.shown(peer, receipt)
    return stability.update(at or tip(9), mine)


def test_one_fewer_than_a_majority_is_not_enough() -> None:
    """The author holds what it signed; of five, two others make it three."""
    assert counted(shown(4)) is None
    assert counted(shown(4), shown(7)) == 4
    assert counted(shown(4), shown(7), shown(8)) == 7
    assert counted(shown(4), mine=shown(9)) == 4


@pytest.mark.parametrize("state", set(LogState) - {LogState.OK})
def test_only_receipts_count(state: LogState) -> None:
    """Not the tips of those whose word counts for nothing now, our own included."""
    assert counted(shown(4), shown(7, state=state)) is None
    assert counted(shown(4), mine=shown(9, state=state)) is None


def test_mixed_epochs_do_not_add_up() -> None:
    """Neither older nor newer ones than that of the log that we hold."""
    assert counted(shown(4), shown(7, epoch=0)) is None
    assert counted(shown(4), shown(7, epoch=2)) is None
    assert counted(shown(4, epoch=2), shown(7, epoch=2)) is None
    assert counted(shown(4, epoch=2), shown(7, epoch=2), at=tip(9, epoch=2)) == 4


def test_another_branch_does_not_count() -> None:
    """One of equal length shows itself by its hash."""
    other = LogTip(AUTHOR, replace(tip(9), hash=b"?" * 32))
    assert counted(shown(9), other) is None
    assert counted(shown(9), shown(9)) == 9


def test_receipts_end_at_the_first_hole() -> None:
    """And at the end of what we hold ourselves."""
    assert counted(replace(shown(8), holes=(SeqRange(3, 4),)), shown(7)) == 3
    assert counted(shown(8), shown(7), at=tip(5)) == 5


@pytest.mark.parametrize("members", [1, 2, 3, 4, 5])
def test_an_author_counts_others_only(members: int) -> None:
    """Alone in its network it needs nobody."""
    stability, log = Stability(AUTHOR, members), tip(9)
    mine = LogTip(AUTHOR, log)
    needed = majority(members) - 1
    for peer in (AUTHOR, *OTHERS)[:needed]:  # what it may have shown of its own log is no receipt
        assert needed
        stability.shown(peer, mine)
    assert stability.update(log, mine) == (9 if needed == 0 else None)
    if needed:
        stability.shown(ME, mine)
        assert stability.update(log, mine) == 9
    assert stability.authors_word_matters == (needed > 1)


def test_the_authors_own_tip_is_no_receipt() -> None:
    """Nor is what somebody says in our name."""
    stability = Stability(ME, 5)
    stability.shown(AUTHOR, shown(9))
    stability.shown(ME, shown(9))
    stability.shown(OTHERS[0], shown(9))
    assert stability.update(tip(9), MINE) is None


def test_the_authors_word_is_for_its_epoch() -> None:
    """It counts as far as we hold that epoch, and is told as news once."""
    stability = Stability(ME, 5)
    stability.told(AUTHOR, AUTHOR, 2, 7)
    assert stability.update(tip(9), MINE) is None
    assert stability.update(tip(3, epoch=2), MINE) == 3
    assert stability.update(tip(9, epoch=2), MINE) == 7
    assert stability.update(tip(9, epoch=2), MINE) is None


def test_what_is_stable_stays_so() -> None:
    """Whatever the same members show later, and whatever epoch we hold then."""
    stability = Stability(ME, 5)
    for peer in OTHERS:
        stability.shown(peer, shown(6))
    assert stability.update(tip(9), MINE) == 6
    for peer in OTHERS:
        stability.shown(peer, shown(2))
    assert stability.update(tip(9), MINE) is None
    assert stability.update(tip(9, epoch=2), MINE) is None
    assert stability.stable == {AUTHOR: 6}
