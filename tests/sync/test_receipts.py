"""How far others hold our own log: a receipt counts on the chain that our log has now, and on no other."""

from __future__ import annotations

from hydra_sync.chain import Tip
from hydra_sync.ranges import SeqRange
from hydra_sync.sync import Receipt
from hydra_sync.sync.receipts import Receipts
from hydra_sync.wire import LogTip
from tests.sync.pump import Rig, signing_keys, tip_of

AUTHOR, BOB, CAROL = (key.member for key in signing_keys(3))


def tip(next_seq: int, epoch: int, *, salt: bytes = b"") -> LogTip:
    return LogTip(AUTHOR, Tip(epoch, next_seq, (bytes([next_seq]) + salt).ljust(32, b"?")))


def test_a_branch_that_was_left_out_counts_for_nobody() -> None:
    """Neither what was counted of it before, nor what is shown of it later; what lies below the branch still counts."""
    receipts = Receipts(tip(3, 5).tip)
    for next_seq in (6, 10):
        receipts.extend(tip(next_seq, 5).tip)
    assert receipts.take(BOB, tip(10, 5)) == [Receipt(BOB, 10)]
    assert receipts.take(CAROL, tip(3, 5)) == [Receipt(CAROL, 3)]
    assert receipts.orphaned(SeqRange(6, 10)) == [Receipt(BOB, 6)]
    receipts.extend(tip(7, 6).tip)
    assert receipts.take(BOB, tip(10, 5)) == []
    assert receipts.counts == {BOB: 6, CAROL: 3}
    assert receipts.take(CAROL, tip(6, 5)) == [Receipt(CAROL, 6)]
    receipts.extend(tip(10, 7, salt=b"new").tip)
    assert receipts.take(BOB, tip(10, 5)) == []
    assert receipts.take(BOB, tip(10, 7, salt=b"new")) == [Receipt(BOB, 10)]


def test_who_holds_what_we_have_left_is_no_replica() -> None:
    """Our own log goes on in a later epoch, on a shorter branch."""
    log = Rig().log(0, 4)
    one = Rig(held={0: log})
    assert Receipt(one.members[1], 4) in one.join(1, 1, {0: log})
    own = one.members[0]
    assert Receipt(one.members[1], 2) in one.core.orphaned(own, SeqRange(2, 4))
    one.core.appended(own, Tip(9, 3, b"!" * 32), one.now)
    one.show(1, {0: LogTip(own, tip_of(log))})
    assert one.core.receipts[one.members[1]] == 2
