"""The ledger of real Cardano transactions, as far as a head without scripts and clock can judge them. No I/O.

Checked: the form (`conway`); that every witness is a valid Ed25519 signature of the id; that each input is
there, once, and that the key which owns it is a witness, as are required signers; that coin and every other
asset are conserved, fee included (in a head the fee goes nowhere).

Refused, because it cannot be judged here: scripts in any role (spending, minting, reference, collateral,
native ones too), Byron addresses as inputs, validity intervals, reference inputs, certificates, withdrawals,
governance, donations, transactions marked as failing.

Not checked, though Cardano does: the least fee and the least coin of an output, the network in addresses and
in the body, auxiliary data against its hash, the size of values, canonical order within fields, the datum of
an output and its reference script beyond being CBOR, protocol parameters of any kind (but for the size).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra_sync.errors import SignatureError
from hydra_sync.head.conway import TX_ID_BYTES, read_output, read_transaction
from hydra_sync.head.ledger import Output, Ref, Transaction, TxId
from hydra_sync.identity import MemberKey, verify

__all__ = ["UtxoLedger"]


@dataclass(frozen=True, slots=True)
class UtxoLedger:
    """Rules of Cardano's transactions."""

    @property
    def name(self) -> str:
        return "conway"

    def read(self, data: bytes) -> Transaction:
        return read_transaction(data)

    def witnessed(self, transaction: Transaction) -> str | None:
        for key, signature in transaction.witnesses:
            try:
                verify(MemberKey(key), transaction.id, signature)
            except SignatureError:
                return f"the witness of key {key.hex()} is no signature of transaction {transaction.id.hex()}"
        return None

    def balanced(self, transaction: Transaction, spent: Sequence[Output]) -> str | None:
        for output in spent:
            if output.owner is None:
                return "it spends an output that no single key owns: scripts are not judged in a head"
            if output.owner not in transaction.signers:
                return f"it spends an output of key {output.owner.hex()}, which did not sign"
        made = [output for _, output in transaction.outputs]
        taken, left = sum(output.coin for output in spent), sum(output.coin for output in made) + transaction.fee
        if taken != left:
            return f"it takes {taken} lovelace and leaves {left}, fee included"
        if _assets(spent) != _assets(made):
            return "it does not leave the assets that it takes"
        return None

    def read_output(self, data: bytes) -> Output:
        return read_output(data)

    def maker(self, ref: Ref) -> TxId | None:
        return TxId(ref[:TX_ID_BYTES])

    def shown(self, transaction: TxId) -> str:
        return transaction.hex()


def _assets(outputs: Sequence[Output]) -> Mapping[bytes, int]:
    total: dict[bytes, int] = {}
    for output in outputs:
        for asset, amount in output.assets:
            total[asset] = total.get(asset, 0) + amount
    return total
