"""Snapshots as hydra-node wrote them, in every release. No I/O.

Until 0.19 the number was ``snapshotNumber`` and the transactions ``confirmedTransactions``; a version came with
0.18, ``utxoToCommit`` with 0.20; ``accumulator`` is in the JSON of master only.
"""

from __future__ import annotations

from dataclasses import dataclass

from hydra_sync.importer.fields import (
    Json,
    JsonObject,
    RecordError,
    as_object,
    hexadecimal,
    items,
    natural,
    optional,
    text,
    value,
)
from hydra_sync.importer.ledger import Outputs, parse_outputs, parse_transaction

__all__ = ["Confirmed", "Snapshot", "initial", "parse_confirmed", "parse_parties", "parse_signatures", "parse_snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the parties agree on; ``version`` is None where the release had none."""

    head_id: str | None
    number: int
    version: int | None
    transactions: tuple[str, ...]
    utxo: Outputs
    to_commit: Outputs
    to_decommit: Outputs
    has_accumulator: bool = False

    @property
    def is_simple(self) -> bool:
        """Whether the outputs are those of hydra-node's ``SimpleTx`` ledger, numbers."""
        return not any("#" in name for name in self.utxo | self.to_commit | self.to_decommit)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The last snapshot that counts: the one a head opens with (no signatures), or one that all have signed."""

    snapshot: Snapshot
    signatures: tuple[str, ...] | None
    """Hexadecimal, in the order of the parties; None for the first snapshot."""


def parse_snapshot(found: Json) -> Snapshot:
    fields = as_object(found, "a snapshot")
    return Snapshot(
        head_id=optional(fields, hexadecimal, "headId"),
        number=natural(fields, "number", "snapshotNumber"),
        version=optional(fields, natural, "version"),
        transactions=tuple(parse_transaction(tx).id for tx in items(fields, "confirmed", "confirmedTransactions")),
        utxo=parse_outputs(value(fields, "utxo")),
        to_commit=_outputs_or_none(fields, "utxoToCommit"),
        to_decommit=_outputs_or_none(fields, "utxoToDecommit"),
        has_accumulator="accumulator" in fields,
    )


def parse_confirmed(found: Json, head_id: str | None) -> Confirmed:
    """A ``confirmedSnapshot`` of a head's state. Since 2.0 a head opens with nothing, before with ``initialUTxO``."""
    fields = as_object(found, "a confirmed snapshot")
    match text(fields, "tag"):
        case "InitialSnapshot":
            return initial(head_id, _outputs_or_none(fields, "initialUTxO"))
        case "ConfirmedSnapshot":
            return Confirmed(parse_snapshot(value(fields, "snapshot")), parse_signatures(value(fields, "signatures")))
        case other:
            raise RecordError(f"no known confirmed snapshot: {other!r}")


def initial(head_id: str | None, utxo: Outputs) -> Confirmed:
    """Number 0, which nobody has to sign."""
    none: Outputs = frozenset()
    return Confirmed(Snapshot(head_id, 0, 0, (), utxo, none, none), None)


def parse_signatures(found: Json) -> tuple[str, ...]:
    fields = as_object(found, "a multisignature")
    return tuple(hexadecimal({"signature": item}, "signature") for item in items(fields, "multiSignature"))


def parse_parties(found: list[Json]) -> tuple[str, ...]:
    """The keys of parties, in their order."""
    return tuple(hexadecimal(as_object(party, "a party"), "vkey") for party in found)


def _outputs_or_none(fields: JsonObject, name: str) -> Outputs:
    return parse_outputs(fields[name]) if fields.get(name) is not None else frozenset()
