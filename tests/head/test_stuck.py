"""Heads that got stuck, or lost something, in hydra-node; each by its thread in cardano-scaling/hydra."""

from __future__ import annotations

from random import Random

import pytest

from hydra_sync.head import Fate, HeadLimits, SimpleLedger
from hydra_sync.head.messages import AckSn, parse_message
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.head.snapshot import Content as Signed
from hydra_sync.machine import RejectedError
from tests.head.network import HEAD, KEYS, Content, Network, heard

LEDGER = SimpleLedger()
LEFT, RIGHT = simple_transaction(1, [1], [11]), simple_transaction(2, [1], [12])
"""Two that take the same."""


def tags(contents: list[Content]) -> list[object]:
    return [content[0] for content in contents]


def fates(network: Network, node: int) -> dict[str, Fate]:
    answers = network.nodes[node].machine.answers(network.nodes[node].state)
    return {seen.id.split("-")[0]: seen.fate for seen in answers.transactions}


def acknowledgement(network: Network, node: int) -> AckSn:
    message = parse_message(next(content for content in network.logs[node] if content[0] == "AckSn"))
    assert isinstance(message, AckSn)
    return message


def test_612_a_peer_that_was_down_hears_all_of_it_later() -> None:
    """Transactions, requests and signatures wait in their authors' logs, and nothing has expired meanwhile."""
    network = Network(3)
    network.down = {2}
    for name in range(1, 5):
        network.asks(name % 2, "NewTx", simple_transaction(name, [name], [10 + name]))
    network.settle()
    assert network.head(0).number == 0, "nothing is confirmed without everybody"
    network.down = set()
    network.settle()
    assert [network.head(node).fates.size for node in range(3)] == [4, 4, 4]


@pytest.mark.parametrize("tag", ["ReqSn", "Signing", "AckSn"])
def test_1202_a_restart_in_the_middle_of_a_round_forgets_nothing(tag: str) -> None:
    """A node that dies just after it decided to request, or to sign, goes on there: what it owes is in its log."""
    network = Network(3)
    network.asks(0, "NewTx", simple_transaction(1, [1], [11]))
    while not any(content[0] == tag for content in network.logs[0]):
        network.hears(*network.possible()[0])
    network.nodes[0].restart()
    network.settle()
    assert [network.head(node).number for node in range(3)] == [1, 1, 1]
    assert tags(network.logs[0]).count(tag) == 1


@pytest.mark.parametrize("seed", range(8))
def test_1773_1858_conflicts_heard_in_different_order_do_not_stick_the_head(seed: int) -> None:
    """Each node applied another one of two transactions: the leader's is confirmed, the other is told why not."""
    network = Network(3)
    network.asks(1, "NewTx", LEFT)
    network.asks(2, "NewTx", RIGHT)
    network.hears(1, 1)
    network.hears(2, 2)  # these two disagree now, whatever the third hears first
    network.settle(Random(seed))
    for node in range(3):
        assert sorted(fates(network, node).values(), key=str) == [Fate.CONFIRMED, Fate.REJECTED]
        head = network.head(node)
        assert head.fates.size == 1
        (rejected,) = head.rejected.values()
        assert LEDGER.shown(head.confirmed.snapshot.transactions[0]) in rejected.why, "the reason names the winner"
    network.asks(0, "NewTx", simple_transaction(3, [2], [21]))
    network.settle(Random(seed))
    assert network.head(1).fates.size == 2


def test_1858_children_of_the_losing_transaction_wait_and_others_go_on() -> None:
    """What was applied on top of a transaction that lost is dropped with it, and holds up nothing."""
    network = Network(2)
    network.asks(1, "NewTx", RIGHT)
    network.asks(1, "NewTx", simple_transaction(5, [12], [13]))
    network.hears(1, 1)
    network.hears(1, 1)
    network.asks(0, "NewTx", LEFT)
    network.hears(0, 0)  # the leader applies this one first, and requests it
    network.settle()
    assert fates(network, 1) == {"1": Fate.CONFIRMED, "2": Fate.REJECTED, "5": Fate.WAITING}
    network.asks(1, "NewTx", simple_transaction(6, [11], [14]))
    network.settle()
    assert fates(network, 0)["6"] is Fate.CONFIRMED


def test_2133_a_transaction_submitted_again_does_not_stick_the_head() -> None:
    """Confirmed, or invalid since: refused to the client that asks, without effect from a member that insists."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    assert "confirmed by snapshot 1" in (network.tries(0, "NewTx", LEFT) or "")
    assert "which is confirmed" in (network.tries(0, "NewTx", RIGHT) or "")
    for data in (LEFT, RIGHT, LEFT, RIGHT):
        network.logs[1].append(("ReqTx", HEAD, data))
    network.settle()
    for node in range(2):
        assert network.head(node).pool.size == 0
        assert network.head(node).number == 1
    network.asks(0, "NewTx", simple_transaction(3, [2], [21]))
    network.settle()
    assert network.head(1).number == 2


def test_2442_overload_is_refused_early_and_loses_nothing() -> None:
    """With too much on its way a node refuses, with the reason; what it took is confirmed, and then it takes more."""
    network = Network(2, limits=HeadLimits(own_unconfirmed_max=2))
    for name in (1, 2):
        network.asks(0, "NewTx", simple_transaction(name, [name], [10 + name]))
    third = simple_transaction(3, [3], [13])
    with pytest.raises(RejectedError, match="2 transactions of this node are not confirmed yet"):
        network.asks(0, "NewTx", third)
    while network.head(0).outgoing:
        network.hears(0, 0)
    assert network.tries(0, "NewTx", third) is not None, "heard, and still not confirmed"
    network.asks(1, "NewTx", third)  # the limit is each node's own
    network.settle()
    assert network.head(0).fates.size == 3
    assert network.tries(0, "NewTx", simple_transaction(4, [4], [14])) is None


def test_927_what_was_said_in_another_head_counts_for_nothing() -> None:
    """Every message names its head, and the signed bytes hold it."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    mine = acknowledgement(network, 1)
    other = b"another head"
    network.observe("HeadClosed", HEAD, 1, 5)
    network.observe("FannedOut", HEAD)
    network.observe("HeadOpened", other, network.parties, 60, network.outputs)
    before = network.nodes[0].state
    for content in network.logs[1]:  # the old head's messages, again
        network.takes(0, heard(network.parties[1], content))
    assert network.nodes[0].state.head(other) == before.head(other)
    replayed = AckSn(other, mine.signed, mine.signature)  # the old head's signature, under the new head's name
    assert tags(network.takes(0, heard(network.parties[1], replayed.content()))) == ["BadSignature"]


@pytest.mark.parametrize("last", [True, False])
def test_a_bad_signature_names_its_signer_and_does_not_wedge_the_round(last: bool) -> None:
    """It is found when it is heard, whoever still has to sign; a good one of the same party still counts."""
    network = Network(3)
    network.asks(0, "NewTx", LEFT)
    while not any(content[0] == "AckSn" for content in network.logs[2]):
        network.hears(*network.possible()[0])
    good = acknowledgement(network, 2)
    bad = AckSn(good.head, good.signed, bytes(64)).content()
    if last:
        network.down = {0}
        network.settle()
        network.down = set()
        while [node for node, author in network.possible() if (node, author) in {(0, 0), (0, 1)}]:
            network.hears(0, next(author for node, author in network.possible() if node == 0 and author < 2))
    (event,) = network.takes(0, heard(network.parties[2], bad))
    assert event[0] == "BadSignature"
    assert network.parties[2] in event
    assert network.head(0).number == 0
    network.settle()
    assert [network.head(node).number for node in range(3)] == [1, 1, 1]


def test_two_signatures_in_one_place_are_told_with_the_proof() -> None:
    """Heard before the snapshot is confirmed or after: both signatures stand in the event, and verify."""
    for settled in (False, True):
        network = Network(2)
        network.asks(0, "NewTx", LEFT)
        while not any(content[0] == "AckSn" for content in network.logs[1]):
            network.hears(*network.possible()[0])
        if settled:
            network.settle()
        else:
            while network.heard[0][1] < len(network.logs[1]):
                network.hears(0, 1)
        other = Signed(0, 1, b"\x07" * 32, b"\x08" * 32)
        signature = KEYS[1].sign(other.signable(HEAD))
        ack = AckSn(HEAD, other, signature)
        decided = network.takes(0, heard(network.parties[1], ack.content()))
        event = decided[0]
        assert event[:5] == ("Equivocated", HEAD, 0, 1, network.parties[1])
        good = acknowledgement(network, 1)
        evidence = (good.signed.utxo_hash, good.signed.transactions_hash, good.signature)
        assert event[5:] == (evidence, (other.utxo_hash, other.transactions_hash, signature))
        network.settle()
        assert [network.head(node).number for node in range(2)] == [1, 1], "the good one still counts"


def test_a_node_never_signs_another_snapshot_in_one_place() -> None:
    """It decided to sign one; a leader that asks for another, even after a restart, gets no signature of it."""
    network = Network(2)
    network.asks(1, "NewTx", LEFT)
    network.asks(1, "NewTx", simple_transaction(3, [2], [21]))
    network.hears(1, 1)
    network.hears(1, 1)
    ids = network.head(1).local
    decided = network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, ids[:1])))
    assert tags(decided) == ["SnapshotRequested", "Signing"], "first the decision, alone"
    network.nodes[1].restart()
    decided = network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, ids)))
    assert tags(decided) == ["Ignored"]
    network.hears(1, 1)
    assert tags(network.logs[1]) == ["ReqTx", "ReqTx", "Signing", "AckSn"]
    assert network.head(1).round is not None
    assert network.head(1).round.snapshot.transactions == ids[:1]  # type: ignore[union-attr]


def test_a_decision_to_sign_counts_only_in_its_authors_own_log() -> None:
    """Another member's word does not make a node sign."""
    network = Network(2)
    network.asks(1, "NewTx", LEFT)
    network.hears(1, 1)
    network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, network.head(1).local)))
    decision = network.logs[1][-1]
    assert decision[0] == "Signing"
    assert network.takes(1, heard(network.parties[0], decision)) == []
    assert tags(network.takes(1, heard(network.parties[1], decision))) == ["AckSn"]


def test_a_request_waits_for_its_transactions_and_for_the_snapshot_before_it() -> None:
    """Its leader's log was heard sooner than the others': no time passes that would undo it."""
    network = Network(3)
    network.asks(1, "NewTx", LEFT)
    network.down = {2}
    network.settle()
    for _ in range(len(network.logs[0])):
        network.hears(2, 0)
    assert network.head(2).request(1) is not None
    assert network.head(2).round is None
    assert "AckSn" not in tags(network.logs[2])
    network.down = set()
    network.settle()
    assert [network.head(node).number for node in range(3)] == [1, 1, 1]


def side_load(network: Network, node: int) -> list[Content]:
    """Bring a node the confirmed snapshot of the first."""
    head = network.head(0)
    snapshot = head.confirmed.snapshot
    given = (0, snapshot.number, snapshot.transactions, head.outputs.pairs(), head.confirmed.signatures)
    return network.asks(node, "SideLoadSnapshot", *given)


def test_side_loading_lists_what_was_dropped_and_a_snapshot_may_still_name_it() -> None:
    """A snapshot brought by hand clears the local state of one node; another node leads, and asks for all it has."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    second = simple_transaction(3, [2], [21])
    network.asks(0, "NewTx", second)
    network.hears(0, 0)
    assert side_load(network, 0)[0] == ("LocalStateCleared", HEAD, 1, (LEDGER.read(second).id,))
    assert network.head(0).local == ()
    assert network.head(0).own == 0, "what was dropped does not count as being on its way"
    assert fates(network, 0)["3"] is Fate.WAITING
    network.settle()
    assert [network.head(node).fates.size for node in range(2)] == [2, 2]
    assert [network.head(node).own for node in range(2)] == [0, 0]


def test_what_a_side_load_dropped_can_be_submitted_again() -> None:
    """Nobody tries it again by himself; submitted again it is as good as new."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    child = simple_transaction(4, [21], [22])
    network.asks(1, "NewTx", child)
    network.settle()
    for node in range(2):
        side_load(network, node)
    network.asks(0, "NewTx", simple_transaction(3, [2], [21]))
    network.settle()
    assert fates(network, 0)["4"] is Fate.WAITING
    assert network.tries(0, "NewTx", child) is None
    network.settle()
    for node in range(2):
        assert fates(network, node)["4"] is Fate.CONFIRMED
        assert network.head(node).own == 0


def test_a_newer_snapshot_is_side_loaded_by_a_node_that_missed_it() -> None:
    """With all signatures, and only with them: other outputs, transactions or signers are refused."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    while network.head(0).number == 0:
        todo = [(node, author) for node, author in network.possible() if (node, author) != (1, 0) or node == 0]
        late = [(1, 0)] if network.heard[1][0] < len(network.logs[0]) else []
        wanted = [pair for pair in todo if pair[0] == 0] or late or todo
        network.hears(*wanted[0])
    assert network.head(1).number == 0
    confirmed = network.head(0).confirmed
    snapshot, pairs = confirmed.snapshot, network.head(0).outputs.pairs()
    good = (0, snapshot.number, snapshot.transactions, pairs, confirmed.signatures)
    for wrong in (
        (1, *good[1:]),
        (0, 2, *good[2:]),
        (*good[:2], (), *good[3:]),
        (*good[:3], pairs[1:], confirmed.signatures),
        (*good[:4], confirmed.signatures[:1]),
        (*good[:4], confirmed.signatures[::-1]),
        (*good[:4], (*confirmed.signatures, bytes(64))),
    ):
        with pytest.raises(RejectedError):
            network.asks(1, "SideLoadSnapshot", *wrong)
    network.asks(1, "SideLoadSnapshot", *good)
    assert network.head(1).confirmed == confirmed
    network.settle()
    network.asks(1, "NewTx", simple_transaction(3, [2], [21]))
    network.settle()
    assert [network.head(node).number for node in range(2)] == [2, 2]
    assert network.head(0).outputs.pairs() == network.head(1).outputs.pairs()


def test_a_head_that_opens_late_here_has_missed_nothing() -> None:
    """Members see layer 1 at different times; what they said of a head before it opened here is heard then."""
    network = Network(3, opened=False)
    network.observe("HeadOpened", HEAD, network.parties, 60, network.outputs, nodes=[0, 1])
    network.asks(1, "NewTx", LEFT)
    network.settle()
    assert network.nodes[2].state.head(HEAD) is None
    network.nodes[2].checkpoint()
    network.nodes[2].restart()
    network.catch_up(2)
    network.settle()
    assert [network.head(node).number for node in range(3)] == [1, 1, 1]


def rival_requests() -> tuple[Network, bytes, bytes, bytes, bytes]:
    """Node 1 applied a parent, a child and a rival of what node 0 now requests along with the parent."""
    network = Network(2)
    parent, child = simple_transaction(1, [1], [11]), simple_transaction(2, [11], [12])
    rival, requested = simple_transaction(3, [2, 3], [13]), simple_transaction(4, [2], [14])
    for data in (parent, child, rival, requested):
        network.takes(1, heard(network.parties[0], ("ReqTx", HEAD, data)))
    ids = tuple(LEDGER.read(data).id for data in (parent, requested))
    network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, ids)))
    return network, parent, child, rival, requested


def test_the_local_ledger_begins_with_the_round_that_is_on() -> None:
    """Parents before children, whoever applied which of them first: a checkpoint applies them in that order."""
    network, *data = rival_requests()
    parent, child, rival, requested = (LEDGER.read(each).id for each in data)
    head = network.head(1)
    assert head.local == (parent, requested, child)
    assert head.pool.get(rival) is not None
    node = network.nodes[1]
    assert node.machine.thaw(node.machine.freeze(node.state)) == node.state


def test_what_a_dropped_transaction_held_is_free_for_others() -> None:
    """A third waited for an output that the rival had taken; with the rival dropped it is applied at once."""
    network = Network(2)
    rival, third = simple_transaction(3, [2, 3], [13]), simple_transaction(5, [3], [15])
    requested = simple_transaction(4, [2], [14])
    for data in (rival, third, requested):
        network.takes(1, heard(network.parties[0], ("ReqTx", HEAD, data)))
    assert [LEDGER.shown(id_)[0] for id_ in network.head(1).local] == ["3"]
    request = ("ReqSn", HEAD, 0, 1, (LEDGER.read(requested).id,))
    decided = network.takes(1, heard(network.parties[0], request))
    assert tags(decided) == ["SnapshotRequested", "TxWaiting", "TxApplied", "Signing"]
    assert decided[1][2] == LEDGER.read(rival).id, "which of its local ones were dropped is told"
    assert [LEDGER.shown(id_)[0] for id_ in network.head(1).local] == ["4", "5"]


def test_however_many_a_party_signed_the_one_that_is_awaited_counts() -> None:
    """Each is told as it comes, and the round is held up by none of them."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    while not network.head(0).round:
        network.hears(*network.possible()[0])
    for number in range(3):
        other = Signed(0, 1, bytes([number]) * 32, bytes(32))
        ack = AckSn(HEAD, other, KEYS[1].sign(other.signable(HEAD)))
        decided = network.takes(0, heard(network.parties[1], ack.content()))
        assert tags(decided) == [["PartySigned"], ["Equivocated", "PartySigned"], ["Equivocated"]][number]
    node = network.nodes[0]
    named = node.machine.answers(node.state).equivocations
    assert [(each.party, each.number, each.first[0]) for each in named] == [(KEYS[1].member.hex(), 1, "00" * 32)] * 2
    assert [each.second[0] for each in named] == ["01" * 32, "02" * 32]
    assert node.machine.thaw(node.machine.freeze(node.state)) == node.state
    network.settle()
    assert [network.head(node).number for node in range(2)] == [1, 1]
