"""What a node knows of forked logs: for each the one proof that all nodes come to hold. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hydra_sync.errors import FormatError, PeerError
from hydra_sync.fork import ForkProof, ForkVerdict
from hydra_sync.identity import MemberKey, NetworkId

__all__ = ["Forks"]


@dataclass(frozen=True, slots=True)
class _Known:
    proof: ForkProof
    verdict: ForkVerdict

    @property
    def rank(self) -> tuple[int, int, int, tuple[bytes, ...], tuple[bytes, ...]]:
        """Total over proofs of one log: the lowest is kept. Fewer bytes before more, so that padding gains nothing."""
        proof = self.proof
        size = sum(map(len, (*proof.left, *proof.right)))
        return (self.verdict.seq, self.verdict.epoch, size, proof.left, proof.right)


class Forks:
    """The forked logs of one network, at most one proof of each.

    Of all proofs of a log that were learned, in whatever order, the one is kept that proves the
    lowest conflict; of several that do, the least by epoch, size and bytes. So nodes that have seen
    the same proofs hold the same one, and a log's position only falls.
    """

    def __init__(self, network: NetworkId, members: Collection[MemberKey]) -> None:
        self._network = network
        self._members = frozenset(members)  # never iterated over
        self._known: dict[MemberKey, _Known] = {}

    @property
    def known(self) -> Mapping[MemberKey, ForkProof]:
        """The proof of each forked log, in order of the logs' keys."""
        return MappingProxyType({log: self._known[log].proof for log in sorted(self._known)})

    def verdict(self, log: MemberKey) -> ForkVerdict | None:
        """What is proven of ``log``; None if it is not known to be forked."""
        known = self._known.get(log)
        return None if known is None else known.verdict

    def position(self, log: MemberKey) -> int | None:
        """The lowest seq at which ``log`` is known to be in conflict: below it is kept, from it on refused."""
        known = self._known.get(log)
        return None if known is None else known.verdict.seq

    def learn(self, proof: ForkProof) -> bool:
        """Take a proof, whoever it is from; True if it changed what is known, and is to be stored and told.

        What is known already costs no signature check. Raises `PeerError` for what proves nothing, and
        for the log of no member, of which anyone could make proofs without end.
        """
        if proof.log not in self._members:
            raise PeerError(f"a fork proof for the log of {proof.log.hex()[:16]}, who is no member")
        before = self._known.get(proof.log)
        if before is not None and before.proof == proof:
            return False
        try:
            known = _Known(proof, proof.verify(self._network))
        except FormatError as error:
            raise PeerError(f"a fork proof for log {proof.log.hex()[:8]} proves nothing: {error}") from error
        if before is not None and before.rank <= known.rank:
            return False
        self._known[proof.log] = known
        return True
