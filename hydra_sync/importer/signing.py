"""Who signed a snapshot, as far as that can be checked without Cardano's ledger. No I/O.

Until 2.1 the parties sign concatenated CBOR (``hydra-tx/src/Hydra/Tx/Snapshot.hs``, ``Ledger/Simple.hs``)::

    bytes headId | uint version | uint number | bytes hashUTxO(utxo) | ... (utxoToCommit) | ... (utxoToDecommit)

all as Plutus data, in which bytes beyond 64 come in chunks. For the ``SimpleTx`` ledger ``hashUTxO`` is the
concatenated CBOR of the numbers, ascending. For Cardano it hashes the outputs as Plutus data, which takes a
ledger; since 2.2 it is a KZG commitment to them, which takes BLS12-381. Neither is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cbor2

from hydra_sync.errors import FormatError
from hydra_sync.identity import MemberKey, member_key, verify
from hydra_sync.importer.ledger import Outputs
from hydra_sync.importer.snapshots import Confirmed, Snapshot

__all__ = ["NEW_FORM", "signable_bytes", "signed_by"]

CHUNK_BYTES: Final = 64
OLD_FORM: Final = "they cover a hash of the outputs as Plutus data, which takes Cardano's ledger to compute"
NEW_FORM: Final = "since hydra-node 2.2 they cover a KZG commitment to the outputs, which is not computed here"
NO_VERSION: Final = "they are of a release before snapshots had versions, which covered other bytes"


def signed_by(confirmed: Confirmed, parties: Sequence[str], *, old_form: bool | None) -> tuple[tuple[str, ...], str]:
    """The parties whose signatures hold, and why the others are not known to.

    ``old_form`` says whether the snapshot was signed by a release until 2.1; None where nobody knows.
    """
    signatures, snapshot = confirmed.signatures, confirmed.snapshot
    if signatures is None:
        return (), ""
    if len(signatures) != len(parties):
        return (), f"there are {len(signatures)} signatures for {len(parties)} parties"
    if old_form is False or snapshot.has_accumulator:
        return (), NEW_FORM
    if snapshot.version is None:
        return (), NO_VERSION
    if not snapshot.is_simple:
        return (), OLD_FORM if old_form else f"{OLD_FORM}; {NEW_FORM}"
    message = signable_bytes(snapshot)
    holds = tuple(
        party for party, signature in zip(parties, signatures, strict=True) if _holds(party, message, signature)
    )
    if len(holds) == len(parties):
        return holds, ""
    wrong = ", ".join(party for party in parties if party not in holds)
    return holds, f"no valid signature of {wrong}" + ("" if old_form else f", or {NEW_FORM}")


def signable_bytes(snapshot: Snapshot) -> bytes:
    """What the parties of a ``SimpleTx`` head signed until 2.1."""
    numbers = cbor2.dumps(snapshot.version or 0) + cbor2.dumps(snapshot.number)
    hashes = map(_hash, (snapshot.utxo, snapshot.to_commit, snapshot.to_decommit))
    return _data(bytes.fromhex(snapshot.head_id or "")) + numbers + b"".join(map(_data, hashes))


def _hash(outputs: Outputs) -> bytes:
    return b"".join(map(cbor2.dumps, sorted(map(int, outputs))))


def _data(data: bytes) -> bytes:
    if len(data) <= CHUNK_BYTES:
        return cbor2.dumps(data)
    chunks = (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
    return b"\x5f" + b"".join(map(cbor2.dumps, chunks)) + b"\xff"


def _holds(party: str, message: bytes, signature: str) -> bool:
    try:
        verify(_key(party), message, bytes.fromhex(signature))
    except FormatError:
        return False
    return True


def _key(party: str) -> MemberKey:
    return member_key(bytes.fromhex(party))
