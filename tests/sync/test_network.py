"""Networks of protocol cores: every log gets everywhere, from whoever has it, at little cost."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hydra_sync import batch as batch_module
from hydra_sync.batch import Batch
from hydra_sync.chain import Tip
from hydra_sync.identity import verify
from hydra_sync.limits import PING_S, RANGE_EVENTS_FIRST, SILENCE_S, STALL_PENALTY_S, STALL_S
from hydra_sync.sync import Advanced, Append, CaughtUp, Diverged, Drop, Fetched, Fetching, OwnLogAhead, SourceReplaced
from hydra_sync.wire import Cancel, Data, End, Fetch, Message, Ping, Pong, Tips
from tests.sync.pump import Net, Node, make_log, unsigned

MINUTE = 60.0


def give(node: Node, log: list[Batch], author: Node) -> None:
    """Let a node start with this log on its disk."""
    node.logs[author.me] = list(log)
    node.start()


def fetched_from(node: Node, author: Node) -> dict[bytes, int]:
    """How many events of a log came from whom."""
    counts: dict[bytes, int] = {}
    for notice in node.notices(Fetched):
        assert isinstance(notice, Fetched)
        if notice.log == author.me:
            counts[notice.peer] = counts.get(notice.peer, 0) + notice.events.count
    return counts


def mute(message: Message) -> list[Message]:
    """What a source that answers pings and sends no data lets through."""
    return [] if isinstance(message, Data) else [message]


def honest(message: Message) -> list[Message]:
    """What a node that is not hostile lets through: everything."""
    return [message]


def faults(net: Net) -> list[Drop]:
    """Everybody who was blamed by anybody."""
    return [drop for node in net.nodes for drop in node.drops() if drop.fault is not None]


def test_a_newcomer_gets_a_log_from_its_author() -> None:
    """All of it, once, in order; then it is caught up and told so."""
    net = Net(2)
    alice, bob = net.nodes
    give(alice, make_log(alice.key, net.network, 300, events=3), alice)
    net.connect(bob, alice)
    net.run(MINUTE, until=net.agree)
    assert net.agree()
    assert bob.notices(CaughtUp) == [CaughtUp(alice.me, 900)]
    assert faults(net) == []


def test_a_log_comes_from_a_relay_when_its_author_is_gone() -> None:
    """Alice's last events reached only bob; carol gets them from him."""
    net = Net(3)
    alice, bob, carol = net.nodes
    give(bob, make_log(alice.key, net.network, 300), alice)
    net.connect(carol, bob)
    net.run(MINUTE, until=lambda: net.agree(alice.me, [bob, carol]))
    assert net.agree(alice.me, [bob, carol])
    assert fetched_from(carol, alice) == {bob.me: 300}


def chain_of_five() -> Net:
    """Five nodes in a row, connected and idle, each of which now writes."""
    net = Net(5)
    for left, right in itertools.pairwise(net.nodes):
        net.connect(left, right)
    net.run(1)
    for node in net.nodes:
        node.write(3)
    return net


def test_a_chain_of_relays_carries_a_log_to_its_end() -> None:
    """Content travels over any path."""
    net = chain_of_five()
    net.run(MINUTE, until=net.agree)
    assert net.agree()


def test_a_chain_of_relays_is_live() -> None:
    """New events pass from relay to relay without waiting for anybody to stall."""
    net = chain_of_five()
    net.run(2, until=net.agree)
    assert net.agree()


def test_two_sources_are_used_at_once_when_far_behind() -> None:
    """The author and a relay each carry part of the log, at the same time."""
    net = Net(3)
    alice, bob, carol = net.nodes
    log = make_log(alice.key, net.network, 120, events=100, size=20)
    give(alice, log, alice)
    give(bob, log, alice)
    net.connect(carol, bob)
    net.connect(carol, alice)
    net.run(MINUTE, until=lambda: net.agree(alice.me))
    assert net.agree(alice.me)
    counts = fetched_from(carol, alice)
    assert counts[alice.me] > 2000
    assert counts[bob.me] > 2000
    assert sum(counts.values()) < 12_000 + 3000  # hardly anything came twice
    notices = [e for e in carol.effects if isinstance(e, Fetching | Fetched) and e.log == alice.me]
    before_data = list(itertools.takewhile(lambda notice: isinstance(notice, Fetching), notices))
    assert {notice.peer for notice in before_data} == {alice.me, bob.me}
    assert all(isinstance(n, Fetching) and n.stop == n.start + RANGE_EVENTS_FIRST for n in before_data)


@pytest.mark.parametrize("batches", [200, 3000])
def test_a_stalled_source_is_replaced(batches: int) -> None:
    """The author answers pings and sends nothing: a relay takes its place after `STALL_S`."""
    net = Net(3)
    alice, bob, carol = net.nodes
    log = make_log(alice.key, net.network, batches)
    give(alice, log, alice)
    give(bob, log, alice)
    net.connect(carol, alice)
    net.connect(bob, carol)
    alice.mangle = mute
    began = net.now
    net.run(MINUTE, until=lambda: net.agree(alice.me))
    assert net.agree(alice.me)
    assert net.now - began < 2 * STALL_S + PING_S
    assert any(isinstance(n, SourceReplaced) and n.peer == alice.me for n in carol.effects)
    assert faults(net) == []


def test_a_half_open_connection_ends() -> None:
    """Nothing arrives any more and nobody says so: both sides notice by themselves."""
    net = Net(2)
    line = net.connect(*net.nodes)
    net.run(1)
    line.frozen = True
    net.run(2 * SILENCE_S)
    assert not line.is_open
    assert faults(net) == []


def test_new_events_are_pushed_at_once() -> None:
    """Following live costs no questions: one fetch, then data as it is written."""
    net = Net(3)
    alice, bob, carol = net.nodes
    net.connect_all()
    net.run(1)
    asked = len(bob.sent(Fetch))
    for _ in range(20):
        alice.write()
        net.run(0.1)
        assert net.agree(alice.me)
    assert len(bob.sent(Fetch)) == asked
    assert fetched_from(carol, alice) == {alice.me: 20}


def test_the_author_is_followed_again_when_it_returns() -> None:
    """While it was away a relay served; afterwards the log comes from the author."""
    net = Net(3)
    alice, bob, carol = net.nodes
    log = make_log(alice.key, net.network, 50)
    for node in (alice, bob):
        give(node, log, alice)
    net.connect(carol, bob)
    net.run(2)
    assert fetched_from(carol, alice) == {bob.me: 50}
    net.connect(alice, bob)
    net.connect(alice, carol)
    net.run(2)
    alice.write(5)
    net.run(2)
    assert net.agree(alice.me)
    assert fetched_from(carol, alice) == {bob.me: 50, alice.me: 5}


def test_a_relay_that_is_ahead_of_a_cut_off_author_is_used() -> None:
    """The author lost its newest events; the relay's are fetched, without going back and forth between them."""
    net = Net(3)
    alice, bob, carol = net.nodes
    log = make_log(alice.key, net.network, 100)
    give(alice, log[:40], alice)
    give(carol, log[:40], alice)
    give(bob, log, alice)
    bob.read_s = 1.5  # so slow that time passes, and plans are made, before its data comes
    net.connect(alice, carol)
    net.connect(carol, bob)
    for _ in range(60):
        net.run(0.5, until=lambda: net.agree(alice.me, [bob, carol]))
        carol.perform(carol.replicator.tick(net.now))
    assert net.agree(alice.me, [bob, carol])
    assert len(carol.sent(Fetch)) < 30


def test_simultaneous_dialing_keeps_one_connection() -> None:
    """Both sides keep the same one, and it works."""
    net = Net(2)
    alice, bob = net.nodes
    lines = [net.connect(alice, bob), net.connect(bob, alice)]
    net.run(1)
    assert [line.is_open for line in lines].count(True) == 1
    kept = next(line for line in lines if line.is_open)
    assert [node.replicator.nodes for node in kept.ends] == [
        {other.me: number} for other, number in zip(reversed(kept.ends), kept.numbers, strict=True)
    ]
    alice.write(3)
    net.run(1)
    assert net.agree()


@pytest.mark.parametrize("relay_only", [False, True])
def test_an_author_that_signs_every_tenth_record_harms_nobody(relay_only: bool) -> None:
    """Receivers catch up, at any cut, from the author or a relay, and no relay is blamed."""
    net = Net(4)
    alice, bob, carol, dave = net.nodes
    log = make_log(alice.key, net.network, 4000, size=200, is_signed=lambda number: number % 10 == 9)
    give(bob, log, alice)
    if not relay_only:
        give(carol, log, alice)
        net.connect(carol, dave)
    net.connect(bob, dave)
    net.run(MINUTE, until=lambda: net.agree(alice.me, [bob, dave]))
    assert net.agree(alice.me, [bob, dave])
    assert faults(net) == []


def test_an_unsigned_tail_harms_nobody() -> None:
    """What no signature covers is not taken; the relay that holds it is asked politely and not blamed."""
    net = Net(3)
    alice, bob, carol = net.nodes
    log = make_log(alice.key, net.network, 30, is_signed=lambda number: number < 25)
    give(bob, log, alice)
    net.connect(bob, carol)
    net.run(MINUTE)
    assert carol.logs[alice.me] == log[:25]
    assert faults(net) == []
    assert len(carol.sent(Fetch)) < 2 * MINUTE / STALL_S


def test_two_histories_stay_apart_and_nobody_is_blamed() -> None:
    """The author signed both: each node keeps its own, reports it, and stays connected."""
    net = Net(3)
    alice, bob, carol = net.nodes
    common = make_log(alice.key, net.network, 10)
    give(bob, make_log(alice.key, net.network, 20, salt=1, after=common), alice)
    give(carol, make_log(alice.key, net.network, 25, salt=2, after=common), alice)
    before = [list(node.logs[alice.me]) for node in (bob, carol)]
    line = net.connect(bob, carol)
    net.run(MINUTE)
    bob.write(5)
    net.run(1)
    assert [node.logs[alice.me] for node in (bob, carol)] == before
    assert any(isinstance(n, Diverged) and n.peer == carol.me for n in bob.effects)
    assert line.is_open
    assert faults(net) == []
    assert net.agree(bob.me, [bob, carol])
    assert len(bob.sent(Fetch)) < 10


def test_a_tampering_relay_is_dropped_and_replaced() -> None:
    """It changes one byte of an event: dropped with evidence, the log comes from elsewhere."""
    net = Net(4)
    alice, bob, carol, dave = net.nodes
    log = make_log(alice.key, net.network, 100)
    give(bob, log, alice)
    give(carol, log, alice)
    for number, liar in enumerate((bob, carol)):

        def tamper(message: Message) -> list[Message]:
            if isinstance(message, Data):
                return [Data(message.request, message.records[:-1] + b"\xff")]
            return [message]

        liar.mangle = tamper if number == 0 else liar.mangle
    net.connect(dave, bob)
    net.run(1)
    net.connect(dave, carol)
    net.run(MINUTE, until=lambda: net.agree(alice.me, [carol, dave]))
    assert net.agree(alice.me, [carol, dave])
    assert len(faults(net)) == 1
    assert bob.me not in dave.replicator.nodes


def test_unsigned_events_of_a_hostile_author_stop_with_it() -> None:
    """Nobody else ever holds what no signature covers."""
    net = Net(3)
    alice, bob, _ = net.nodes
    log = make_log(alice.key, net.network, 5)
    net.connect_all()
    give_up = unsigned(log[0])
    alice.append(give_up)
    net.run(MINUTE)
    assert bob.logs[alice.me] == []
    assert [drop for drop in faults(net) if drop in bob.drops()]


def test_our_own_longer_log_is_reported() -> None:
    """A node whose disk went back in time learns it from a peer, with proof."""
    net = Net(2)
    alice, bob = net.nodes
    log = make_log(alice.key, net.network, 40)
    give(alice, log[:30], alice)
    give(bob, log, alice)
    net.connect(alice, bob)
    net.run(MINUTE)
    assert OwnLogAhead(bob.me, 40) in alice.effects
    assert alice.logs[alice.me] == log[:30]
    assert faults(net) == []


def test_a_full_disk_pauses_one_node_and_recovers() -> None:
    """While it is full nothing of that log is asked; with room again everything comes."""
    net = Net(2)
    alice, bob = net.nodes
    give(alice, make_log(alice.key, net.network, 200, events=20), alice)
    bob.disk_full = True
    net.connect(alice, bob)
    net.run(MINUTE)
    assert len(bob.sent(Fetch)) < 6 * MINUTE / STALL_S
    bob.disk_full = False
    net.run(MINUTE, until=net.agree)
    assert net.agree()
    assert faults(net) == []


def test_damage_at_one_source_is_fetched_from_another() -> None:
    """A relay that cannot read part of a log says so, and is asked no more than now and then."""
    net = Net(4)
    alice, bob, carol, dave = net.nodes
    log = make_log(alice.key, net.network, 60)
    give(bob, log, alice)
    give(carol, log, alice)
    bob.damaged = {alice.me: {20}}
    net.connect(bob, dave)
    net.run(MINUTE)
    assert dave.logs[alice.me] == log[:20]
    assert len(dave.sent(Fetch)) < 2 * MINUTE / STALL_S
    net.connect(carol, dave)
    net.run(MINUTE, until=lambda: net.agree(alice.me, [carol, dave]))
    assert net.agree(alice.me, [carol, dave])
    assert faults(net) == []


def test_one_signature_check_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of 2,000 batches of one event costs the receiver at most one check for each Data it gets."""
    checks = 0

    def counting(*arguments: object) -> None:
        nonlocal checks
        checks += 1
        verify(*arguments)  # type: ignore[arg-type]

    net = Net(3)
    alice, bob, carol = net.nodes
    log = make_log(alice.key, net.network, 2000)
    give(alice, log, alice)
    monkeypatch.setattr(batch_module, "verify", counting)
    net.connect(alice, bob)
    net.run(MINUTE, until=lambda: net.agree(alice.me, [alice, bob]))
    data = len(alice.sent(Data))
    assert 0 < checks <= data < 20
    checks = 0
    net.cut(alice.lines[next(iter(alice.lines))])
    net.connect(bob, carol)
    net.run(MINUTE, until=lambda: net.agree(alice.me))
    assert net.agree(alice.me)
    assert 0 < checks <= 2 * len(bob.sent(Data))  # the relay checks where it cuts, the receiver what it gets


def test_an_idle_network_falls_silent_but_for_pings() -> None:
    """When all have all, only pings and pongs travel."""
    net = Net(3)
    net.connect_all()
    for node in net.nodes:
        node.write(5)
    net.run(5)
    assert net.agree()
    before = [len(node.effects) for node in net.nodes]
    net.run(MINUTE)
    for node, count in zip(net.nodes, before, strict=True):
        said = [getattr(effect, "message", effect) for effect in node.effects[count:]]
        assert all(isinstance(message, Ping | Pong) for message in said)
        assert len(said) <= 4 * MINUTE / PING_S + 4


def trouble(net: Net, chance: random.Random) -> None:
    """Something happens: mostly writes and connections, now and then a failure."""
    left, right = chance.sample(net.nodes, 2)
    line = chance.choice(list(left.lines.values())) if left.lines else net.connect(left, right)

    def write() -> None:
        left.write(chance.randrange(1, 40), chance.randrange(1, 30))

    def freeze() -> None:
        line.frozen = True

    def slow() -> None:
        left.append_s, left.read_s = chance.choice([(0.0, 0.0), (0.5, 0.1), (0.002, 0.001)])

    def fill() -> None:
        left.disk_full = chance.random() < 0.5

    def silence() -> None:
        was, left.mangle = left.mangle, chance.choice([mute, honest])
        if was is mute and left.mangle is honest:
            hang_up(net, left)  # data that goes on after a gap would be a fault

    def dial() -> None:
        net.connect(left, right, latency=chance.choice([0.0, 0.01, 0.3]))

    acts = [*[write] * 7, *[dial] * 6, *[lambda: net.cut(line)] * 2, freeze, left.restart, silence, fill, slow]
    chance.choice(acts)()


def hang_up(net: Net, node: Node) -> None:
    """All lines of a node end."""
    for line in list(node.lines.values()):
        net.cut(line)


def story(seed: int, *, count: int = 4, seconds: float = 20.0) -> Net:
    """Nodes write, lines fail and return, nodes crash, sources fall mute; in the end all heals."""
    chance = random.Random(seed)
    net = Net(count)
    mended = net.now + seconds
    while net.now < mended:
        trouble(net, chance)
        net.run(chance.random())
    for node in net.nodes:
        if node.mangle is mute:
            hang_up(net, node)
        node.mangle = honest
        node.disk_full = False
        node.append_s, node.read_s = 0.002, 0.001
    for _ in range(20):
        net.connect_all()
        net.run(4, until=net.agree)
        if net.agree():
            break
    return net


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(3, 5))
@example(seed=11219, count=3)  # the author is followed from its tip, and the relay asked for what lies before is gone
def test_after_any_trouble_all_logs_are_equal_again(seed: int, count: int) -> None:
    """Crashes, lost and crossing connections, mute sources, full disks: once healed, all agree, nobody was blamed."""
    net = story(seed, count=count)
    assert net.agree()
    assert faults(net) == []


@pytest.mark.parametrize("seed", range(12))
def test_a_network_heals(seed: int) -> None:
    """The same for seeds that are the same every time."""
    net = story(seed)
    assert net.agree()
    assert faults(net) == []


def test_the_same_story_has_the_same_effects() -> None:
    """From the same calls the same effects, in the same order, on every node."""
    first, second = story(5), story(5)
    for one, two in zip(first.nodes, second.nodes, strict=True):
        assert one.effects == two.effects
    assert sum(len(node.effects) for node in first.nodes) > 500


def test_every_event_is_appended_once() -> None:
    """What the cores hand to their stores is each log, once, in order, as long as nobody crashes."""
    net = Net(3)
    net.connect_all()
    for _ in range(20):
        for node in net.nodes:
            node.write(2, 3)
        net.run(0.03)
    net.run(5)
    for node in net.nodes:
        for member in net.members:
            if member == node.me:
                continue
            appended = [b for e in node.effects if isinstance(e, Append) and e.log == member for b in e.batches]
            assert appended == net.nodes[0].logs[member]
            reached = [e.next_seq for e in node.effects if isinstance(e, Advanced) and e.log == member]
            assert reached == sorted(reached)


# What a peer claims


def liar(net: Net, node: Node, next_seq: int) -> None:
    """Let a node claim this much more of every log than it has, and send nothing of it."""

    def claim(message: Message) -> list[Message]:
        if isinstance(message, Tips):
            logs = [replace(tip, tip=Tip(0, tip.tip.next_seq + next_seq, b"?" * 32)) for tip in message.logs]
            return [Tips(message.full, tuple(logs))]
        return [] if isinstance(message, Data | End) else [message]

    node.mangle = claim


@pytest.mark.parametrize("next_seq", [1, 10**9])
def test_a_lying_claim_does_not_slow_the_author(next_seq: int) -> None:
    """A member shows more of a log than there is, and sends nothing: the author's events still come at once."""
    net = Net(3)
    alice, bob, carol = net.nodes
    liar(net, carol, next_seq)
    net.connect(bob, carol)
    net.run(1)
    net.connect(bob, alice)
    net.run(1)
    waits = []
    for _ in range(30):
        alice.write()
        began = net.now
        net.run(STALL_PENALTY_S, until=lambda: net.agree(alice.me, [alice, bob]))
        waits.append(net.now - began)
        net.run(7)
    assert max(waits) < 1


def test_a_lying_claim_does_not_stop_catching_up() -> None:
    """It costs the patience of a stall at most, not the log."""
    net = Net(4)
    alice, bob, carol, dave = net.nodes
    log = make_log(alice.key, net.network, 6000)
    give(alice, log, alice)
    give(bob, log, alice)
    liar(net, carol, 10**9)
    for other in (carol, alice, bob):
        net.connect(dave, other)
    net.run(3 * STALL_S, until=lambda: net.agree(alice.me, [alice, dave]))
    assert net.agree(alice.me, [alice, dave])


def test_nobody_cancels_without_need() -> None:
    """Catching up from healthy sources costs no cancelled fetch."""
    net = Net(3)
    alice, bob, carol = net.nodes
    log = make_log(alice.key, net.network, 5000)
    give(alice, log, alice)
    give(bob, log, alice)
    net.connect(carol, alice)
    net.connect(carol, bob)
    net.run(MINUTE, until=lambda: net.agree(alice.me))
    net.run(5)
    assert net.agree(alice.me)
    asked = {fetch.request for fetch in carol.sent(Fetch) if isinstance(fetch, Fetch) and fetch.log == alice.me}
    assert not asked & {cancel.request for cancel in carol.sent(Cancel) if isinstance(cancel, Cancel)}
