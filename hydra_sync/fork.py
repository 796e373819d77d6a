"""Proof that an author equivocated: two branches of signed headers that no correct author can have made. No I/O.

An author forks its log where it gives two batches the same place in one epoch (design: 2):

- two different headers of one epoch cover one seq, or
- two different headers are the first of one epoch, wherever they stand.

Histories of different epochs may differ: that is how a correct author comes back from a lost disk.

A header counts if its author signed it, or if it stands in the hash chain before one that its
author signed: a batch's hash covers the signature bytes too, valid or not, so that an author who
signs only some of its records answers for all of them. What a header says is therefore never
taken from anywhere but such a chain, and no choice, order or change of the headers of a correct
author makes a proof: its chains agree wherever they are of one epoch.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from hydra_sync.batch import Batch, SignedHeader, parse_signed_header
from hydra_sync.chain import Tip, link
from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, NewerFormatError, SignatureError
from hydra_sync.identity import MemberKey, NetworkId, member_key
from hydra_sync.limits import COSE_BYTES_MAX, EVIDENCE_BYTES_MAX, FORK_HEADERS_MAX, HASH_BYTES

__all__ = ["ForkKind", "ForkProof", "ForkVerdict", "decode_proof", "encode_proof", "prove"]

_MAGIC: Final = "hydra-sync fork proof"
_VERSION: Final = 1


class ForkKind(IntEnum):
    """What the author gave away twice."""

    SEQ = 0
    """Two different batches of one epoch cover one seq."""
    EPOCH = 1
    """Two different batches are the first of one epoch."""


@dataclass(frozen=True, slots=True)
class ForkVerdict:
    """What a proof proves: the lowest of its conflicts, and the two headers that are in conflict."""

    log: MemberKey
    kind: ForkKind
    epoch: int
    seq: int
    """From here on the branches differ: both cover it, or the earlier of two epochs begins here."""
    left: SignedHeader
    right: SignedHeader


@dataclass(frozen=True, slots=True)
class ForkProof:
    """Two branches of COSE headers of one log, each a chain that ends in one its author signed.

    Any value of these types may be held and handed on; `verify` says whether it proves anything.
    """

    log: MemberKey
    left: tuple[bytes, ...]
    right: tuple[bytes, ...]

    def verify(self, network: NetworkId) -> ForkVerdict:
        """What this proves of the author. Costs two signature checks, at most.

        Raises `SignatureError` if a branch does not end in its author's signature for ``network``,
        and `FormatError` for anything else that is no proof.
        """
        left, right = _parse_branch(self.left), _parse_branch(self.right)
        conflict = next(_conflicts(left, right), None)
        if conflict is None:
            raise FormatError("two branches that do not conflict within one epoch prove no fork")
        left[-1].verify(network, self.log)
        right[-1].verify(network, self.log)
        one, other = left[conflict.left], right[conflict.right]
        return ForkVerdict(self.log, conflict.kind, one.header.epoch, conflict.seq, one, other)


def prove(network: NetworkId, log: MemberKey, ours: Sequence[Batch], theirs: Sequence[Batch]) -> ForkProof | None:
    """The smallest proof of the lowest conflict of two runs; the same one for whoever has them, either way round.

    Each run is authentic as a whole (`verify_run`) and reaches back to the conflict; before an
    epoch batch at which it may lie, it holds the batch that the epoch batch stands on. Of each run
    the proof takes the headers from the conflict to the next one that is signed itself.

    None where there is no conflict within one epoch. Where an author signed so few of its records
    that a branch would take more than `FORK_HEADERS_MAX` headers, the proof is of the next higher
    conflict that takes fewer, and None if there is none. Costs one signature check a conflict, if
    the author signs everything, and at most one for each batch.
    """
    left, right = _Run(network, log, ours), _Run(network, log, theirs)
    for conflict in _conflicts(left.headers, right.headers):
        # Where an epoch begins shows only after the header before it, but at the start of the log.
        has_parent = conflict.kind is ForkKind.EPOCH
        one, other = left.cut(conflict.left, has_parent), right.cut(conflict.right, has_parent)
        if one is not None and other is not None:
            return ForkProof(log, *sorted((one, other)))
    return None


def encode_proof(network: NetworkId, proof: ForkProof) -> bytes:
    """The file form of a proof: deterministic CBOR, which names the network that it is of."""
    return encode((_MAGIC, _VERSION, network, proof.log, proof.left, proof.right))


def decode_proof(data: bytes) -> tuple[NetworkId, ForkProof]:
    """The network and the proof in the bytes of a file, unverified. Raises `FormatError` for anything else."""
    if len(data) > EVIDENCE_BYTES_MAX:
        raise FormatError(f"a fork proof has at most {EVIDENCE_BYTES_MAX:,} bytes")
    fields = decode(data, depth_max=2)
    if type(fields) is not tuple or len(fields) < 2 or fields[0] != _MAGIC or type(fields[1]) is not int:
        raise FormatError(f"a fork proof is an array that begins with {_MAGIC!r} and a version")
    if fields[1] > _VERSION:
        raise NewerFormatError(f"a fork proof of version {fields[1]}; this release reads version {_VERSION}")
    if len(fields) != 6 or fields[1] != _VERSION:
        raise FormatError("a fork proof is [magic, 1, network id, log, left, right]")
    network, log, left, right = fields[2:]
    if type(network) is not bytes or len(network) != HASH_BYTES or type(log) is not bytes:
        raise FormatError("a fork proof names its network and its log by 32 bytes each")
    return NetworkId(network), ForkProof(member_key(log), _parse_headers(left), _parse_headers(right))


def _parse_headers(value: object) -> tuple[bytes, ...]:
    if type(value) is not tuple or len(value) > FORK_HEADERS_MAX:
        raise FormatError(f"a branch is an array of at most {FORK_HEADERS_MAX} headers")
    for header in value:
        if type(header) is not bytes or len(header) > COSE_BYTES_MAX:
            raise FormatError(f"a header is a byte string of at most {COSE_BYTES_MAX} bytes")
    return value


def _parse_branch(coses: Sequence[bytes]) -> list[SignedHeader]:
    """The headers of a branch. Raises `FormatError` unless they are a chain."""
    if not 1 <= len(coses) <= FORK_HEADERS_MAX:
        raise FormatError(f"a branch has 1 to {FORK_HEADERS_MAX} headers, not {len(coses)}")
    branch = [parse_signed_header(cose) for cose in coses]
    tip = Tip.after(branch[0])
    for header in branch[1:]:
        tip = link(tip, header)
    return branch


class _Conflict(NamedTuple):
    """Two headers, by their places in their branches, that a correct author never signs both; lowest seq first."""

    seq: int
    kind: ForkKind
    left: int
    right: int


def _conflicts(left: Sequence[SignedHeader], right: Sequence[SignedHeader]) -> Iterator[_Conflict]:
    """The conflicts of two chains, the lowest first."""
    return heapq.merge(_of_seqs(left, right), _of_epochs(left, right))


def _of_seqs(left: Sequence[SignedHeader], right: Sequence[SignedHeader]) -> Iterator[_Conflict]:
    i = j = 0
    while i < len(left) and j < len(right):
        one, other = left[i].header, right[j].header
        overlap = max(one.first_seq, other.first_seq)
        stop = min(one.stop, other.stop)
        if overlap < stop and one.epoch == other.epoch and left[i].hash != right[j].hash:
            yield _Conflict(overlap, ForkKind.SEQ, i, j)
        # Both chains are dense: what ends first overlaps nothing more.
        i, j = i + (one.stop == stop), j + (other.stop == stop)


def _of_epochs(left: Sequence[SignedHeader], right: Sequence[SignedHeader]) -> Iterator[_Conflict]:
    # Epochs rise along both chains, and the places at which they begin with them.
    begun = _beginnings(right)
    for epoch, i in _beginnings(left).items():
        j = begun.get(epoch)
        if j is not None and left[i].hash != right[j].hash:
            yield _Conflict(min(left[i].header.first_seq, right[j].header.first_seq), ForkKind.EPOCH, i, j)


def _beginnings(branch: Sequence[SignedHeader]) -> dict[int, int]:
    """For each epoch that is seen to begin in a chain, the place of its first header."""
    first = branch[0].header if branch else None
    begun = {first.epoch: 0} if first is not None and first.first_seq == 0 else {}
    for place in range(1, len(branch)):
        if branch[place].header.epoch > branch[place - 1].header.epoch:
            begun[branch[place].header.epoch] = place
    return begun


class _Run:
    """A run of batches, of which headers are taken."""

    def __init__(self, network: NetworkId, log: MemberKey, batches: Sequence[Batch]) -> None:
        self.headers: Final = [batch.signed_header for batch in batches]
        self._network = network
        self._log = log
        self._signed: dict[int, bool] = {}

    def cut(self, place: int, has_parent: bool) -> tuple[bytes, ...] | None:
        """From the header at ``place``, or from its parent, to the next that is signed; None if that is too long."""
        start = place - 1 if has_parent and place else place
        for end in range(place, min(len(self.headers), start + FORK_HEADERS_MAX)):
            if self._is_signed(end):
                return tuple(header.cose for header in self.headers[start : end + 1])
        return None

    def _is_signed(self, place: int) -> bool:
        if place not in self._signed:
            try:
                self.headers[place].verify(self._network, self._log)
            except SignatureError:
                self._signed[place] = False
            else:
                self._signed[place] = True
        return self._signed[place]
