"""Promises about forks among protocol cores: found wherever two histories meet, equal verdicts, nobody else blamed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.fork import ForkProof, prove
from hydra_sync.sync import Forked
from hydra_sync.wire import LogState
from tests.sync.pump import Net, Node, make_log


def split(common: int, left: int, right: int, *, count: int = 4, events: int = 1) -> tuple[Net, Node, list[Node]]:
    """An author that is gone, and others of whom half hold one history of its log, half the other."""
    net = Net(count)
    author, *others = net.nodes
    start = make_log(author.key, net.network, common, events=events)
    for number, node in enumerate(others):
        size = left if number % 2 else right
        node.logs[author.me] = make_log(
            author.key, net.network, common + size, events=events, salt=number % 2, after=start
        )
        node.start()
    return net, author, others


def meet(net: Net, nodes: list[Node], seconds: float = 20.0) -> None:
    for one, other in itertools.combinations(nodes, 2):
        net.connect(one, other)
    net.run(seconds)


def position(node: Node, author: Node) -> int | None:
    return node.replicator.forks.position(author.me)


@pytest.mark.parametrize(
    ("common", "left", "right"), [(5, 1, 1), (5, 3, 3), (0, 2, 2), (5, 1, 4), (5, 4, 1), (0, 1, 7), (300, 40, 2)]
)
def test_two_histories_that_meet_are_proven(common: int, left: int, right: int) -> None:
    """Equal or different lengths, from the first event or later: every node comes to the same verdict, and keeps it."""
    net, author, others = split(common, left, right)
    meet(net, others)
    seqs = {position(node, author) for node in others}
    assert len(seqs) == 1
    (seq,) = seqs
    assert seq is not None
    assert seq >= common
    assert {node.proofs[author.me] for node in others} == {others[0].proofs[author.me]}
    for node in others:
        assert node.drops() == []
        assert node.proofs[author.me].verify(net.network).seq == seq
        assert all(node.replicator.agreement.shown(author.me).state is LogState.FORKED for node in others)
        for restarted in others:
            restarted.restart()
        assert position(node, author) == seq


def test_who_comes_later_hears_of_it() -> None:
    """A proof is told to a member that was away, and to the author itself."""
    net, author, others = split(5, 2, 2)
    meet(net, others[:2])
    late = others[2]
    late.logs[author.me] = []
    late.start()
    net.connect(late, others[0])
    net.connect(author, others[1])
    net.run(10)
    assert position(late, author) == position(others[0], author)
    assert author.notices(Forked)
    assert len(late.logs[author.me]) >= 5  # what all agree on is supplied


def test_what_lies_before_the_fork_is_supplied() -> None:
    """By relays that know of the fork; nothing from there on is taken."""
    net, author, others = split(40, 3, 3)
    meet(net, others)
    seq = position(others[0], author)
    assert seq is not None
    late = net.nodes[1]
    late.logs[author.me] = []
    late.restart()
    net.connect(late, net.nodes[2])
    net.run(10)
    assert sum(batch.header.count for batch in late.logs[author.me]) >= seq - 1


def test_an_epoch_that_left_something_out_is_no_fork() -> None:
    """Histories of different epochs are nobody's fault."""
    net = Net(3)
    author = net.nodes[0]
    start = make_log(author.key, net.network, 5)
    ours = make_log(author.key, net.network, 8, after=start)
    assert prove(net.network, author.me, ours, start) is None


def test_the_news_of_an_endless_forker_end() -> None:
    """It can sign proofs for ever; they are passed on only as long as the conflict moves to earlier events."""
    net = Net(3)
    author, bob, carol = net.nodes
    net.connect(bob, carol)
    net.run(3)
    logs = [make_log(author.key, net.network, 3, salt=salt) for salt in range(60)]
    proofs = [proof for one, other in itertools.pairwise(logs) if (proof := prove(net.network, author.me, one, other))]
    worst_last = sorted(proofs, key=lambda proof: (proof.left, proof.right), reverse=True)
    for proof in worst_last:
        bob.perform(bob.replicator.forks.learned(proof))
    told = [effect for effect in bob.effects if type(effect).__name__ == "Send"]
    assert len(proofs) == 59
    assert len([e for e in told if type(getattr(e, "message", None)).__name__ == "Fork"]) <= 17


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_equal_verdicts_whoever_meets_whom_first(data: st.DataObject) -> None:
    """However the halves come together, all that are connected in the end hold the same proof."""
    net, author, others = split(
        data.draw(st.integers(0, 6)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    )
    pairs = data.draw(st.permutations(list(itertools.combinations(others, 2))))
    for one, other in pairs:
        net.connect(one, other)
        net.run(data.draw(st.floats(0, 2)))
    net.run(15)
    proofs: set[ForkProof] = {node.proofs[author.me] for node in others}
    assert len(proofs) == 1
    assert not any(node.drops() for node in others)
