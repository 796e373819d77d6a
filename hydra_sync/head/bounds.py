"""Every limit of a head, with its reason. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hydra_sync.limits import EVENT_BYTES_MAX, MEMBERS_MAX, SIGNATURE_BYTES

__all__ = ["HeadLimits"]

TRANSACTION_BYTES_MAX: Final = 16 << 10  # maxTxSize of Cardano's main network
TRANSACTION_ID_BYTES_MAX: Final = 64  # a hash, or a SimpleTx's number and a hash
HEAD_ID_BYTES_MAX: Final = 64  # a policy id has 28
SNAPSHOT_TRANSACTIONS_MAX: Final = 1000  # hydra's own cap; a request must fit an event, and is applied in one go
REJECTED_MAX: Final = 1024  # rejections remembered for `answers_of`; older ones stand in the log
EARLY_MAX: Final = 16384  # messages per member of heads not opened here yet: four blocks of layer 1, at 200 a second
CONFIRMED_REMEMBERED: Final = 16  # snapshots whose signatures are at hand to recognise a second, different one
AHEAD: Final = 2  # no snapshot is requested, or signed, before we have signed the one before it
POSTS_MAX: Final = 16  # asked for and not seen on layer 1: who asks again and again means the last ones
STAGES_MAX: Final = 1024  # facts of layer 1 to return to; a head has a handful
DEPTH_MAX: Final = 32  # nesting of a transaction
REASON_CHARS_MAX: Final = 400  # in an event, for people


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """What one node takes on; the others need not agree."""

    own_unconfirmed_max: int = 2 * SNAPSHOT_TRANSACTIONS_MAX
    """Own transactions on their way: two full snapshots keep the head busy, more only wait longer."""
    snapshot_transactions_max: int = SNAPSHOT_TRANSACTIONS_MAX

    def __post_init__(self) -> None:
        assert 0 < self.snapshot_transactions_max <= SNAPSHOT_TRANSACTIONS_MAX
        assert self.own_unconfirmed_max > 0


assert SNAPSHOT_TRANSACTIONS_MAX * (TRANSACTION_ID_BYTES_MAX + 3) + 256 < EVENT_BYTES_MAX
assert TRANSACTION_BYTES_MAX + 256 < EVENT_BYTES_MAX
assert MEMBERS_MAX * (SIGNATURE_BYTES + 3) + 1024 < EVENT_BYTES_MAX  # a multisignature, posted
