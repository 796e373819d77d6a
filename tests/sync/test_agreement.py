"""Promises of agreement among protocol cores: who may append when, what is stable, what becomes of lost disks."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.chain import EMPTY
from hydra_sync.epoch import answers_needed, check_epoch, is_epoch_batch
from hydra_sync.fork import prove
from hydra_sync.limits import ADOPT_S
from hydra_sync.standing import Standing
from hydra_sync.sync import (
    BecameStable,
    Compare,
    LostDisk,
    Orphaned,
    OwnLogAhead,
    OwnLogTaken,
    Remembers,
    Send,
    Started,
)
from hydra_sync.wire import Data, LogState, Tips
from tests.currently import currently
from tests.sync.pump import Net, Node, next_batch, tip_of

SIZES = [2, 3, 4, 5]


def founded(count: int) -> Net:
    """A network whose members have all begun their first epoch."""
    net = Net(count, proves=True)
    net.connect_all()
    net.run(10, until=lambda: everyone_is_ready(net))
    assert everyone_is_ready(net)
    return net


def everyone_is_ready(net: Net) -> bool:
    return all(node.is_ready for node in net.nodes)


def epochs(node: Node, log: Node) -> list[int]:
    """The epochs in a node's copy of a log, in order."""
    return [batch.header.epoch for batch in node.logs[log.me] if is_epoch_batch(batch)]


def part(net: Net) -> None:
    """Cut every line."""
    for node in net.nodes:
        for line in list(node.lines.values()):
            net.cut(line)


def settle(net: Net) -> None:
    """Connect everybody, and wait until all are ready and agree."""
    for _ in range(20):
        net.connect_all()
        net.run(6, until=lambda: everyone_is_ready(net) and net.agree())
        if everyone_is_ready(net) and net.agree():
            return
    raise AssertionError("it does not settle")


@pytest.mark.parametrize("count", SIZES)
def test_a_new_network_begins_when_all_are_here(count: int) -> None:
    """Nobody before, everybody then; each first epoch carries the answers of all others."""
    net = Net(count, proves=True)
    for node in net.nodes[1:-1]:
        net.connect(net.nodes[0], node)
    net.run(30)
    assert not any(node.is_ready for node in net.nodes)
    settle(net)
    for node in net.nodes:
        (first,) = node.logs[node.me]
        grant = check_epoch(first, EMPTY, network=net.network, log=node.me, members=net.members)
        assert grant is not None
        assert grant.founding
        assert len(grant.answers) == count - 1
        assert not node.founding


@pytest.mark.parametrize("count", SIZES)
def test_a_restart_needs_r_others(count: int) -> None:
    """One fewer is not enough; with R a new epoch begins on top of all that was there."""
    net = founded(count)
    author, *others = net.nodes
    author.write(3)
    net.run(5, until=net.agree)
    author.restart()
    part(net)
    needed = answers_needed(count)
    for other in others[: needed - 1]:
        net.connect(author, other)
    net.run(20)
    assert not currently(author.is_ready)
    net.connect(author, others[needed - 1])
    net.run(20, until=lambda: author.is_ready)
    assert author.is_ready
    assert [batch.header.epoch for batch in author.logs[author.me]] == [1, 1, 1, 1, 2]
    author.write(1)
    settle(net)


@pytest.mark.parametrize("count", SIZES)
def test_a_lost_disk_comes_back(count: int) -> None:
    """All that was stable is there again, and a new epoch begins; nothing is signed twice."""
    net = founded(count)
    author = net.nodes[0]
    author.write(5)
    net.run(5, until=lambda: author.stable(author.me) == 6)
    before = list(author.logs[author.me])
    author.lose_disk()
    settle(net)
    assert author.logs[author.me][: len(before)] == before
    assert epochs(author, author) == [1, 2]
    assert author.notices(LostDisk)
    assert {notice.log for notice in author.notices(Remembers)} == {node.me for node in net.nodes[1:]}


@pytest.mark.parametrize("count", SIZES)
def test_a_disk_lost_and_made_anew_is_not_taken_for_new(count: int) -> None:
    """`init` over a lost disk ends as `recover` does."""
    net = founded(count)
    author = net.nodes[0]
    author.write(2)
    net.run(5, until=net.agree)
    before = list(author.logs[author.me])
    author.lose_disk(recover=False)
    settle(net)
    assert author.logs[author.me][: len(before)] == before
    assert author.notices(LostDisk)


def test_what_only_the_author_held_lives_on() -> None:
    """A restart with the disk keeps what was acknowledged, though no other member has it."""
    net = founded(3)
    author = net.nodes[0]
    net.run(3, until=net.agree)
    for line in list(author.lines.values()):
        net.cut(line)
    author.write(4)
    author.restart()
    settle(net)
    assert len(author.logs[author.me]) == 1 + 4 + 1


def test_orphans_give_way() -> None:
    """What one replica alone had got is left out by the author's next epoch, kept aside, and told."""
    net = founded(5)
    author, lonely, *others = net.nodes
    net.run(3, until=net.agree)
    part(net)
    net.connect(author, lonely)
    net.run(5, until=lambda: author.lines != {} and bool(lonely.replicator.nodes.get(author.me)))
    author.write(3)
    net.run(2)
    for line in list(lonely.lines.values()):
        net.cut(line)
    assert len(lonely.logs[author.me]) == 4
    author.lose_disk()
    for other in others:
        net.connect(author, other)
    net.run(30, until=lambda: author.is_ready)
    assert author.is_ready
    author.write(1)
    settle(net)
    assert [batch.header.epoch for batch in lonely.logs[author.me]] == [1, 2, 2]
    assert [batch.header.epoch for batch in lonely.orphans[author.me]] == [1, 1, 1]
    (orphaned,) = lonely.notices(Orphaned)
    assert isinstance(orphaned, Orphaned)
    assert (orphaned.events.start, orphaned.events.stop) == (1, 4)
    assert lonely.stable(author.me) <= len(lonely.logs[author.me])
    assert not author.notices(OwnLogAhead), "an older epoch that reaches further is no reason to stop"


@pytest.mark.parametrize("count", [3, 4, 5])
def test_stable_is_what_a_majority_holds(count: int) -> None:
    """Not before, also for those who only follow; and the author's word reaches them."""
    net = founded(count)
    author, *others = net.nodes
    settle(net)
    majority = count // 2 + 1
    for other in others[majority - 2 :]:
        for line in list(other.lines.values()):
            net.cut(line)
    mark = len(author.logs[author.me])
    author.write(1)
    net.run(5)
    assert author.stable(author.me) <= mark
    net.connect(author, others[majority - 2])
    net.run(5, until=lambda: author.stable(author.me) == mark + 1)
    assert author.stable(author.me) == mark + 1
    net.run(2)
    assert all(node.stable(author.me) == mark + 1 for node in (author, *others[: majority - 1]))
    assert author.notices(BecameStable)


@pytest.mark.parametrize("count", SIZES)
def test_who_begins_late_knows_what_was_stable_before(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own copies count from then on: it does not take another event of the author to see that."""
    net = Net(count, proves=True)
    author, *_, late = net.nodes
    begin = late._begin_epoch
    monkeypatch.setattr(late, "_begin_epoch", lambda effect: late.later(3, lambda: begin(effect)))
    net.connect_all()
    net.run(2, until=lambda: author.is_ready)
    author.write(3)
    net.run(2)
    assert author.is_ready
    assert not currently(late.is_ready)
    net.run(10)
    assert late.is_ready
    assert [node.stable(author.me) for node in net.nodes] == [tip_of(author.logs[author.me]).next_seq] * count


def test_stability_does_without_the_author() -> None:
    """Once it is gone, the others count one another."""
    net = founded(5)
    author, *others = net.nodes
    settle(net)
    author.write(1)
    net.run(1, until=net.agree)
    for line in list(author.lines.values()):
        net.cut(line)
    for node in others:
        node.restart()
    for number, one in enumerate(others):
        for other in others[number + 1 :]:
            net.connect(one, other)
    net.run(5)
    reach = tip_of(author.logs[author.me]).next_seq
    assert [node.stable(author.me) for node in others] == [reach] * 4


@pytest.mark.parametrize("count", [1, *SIZES])
def test_what_ones_own_copies_prove_is_known_at_once(count: int) -> None:
    """After a restart with nobody there: a member on its own, or one of two or three, is enough for a majority."""
    net = Net(count, proves=count > 1)
    net.connect_all()
    net.run(10, until=lambda: everyone_is_ready(net))
    author, node = net.nodes[0], net.nodes[-1]
    author.write(3)
    net.run(5, until=net.agree)
    node.restart()
    assert node.stable(author.me) == (tip_of(author.logs[author.me]).next_seq if count <= 3 else 0)
    assert node.stable(node.me) == (3 if count == 1 else 0)


def test_promises_pass_through_relays() -> None:
    """In a line of five, the member at its end starts although only one other is in reach."""
    net = founded(5)
    for node in net.nodes:
        node.restart()
    for one, other in zip(net.nodes, net.nodes[1:], strict=False):
        net.connect(one, other)
    net.run(40, until=lambda: everyone_is_ready(net))
    assert everyone_is_ready(net)


def test_refusals_pass_through_relays() -> None:
    """Both others promised more than an author in reach of one of them has seen: it asks again, above that."""
    net = founded(3)
    author, relay, witness = net.nodes
    for node in (relay, witness):
        before = node.standings[author.me]
        node.standings[author.me] = replace(before, promised=9, start=bytes(16), answer=b"", ballot=b"")
        node.restart()
    author.restart()
    part(net)
    relay.replicator.agreement.witness.standings[author.me] = relay.standings[author.me] = Standing()
    net.connect(author, relay)
    net.connect(relay, witness)
    net.run(20, until=lambda: author.is_ready)
    assert author.is_ready
    assert epochs(author, author) == [1, 10]


def test_what_only_a_vanished_member_held_is_not_waited_for() -> None:
    """It answered, and went before it was asked for the rest: others are enough for another ballot."""
    net = founded(5)
    settle(net)
    part(net)
    author, holder, *others = net.nodes
    net.connect(author, holder)
    net.run(2)
    author.write(3)
    net.run(2)
    author.lose_disk()
    holder.mangle = lambda message: () if isinstance(message, Data) else (message,)
    for node in (holder, *others[:2]):
        net.connect(author, node)
    net.run(3)
    assert author.replicator.agreement.adopts
    for line in list(holder.lines.values()):
        net.cut(line)
    net.connect(author, others[2])
    net.run(3)
    assert author.replicator.agreement.adopts  # it may come back
    net.run(ADOPT_S + 10, until=lambda: author.is_ready)
    assert author.is_ready
    holder.mangle = lambda message: (message,)
    settle(net)
    check(net)
    assert len(holder.orphans[author.me]) == 3


@pytest.mark.parametrize("relay_first", [True, False])
def test_what_is_missing_comes_through_a_relay_that_shows_no_more_than_we_have(relay_first: bool) -> None:
    """It promised before it got that, and so does not count it; it has it all the same, for who only reaches it."""
    net = founded(3)
    settle(net)
    author, relay, witness = net.nodes
    part(net)
    net.connect(author, witness)
    net.run(2)
    before = list(author.logs[author.me])
    author.write(2)
    net.run(2, until=lambda: witness.stable(author.me) == 3)
    written = list(author.logs[author.me])
    part(net)
    author.logs[author.me] = before  # the disk had lied
    author.restart()
    net.connect(author, relay)
    net.run(2 * relay_first)
    net.connect(relay, witness)
    net.run(10, until=lambda: author.is_ready)
    assert author.is_ready
    assert author.logs[author.me][:-1] == written


@pytest.mark.parametrize("count", SIZES)
def test_who_remembers_says_so_once_that_is_durable(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, a crash would have it amnesiac again, and what it said had counted."""
    net = founded(count)
    settle(net)
    node = net.nodes[0]
    node.lose_disk()
    send = node._send_tips

    def look(number: int) -> None:
        before = len(node.effects)
        send(number)
        for effect in node.effects[before:]:
            if isinstance(effect, Send) and isinstance(effect.message, Tips):
                counts = [tip.log for tip in effect.message.logs if tip.state is LogState.OK and tip.log != node.me]
                assert not any(node.standings[log].amnesiac for log in counts)

    monkeypatch.setattr(node, "_send_tips", look)
    settle(net)
    assert all(standing.amnesiac is False for log, standing in node.standings.items() if log != node.me)
    shown = [other.replicator.sessions[other.replicator.nodes[node.me]].counted for other in net.nodes[1:]]
    net.run(3)
    assert all(tips[log].state is LogState.OK for tips in shown for log in net.members)


@pytest.mark.parametrize("count", SIZES)
def test_what_lies_below_a_fork_becomes_stable(count: int) -> None:
    """Also for who starts again when the fork is known, and the traitor is gone: the agreed prefix is delivered."""
    net = founded(count)
    settle(net)
    author, *others = net.nodes
    author.write(3)
    net.run(5, until=net.agree)
    tip = tip_of(author.logs[author.me])
    one, two = (next_batch(author.key, net.network, tip, epoch=1, salt=salt) for salt in (1, 2))
    proof = prove(net.network, author.me, [one], [two])
    others[0].perform(others[0].replicator.compared(Compare(0, author.me, (one,)), proof, net.now))
    net.run(3)
    part(net)
    for node in others:
        node.restart()
    for number, node in enumerate(others):
        for other in others[number + 1 :]:
            net.connect(node, other)
    net.run(5)
    assert [node.replicator.forks.position(author.me) for node in others] == [tip.next_seq] * len(others)
    assert [node.stable(author.me) for node in others] == [tip.next_seq] * len(others)


def second_process(net: Net, author: Node) -> Node:
    """Another process with the author's key and a copy of its disk, which is ready now; it knows nobody any more."""
    for line in list(author.lines.values()):
        net.cut(line)
    twin = Node(net, author.key, proves=True)
    twin.founding = False
    twin.logs = {member: list(log) for member, log in author.logs.items()}
    twin.standings = dict(author.standings)
    twin.generation = 77
    twin.start()
    for other in net.nodes[1:]:
        net.connect(twin, other)
    net.run(20, until=lambda: twin.is_ready)
    assert twin.is_ready
    net.run(3)
    for line in list(twin.lines.values()):
        net.cut(line)
    return twin


@pytest.mark.parametrize("more", [0, 1, 5])
def test_an_older_process_stops(more: int) -> None:
    """Two processes with one key: who began the earlier epoch learns of the later one, however much more it wrote."""
    net = founded(3)
    settle(net)
    author, *others = net.nodes
    second_process(net, author)
    author.write(more)
    for other in others:
        net.connect(author, other)
    net.run(10)
    assert author.notices(OwnLogTaken)


@pytest.mark.parametrize("more", [0, 1, 5])
def test_a_start_adopts_a_later_epoch_that_is_no_longer_than_its_own_log(more: int) -> None:
    """What it had written beside it was never stable, and is kept aside."""
    net = founded(3)
    settle(net)
    author, *others = net.nodes
    twin = second_process(net, author)
    author.write(more)
    author.restart()
    for other in others:
        net.connect(author, other)
    net.run(20, until=lambda: author.is_ready)
    assert author.is_ready
    assert author.logs[author.me][:-1] == twin.logs[author.me]
    assert len(author.orphans[author.me]) == more


def check(net: Net) -> None:
    """No correct author signed two batches of one epoch at one seq; all stable prefixes are one."""
    for author in net.nodes:
        signed: dict[tuple[int, int], bytes] = {}
        for node in net.nodes:
            for batch in (*node.logs[author.me], *node.orphans[author.me]):
                assert signed.setdefault((batch.header.epoch, batch.header.first_seq), batch.hash) == batch.hash
        prefixes = [
            [batch.hash for batch in node.logs[author.me] if batch.header.stop <= node.stable(author.me)]
            for node in net.nodes
        ]
        longest = max(prefixes, key=len)
        for prefix in prefixes:
            assert prefix == longest[: len(prefix)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(3, 5))
def test_no_trouble_forks_anybody(seed: int, count: int) -> None:  # noqa: C901  one case a trouble
    """Restarts, lost disks one at a time, cut lines, writers all the while; then all get well, and nothing is lost."""
    chance = random.Random(seed)
    net = founded(count)
    stable: dict[int, list[bytes]] = {}
    for _ in range(chance.randint(3, 12)):
        node = chance.choice(net.nodes)
        match chance.randrange(6):
            case 0:
                node.restart()
            case 1 if everyone_is_ready(net) and not any(
                standing.amnesiac for other in net.nodes for standing in other.standings.values()
            ):
                node.lose_disk(recover=chance.random() < 0.5)
            case 2:
                for line in list(node.lines.values()):
                    if chance.random() < 0.5:
                        net.cut(line)
            case 3:
                net.connect_all()
            case _:
                if node.is_ready:
                    node.write(chance.randint(1, 4))
        net.run(chance.random() * 3)
        check(net)
        for index, author in enumerate(net.nodes):
            for other in net.nodes:
                hashes = [b.hash for b in other.logs[author.me] if b.header.stop <= other.stable(author.me)]
                if len(hashes) > len(stable.get(index, [])):
                    stable[index] = hashes
    settle(net)
    check(net)
    for index, hashes in stable.items():
        author = net.nodes[index]
        assert [batch.hash for batch in author.logs[author.me]][: len(hashes)] == hashes
    assert all(node.notices(Started) for node in net.nodes)
