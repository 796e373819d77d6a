"""How far other members hold our own log: counted only on a chain that is ours. No I/O."""

from __future__ import annotations

from hydra_sync.chain import Tip
from hydra_sync.identity import MemberKey
from hydra_sync.limits import RECEIPT_BATCHES_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.sync.effects import Receipt
from hydra_sync.wire import LogState, LogTip

__all__ = ["Receipts"]


class Receipts:
    """What peers have shown of our own log, held against the hashes of its latest batches."""

    def __init__(self, tip: Tip) -> None:
        self.counts: dict[MemberKey, int] = {}
        """Durable at each member up to this seq, as it last showed."""
        self._tip = tip
        self._hashes = {tip.next_seq: tip.hash}

    def extend(self, tip: Tip) -> None:
        """Our log has become durable up to ``tip``, the end of a batch."""
        self._tip = tip
        self._hashes[tip.next_seq] = tip.hash
        while len(self._hashes) > RECEIPT_BATCHES_MAX:
            del self._hashes[next(iter(self._hashes))]

    def orphaned(self, events: SeqRange) -> list[Receipt]:
        """A later epoch has left ``events`` out of our log: who holds them holds nothing of it there; what changed."""
        self._hashes = {seq: batch_hash for seq, batch_hash in self._hashes.items() if seq <= events.start}
        above = [peer for peer, count in self.counts.items() if count > events.start]
        self.counts.update(dict.fromkeys(above, events.start))
        return [Receipt(peer, events.start) for peer in above]

    def is_ours(self, tip: Tip) -> bool:
        """Whether ``tip``, which we signed, is one that our store has, or had before it is remembered."""
        return tip.next_seq <= self._tip.next_seq and self._hashes.get(tip.next_seq, tip.hash) == tip.hash

    def take(self, peer: MemberKey, shown: LogTip) -> list[Receipt]:
        """Count what a peer shows, if it stands on our own chain (design: 2, stable); what changed."""
        before = self.counts.get(peer, 0)
        if self._hashes.get(shown.tip.next_seq) == shown.tip.hash and shown.state is LogState.OK:
            self.counts[peer] = shown.durable_stop
        elif shown.tip.next_seq < before:
            self.counts[peer] = 0
        after = self.counts.get(peer, 0)
        return [] if after == before else [Receipt(peer, after)]
