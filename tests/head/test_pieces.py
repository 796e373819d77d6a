"""However much there is to do at once, what one input leads to fits one batch, and an alarm goes on with the rest.

That it fits is checked at every input, by `tests.head.network.Node.takes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from hydra_sync.head import Fate, SimpleLedger
from hydra_sync.head.bounds import DROPPED_TOLD_MAX, EARLY_MAX
from hydra_sync.head.evolving import marked, picked
from hydra_sync.head.ledger import TxId
from hydra_sync.head.simple_tx import simple_ref, simple_transaction
from hydra_sync.machine import Alarm
from tests.head.network import HEAD, KEYS, Content, Network, heard, simple_outputs

LEDGER = SimpleLedger()
CONFLICTING = 4000


def said(network: Network, author: int, transactions: Iterator[bytes]) -> None:
    """A member tells transactions, and its own node is the first to hear of it."""
    network.logs[author] += [("ReqTx", HEAD, data) for data in transactions]


def hear_all(network: Network, node: int) -> None:
    for author in range(len(network.nodes)):
        while network.heard[node][author] < len(network.logs[author]):
            network.hears(node, author)


def opened(network: Network) -> Content:
    return ("HeadOpened", HEAD, network.parties, 60, network.outputs)


def test_what_honest_members_said_before_a_head_opened_is_heard_in_pieces() -> None:
    """Five that all use up their own limit: nothing is lost, and all is confirmed."""
    numbers = range(1, 5 * 400 + 1)
    network = Network(5, outputs=simple_outputs(*numbers), opened=False)
    network.observe(*opened(network), nodes=range(4))
    for number in numbers:
        network.asks(number % 4, "NewTx", simple_transaction(number, [number], [10_000 + number]))
    hear_all(network, 4)
    assert len(network.nodes[4].state.early) >= len(numbers)
    network.catch_up(4)
    assert network.nodes[4].state.unfinished == (HEAD,), "there is more than is heard at once"
    assert network.head(4).pool.size < len(numbers)
    network.nodes[4].restart()
    frozen = network.nodes[4].machine.freeze(network.nodes[4].state)
    assert network.nodes[4].machine.thaw(frozen) == network.nodes[4].state
    network.settle()
    assert [network.head(node).fates.size for node in range(5)] == [len(numbers)] * 5


def test_all_that_a_hostile_member_may_have_said_early_is_heard_in_pieces() -> None:
    """And what is said meanwhile keeps its place behind it, whoever says it."""
    network = Network(2, opened=False)
    junk = [
        ("ReqTx", HEAD, simple_transaction(number, [90_000 + number], [number]))
        for number in range(100, 100 + EARLY_MAX)
    ]
    node = network.nodes[0]
    for content in junk[:10]:
        network.takes(0, heard(KEYS[1].member, content))
    first = node.state.early[0]
    early = tuple(replace(first, content=content) for content in junk)
    node.state = replace(node.state, early=early)
    network.observe(*opened(network), nodes=[0])
    left = len(node.state.early)
    assert 0 < left < EARLY_MAX
    request = ("ReqSn", HEAD, 0, 2, (b"t",))
    assert network.takes(0, heard(KEYS[1].member, request)) == []
    assert node.state.early[-1].content == request
    pieces = 0
    while (due := node.machine.alarm_us(node.state)) is not None:
        network.takes(0, Alarm(due))
        pieces += 1
        assert len(node.state.early) < left
        left = len(node.state.early)
    assert pieces > 2
    assert network.head(0).pool.size == EARLY_MAX
    assert [each.number for each in network.head(0).requests] == [2]


def conflict(network: Network) -> bytes:
    """Member 1 tells thousands that take what one transaction of member 0 takes too; that one."""
    winner = simple_transaction(1, [1], [5])
    network.asks(0, "NewTx", winner)
    network.hears(0, 0)
    said(network, 1, (simple_transaction(number, [1], [number]) for number in range(10, 10 + CONFLICTING)))
    network.settle()
    return winner


def test_thousands_that_a_snapshot_rules_out_are_rejected_in_pieces() -> None:
    """On each member; and the head goes on meanwhile, and after."""
    network = Network(2)
    winner = conflict(network)
    for node in range(2):
        head = network.head(node)
        assert (head.fates.size, head.pool.size, head.postponed) == (1, 0, False)
        assert LEDGER.read(winner).id in head.fates
    network.asks(1, "NewTx", simple_transaction(5, [5], [6]))
    network.settle()
    assert network.head(0).fates.size == 2


def test_thousands_that_a_round_drops_are_told_in_pieces() -> None:
    """Member 1 had applied all of a chain; the leader's round begins with what takes the chain's root."""
    network = Network(2)
    network.asks(0, "NewTx", simple_transaction(1, [1], [5]))
    network.hears(0, 0)
    chain = [1, *range(10, 10 + CONFLICTING)]
    said(network, 1, (simple_transaction(made, [spent], [made]) for spent, made in pairwise(chain)))
    for _ in range(CONFLICTING):
        network.hears(1, 1)
    assert len(network.head(1).local) == CONFLICTING
    assert network.hears(1, 0)[0][0] == "TxWaiting"
    decided = network.hears(1, 0)
    assert decided[0][0] == "SnapshotRequested"
    assert ("Postponed", HEAD) in decided
    network.settle()
    for node in range(2):
        assert (network.head(node).fates.size, network.head(node).number) == (1, 1)
        assert not network.head(node).postponed
    assert len(network.head(1).local) == 0


def test_one_transaction_that_thousands_wait_for_applies_them_in_pieces() -> None:
    """All of them in the end, and all are confirmed."""
    network = Network(2)
    chain = [1, *range(10, 10 + 3000)]
    links = [simple_transaction(made, [spent], [made]) for spent, made in pairwise(chain)]
    said(network, 1, iter([*links[1:], links[0]]))
    for _ in links[1:]:
        network.hears(0, 1)
    assert network.head(0).local == ()
    network.hears(0, 1)
    assert 0 < len(network.head(0).local) < len(links)
    assert network.head(0).postponed
    network.wake()
    assert len(network.head(0).local) == len(links)
    network.settle()
    assert network.head(1).fates.size == len(links)


def test_thousands_that_a_side_load_drops_are_named_as_far_as_they_fit() -> None:
    """The others wait all the same, and can be submitted again."""
    network = Network(2, outputs=simple_outputs(*range(1, 3001)))
    for node in range(2):
        said(network, node, (simple_transaction(n, [n], [10_000 + n]) for n in range(1 + node, 3001, 2)))
    network.down = {1}
    network.settle()
    outputs = tuple((simple_ref(number), b"") for number in range(1, 3001))
    decided = network.asks(0, "SideLoadSnapshot", 0, 0, (), outputs, ())
    assert decided[0][0] == "LocalStateCleared"
    assert isinstance(decided[0][3], tuple)
    assert len(decided[0][3]) == DROPPED_TOLD_MAX
    answers = network.nodes[0].machine.answers(network.nodes[0].state)
    assert len([seen for seen in answers.transactions if seen.fate is Fate.WAITING]) > 2000


def test_a_command_that_leaves_no_room_for_what_follows_is_refused() -> None:
    """A head that opens with so many outputs is none for us; it stops nobody."""
    network = Network(1, opened=False)
    outputs = tuple((number.to_bytes(32), bytes(100)) for number in range(5000))
    why = network.tries(0, "Observed", (1, b"block"), ("HeadOpened", HEAD, network.parties, 60, outputs))
    assert "bytes" in (why or "")


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_marks_pick_what_was_chosen(count: int) -> None:
    """Whatever is chosen, from any list."""
    ids = [TxId(bytes([number])) for number in range(count)]
    for step in (1, 2, 3, 50):
        chosen = ids[::step]
        assert list(picked(ids, marked(ids, frozenset(chosen)))) == chosen
    assert marked(ids, frozenset()) == b""
