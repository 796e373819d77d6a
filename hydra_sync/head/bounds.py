"""Every limit of a head, with its reason. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hydra_sync.limits import BODY_BYTES_MAX, EVENT_BYTES_MAX, MEMBERS_MAX, SIGNATURE_BYTES

__all__ = ["HeadLimits"]

TRANSACTION_BYTES_MAX: Final = 16 << 10  # maxTxSize of Cardano's main network
TRANSACTION_ID_BYTES_MAX: Final = 64  # a hash, or a SimpleTx's number and a hash
HEAD_ID_BYTES_MAX: Final = 64  # a policy id has 28
SNAPSHOT_TRANSACTIONS_MAX: Final = 1000  # hydra's own cap; a request must fit an event, and is applied in one go
REJECTED_MAX: Final = 1024  # rejections remembered for `answers_of`; older ones stand in the log
EARLY_MAX: Final = 16384  # messages per member of heads not opened here yet: four blocks of layer 1, at 200 a second
CONFIRMED_REMEMBERED: Final = 16  # snapshots whose signatures are at hand to recognise a second, different one
EQUIVOCATIONS_MAX: Final = 16  # remembered of a head; one is proof enough, and all stand in the log
AHEAD: Final = 2  # no snapshot is requested, or signed, before we have signed the one before it
POSTS_MAX: Final = 16  # asked for and not seen on layer 1: who asks again and again means the last ones
STAGES_MAX: Final = 1024  # facts of layer 1 to return to; a head has a handful
DEPTH_MAX: Final = 32  # nesting of a transaction
REASON_CHARS_MAX: Final = 400  # in an event, for people, and ASCII
COMMAND_BYTES_MAX: Final = 448 << 10  # a command and what follows from it at once are one batch
PIECE_BYTES_MAX: Final = 160 << 10  # decided at one input before the rest is left to an alarm
EARLY_PIECE_MAX: Final = 500  # early messages heard at one input: each may cost a signature check, 50 ms in all
DROPPED_TOLD_MAX: Final = 1000  # named of what a side-load dropped; all can be asked for
EVENT_OVERHEAD_BYTES: Final = 64  # of its record: its name, its numbers, heads of items


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

# What one input can lead to fits one batch with it: a machine whose decision does not stops, at each start again.
# Nothing more is begun once a piece is full; then what was begun last is ended:
REQUEST_BYTES: Final = SNAPSHOT_TRANSACTIONS_MAX * (TRANSACTION_ID_BYTES_MAX + 3)
TOLD_BYTES: Final = DROPPED_TOLD_MAX * (TRANSACTION_ID_BYTES_MAX + 3)
POST_BYTES: Final = MEMBERS_MAX * (SIGNATURE_BYTES + 3)
JUDGED_BYTES: Final = HEAD_ID_BYTES_MAX + TRANSACTION_ID_BYTES_MAX + REASON_CHARS_MAX + EVENT_OVERHEAD_BYTES
COPIES_BYTES: Final = MEMBERS_MAX * JUDGED_BYTES  # of one transaction, each rejected at once
ROUND_BYTES: Final = 64 << 10  # which local transactions a round drops, one bit each: of half a million
assert COMMAND_BYTES_MAX + PIECE_BYTES_MAX + REQUEST_BYTES + TOLD_BYTES + POST_BYTES + COPIES_BYTES + ROUND_BYTES < (
    BODY_BYTES_MAX - 1024
)
