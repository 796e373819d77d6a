"""News of forks: what is proven is kept, told to everybody, and ends the log where the histories part. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from hydra_sync.fork import ForkProof
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import FORK_NEWS_MAX
from hydra_sync.sync.effects import Effect, Forked, KeepProof, Send
from hydra_sync.sync.forks import Forks
from hydra_sync.wire import Fork

__all__ = ["ForkNews"]


class ForkNews:
    """``nodes`` is the replicator's own, and only read; ``known`` are the proofs that the store has kept."""

    def __init__(
        self,
        network: NetworkId,
        members: Iterable[MemberKey],
        nodes: Mapping[MemberKey, int],
        known: Iterable[ForkProof],
    ) -> None:
        self._forks: Final = Forks(network, tuple(members))
        self._nodes = nodes
        self._told: Counter[MemberKey] = Counter()
        self.position: Final = self._forks.position
        """From which seq on a log is refused, if it is forked."""
        for proof in known:
            self._forks.learn(proof)

    def introduced(self, link: int) -> list[Effect]:
        """A member's node is here: it is to know what we know."""
        return [Send(link, _message(proof)) for proof in self._forks.known.values()]

    def heard(self, message: Fork, link: int) -> list[Effect]:
        """A peer sends a proof. Raises `PeerError` if it proves nothing."""
        return self.learned(ForkProof(message.log, message.left, message.right), but=link)

    def learned(self, proof: ForkProof, *, but: int | None = None) -> list[Effect]:
        """Take a proof, and pass it on if it is news.

        A forked author can make proofs without end, each of a lower rank than the one before, so only so
        many are passed on; where the conflict begins falls at each step, and so always is.
        """
        before = self._forks.position(proof.log)
        if not self._forks.learn(proof):
            return []
        position = self._forks.position(proof.log)
        assert position is not None
        effects: list[Effect] = [KeepProof(proof)]
        if position != before:
            effects.append(Forked(proof.log, position))
        self._told[proof.log] += 1
        if position != before or self._told[proof.log] <= FORK_NEWS_MAX:
            effects += [Send(link, _message(proof)) for link in self._nodes.values() if link != but]
        return effects


def _message(proof: ForkProof) -> Fork:
    return Fork(proof.log, proof.left, proof.right)
