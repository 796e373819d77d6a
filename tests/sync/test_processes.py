"""Two live processes with one key: the younger starts, the older hears of it over its connections, and stops."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from hydra_sync.chain import EMPTY
from hydra_sync.epoch import Ballot
from hydra_sync.limits import ASK_AGAIN_S, PROBE_S, YIELD_S
from hydra_sync.standing import Standing
from hydra_sync.sync import BecameStable, Connected, Disconnected, Drop, OwnLogTaken, Persist, Started
from hydra_sync.wire import Cancel, Fetch, GoodbyeReason, Prepare, Promise, Refuse, Stable
from tests.currently import currently
from tests.sync.pump import Net, Node, Rig, begin_epoch, hello, sends, tip_of
from tests.sync.test_agreement import check, epochs, everyone_is_ready, founded, part

ORDERS = list(itertools.product((0, 1, 2), (False, True)))
"""Where the author's key stands among the members', and whether it dials the others."""


def founded_by(author: int, dials: bool) -> tuple[Net, Node, list[Node]]:
    """A network of three whose author is connected to both others by its own dials, or by theirs; they are, too."""
    net = Net(3, proves=True)
    one = net.nodes[author]
    others = [node for node in net.nodes if node is not one]
    for other in others:
        net.connect(*((one, other) if dials else (other, one)))
    net.connect(*others)
    net.run(10, until=lambda: everyone_is_ready(net) and net.agree())
    assert everyone_is_ready(net)
    return net, one, others


def younger(net: Net, author: Node) -> Node:
    """Another process with the author's key and a copy of its disk, connected to nobody."""
    twin = Node(net, author.key, proves=True)
    twin.founding = False
    twin.logs = {member: list(log) for member, log in author.logs.items()}
    twin.standings = dict(author.standings)
    twin.generation = 77
    twin.start()
    net.nodes.append(twin)
    return twin


def appends(author: Node) -> bool:
    return author.is_ready and not author.notices(OwnLogTaken)


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize(("author", "dials"), ORDERS)
def test_the_older_process_stops_while_it_is_connected(author: int, dials: bool, reach: int, more: int) -> None:
    """In every order of keys and dials, however many members the younger reaches, and whatever the older goes on
    writing: the younger begins an epoch within a few seconds, the older learns of it and stops, and no line is cut."""
    net, older, others = founded_by(author, dials)
    twin = younger(net, older)
    older.write(more)
    for other in others[:reach]:
        net.connect(twin, other)
    net.run(5, until=lambda: bool(older.notices(OwnLogTaken)))
    assert older.notices(OwnLogTaken)
    assert appends(twin)
    assert epochs(twin, twin) == [1, 2]
    assert len(older.lines) == 2
    twin.write(2)
    net.run(15, until=lambda: net.agree(twin.me, [twin, *others]))
    net.run(6)
    assert net.agree(twin.me, [twin, *others])
    assert all(node.stable(twin.me) == tip_of(twin.logs[twin.me]).next_seq for node in (twin, *others))
    net.run(60)
    assert appends(twin)
    assert not twin.notices(OwnLogTaken)
    assert len(older.notices(Started)) == 1
    check(net)


@pytest.mark.parametrize(("author", "dials"), ORDERS)
def test_an_older_process_that_dials_again_changes_nothing(author: int, dials: bool) -> None:
    """Its new connection stays beside that of the younger, which goes on being followed."""
    net, older, others = founded_by(author, dials)
    twin = younger(net, older)
    for other in others:
        net.connect(twin, other)
    net.run(5, until=lambda: bool(older.notices(OwnLogTaken)))
    for other in others:
        net.connect(older, other)
    net.run(3)
    twin.write(3)
    net.run(3, until=lambda: net.agree(twin.me, [twin, *others]))
    assert net.agree(twin.me, [twin, *others])
    assert len(older.lines) == len(twin.lines) == 2


@pytest.mark.parametrize(("author", "dials"), ORDERS)
def test_a_younger_process_that_goes_leaves_the_older_to_go_on(author: int, dials: bool) -> None:
    """If it had asked and had not begun: the older climbs above what was promised, and is followed again."""
    net, older, others = founded_by(author, dials)
    twin = younger(net, older)
    net.connect(twin, others[0])
    net.run(2, until=lambda: any(node.standings[older.me].promised == 2 for node in others))
    twin.restart()  # and does not come back
    net.nodes.remove(twin)
    net.run(YIELD_S + 5, until=lambda: older.is_ready and tip_of(older.logs[older.me]).epoch > 2)
    older.write(1)
    net.run(15, until=lambda: net.agree(older.me))
    net.run(6)
    assert net.agree(older.me)
    assert appends(older)
    assert older.stable(older.me) == tip_of(older.logs[older.me]).next_seq


def test_a_process_started_again_need_not_wait_for_the_old_connection() -> None:
    """Nobody has heard that the old process died: the new one starts at once all the same."""
    net, author, others = founded_by(2, dials=False)
    for line in list(author.lines.values()):
        line.frozen = True
    lines, author.lines = author.lines, {}
    author.start()
    for other in others:
        net.connect(author, other)
    net.run(PROBE_S / 2, until=lambda: author.is_ready)
    assert author.is_ready
    net.run(PROBE_S + 1)
    assert all(line not in other.lines.values() for line in lines.values() for other in others)
    assert [len(other.notices(Disconnected)) for other in others] == [0, 0]


def test_an_older_process_that_asks_again_does_not_take_over() -> None:
    """It was told to climb before the younger's epoch was there: it hears of that, begins none, and asks no more."""
    net, older, others = founded_by(0, dials=True)
    for line in list(older.lines.values()):
        net.cut(line)
    twin = younger(net, older)
    for other in others:
        net.connect(twin, other)
    net.run(5, until=lambda: twin.is_ready)
    starting = older.replicator.agreement.starting
    assert starting is not None
    starting.ask(5, net.now)
    for other in others:
        net.connect(older, other)
    net.run(10)
    assert older.notices(OwnLogTaken)
    assert len(older.notices(Started)) == 1
    assert epochs(older, older) == [1]
    asked = len(older.sent(Prepare))
    net.run(10)
    assert len(older.sent(Prepare)) == asked
    assert appends(twin) or not twin.is_ready  # it may have been told to climb above what was asked
    net.run(10, until=lambda: twin.is_ready)
    assert appends(twin)


def test_who_was_overtaken_asks_for_nothing_any_more() -> None:
    """Whatever is refused it: its place is taken."""
    net, older, others = founded_by(0, dials=True)
    twin = younger(net, older)
    for other in others:
        net.connect(twin, other)
    net.run(5, until=lambda: bool(older.notices(OwnLogTaken)))
    ballot = Ballot(9, bytes(16), bytes(16)).sign(older.key, net.network)
    asked = len(older.sent(Prepare))
    (number, *_) = older.lines
    older.perform(older.replicator.receive(number, Refuse(older.me, others[0].me, 9, ballot), net.now))
    assert len(older.sent(Prepare)) == asked


# Word by word

ME, A = 0, 1
OLD, NEW = bytes(16), bytes([9] * 16)


def two_processes() -> Rig:
    """Two connections of member A, of two processes; the first one is of epoch 3."""
    rig = Rig()
    for number, start in ((7, OLD), (8, NEW)):
        rig.core.connect(number, rig.members[A], dialed=number == 7, now=rig.now)
        rig.say(number, hello(rig.network).of_start(start))
        if number == 7:
            rig.show(7, {A: replace(rig.claim(A, 5), tip=replace(rig.claim(A, 5).tip, epoch=3))}, full=True)
    return rig


def test_who_shows_no_later_epoch_is_only_heard() -> None:
    """A newcomer takes no place by coming: its tips count for nothing, and nobody is told that it is there."""
    rig = two_processes()
    assert not [effect for effect in rig.show(8, {A: []}, full=True) if isinstance(effect, Connected)]
    assert rig.core.nodes == {rig.members[A]: 7}


def test_who_shows_a_later_epoch_takes_the_place() -> None:
    """The other connection stays open."""
    rig = two_processes()
    effects = rig.show(8, {A: replace(rig.claim(A, 5), tip=replace(rig.claim(A, 5).tip, epoch=4))}, full=True)
    assert not [effect for effect in effects if isinstance(effect, Drop)]
    assert rig.core.nodes == {rig.members[A]: 8}
    assert rig.core.disconnect(8, "gone", rig.now)
    assert rig.core.nodes == {rig.members[A]: 7}


def test_what_was_asked_of_the_older_process_is_asked_of_the_younger() -> None:
    """Its own log is followed there, and what it has of others'."""
    rig = two_processes()
    log = rig.log(2, 3)
    rig.show(7, {2: log})
    tip = replace(rig.claim(A, 6).tip, epoch=4)
    effects = rig.show(8, {A: replace(rig.claim(A, 6), tip=tip), 2: log}, full=True)
    cancels = [effect.link for effect in effects if sends([effect], Cancel)]  # type: ignore[union-attr]
    fetches = [effect.link for effect in effects if sends([effect], Fetch)]  # type: ignore[union-attr]
    assert (cancels, fetches) == ([7, 7], [8, 8])


@pytest.mark.parametrize("asks_again", [False, True])
def test_who_appends_is_not_told_to_climb_while_another_asks(asks_again: bool) -> None:
    """For so long as that one may be about to begin; then it is."""
    rig = Rig(start=OLD)
    epoch = begin_epoch(rig.keys[A], [rig.keys[ME], rig.keys[2]], rig.network, EMPTY, 3)
    rig.core.appended(rig.members[A], tip_of([epoch]), rig.now)
    rig.join(5, 2)
    rig.join(7, A, {A: [epoch]})
    asked = Prepare(rig.members[A], Ballot(4, NEW, bytes(16)).sign(rig.keys[A], rig.network))
    for effect in rig.say(5, asked):
        if isinstance(effect, Persist):
            rig.core.persisted(effect.log, effect.standing, rig.now)
    assert not sends(rig.show(7, {A: [epoch]}), Refuse)
    assert rig.core.deadline() <= rig.now + YIELD_S
    if asks_again:
        rig.now += ASK_AGAIN_S
        rig.say(5, asked)
        assert not sends(rig.core.tick(rig.now + YIELD_S - 0.1), Refuse)
    refusals = [effect for effect in rig.core.tick(rig.now + YIELD_S) if sends([effect], Refuse)]
    assert [effect.link for effect in refusals] == [7]  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_an_author_that_is_silent_is_told_of_a_late_ballot(count: int) -> None:
    """A ballot of an earlier start comes through relays when the author has begun, and binds all who hear it."""
    net = founded(count)
    net.run(6, until=net.agree)
    author, *others = net.nodes
    late = Prepare(author.me, Ballot(7, NEW, bytes(16)).sign(author.key, net.network))
    for other in others:
        number = max(other.lines, key=lambda each: author not in other.lines[each].ends)
        other.perform(other.replicator.receive(number, late, net.now))
    net.run(YIELD_S + 10, until=lambda: author.is_ready and epochs(author, author) == [1, 9])
    author.write(1)
    net.run(2)
    assert [node.stable(author.me) for node in net.nodes] == [tip_of(author.logs[author.me]).next_seq] * count


def test_what_the_older_process_calls_stable_hides_no_word_of_the_younger() -> None:
    """It speaks of an epoch that is over, and may do so late."""
    rig = Rig(5, start=OLD)
    log = [begin_epoch(rig.keys[A], [rig.keys[ME], rig.keys[2], rig.keys[3]], rig.network, EMPTY, 4)]
    for number, start in ((7, OLD), (8, NEW)):
        rig.core.connect(number, rig.members[A], dialed=False, now=rig.now)
        rig.say(number, hello(rig.network).of_start(start))
    rig.show(7, {}, full=True)
    rig.show(8, {A: log}, full=True)
    rig.say(8, Stable(rig.members[A], 4, 1))
    rig.say(7, Stable(rig.members[A], 1, 1))
    assert BecameStable(rig.members[A], 1) in rig.core.appended(rig.members[A], tip_of(log), rig.now)


def test_a_third_process_takes_the_place_beside() -> None:
    """However many there are, two are heard."""
    rig = two_processes()
    rig.core.connect(9, rig.members[A], dialed=False, now=rig.now)
    effects = rig.say(9, hello(rig.network).of_start(bytes([5] * 16)))
    assert [(e.link, e.goodbye.reason) for e in effects if isinstance(e, Drop)] == [(8, GoodbyeReason.DUPLICATE)]
    assert rig.core.nodes == {rig.members[A]: 7}


def test_one_process_has_one_connection() -> None:
    """The rules for those that cross, or come again, hold for each process by itself."""
    rig = two_processes()
    rig.core.connect(9, rig.members[A], dialed=False, now=rig.now)
    effects = rig.say(9, hello(rig.network).of_start(NEW))
    assert [effect.link for effect in effects if isinstance(effect, Drop)] == [8]


# A witness that was silent is asked again


def line_of(count: int) -> tuple[Net, list[Node]]:
    """Members in a row, each connected with its neighbours only; all have to start again."""
    net = founded(count)
    part(net)
    return net, list(net.nodes)


def test_a_silent_witness_is_asked_again_through_its_relay() -> None:
    """It could not promise when it was asked, and can later: over the same connections, and soon."""
    net, (author, relay, witness) = line_of(3)
    standing = witness.standings[author.me]
    witness.standings[author.me] = replace(standing, amnesiac=True)
    witness.restart()
    author.restart()
    net.connect(relay, witness)
    net.connect(author, relay)
    net.run(10)
    assert not currently(author.is_ready)
    lines = set(map(id, (*author.lines.values(), *witness.lines.values())))
    witness.replicator.agreement.witness.standings[author.me] = standing
    witness.replicator.persisted(author.me, standing, net.now)
    net.run(2 * ASK_AGAIN_S, until=lambda: author.is_ready)
    assert author.is_ready
    assert set(map(id, (*author.lines.values(), *witness.lines.values()))) == lines


def test_an_answer_that_a_relay_lost_is_given_again() -> None:
    """The relay was cut off from the author when it came, and passes it on over its next connection."""
    net, (author, relay, witness) = line_of(3)
    author.restart()
    net.connect(relay, witness)
    net.connect(author, relay)
    relay.mangle = lambda message: () if isinstance(message, Promise) and message.witness == witness.me else (message,)
    net.run(5)
    assert not author.is_ready
    (line,) = author.lines.values()
    net.cut(line)
    relay.mangle = lambda message: (message,)
    relay.replicator.agreement._relaying._passed.clear()  # it was another relay's
    net.connect(author, relay)
    net.run(2 * ASK_AGAIN_S, until=lambda: author.is_ready)
    assert author.is_ready


def test_asking_again_goes_in_no_circles() -> None:
    """Among five that all reach one another, each ballot goes over each line about once for each time it is asked."""
    net = founded(5)
    part(net)
    author, *others = net.nodes
    for node in others:
        node.standings[author.me] = Standing(amnesiac=True)
        node.restart()
    author.restart()
    net.connect(author, others[0], latency=0.4)
    for one, other in itertools.combinations(others, 2):
        net.connect(one, other, latency=0.4)
    net.run(20)
    assert not author.is_ready
    before = [len(node.sent(Prepare)) for node in others]
    net.run(20)
    sent = [len(node.sent(Prepare)) - count for node, count in zip(others, before, strict=True)]
    assert sent == [count * 20 / ASK_AGAIN_S for count in (3, 2, 2, 2)]
    for line in list(author.lines.values()):
        net.cut(line)
    net.run(5)
    before = [len(node.sent(Prepare)) for node in others]
    net.run(20)
    assert [len(node.sent(Prepare)) for node in others] == before


def test_a_refusal_goes_back_to_who_asked() -> None:
    """And not to the other process of the same member, which would take it for its own."""
    rig = Rig(standings={A: Standing(promised=9, start=bytes(16), ballot=b"")}, start=bytes(16))
    for number, start in ((7, OLD), (8, NEW)):
        rig.core.connect(number, rig.members[A], dialed=number == 7, now=rig.now)
        rig.say(number, hello(rig.network).of_start(start))
        rig.show(number, {}, full=True)
    asked = Prepare(rig.members[A], Ballot(3, NEW, bytes(16)).sign(rig.keys[A], rig.network))
    effects = rig.say(8, asked)
    refusals = [effect for effect in effects if sends([effect], Refuse)]
    assert [effect.link for effect in refusals] == [8]  # type: ignore[union-attr]
