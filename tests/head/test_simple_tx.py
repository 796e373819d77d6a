"""Hydra's SimpleTx."""

from __future__ import annotations

import pytest

from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError
from hydra_sync.head.ledger import Missing, Output, Outputs, judged
from hydra_sync.head.simple_tx import SimpleLedger, simple_ref, simple_transaction

LEDGER = SimpleLedger()
THERE = Outputs.opening([(simple_ref(1), Output(b"")), (simple_ref(2), Output(b""))])


def test_it_takes_what_is_there_and_makes_what_is_not() -> None:
    """U' = (U without inputs) with outputs."""
    transaction = LEDGER.read(simple_transaction(7, [1], [3, 4]))
    assert judged(LEDGER, THERE, transaction) is None
    after = THERE.after([transaction])
    assert [ref for ref, _ in after.pairs()] == [simple_ref(number) for number in (2, 3, 4)]


@pytest.mark.parametrize(("taken", "made", "missing"), [(9, 3, 9), (1, 2, 2), (1, 1, 1)])
def test_it_waits_for_what_is_missing_or_in_the_way(taken: int, made: int, missing: int) -> None:
    """An input that is not there, an output that is."""
    transaction = LEDGER.read(simple_transaction(7, [taken], [made]))
    assert judged(LEDGER, THERE, transaction) == Missing((simple_ref(missing),))


def test_a_number_that_was_spent_cannot_be_made_again() -> None:
    """Else the order of transactions would matter that spend nothing of one another."""
    after = THERE.after([LEDGER.read(simple_transaction(7, [1], [3]))])
    assert judged(LEDGER, after, LEDGER.read(simple_transaction(8, [3], [1]))) == Missing((simple_ref(1),))


def test_different_transactions_have_different_names() -> None:
    """Anybody may choose any number; the name holds the content."""
    names = {LEDGER.read(simple_transaction(7, [1], [made])).id for made in (3, 4)}
    assert len(names) == 2
    assert all(LEDGER.shown(name).startswith("7-") for name in names)


@pytest.mark.parametrize(
    "data",
    [b"", encode(()), encode((1, (), ())), encode((1, (1, 1), ())), encode((1, (-1,), ())), encode((True, (1,), ()))],
)
def test_what_is_no_transaction_is_refused(data: bytes) -> None:
    """One that takes nothing could be applied for ever."""
    with pytest.raises(FormatError):
        LEDGER.read(data)
