"""The hash chain of batches: where a log ends, and what may follow. No I/O.

Batches chain by ``prev_hash`` and a batch's hash covers its signature, so one signature check on
the last batch of a run authenticates every batch before it (design: 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync.batch import GENESIS_HASH, Batch, SignedHeader
from hydra_sync.errors import FormatError, SignatureError
from hydra_sync.identity import MemberKey, NetworkId

__all__ = ["EMPTY", "DivergedError", "Tip", "link", "signed_prefix", "verify_run"]


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a log: epoch and hash of its last batch, and the seq that comes next."""

    epoch: int
    next_seq: int
    hash: bytes

    @classmethod
    def after(cls, batch: Batch | SignedHeader) -> Tip:
        """The tip of a log whose last batch is this one."""
        header = batch.header
        return cls(header.epoch, header.stop, batch.hash)


EMPTY: Final = Tip(0, 0, GENESIS_HASH)
"""The tip of a log without batches."""


class DivergedError(FormatError):
    """A batch is well formed but stands on another history than ours: its author forked, or we did."""


def link(tip: Tip, batch: Batch | SignedHeader) -> Tip:
    """The tip after ``batch``. Raises `DivergedError` unless the batch follows ``tip`` exactly."""
    header = batch.header
    if header.first_seq != tip.next_seq:
        raise DivergedError(f"the batch of {header.range} does not follow seq {tip.next_seq}")
    if header.prev_hash != tip.hash:
        raise DivergedError(f"the batch of {header.range} stands on another batch than ours before it")
    if header.epoch < tip.epoch:
        raise DivergedError(f"the batch of {header.range} is of epoch {header.epoch}, after epoch {tip.epoch}")
    return Tip.after(batch)


def verify_run(batches: Sequence[Batch], network: NetworkId, author: MemberKey) -> None:
    """Authenticate consecutive batches by one signature check, on the last of them.

    Raises `FormatError` if they do not chain, `SignatureError` if the author did not sign.
    """
    tip = Tip.after(batches[0])
    for batch in batches[1:]:
        tip = link(tip, batch)
    batches[-1].verify(network, author)


def signed_prefix(batches: Sequence[Batch], network: NetworkId, author: MemberKey) -> Sequence[Batch]:
    """The longest start of a run that verifies by itself, empty if none does.

    An author may sign only some of its records. A relay that cut its run at any other place
    would hand on what its receiver cannot verify, and be blamed for its author.
    """
    for length in range(len(batches), 0, -1):
        try:
            batches[length - 1].verify(network, author)
        except SignatureError:
            continue
        return batches[:length]
    return ()
