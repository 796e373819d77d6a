"""How far each log is durable on a majority, so that no crash can take it back. No I/O.

Stable is what q - 1 members besides the author have shown with tips of one and the same epoch (design:
2): tips of mixed epochs do not add up, for a later epoch may leave out what an earlier one held (Ongaro
and Ousterhout, "In Search of an Understandable Consensus Algorithm", 5.4.2).

An author counts the receipts for its own log and tells the result. Uniform delivery is promised for
correct authors, so its word is enough, and saves the others from telling each other. Where the author
is not there, they count themselves, and tell each other: whose receipts one of them has seen may be gone
for good, and what the others have got since they promised the author an epoch, which it never began, is
only staged, and counts for nobody. So the word of any one of them is taken. A member that lies about what it
saw could so have others deliver early what an author that is away may yet leave out. Where
all are gone who saw the receipts, nobody else can tell whether the author may still leave out what was
staged since: that waits for its next start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hydra_sync.chain import Tip
from hydra_sync.epoch import majority
from hydra_sync.identity import MemberKey
from hydra_sync.wire import LogState, LogTip

__all__ = ["Stability"]

_NOBODY: Final[Mapping[MemberKey, LogTip]] = {}
_NOTHING: Final[Mapping[MemberKey, tuple[int, int]]] = {}


class Stability:
    """``stable`` is the first seq of each log that is not known to be stable; it only grows.

    ``counted_in`` is the epoch of the tip that we held when that was counted.
    """

    def __init__(self, me: MemberKey, members: int) -> None:
        self.stable: dict[MemberKey, int] = {}
        self.counted_in: dict[MemberKey, int] = {}
        self._me = me
        self._others_needed = majority(members) - 1
        self._receipts: dict[MemberKey, dict[MemberKey, LogTip]] = {}
        self._words: dict[MemberKey, tuple[int, int]] = {}
        self._hearsay: dict[MemberKey, dict[MemberKey, tuple[int, int]]] = {}
        """By log and who says it: the word of members about logs of others."""
        self._taken: dict[MemberKey, int] = {}
        """What the application took of each log when it was stable, in an earlier process."""

    @property
    def authors_word_matters(self) -> bool:
        """Whether a member needs to hear of more members than the author and itself."""
        return self._others_needed > 1

    def shown(self, peer: MemberKey, tip: LogTip) -> None:
        """``peer`` itself shows what of it counts."""
        self._receipts.setdefault(tip.log, {})[peer] = tip

    def told(self, peer: MemberKey, log: MemberKey, epoch: int, next_seq: int) -> None:
        """A member says how far a log is stable, its own or another."""
        word = epoch, next_seq
        if peer == log:
            self._words[log] = word
        elif log != self._me:
            hearsay = self._hearsay.setdefault(log, {})
            hearsay[peer] = max(word, hearsay.get(peer, word))

    def taken(self, log: MemberKey, next_seq: int) -> None:
        """Our application took a log, when it was stable, up to here."""
        self._taken[log] = max(next_seq, self._taken.get(log, 0))

    def update(self, tip: Tip, mine: LogTip, forked_at: int | None = None, *, is_silent: bool = False) -> int | None:
        """The end of what is stable of a log that we hold up to ``tip``, if that is news; ``mine`` is what we show.

        Others are believed about it where its author ``is_silent``. Nothing is stable where the author signed two
        histories.
        """
        log = mine.log
        known = self.stable.get(log, 0)
        stops = []  # those that are news: a loop, because it is run for every message of every peer
        is_forked = forked_at is not None
        if log != self._me and mine.tip.next_seq > known and _counts(mine, tip, is_forked=is_forked):
            stops.append(mine.durable_stop)
        for peer, shown in self._receipts.get(log, _NOBODY).items():
            if shown.tip.next_seq > known and peer not in (log, self._me) and _counts(shown, tip, is_forked=is_forked):
                stops.append(shown.durable_stop)
        stops.sort()
        reach = 0
        if not self._others_needed:
            reach = tip.next_seq
        elif len(stops) >= self._others_needed:
            reach = stops[-self._others_needed]
        reach = max(reach, self._said(mine, tip.epoch, others=is_silent and not is_forked))
        reach = min(reach, tip.next_seq if forked_at is None else min(tip.next_seq, forked_at))
        if reach <= known:
            return None
        self.stable[log], self.counted_in[log] = reach, tip.epoch
        return reach

    def _said(self, mine: LogTip, in_epoch: int, *, others: bool) -> int:
        """The end of what is stable by the word of the author, of our application, and of ``others``."""
        log = mine.log
        epoch, told = self._words.get(log, (0, 0))
        reach = told if epoch == in_epoch else 0
        if others:
            for epoch, told in self._hearsay.get(log, _NOTHING).values():
                if epoch <= in_epoch:  # what was stable in one epoch is in every later one
                    reach = max(reach, told)
        if mine.state is LogState.OK:  # else what we hold may be another branch
            reach = max(reach, self._taken.get(log, 0))
        return reach


def _counts(shown: LogTip, tip: Tip, *, is_forked: bool) -> bool:
    """Whether a tip counts for our branch of the log. Within an epoch a correct author has one history only.

    Of a forked log only who holds the very same counts: where two histories part may be below what is proven yet.
    """
    theirs = shown.tip
    if shown.state is LogState.FORKED:
        return is_forked and theirs == tip
    is_other = theirs.next_seq == tip.next_seq and theirs.hash != tip.hash
    return shown.state is LogState.OK and theirs.epoch == tip.epoch and not is_other
