"""What hydra-node up to 0.11 told its clients, as the events that it did not record yet. No I/O.

There the file ``state`` is the state of the head and nothing of its history; ``server-output`` has what was sent
to clients, one JSON object a line, and with it the transactions of former snapshots (``HN/API/ServerOutput.hs``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hydra_sync.importer import changes
from hydra_sync.importer.changes import Change
from hydra_sync.importer.fields import JsonObject, RecordError, as_object, hexadecimal, items, optional, text, value
from hydra_sync.importer.ledger import parse_outputs, parse_transaction
from hydra_sync.importer.snapshots import parse_parties, parse_signatures, parse_snapshot

__all__ = ["parse_output"]


def parse_output(found: JsonObject) -> list[Change]:
    """What a server output says of changes. Raises `RecordError` for a damaged one, or one that is not known."""
    tag = text(found, "tag")
    if tag in _SILENT:
        return []
    if tag not in _PARSERS:
        raise RecordError(f"no known server output: {tag[:80]!r}")
    return _PARSERS[tag](found)


def _head(fields: JsonObject) -> str | None:
    return optional(fields, hexadecimal, "headId")


def _initializing(fields: JsonObject) -> list[Change]:
    return [changes.Initialized(_head(fields), parse_parties(items(fields, "parties")))]


def _open(fields: JsonObject) -> list[Change]:
    return [changes.Opened(_head(fields), None, parse_outputs(value(fields, "utxo")))]


def _valid(fields: JsonObject) -> list[Change]:
    transaction = parse_transaction(value(fields, "transaction", "transactionId"))
    return [changes.Received(transaction), changes.Applied(_head(fields), transaction, None)]


def _invalid(fields: JsonObject) -> list[Change]:
    why = as_object(value(fields, "validationError"), "a validation error")
    return [changes.Invalid(_head(fields), parse_transaction(value(fields, "transaction")), text(why, "reason"))]


def _confirmed(fields: JsonObject) -> list[Change]:
    signatures = optional(fields, value, "signatures")
    snapshot = parse_snapshot(value(fields, "snapshot"))
    signed = () if signatures is None else parse_signatures(signatures)
    return [changes.SnapshotConfirmed(_head(fields), snapshot, signed)]


_PARSERS: Final[Mapping[str, Callable[[JsonObject], list[Change]]]] = {
    "ReadyToCommit": _initializing,  # until 0.8
    "HeadIsInitializing": _initializing,
    "HeadIsOpen": _open,
    "TxSeen": _valid,  # until 0.8
    "TxValid": _valid,
    "TxInvalid": _invalid,
    "SnapshotConfirmed": _confirmed,
    "HeadIsClosed": lambda fields: [changes.Closed(_head(fields))],
    "ReadyToFanout": lambda fields: [changes.ReadyToFanout(_head(fields))],
    "HeadIsFinalized": lambda fields: [changes.FannedOut(_head(fields))],
    "HeadIsAborted": lambda fields: [changes.Aborted(_head(fields))],
}

_SILENT: Final = frozenset(
    {
        "CommandFailed",
        "Committed",
        "GetUTxOResponse",
        "Greetings",
        "HeadIsContested",
        "InvalidInput",
        "PeerConnected",
        "PeerDisconnected",
        "PeerHandshakeFailure",
        "PostTxOnChainFailed",
        "RolledBack",
        "TxExpired",
    }
)
