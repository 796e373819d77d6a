"""The ledger of real transactions: what it takes, and what it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.errors import FormatError
from hydra_sync.head.conway import read_output, read_transaction, reference
from hydra_sync.head.ledger import Bad, Missing, Outputs, Transaction, Trial, judged
from hydra_sync.head.utxo import UtxoLedger
from tests.head.transactions import ALICE, BOB, POLICY, Dataset, Value, address, body, output, owner, signed

LEDGER = UtxoLedger()
FIRST = reference(bytes(32), 0)
SECOND = reference(bytes(32), 1)


def outputs(**values: Value) -> Outputs:
    """Alice owns the first output, Bob the second."""
    keys = {"alice": (FIRST, ALICE), "bob": (SECOND, BOB)}
    return Outputs.opening((keys[name][0], read_output(output(keys[name][1], value))) for name, value in values.items())


@pytest.fixture
def dataset(hydra_data: Path) -> Dataset:
    """Transactions that hydra's own benchmark is made of."""
    return Dataset(hydra_data)


def test_real_transactions_verify_and_apply(dataset: Dataset) -> None:
    """All 900: their ids are the hashes of their bodies, their witnesses hold, their chains apply in order."""
    assert read_transaction(dataset.funding).id == dataset.funding_id
    trial = Trial(LEDGER, Outputs.opening(read_transaction(dataset.funding).outputs))
    for client, ids in zip(dataset.clients, dataset.ids, strict=True):
        for data, identity in zip(client, ids, strict=True):
            transaction = LEDGER.read(data)
            assert transaction.id == identity
            assert LEDGER.witnessed(transaction) is None
            assert trial.add(transaction) is None


@pytest.mark.parametrize("position", range(0, 198, 5))
def test_a_real_transaction_changed_anywhere_is_refused(dataset: Dataset, position: int) -> None:
    """One bit of it flipped: it cannot be read, or its witness does not hold, or it spends what is not there."""
    data = bytearray(dataset.clients[0][0])
    data[position % len(data)] ^= 1
    opening = Outputs.opening(read_transaction(dataset.funding).outputs)
    try:
        transaction = LEDGER.read(bytes(data))
    except FormatError:
        return
    changed = LEDGER.witnessed(transaction) is not None or judged(LEDGER, opening, transaction) is not None
    assert changed or transaction.data[-1] != dataset.clients[0][0][-1]  # auxiliary data is no part of the body


def test_the_id_is_of_the_body_as_received() -> None:
    """A body in another encoding (indefinite, not minimal) is another transaction, and is never re-encoded."""
    plain = body([FIRST], [output(BOB, 10)])
    entries = plain[1:]
    indefinite = b"\xbf" + entries + b"\xff"
    for content in (plain, indefinite):
        transaction = LEDGER.read(signed(content, ALICE))
        assert transaction.id == hashlib.blake2b(content, digest_size=32).digest()
        assert LEDGER.witnessed(transaction) is None
        assert judged(LEDGER, outputs(alice=10), transaction) is None


def test_an_input_that_is_not_there_is_missing_not_bad() -> None:
    """It may still come."""
    transaction = LEDGER.read(signed(body([FIRST, SECOND], [output(BOB, 10)]), ALICE, BOB))
    assert judged(LEDGER, outputs(alice=10), transaction) == Missing((SECOND,))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (signed(body([FIRST], [output(BOB, 11)]), ALICE), "lovelace"),
        (signed(body([FIRST], [output(BOB, 9)]), ALICE), "lovelace"),
        (signed(body([FIRST], [output(BOB, 10)], fee=1), ALICE), "lovelace"),
        (signed(body([FIRST], [output(BOB, 10)]), BOB), "did not sign"),
        (signed(body([FIRST], [output(BOB, 10)])), "did not sign"),
        (signed(body([FIRST], [output(BOB, (10, {POLICY: {b"gold": 1}}))]), ALICE), "assets"),
    ],
)
def test_a_transaction_that_is_wrong_is_bad(data: bytes, why: str) -> None:
    """Coin and assets are conserved, and the owner of each input has signed."""
    verdict = judged(LEDGER, outputs(alice=10), LEDGER.read(data))
    assert isinstance(verdict, Bad)
    assert why in verdict.why


def test_assets_and_fee_are_conserved() -> None:
    """Assets of two inputs add up, policy by policy and name by name."""
    gold: Value = (5, {POLICY: {b"gold": 2, b"tin": 1}})
    more: Value = (3, {POLICY: {b"gold": 1}})
    both: Value = (7, {POLICY: {b"gold": 3, b"tin": 1}})
    transaction = LEDGER.read(signed(body([FIRST, SECOND], [output(BOB, both)], fee=1), ALICE, BOB))
    assert judged(LEDGER, outputs(alice=gold, bob=more), transaction) is None


def test_a_forged_witness_is_found() -> None:
    """A signature of another body does not hold."""
    good = body([FIRST], [output(BOB, 10)])
    stolen = signed(good, ALICE).replace(good, body([FIRST], [output(ALICE, 10)]))
    assert LEDGER.witnessed(LEDGER.read(stolen)) is not None


def test_scripts_own_outputs_that_nobody_can_spend() -> None:
    """An output may go to a script's address, and cannot be spent here."""
    locked = cbor2.dumps({0: b"\x70" + bytes(28), 1: 10})
    there = Outputs.opening([(FIRST, read_output(locked))])
    verdict = judged(LEDGER, there, LEDGER.read(signed(body([FIRST], [output(BOB, 10)]), ALICE)))
    assert isinstance(verdict, Bad)
    assert "scripts" in verdict.why


@pytest.mark.parametrize(
    "more",
    [{3: 100}, {8: 1}, {9: {POLICY: {b"gold": 1}}}, {5: {}}, {18: [[bytes(32), 0]]}, {22: 5}, {11: bytes(32)}, {99: 0}],
)
def test_what_cannot_be_judged_is_refused(more: Mapping[int, object]) -> None:
    """Validity intervals, minting, withdrawals, reference inputs, donations, scripts, and what is not known."""
    with pytest.raises(FormatError, match="cannot be judged"):
        LEDGER.read(signed(body([FIRST], [output(BOB, 10)], more=more), ALICE))


def test_required_signers_have_signed() -> None:
    """Their hashes stand in the body."""
    content = body([FIRST], [output(BOB, 10)], more={14: [owner(BOB)]})
    assert LEDGER.read(signed(content, ALICE, BOB)).signers == {owner(ALICE), owner(BOB)}
    with pytest.raises(FormatError, match="required signer"):
        LEDGER.read(signed(content, ALICE))


@pytest.mark.parametrize(
    "data",
    [
        signed(body([], [output(BOB, 10)]), ALICE),
        signed(body([FIRST, FIRST], [output(BOB, 10)]), ALICE),
        signed(body([FIRST], [output(BOB, 10)]), ALICE, valid=b"\xf4"),
        signed(body([FIRST], [output(BOB, 10)]), ALICE) + b"\x00",
        signed(body([FIRST], [cbor2.dumps({0: b"\xff", 1: 10})]), ALICE),
        signed(body([FIRST], [cbor2.dumps({0: address(BOB)})]), ALICE),
        signed(body([FIRST], [output(BOB, (1, {POLICY: {b"gold": 0}}))]), ALICE),
        signed(b"\xa4" + body([FIRST], [output(BOB, 10)])[1:] + b"\x02\x00", ALICE),
        signed(body([FIRST], [cbor2.dumps([address(BOB), 10, bytes(32), 0])]), ALICE),
        signed(body([FIRST], [cbor2.dumps([address(BOB), 10, bytes(31)])]), ALICE),
        signed(body([FIRST], [cbor2.dumps([address(BOB), [10]])]), ALICE),
        signed(body([FIRST], [cbor2.dumps({0: b"\x40" + bytes(28), 1: 10})]), ALICE),
        signed(body([FIRST], [cbor2.dumps({4: 0})]), ALICE),
        b"\x84\xa1\x00\x81\x80\xa0\xf5\xf6",
        b"\x84\xa1\x00\x81\x83\x40\x00\x00\xa0\xf5\xf6",
        b"\x84\xa1\x00\x81\x82\x40\x00\xa0\xf5\xf6",
        b"\x84\xa0\xa0\xf5\xf6",
        b"\x84" + body([FIRST], [output(BOB, 10)]) + b"\xa1\x00\x81\x81\x40\xf5\xf6",
        b"\x84" + body([FIRST], [output(BOB, 10)]) + b"\xa1\x01\x80\xf5\xf6",
        b"\x83" + body([FIRST], [output(BOB, 10)]) + b"\xa0\xf5",
        b"\x80",
        b"",
    ],
)
def test_what_is_malformed_is_refused(data: bytes) -> None:
    """Inputs, outputs, addresses, values and witnesses have their forms, and the whole has four parts."""
    with pytest.raises(FormatError):
        LEDGER.read(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_transaction_or_an_error(data: bytes) -> None:
    """Whoever sends them."""
    for candidate in (data, b"\x84" + data, signed(b"\xa3" + data, ALICE)):
        try:
            assert isinstance(LEDGER.read(candidate), Transaction)
        except FormatError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        cbor2.dumps([address(ALICE), 10]),
        cbor2.dumps([address(ALICE), 10, bytes(32)]),
        cbor2.dumps({0: address(ALICE), 1: 10, 2: [1, cbor2.CBORTag(24, b"\x00")]}),
        cbor2.dumps({0: b"\x00" + owner(ALICE) + bytes(28), 1: 10}),
        cbor2.dumps({0: b"\x40" + owner(ALICE) + b"\x01\x02\x03", 1: 10}),
    ],
)
def test_outputs_of_every_form_are_their_owners(data: bytes) -> None:
    """Old and new forms, with a datum, at addresses with staking or a pointer: the payment key may spend them."""
    there = Outputs.opening([(FIRST, read_output(data))])
    transaction = LEDGER.read(signed(body([FIRST], [output(BOB, 10)], more={7: bytes(32), 15: 0}), ALICE))
    assert judged(LEDGER, there, transaction) is None
    assert there.pairs() == ((FIRST, data),)


def test_byron_addresses_may_be_paid_and_never_spent() -> None:
    """Their witnesses are of another kind."""
    byron = cbor2.dumps([b"\x82\xd8\x18", 10])
    assert read_output(byron).owner is None
