"""Where the logs of a network ended when another one was begun in its place: the new network's first event. No I/O.

    event = [mark, 1, network_id, name, [[log, epoch, next_seq, hash, evidence], ...], state]

Membership is fixed for a network's life. Another set of members is a new network, in which no old
signature means anything; what it takes over from the old one it says once, at the beginning of each
member's log. ``evidence`` is the COSE header of the last batch, signed by the log's author for the old
network: anybody can check it, without the log. Members that stood at equal tips make equal bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hydra_sync.batch import parse_signed_header
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, NewerFormatError, UsageError
from hydra_sync.identity import MemberKey, NetworkId, member_key, network_id
from hydra_sync.limits import CHECKPOINT_STATE_BYTES_MAX, COSE_BYTES_MAX, HASH_BYTES, MEMBERS_MAX, UINT_MAX

__all__ = ["Checkpoint", "Position", "checkpoint_digest", "is_checkpoint_event", "parse_checkpoint"]

VERSION: Final = 1
_MARK: Final = "hydra-sync checkpoint"
_EVENT_HEAD: Final = b"\x86" + encode(_MARK)  # an array of six that begins with the mark


@dataclass(frozen=True, slots=True)
class Position:
    """The end of one log of the old network; ``evidence`` is empty for a log without events."""

    log: MemberKey
    tip: Tip
    evidence: bytes

    def verify(self, network: NetworkId) -> None:
        """Raise `FormatError` or `SignatureError` unless the log's author signed that it ends here."""
        if not self.evidence:
            if self.tip != EMPTY:
                raise FormatError(f"nothing shows that log {self.log.hex()} ends at seq {self.tip.next_seq}")
            return
        signed = parse_signed_header(self.evidence)
        if Tip.after(signed) != self.tip:
            raise FormatError(f"what its author signed of log {self.log.hex()} does not end at seq {self.tip.next_seq}")
        signed.verify(network, self.log)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The ends of all logs of network ``name``, in order of their keys, and an application's state, if it gave one."""

    name: str
    logs: tuple[Position, ...]
    state: bytes | None = None

    @property
    def network(self) -> NetworkId:
        """The id of the old network."""
        return network_id(self.name, [position.log for position in self.logs])

    def event(self) -> bytes:
        """As it stands in a log. Raises `UsageError` if the state is too large for that."""
        if self.state is not None and len(self.state) > CHECKPOINT_STATE_BYTES_MAX:
            raise UsageError(
                f"the state has {len(self.state):,} bytes, and a checkpoint, which is one event, has room for "
                f"{CHECKPOINT_STATE_BYTES_MAX:,}: let members read it from the old store, or give its hash"
            )
        logs = [(at.log, at.tip.epoch, at.tip.next_seq, at.tip.hash, at.evidence) for at in self.logs]
        return encode((_MARK, VERSION, self.network, self.name, logs, self.state))

    def verify(self) -> None:
        """Raise `FormatError` or `SignatureError` unless each log's author signed for the old network where it ends."""
        for position in self.logs:
            position.verify(self.network)

    @property
    def digest(self) -> bytes:
        """What members compare, 32 bytes."""
        return checkpoint_digest(self.event())


def checkpoint_digest(event: bytes) -> bytes:
    """What members compare of the checkpoint that is this event."""
    return hashlib.sha256(event).digest()


def is_checkpoint_event(event: bytes) -> bool:
    """Whether an event says of itself that it is a checkpoint; only the first of a log's application is one."""
    return event.startswith(_EVENT_HEAD)


def parse_checkpoint(event: bytes) -> Checkpoint:
    """The checkpoint in an event, whose evidence holds. Raises `FormatError` or `SignatureError`."""
    match decode(event):
        case (str(mark), int(version), *_) if mark == _MARK and type(version) is int and version > VERSION:
            raise NewerFormatError(
                f"a checkpoint of format {version}; this release reads {VERSION}: upgrade hydra-sync"
            )
        case (str(mark), int(version), bytes(network), str(name), tuple(logs), bytes() | None as state) if (
            mark == _MARK
            and type(version) is int
            and version == VERSION
            and 1 <= len(logs) <= MEMBERS_MAX
            and (state is None or len(state) <= CHECKPOINT_STATE_BYTES_MAX)
        ):
            checkpoint = Checkpoint(name, _parse_positions(logs), state)
            try:
                is_of_network = checkpoint.network == network
            except UsageError as error:
                raise FormatError(f"a checkpoint of a network that cannot be: {error}") from error
            if not is_of_network:
                raise FormatError("a checkpoint does not name the logs of its network, all of them")
            checkpoint.verify()
            return checkpoint
    raise FormatError("a checkpoint is not [mark, 1, network_id, name, logs, state]")


def _parse_positions(logs: Sequence[object]) -> tuple[Position, ...]:
    positions = []
    for item in logs:
        match item:
            case (bytes(log), int(epoch), int(next_seq), bytes(tip_hash), bytes(evidence)) if (
                type(epoch) is type(next_seq) is int
                and 0 <= epoch <= UINT_MAX
                and 0 <= next_seq <= UINT_MAX
                and len(tip_hash) == HASH_BYTES
                and len(evidence) <= COSE_BYTES_MAX
            ):
                positions.append(Position(member_key(log), Tip(epoch, next_seq, tip_hash), evidence))
            case _:
                raise FormatError("a position in a checkpoint is not [log, epoch, next_seq, hash, evidence]")
    keys = [position.log for position in positions]
    if sorted(keys) != keys:
        raise FormatError("the logs of a checkpoint are not in order")
    return tuple(positions)
