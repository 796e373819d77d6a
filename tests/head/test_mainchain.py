"""The life of a head on layer 1: what follows what, what is posted, and what a rollback takes back."""

from __future__ import annotations

import pytest

from hydra_sync.head import Status
from hydra_sync.head.commands import Fact, FannedOut, HeadClosed, HeadContested, HeadOpened, Point, ReadyToFanout
from hydra_sync.head.mainchain import FOLLOWS
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.machine import RejectedError
from tests.head.network import HEAD, KEYS, Content, Network, heard

LEFT = simple_transaction(1, [1], [11])
NEXT = b"the next head"

FACTS: dict[type[Fact], Content] = {
    HeadClosed: ("HeadClosed", HEAD, 0, 100),
    HeadContested: ("HeadContested", HEAD, 1, 100),
    ReadyToFanout: ("ReadyToFanout", HEAD),
    FannedOut: ("FannedOut", HEAD),
}
WAYS: dict[Status, list[Content]] = {
    Status.OPEN: [],
    Status.CLOSED: [FACTS[HeadClosed]],
    Status.FANOUT_POSSIBLE: [FACTS[HeadClosed], FACTS[ReadyToFanout]],
    Status.FINAL: [FACTS[HeadClosed], FACTS[ReadyToFanout], FACTS[FannedOut]],
}


def at(status: Status) -> Network:
    """A head that has come so far."""
    network = Network(2, opened=status is not Status.IDLE)
    for fact in WAYS.get(status, []):
        network.observe(*fact)
    return network


def opening(network: Network, head: bytes) -> Content:
    return ("HeadOpened", head, network.parties, 60, network.outputs)


@pytest.mark.parametrize("status", [Status.IDLE, *WAYS])
@pytest.mark.parametrize("fact", [HeadOpened, *FACTS])
def test_every_fact_moves_the_head_or_is_refused(status: Status, fact: type[Fact]) -> None:
    """The table is total: where there is no transition, nothing is recorded."""
    network = at(status)
    node = network.nodes[0]
    assert node.state.stage.status is status
    content = FACTS.get(fact) or opening(network, NEXT)
    after = FOLLOWS.get((status, fact))
    slot = node.state.point.slot + 1
    if after is None:
        with pytest.raises(RejectedError, match="has no place"):
            network.asks(0, "Observed", (slot, b"block"), content)
        assert node.state.stage.status is status
    else:
        ((tag, name, head, shown, *point),) = network.asks(0, "Observed", (slot, b"block"), content)[:1]
        assert (tag, name, shown, point) == ("Followed", fact.__name__, after.value, [slot, b"block"])
        assert head == (NEXT if fact is HeadOpened else HEAD)
        assert node.state.stage.status is after
        assert node.state.point.slot == slot


@pytest.mark.parametrize("status", list(WAYS))
def test_a_rollback_returns_to_the_facts_at_its_point(status: Status) -> None:
    """And then the same facts can be observed again; a restart resumes at the point."""
    network = at(status)
    node = network.nodes[0]
    slots = node.state.point.slot
    for slot in range(slots - 1, -1, -1):
        other = at(status)
        other.asks(0, "Observed", (slot, b"block"), ("RolledBack",))
        state = other.nodes[0].state
        assert state.point.slot == slot
        assert state.stages == node.state.stages[: slot + 1]
        other.nodes[0].restart()
        assert other.nodes[0].state == state
        for again, fact in other.facts[slot:]:
            other.asks(0, "Observed", (again, b"block"), fact)
        assert other.nodes[0].state == node.state


def test_a_rollback_tells_blocks_of_one_slot_apart() -> None:
    """What was observed in another block of that slot did not happen."""
    network = at(Status.CLOSED)
    slot = network.nodes[0].state.point.slot
    network.asks(0, "Observed", (slot, b"another"), ("RolledBack",))
    assert network.nodes[0].state.stage.status is Status.OPEN
    assert network.nodes[0].state.point == Point(slot, b"another")


def test_facts_come_in_the_order_of_layer_1() -> None:
    """An older slot comes only after a rollback, and nothing is rolled back forward."""
    network = Network(2)
    network.asks(0, "Observed", (50, b"block"), FACTS[HeadClosed])
    assert "a rollback is observed first" in (network.tries(0, "Observed", (49, b"b"), FACTS[ReadyToFanout]) or "")
    assert "was not reached" in (network.tries(0, "Observed", (51, b"b"), ("RolledBack",)) or "")
    assert "nothing was observed after" in (network.tries(0, "Observed", (50, b"block"), ("RolledBack",)) or "")
    assert network.tries(0, "Observed", (50, b"block"), FACTS[HeadContested]) is None, "two in one block"


def test_a_head_that_opens_again_after_a_rollback_goes_on_where_its_members_were() -> None:
    """What members signed cannot be rolled back: a second snapshot 1 would be signed otherwise."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    before = network.head(0)
    network.asks(0, "Observed", (0, b""), ("RolledBack",))
    assert network.nodes[0].state.stage.status is Status.IDLE
    assert "the head is idle" in (network.tries(0, "NewTx", simple_transaction(2, [2], [12])) or "")
    network.asks(1, "NewTx", simple_transaction(2, [2], [12]))
    network.settle()
    assert network.head(1).number == 1, "nobody signs in a head that is not open"
    changed = ("HeadOpened", HEAD, network.parties[::-1], 60, network.outputs)
    assert "other parameters" in (network.tries(0, "Observed", (9, b"block"), changed) or "")
    network.asks(0, "Observed", (9, b"block"), opening(network, HEAD))
    assert network.head(0).confirmed == before.confirmed
    network.settle()
    assert [network.head(node).number for node in range(2)] == [2, 2]


def test_the_next_head_starts_anew_and_the_last_one_is_remembered_until_then() -> None:
    """After a fan-out the answers are those of the last head."""
    network = at(Status.FINAL)
    node = network.nodes[0]
    answers = node.machine.answers(node.state)
    assert (answers.status, answers.head_id) == (Status.FINAL, HEAD.hex())
    for head in (NEXT, b"one more"):
        network.observe(*opening(network, head))
        network.observe("HeadClosed", head, 0, 100)
        network.observe("FannedOut", head)
    assert [head.id for head in node.state.heads] == [NEXT, b"one more"]
    for head in (HEAD, b"one more"):
        assert "is over" in (network.tries(0, "Observed", (99, b"block"), opening(network, head)) or "")


def test_a_head_of_others_is_not_ours() -> None:
    """It is refused, and nothing is recorded."""
    network = Network(1, opened=False)
    others = tuple(key.member for key in KEYS[1:3])
    assert "is not ours" in (network.tries(0, "Observed", (1, b"b"), ("HeadOpened", HEAD, others, 60, ())) or "")
    assert network.nodes[0].records == []


def test_close_contest_and_fanout_post_the_confirmed_snapshot() -> None:
    """With its signatures; contesting needs no client when a head was closed with an older snapshot than ours."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    head = network.head(0)
    what = (HEAD, 0, 1, head.confirmed.snapshot.utxo_hash, head.confirmed.signatures, 0)
    assert network.asks(0, "Close") == [("PostTx", "Close", *what)]
    contested = network.asks(0, "Observed", (2, b"block"), FACTS[HeadClosed])
    assert contested[1:] == [("PostTx", "Contest", *what)]
    assert network.asks(0, "Contest") == [("PostTx", "Contest", *what)]
    assert "can be done while it is open" in (network.tries(0, "Close") or "")
    assert "fanout possible" in (network.tries(0, "Fanout") or "")
    assert network.asks(0, "Observed", (3, b"block"), FACTS[HeadContested])[1:] == []
    assert "no older than ours" in (network.tries(0, "Contest") or "")
    network.asks(0, "Observed", (4, b"block"), FACTS[ReadyToFanout])
    assert network.asks(0, "Fanout") == [("PostTx", "Fanout", *what)]


def test_what_is_to_be_posted_stays_until_layer_1_moves() -> None:
    """Whatever members say meanwhile, and over a restart: a contest that is forgotten would lose the last payments."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    network.asks(1, "NewTx", simple_transaction(2, [2], [12]))
    network.asks(0, "Close")
    node = network.nodes[0]
    network.hears(0, 1)
    assert [post.kind for post in node.state.posts] == ["Close"]
    network.observe(*FACTS[HeadClosed])
    network.settle()
    node.restart()
    assert [post.kind for post in node.state.posts] == ["Contest"]
    network.observe(*FACTS[HeadContested])
    assert node.state.posts == ()


def test_a_snapshot_confirmed_after_the_head_closed_contests_it() -> None:
    """Signatures given before count after; no new snapshot begins in a closed head."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    while not all(any(content[0] == "AckSn" for content in log) for log in network.logs):
        network.hears(*network.possible()[0])
    assert network.head(0).number == 0 or network.head(1).number == 0
    late = 0 if network.head(0).number == 0 else 1
    network.observe("HeadClosed", HEAD, 0, 100)
    posted: list[Content] = []
    while (todo := [pair for pair in network.possible() if pair[0] == late]) and not posted:
        posted = [content for content in network.hears(*todo[0]) if content[0] == "PostTx"]
    assert posted[0][1:4] == ("Contest", HEAD, 0)
    network.settle()
    assert [network.head(node).number for node in range(2)] == [1, 1]


def test_a_fanout_needs_the_outputs_of_the_snapshot_that_closed() -> None:
    """A head closed with a newer snapshot than is known here is fanned out by others."""
    network = Network(2)
    network.asks(0, "Observed", (2, b"block"), ("HeadClosed", HEAD, 5, 100))
    network.asks(0, "Observed", (3, b"block"), FACTS[ReadyToFanout])
    assert "whose outputs are not here" in (network.tries(0, "Fanout") or "")


def nearly_confirmed() -> Network:
    """All have signed snapshot 1, no node has heard all of it, and the head was closed with snapshot 0."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    while not all(any(content[0] == "AckSn" for content in log) for log in network.logs):
        network.hears(
            *next(
                pair
                for pair in network.possible()
                if network.logs[pair[1]][network.heard[pair[0]][pair[1]]][0] != "AckSn"
            )
        )
    assert [network.head(node).number for node in range(2)] == [0, 0]
    network.observe("HeadClosed", HEAD, 0, 100)
    return network


@pytest.mark.parametrize("final", [False, True])
def test_nothing_is_confirmed_any_more_once_the_head_can_be_fanned_out(final: bool) -> None:
    """Nobody could fan out what layer 1 has: each would have other outputs. After a rollback it is contested."""
    network = nearly_confirmed()
    network.observe(*FACTS[ReadyToFanout])
    if final:
        network.observe(*FACTS[FannedOut])
    network.settle()
    assert [network.head(node).number for node in range(2)] == [0, 0]
    if not final:
        assert network.asks(0, "Fanout")[0][:5] == ("PostTx", "Fanout", HEAD, 0, 0)
    decided = network.asks(0, "Observed", (2, b"block"), ("RolledBack",))
    assert [content[0] for content in decided] == ["Followed", "SnapshotConfirmed", "PostTx"]
    assert decided[2][1:5] == ("Contest", HEAD, 0, 1)


def test_a_head_closed_with_an_older_snapshot_than_ours_is_fanned_out_with_that_one() -> None:
    """The contest came too late on every node."""
    network = nearly_confirmed()
    opening = network.head(0).confirmed.snapshot.utxo_hash
    network.settle()
    assert [network.head(node).number for node in range(2)] == [1, 1]
    network.observe(*FACTS[ReadyToFanout])
    for node in range(2):
        assert network.asks(node, "Fanout") == [("PostTx", "Fanout", HEAD, 0, 0, opening, (), 0)]


def test_what_others_closed_with_can_be_side_loaded_to_contest_or_to_fan_out() -> None:
    """A node that never heard the last signature is given the snapshot by hand."""
    for late in (False, True):
        network = Network(2)
        network.asks(0, "NewTx", LEFT)
        while network.head(0).number == 0:
            network.hears(*next(pair for pair in network.possible() if pair[0] == 0 or network.head(1).acked == 0))
        assert network.head(1).number == 0
        mine = network.head(0)
        load = ("SideLoadSnapshot", 0, 1, mine.confirmed.snapshot.transactions, mine.outputs.pairs())
        network.observe("HeadClosed", HEAD, int(late), 100)
        if late:
            network.observe(*FACTS[ReadyToFanout])
            assert "side-load" in (network.tries(1, "Fanout") or "")
        decided = network.asks(1, *load, mine.confirmed.signatures)
        assert network.head(1).confirmed == mine.confirmed
        assert [content[1] for content in decided if content[0] == "PostTx"] == ([] if late else ["Contest"])
        if late:
            assert network.asks(1, "Fanout")[0][:5] == ("PostTx", "Fanout", HEAD, 0, 1)


def test_only_the_snapshot_that_layer_1_pays_out_is_side_loaded_then() -> None:
    """Another one would be of no use, and hide that."""
    network = Network(1)
    network.asks(0, "NewTx", LEFT)
    network.settle()
    mine = network.head(0)
    network.observe("HeadClosed", HEAD, 0, 100)
    network.observe(*FACTS[ReadyToFanout])
    load = ("SideLoadSnapshot", 0, 1, mine.confirmed.snapshot.transactions, mine.outputs.pairs())
    assert "closed with snapshot 0" in (network.tries(0, *load, mine.confirmed.signatures) or "")


def test_init_posts_the_parties_in_their_order() -> None:
    """The order decides who leads; this node is one of them."""
    network = Network(2, opened=False)
    parties = network.parties[::-1]
    assert network.asks(0, "Init", parties, 60) == [("PostTx", "Init", b"", 0, 0, b"", parties, 60)]
    assert "none of the parties" in (network.tries(0, "Init", parties[:1], 60) or "")
    network.observe(*opening(network, HEAD))
    assert "there is a head" in (network.tries(0, "Init", parties, 60) or "")


def test_nothing_is_requested_or_signed_in_a_closed_head() -> None:
    """Transactions may still be heard; the leader stays silent, and so does whoever hears a request."""
    network = Network(2)
    network.asks(0, "NewTx", LEFT)
    network.observe(*FACTS[HeadClosed])
    network.settle()
    assert [content[0] for log in network.logs for content in log] == ["ReqTx"]
    request = ("ReqSn", HEAD, 0, 1, network.head(1).local)
    assert network.takes(1, heard(network.parties[0], request)) == []
    for node in range(2):  # it was a short fork of layer 1: the head is open after all
        decided = network.asks(node, "Observed", (1, b"block"), ("RolledBack",))
        assert [content[0] for content in decided][1:] == [["ReqSn"], ["SnapshotRequested", "Signing"]][node]
    network.settle()
    assert [network.head(node).number for node in range(2)] == [1, 1]
