"""What a node owes the other members about one log: promises, and whether it forgot some. No I/O.

    file     = checked file "hydra-sync standing", version 1 (see `checked`)
    content  = [network, log, promised, start, store_id, answer, ballot,
                [epoch, next_seq, hash], amnesiac, reminded, why, [member, ...]]

Design: 7. A promise that is forgotten is a promise broken, so the file is never written in place; and once a
store is founding no more each log has one, so that a log whose files are gone is not taken for an empty one.
"""

from __future__ import annotations

from typing import Final

from hydra_sync.chain import Tip
from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import (
    ANSWER_BYTES_MAX,
    KEY_BYTES,
    MEMBERS_MAX,
    TEXT_BYTES_MAX,
)
from hydra_sync.standing import Standing
from hydra_sync.store import checked

__all__ = ["STANDING_BYTES_MAX", "encode_standing", "parse_standing"]

FORMAT_VERSION: Final = 1
STANDING_BYTES_MAX: Final = 16 << 10  # every field at its largest has less
_KIND: Final = "hydra-sync standing"

assert STANDING_BYTES_MAX > ANSWER_BYTES_MAX + TEXT_BYTES_MAX + MEMBERS_MAX * (KEY_BYTES + 2) + 512


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
            standing.store_id,
            standing.answer,
            standing.ballot,
            [counted.epoch, counted.next_seq, counted.hash],
            standing.amnesiac,
            standing.reminded,
            standing.why,
            standing.without,
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
            bytes(store_id),
            bytes(answer),
            bytes(ballot),
            (int(epoch), int(next_seq), bytes(digest)),
            bool(amnesiac),
            bool(reminded),
            str(why),
            tuple(without),
        ) if type(promised) is type(epoch) is type(next_seq) is int and all(type(key) is bytes for key in without):
            if (of_network, of_log) != (network, log):
                raise FormatError("it is of another network or another log")
            try:
                return Standing(
                    promised,
                    start,
                    store_id,
                    answer,
                    ballot,
                    Tip(epoch, next_seq, digest),
                    amnesiac,
                    reminded,
                    why,
                    tuple(MemberKey(key) for key in without),
                )
            except ValueError as error:
                raise FormatError(str(error)) from error
    raise FormatError("its fields are not those of a standing")
