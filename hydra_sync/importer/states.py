"""A head's whole state, as checkpoints have it, and the ``state`` file of the oldest releases. No I/O.

``Checkpoint`` held a HeadState in 0.22 and holds a NodeState since. Up to 0.11 the file ``state`` was one HeadState,
rewritten with every change; 0.8 still called two fields ``seenUTxO`` and ``seenTxs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hydra_sync.head import Status
from hydra_sync.importer.fields import (
    Json,
    JsonObject,
    RecordError,
    as_object,
    flag,
    hexadecimal,
    items,
    natural,
    optional,
    text,
    value,
)
from hydra_sync.importer.ledger import Outputs, parse_outputs, parse_transaction, parse_transaction_id
from hydra_sync.importer.snapshots import Confirmed, Snapshot, parse_confirmed, parse_parties, parse_snapshot

__all__ = ["HEAD_STATES", "HeadImage", "parse_deposits", "parse_state"]

HEAD_STATES: Final = {
    "Idle": Status.IDLE,
    "Initial": Status.INITIAL,
    "Open": Status.OPEN,
    "Closed": Status.CLOSED,
    "FanoutProgress": Status.FANNING_OUT,
}


@dataclass(frozen=True, slots=True)
class HeadImage:
    """A head at one moment."""

    status: Status
    head_id: str | None = None
    parties: tuple[str, ...] = ()
    confirmed: Confirmed | None = None
    version: int = 0
    local: Outputs = frozenset()
    local_transactions: tuple[str, ...] = ()
    all_transactions: tuple[str, ...] = ()
    last_seen: int = 0
    """The number of the snapshot that was seen last, ``in_flight`` included."""
    in_flight: Snapshot | None = None
    deposits: dict[str, Outputs] = field(default_factory=dict)


def parse_state(fields: JsonObject) -> HeadImage:
    """A NodeState or a HeadState. Raises `RecordError`."""
    deposits: dict[str, Outputs] = {}
    if "headState" in fields:
        deposits = parse_deposits(value(fields, "deposits", "pendingDeposits"))
        fields = as_object(fields["headState"], "a head's state")
    tag = text(fields, "tag")
    if tag not in HEAD_STATES:
        raise RecordError(f"no known state of a head: {tag!r}")
    status = HEAD_STATES[tag]
    contents = as_object(fields["contents"], "a state's contents") if "contents" in fields else fields
    if status is Status.IDLE:
        return HeadImage(status, deposits=deposits)
    head_id = optional(contents, hexadecimal, "headId")
    parties = parse_parties(items(as_object(value(contents, "parameters"), "parameters"), "parties"))
    if status is Status.INITIAL:
        return HeadImage(status, head_id, parties, deposits=deposits)
    if status is Status.OPEN:
        coordinated = as_object(value(contents, "coordinatedHeadState"), "coordinatedHeadState")
        return _open(coordinated, head_id, parties, deposits)
    if status is Status.CLOSED and optional(contents, flag, "readyToFanoutSent"):
        status = Status.FANOUT_POSSIBLE
    confirmed = parse_confirmed(value(contents, "confirmedSnapshot"), head_id)
    return HeadImage(status, head_id, parties, confirmed, deposits=deposits)


def parse_deposits(found: Json) -> dict[str, Outputs]:
    """What each pending deposit will add; master tracks some longer than they are pending."""
    deposits = {}
    for name, item in as_object(found, "pending deposits").items():
        fields = as_object(item, "a deposit")
        if "deposit" in fields:
            if fields.get("consumedAt") is not None:
                continue
            fields = as_object(fields["deposit"], "a deposit")
        deposits[parse_transaction_id(name)] = parse_outputs(value(fields, "deposited"))
    return deposits


def _open(fields: JsonObject, head_id: str | None, parties: tuple[str, ...], deposits: dict[str, Outputs]) -> HeadImage:
    last_seen, in_flight = _seen(value(fields, "seenSnapshot"))
    return HeadImage(
        Status.OPEN,
        head_id,
        parties,
        confirmed=parse_confirmed(value(fields, "confirmedSnapshot"), head_id),
        version=optional(fields, natural, "version") or 0,
        local=parse_outputs(value(fields, "localUTxO", "seenUTxO")),
        local_transactions=tuple(parse_transaction(tx).id for tx in items(fields, "localTxs", "seenTxs")),
        all_transactions=_keys(fields.get("allTxs")),
        last_seen=last_seen,
        in_flight=in_flight,
        deposits=deposits,
    )


def _keys(found: Json) -> tuple[str, ...]:
    """The ids in a map of transactions; a map whose keys are no texts is a list of pairs in JSON."""
    if found is None:
        return ()
    if isinstance(found, list):
        pairs = [pair for pair in found if isinstance(pair, list) and pair]
        return tuple(parse_transaction_id(pair[0]) for pair in pairs)
    return tuple(map(parse_transaction_id, as_object(found, "allTxs")))


def _seen(found: Json) -> tuple[int, Snapshot | None]:
    fields = as_object(found, "seenSnapshot")
    match text(fields, "tag"):
        case "NoSeenSnapshot":
            return 0, None
        case "LastSeenSnapshot" | "RequestedSnapshot":
            return natural(fields, "lastSeen"), None
        case "SeenSnapshot":
            snapshot = parse_snapshot(value(fields, "snapshot"))
            return snapshot.number, snapshot
        case other:
            raise RecordError(f"no known seen snapshot: {other!r}")
