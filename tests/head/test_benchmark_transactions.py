"""hydra's benchmark in memory: real transactions, three clients, one head."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hydra_sync.head import Fate, UtxoLedger
from hydra_sync.head.conway import reference
from tests.head.network import HEAD, Network, heard
from tests.head.transactions import ALICE, BOB, Dataset, body, output, signed


def test_all_real_transactions_are_confirmed(hydra_data: Path) -> None:
    """900 of them, each client's at another node, heard in any order: confirmed everywhere, with equal outputs."""
    dataset = Dataset(hydra_data)
    network = Network(3, ledger=UtxoLedger(), outputs=dataset.outputs)
    random = Random(1)
    for each in range(300):
        for node, client in enumerate(dataset.clients):
            network.asks(node, "NewTx", client[each])
        if each % 10 == 0:
            network.settle(random)
        if each == 150:
            network.nodes[1].checkpoint()
    network.settle(random)
    network.nodes[1].restart()
    for node in range(3):
        assert network.head(node).fates.size == 900
        assert network.head(node).outputs.hash() == network.head(0).outputs.hash()
        assert (network.head(node).own, network.head(node).outgoing, network.head(node).pool.size) == (0, 0, 0)


def test_a_copy_with_a_forged_witness_does_not_keep_the_true_one_out(hydra_data: Path) -> None:
    """It has the same id, since witnesses are no part of the body; it is rejected, the true one is taken."""
    dataset = Dataset(hydra_data)
    network = Network(2, ledger=UtxoLedger(), outputs=dataset.outputs)
    true = dataset.clients[0][0]
    forged = true[:-20] + bytes([true[-20] ^ 1]) + true[-19:]
    author = network.parties[1]
    ((tag, _, identity, why, final),) = network.takes(0, heard(author, ("ReqTx", HEAD, forged)))
    assert (tag, identity, final) == ("TxRejected", dataset.ids[0][0], 0)
    assert isinstance(why, str)
    assert "no signature" in why
    assert network.takes(0, heard(author, ("ReqTx", HEAD, true)))[0][:1] == ("TxApplied",)
    network.takes(0, heard(author, ("ReqTx", HEAD, forged)))
    answers = network.nodes[0].machine.answers(network.nodes[0].state)
    assert [seen.fate for seen in answers.transactions] == [Fate.APPLIED]


def test_children_of_a_transaction_that_lost_are_rejected_with_it() -> None:
    """The name of an output tells who makes it: what spends the loser's outputs can never be."""
    first = reference(bytes(32), 0)
    network = Network(2, ledger=UtxoLedger(), outputs=[(first, output(ALICE, 10))])
    winner = signed(body([first], [output(BOB, 10)]), ALICE)
    loser = signed(body([first], [output(ALICE, 10)]), ALICE)
    child = signed(body([reference(network.ledger.read(loser).id, 0)], [output(BOB, 10)]), ALICE)
    grandchild = signed(body([reference(network.ledger.read(child).id, 0)], [output(ALICE, 10)]), BOB)
    for data in (loser, child, grandchild):
        network.asks(1, "NewTx", data)
        network.hears(1, 1)
    network.asks(0, "NewTx", winner)
    network.hears(0, 0)  # the leader applies it first
    network.settle()
    for node in range(2):
        head = network.head(node)
        assert head.fates.size == 1
        assert head.pool.size == 0
        assert set(head.rejected) == {network.ledger.read(each).id for each in (loser, child, grandchild)}
    late = signed(body([reference(network.ledger.read(grandchild).id, 0)], [output(BOB, 10)]), ALICE)
    assert "which was rejected" in (network.tries(0, "NewTx", late) or "")


def test_a_forged_copy_undoes_neither_a_request_nor_a_shelf() -> None:
    """A third party sends a copy with a forged witness at the worst moments: the true one is still confirmed."""
    first = reference(bytes(32), 0)
    network = Network(3, ledger=UtxoLedger(), outputs=[(first, output(ALICE, 10))])
    true = signed(body([first], [output(BOB, 10)]), ALICE)
    forged = true[:-10] + bytes([true[-10] ^ 1]) + true[-9:]
    network.asks(1, "NewTx", true)
    network.hears(0, 1)
    network.hears(2, 0)  # the leader's request, which names what was not seen here
    assert network.takes(2, heard(network.parties[0], ("ReqTx", HEAD, forged)))[0][0] == "TxRejected"
    request = network.head(2).request(1)
    assert request is not None
    assert request.seen == 0, "it waits for the true one"
    network.hears(2, 1)
    assert network.head(2).round is not None
    network.settle()
    child = signed(body([reference(network.ledger.read(true).id, 0)], [output(ALICE, 10)]), BOB)
    forged = child[:-10] + bytes([child[-10] ^ 1]) + child[-9:]
    network.asks(1, "NewTx", child)
    network.hears(0, 1)
    confirmed, pairs = network.head(0).confirmed, network.head(0).outputs.pairs()
    network.asks(0, "SideLoadSnapshot", 0, 1, confirmed.snapshot.transactions, pairs, confirmed.signatures)
    decided = network.takes(0, heard(network.parties[2], ("ReqTx", HEAD, forged)))
    assert [content[0] for content in decided] == ["TxApplied"], "what was seen first stays"
    network.settle()
    assert [network.head(node).fates.size for node in range(3)] == [2, 2, 2]


def test_a_request_of_what_cannot_be_is_refused_and_can_be_corrected() -> None:
    """The leader asked for a conflict, or for children before parents; nobody signs, and it may ask again."""
    first = reference(bytes(32), 0)
    network = Network(2, ledger=UtxoLedger(), outputs=[(first, output(ALICE, 10))])
    leader = network.parties[0]
    parent = signed(body([first], [output(BOB, 10)]), ALICE)
    child = signed(body([reference(network.ledger.read(parent).id, 0)], [output(ALICE, 10)]), BOB)
    rival = signed(body([first], [output(ALICE, 10)]), ALICE)
    for data in (parent, child, rival):
        network.takes(1, heard(leader, ("ReqTx", HEAD, data)))
    ids = [network.ledger.read(data).id for data in (parent, child, rival)]
    for wrong in ((ids[0], ids[2]), (ids[1], ids[0]), (ids[1],)):
        decided = network.takes(1, heard(leader, ("ReqSn", HEAD, 0, 1, wrong)))
        assert [content[0] for content in decided] == ["SnapshotRefused"]
    assert network.takes(1, heard(network.parties[1], ("ReqSn", HEAD, 0, 1, (ids[0],))))[0][:1] == ("Ignored",)
    decided = network.takes(1, heard(leader, ("ReqSn", HEAD, 0, 1, (ids[0], ids[1]))))
    assert [content[0] for content in decided] == ["SnapshotRequested", "Signing"]


def test_a_copy_that_lacks_a_witness_does_not_keep_the_true_one_out() -> None:
    """While its input is not there nobody can tell that its owner did not sign: every member's copy is kept."""
    first = reference(bytes(32), 0)
    network = Network(3, ledger=UtxoLedger(), outputs=[(first, output(ALICE, 10))])
    parent = signed(body([first], [output(ALICE, 10)]), ALICE)
    child = body([reference(network.ledger.read(parent).id, 0)], [output(BOB, 10)])
    identity = network.ledger.read(signed(child)).id
    for copy in (signed(child), signed(child, BOB)):  # from one member, to the third node before all else
        network.takes(2, heard(network.parties[0], ("ReqTx", HEAD, copy)))
    network.takes(1, heard(network.parties[0], ("ReqTx", HEAD, signed(child))))
    network.asks(1, "NewTx", signed(child, ALICE))
    network.hears(2, 1)
    pooled = network.head(2).pool.get(identity)
    assert pooled is not None
    assert len(pooled.copies) == 1, "one copy of each member"
    node = network.nodes[2]
    assert node.machine.thaw(node.machine.freeze(node.state)) == node.state
    network.asks(1, "NewTx", parent)
    decided = network.hears(2, 1)
    assert [content[0] for content in decided] == ["TxApplied", "TxRejected", "TxApplied"]
    network.settle()
    assert [network.head(each).fates.size for each in range(3)] == [2, 2, 2]
