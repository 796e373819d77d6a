"""What a node owes the other members about one log: promises, and whether it forgot some. No I/O.

    file     = checked file "hydra-sync standing", version 1 (see `checked`)
    content  = [network, log, promised, start, answer, [epoch, next_seq, hash], amnesiac, why, [member, ...]]

Design: 7. A promise that is forgotten is a promise broken, so the file is never written in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import (
    ANSWER_BYTES_MAX,
    HASH_BYTES,
    KEY_BYTES,
    MEMBERS_MAX,
    START_ID_BYTES,
    TEXT_BYTES_MAX,
    UINT_MAX,
)
from hydra_sync.store import checked

__all__ = ["STANDING_BYTES_MAX", "Standing", "encode_standing", "parse_standing"]

FORMAT_VERSION: Final = 1
STANDING_BYTES_MAX: Final = 16 << 10  # every field at its largest has less
_KIND: Final = "hydra-sync standing"

assert STANDING_BYTES_MAX > ANSWER_BYTES_MAX + TEXT_BYTES_MAX + MEMBERS_MAX * (KEY_BYTES + 2) + 512


@dataclass(frozen=True, slots=True)
class Standing:
    """What a node has promised about one log, and whether its own tip of it counts.

    Raises `ValueError` for a field out of its limits.
    """

    promised: int = 0
    """The highest ballot promised; 0 for none."""
    start: bytes = b""
    """Which start of the author the promise was given to, 16 bytes; empty where there is no promise."""
    answer: bytes = b""
    """The signed answer, kept so that it can be given again."""
    counted: Tip = EMPTY
    """This node's tip when it promised: what counts while the log's tip is of an epoch below ``promised``."""
    amnesiac: bool = False
    """Events or promises may have been lost here: no receipts and no promises until the log is whole again."""
    why: str = ""
    """Why it is amnesiac, for people."""
    accepted_loss: tuple[MemberKey, ...] = ()
    """Members without whom recovery may go on, by the operator's recorded word."""

    def __post_init__(self) -> None:
        numbers = (self.promised, self.counted.epoch, self.counted.next_seq)
        fits = (
            all(0 <= number <= UINT_MAX for number in numbers)
            and len(self.start) in (0, START_ID_BYTES)
            and len(self.answer) <= ANSWER_BYTES_MAX
            and len(self.counted.hash) == HASH_BYTES
            and len(self.why.encode()) <= TEXT_BYTES_MAX
            and len(self.accepted_loss) <= MEMBERS_MAX
            and all(len(member) == KEY_BYTES for member in self.accepted_loss)
        )
        if not fits:
            raise ValueError(f"no standing is like this: {self!r}"[:500])


def encode_standing(standing: Standing, network: NetworkId, log: MemberKey) -> bytes:
    """The bytes of ``standing.cbor``."""
    counted = standing.counted
    return checked.seal(
        _KIND,
        FORMAT_VERSION,
        [
            network,
            log,
            standing.promised,
            standing.start,
            standing.answer,
            [counted.epoch, counted.next_seq, counted.hash],
            standing.amnesiac,
            standing.why,
            standing.accepted_loss,
        ],
    )


def parse_standing(data: bytes, network: NetworkId, log: MemberKey) -> Standing:
    """The standing about this log that `encode_standing` turns into exactly ``data``.

    Raises `FormatError` for anything else, `NewerFormatError` if a later release wrote it.
    """
    match checked.check(data, _KIND, FORMAT_VERSION):
        case (
            bytes(of_network),
            bytes(of_log),
            int(promised),
            bytes(start),
            bytes(answer),
            (int(epoch), int(next_seq), bytes(digest)),
            bool(amnesiac),
            str(why),
            tuple(accepted),
        ) if type(promised) is type(epoch) is type(next_seq) is int and all(type(key) is bytes for key in accepted):
            if (of_network, of_log) != (network, log):
                raise FormatError("it is of another network or another log")
            try:
                return Standing(
                    promised,
                    start,
                    answer,
                    Tip(epoch, next_seq, digest),
                    amnesiac,
                    why,
                    tuple(MemberKey(key) for key in accepted),
                )
            except ValueError as error:
                raise FormatError(str(error)) from error
    raise FormatError("its fields are not those of a standing")
