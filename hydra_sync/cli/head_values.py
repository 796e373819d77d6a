"""A head's commands and outputs as JSON, with hydra-node's names where there are any. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hydra_sync.config import Config
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.head.events import (
    Event,
    Followed,
    LocalStateCleared,
    SnapshotConfirmed,
    SnapshotRequested,
    TxApplied,
    TxRejected,
    content_of,
    parse_event,
)
from hydra_sync.head.ledger import Ledger
from hydra_sync.head.messages import is_message
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.head.state import Head, State

__all__ = ["output_json", "parse_input", "side_load_json"]

CONTESTATION_S: Final = 60
_FOLLOWED: Final = {
    "HeadOpened": "HeadIsOpen",
    "HeadClosed": "HeadIsClosed",
    "HeadContested": "HeadIsContested",
    "ReadyToFanout": "ReadyToFanout",
    "FannedOut": "HeadIsFinalized",
    "RolledBack": "ChainRolledBack",
}


def parse_input(text: str, config: Config) -> tuple[object, ...]:
    """A line of a client as a command: hydra-node's ClientInput.

    ``{"tag": "NewTx", "transaction": {"cborHex": ...}}``, or for the simple ledger
    ``{"id": 1, "inputs": [1], "outputs": [2]}``. Raises `UsageError`.
    """
    try:
        fields = json.loads(text)
        match fields:
            case {"tag": "NewTx", "transaction": dict(transaction)}:
                return ("NewTx", _transaction(transaction))
            case {"tag": "Init"}:
                parties = tuple(sorted(config.keys))
                return ("Init", parties, _number(fields.get("contestationPeriod", CONTESTATION_S)))
            case {"tag": "Close" | "Contest" | "Fanout" as tag}:
                return (tag,)
            case {"tag": "SideLoadSnapshot", "snapshot": dict(snapshot)}:
                return _side_load(snapshot)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"this is no command to a head: {error}: {text[:80]}") from error
    raise UsageError(
        f"this is no command to a head: {text[:80]}; tags are Init, NewTx, Close, Contest, Fanout and SideLoadSnapshot"
    )


def _transaction(fields: Mapping[str, Any]) -> bytes:
    if "cborHex" in fields:
        return bytes.fromhex(fields["cborHex"])
    return simple_transaction(_number(fields["id"]), map(_number, fields["inputs"]), map(_number, fields["outputs"]))


def _side_load(fields: Mapping[str, Any]) -> tuple[object, ...]:
    outputs = tuple((bytes.fromhex(name), bytes.fromhex(data)) for name, data in fields["outputs"])
    signatures = tuple(map(bytes.fromhex, fields["signatures"]))
    ids = tuple(map(bytes.fromhex, fields["transactionIds"]))
    return ("SideLoadSnapshot", _number(fields["version"]), _number(fields["number"]), ids, outputs, signatures)


def side_load_json(head: Head) -> dict[str, object]:
    """The confirmed snapshot of a head as the command that `parse_input` reads: what another node side-loads."""
    snapshot = head.confirmed.snapshot
    fields = {
        "version": snapshot.version,
        "number": snapshot.number,
        "transactionIds": [id_.hex() for id_ in snapshot.transactions],
        "outputs": [[name.hex(), data.hex()] for name, data in head.outputs.pairs()],
        "signatures": [signature.hex() for signature in head.confirmed.signatures],
    }
    return {"tag": "SideLoadSnapshot", "snapshot": fields}


def _number(value: object) -> int:
    if (
        type(value) is not int or value < 0
    ):  # nor what JSON has beside: 1.5 would pay another output, 1e400 is no number
        raise ValueError(f"{value!r:.40} is no whole number from 0 on")
    return value


def output_json(content: object, state: State, ledger: Ledger) -> dict[str, object] | None:
    """What a client is told of a decided event, with the state after it; None for what it is not told."""
    if is_message(content):
        return None
    try:
        event = parse_event(content)
    except FormatError:
        return None
    match event:
        case Followed():
            tag = _FOLLOWED.get(event.fact, event.fact)
            return {"tag": tag, "headId": event.head.hex(), "headStatus": event.status, "slot": event.slot}
        case TxApplied(head, transaction):
            return {"tag": "TxValid", "headId": head.hex(), "transactionId": ledger.shown(transaction)}
        case TxRejected(head, transaction, why):
            fields = {"headId": head.hex(), "transactionId": ledger.shown(transaction)}
            return {"tag": "TxInvalid", **fields, "validationError": {"reason": why}}
        case SnapshotConfirmed(head, version, number):
            return {"tag": "SnapshotConfirmed", "headId": head.hex(), "version": version, "number": number} | _snapshot(
                state, head, number, ledger
            )
        case SnapshotRequested(head, version, number):
            return {"tag": "SnapshotRequested", "head": head.hex(), "version": version, "number": number}
        case LocalStateCleared():
            return {"tag": "SnapshotSideLoaded"} | _plain(event, ledger)
        case _:
            return {"tag": type(event).__name__} | _plain(event, ledger)


def _snapshot(state: State, head_id: bytes, number: int, ledger: Ledger) -> dict[str, object]:
    head = state.head(head_id)
    if head is None or head.number != number:
        return {}
    confirmed = head.confirmed
    return {
        "utxoHash": confirmed.snapshot.utxo_hash.hex(),
        "confirmed": [ledger.shown(id_) for id_ in confirmed.snapshot.transactions],
        "signatures": [signature.hex() for signature in confirmed.signatures],
    }


def _plain(event: Event, ledger: Ledger) -> dict[str, object]:
    names = type(event).__slots__
    values = content_of(event)[1:]
    return {name: _value(name, value, ledger) for name, value in zip(names, values, strict=True)}


def _value(name: str, value: object, ledger: Ledger) -> object:
    shown: Callable[[Any], str] = ledger.shown if name in {"transaction", "dropped"} else bytes.hex
    if isinstance(value, bytes):
        return shown(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_value(name, each, ledger) for each in value]
    return value
