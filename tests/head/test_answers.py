"""The four answers, with everything that is under way."""

from __future__ import annotations

from dataclasses import replace

from hydra_sync.head import Fate, Status
from hydra_sync.head.events import content_of, parse_event
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.machine import Decided
from tests.head.network import HEAD, Network, heard


def test_transactions_are_told_with_their_fate_in_the_order_they_came() -> None:
    """Confirmed, in flight, applied, waiting with the reason, rejected with the reason."""
    network = Network(2)
    network.asks(0, "NewTx", simple_transaction(1, [1], [11]))
    network.settle()
    for name, taken in ((2, 2), (3, 3), (4, 99), (5, 11)):
        network.asks(1, "NewTx", simple_transaction(name, [taken], [10 * name]))
    for _ in range(5):  # with the first of them it requests snapshot 2, which it hears after the others
        network.hears(1, 1)
    network.takes(1, heard(network.parties[0], ("ReqTx", HEAD, simple_transaction(6, [1], [61]))))
    node = network.nodes[1]
    answers = node.machine.answers(node.state)
    assert answers.status is Status.OPEN
    assert answers.parties == tuple(party.hex() for party in network.parties)
    seen = {each.id.split("-")[0]: each for each in answers.transactions}
    assert [(name, each.fate) for name, each in seen.items()] == [
        ("1", Fate.CONFIRMED),
        ("2", Fate.IN_FLIGHT),
        ("3", Fate.APPLIED),
        ("4", Fate.WAITING),
        ("5", Fate.APPLIED),
        ("6", Fate.REJECTED),
    ]
    assert (seen["1"].snapshot, seen["2"].snapshot) == (1, 2)
    assert "is not there" in seen["4"].why
    assert seen["1"].id in seen["6"].why
    snapshot = answers.snapshot
    assert snapshot is not None
    assert (snapshot.number, snapshot.transactions, snapshot.outputs) == (1, (seen["1"].id,), 4)
    assert snapshot.signed_by == answers.parties


def test_signatures_are_verified_anew() -> None:
    """A state that was tampered with does not answer for its signatures."""
    network = Network(2)
    network.asks(0, "NewTx", simple_transaction(1, [1], [11]))
    network.settle()
    node = network.nodes[0]
    head = network.head(0)
    forged = replace(head, confirmed=replace(head.confirmed, signatures=(head.confirmed.signatures[0], bytes(64))))
    snapshot = node.machine.answers(node.state.with_head(forged)).snapshot
    assert snapshot is not None
    assert snapshot.signed_by == (network.parties[0].hex(),)


def test_the_first_snapshot_has_number_0() -> None:
    """A head opens with it, and nobody signed it."""
    network = Network(2)
    snapshot = network.nodes[0].machine.answers(network.nodes[0].state).snapshot
    assert snapshot is not None
    assert (snapshot.number, snapshot.outputs, snapshot.signed_by) == (0, 4, ())


def test_every_decided_event_reads_back() -> None:
    """The content of each event parses to the event."""
    network = Network(2)
    network.asks(0, "NewTx", simple_transaction(1, [1], [11]))
    network.asks(1, "NewTx", simple_transaction(2, [1], [12]))
    network.settle()
    network.asks(0, "Close")
    tags = set()
    for record in (record for node in network.nodes for record in node.records if isinstance(record, Decided)):
        if not network.nodes[0].machine.hears(record.content):
            assert content_of(parse_event(record.content)) == record.content
            assert isinstance(record.content, tuple)
            tags.add(record.content[0])
    assert tags >= {"TxApplied", "TxWaiting", "TxRejected", "SnapshotRequested", "PartySigned", "SnapshotConfirmed"}
