"""Members may write anything: nothing that is heard raises, or makes honest members disagree."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.encoding import encode_event
from hydra_sync.errors import FormatError
from hydra_sync.head import HeadLimits, UtxoLedger
from hydra_sync.head.bounds import EARLY_MAX
from hydra_sync.head.conway import reference
from hydra_sync.head.messages import AckSn, parse_message
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.head.snapshot import Content as Signed
from hydra_sync.identity import SigningKey
from hydra_sync.machine import Alarm, Command, Forked, RejectedError
from tests.head.network import HEAD, KEYS, Content, Network, heard, simple_outputs
from tests.head.test_network import Clients, check_all_is_said
from tests.head.transactions import ALICE, BOB, body, output, signed

HASHES = st.sampled_from((bytes(32), b"\x01" * 32))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 4),
    st.integers(),
    st.binary(max_size=70),
    st.text(max_size=5),
    st.floats(),
    st.sampled_from(("ReqTx", "ReqSn", "Signing", "AckSn", HEAD, b"other", bytes(32), bytes(64))),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map(tuple),
        st.lists(inner, max_size=6),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.frozensets(st.integers(), max_size=2),
    ),
    max_leaves=12,
)
HEADS = st.sampled_from((HEAD, b"other"))
IDS = st.lists(st.sampled_from((b"a", b"b", b"c")), max_size=3).map(tuple)
NUMBERS = st.integers(0, 4)
SHAPED = st.one_of(
    st.tuples(st.just("ReqTx"), HEADS, st.one_of(st.binary(max_size=10), st.just(simple_transaction(1, [1], [11])))),
    st.tuples(st.just("ReqSn"), HEADS, NUMBERS, NUMBERS, IDS),
    st.tuples(st.just("Signing"), HEADS, NUMBERS, NUMBERS, HASHES),
    st.tuples(st.just("AckSn"), HEADS, NUMBERS, NUMBERS, HASHES, HASHES, st.binary(min_size=64, max_size=64)),
)
STRANGER = SigningKey(b"\x63" * 32)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.one_of(VALUES, SHAPED)), max_size=12), st.booleans())
def test_any_content_is_taken_ignored_or_refused(contents: list[tuple[int, object]], opened: bool) -> None:
    """No content raises, what is decided for it can be recorded, and the head goes on."""
    network = Network(2, opened=opened)
    authors = (*network.parties, STRANGER.member)
    for place, content in contents:
        for decided in network.takes(0, heard(authors[place], content)):
            encode_event(decided)
    node = network.nodes[0]
    assert node.machine.thaw(node.machine.freeze(node.state)) == node.state
    if opened:
        assert network.head(0).number == 0


@settings(max_examples=200)
@given(VALUES)
def test_any_content_is_a_message_or_an_error(content: object) -> None:
    """And a message says again what it was."""
    try:
        message = parse_message(content)
    except FormatError:
        return
    assert parse_message(message.content()) == message


@settings(max_examples=200)
@given(st.one_of(VALUES, st.tuples(st.sampled_from(("NewTx", "Observed", "Init", "SideLoadSnapshot")), VALUES, VALUES)))
def test_any_command_is_done_or_refused(content: object) -> None:
    """With the one error, and nothing recorded."""
    node = Network(2).nodes[0]
    before = len(node.records)
    try:
        node.takes(Command(content, 0))
    except RejectedError:
        assert len(node.records) == before


@settings(max_examples=100)
@given(VALUES)
def test_any_value_is_a_state_or_an_error(frozen: object) -> None:
    """A checkpoint that is none."""
    machine = Network(1).nodes[0].machine
    with pytest.raises(FormatError):
        machine.thaw(frozen)


class Traitor:
    """A party that says whatever might divide the others, and signs it."""

    def __init__(self, network: Network, random: Random) -> None:
        self.network = network
        self.random = random
        self.me = len(network.keys) - 1

    def says(self) -> Content:
        random, network = self.random, self.network
        head = network.head(0)
        number = head.number + random.randrange(3)
        ids = [id_ for id_ in head.pool.flat() if random.random() < 0.5]
        random.shuffle(ids)
        round_ = head.round.content if head.round else Signed(0, number, bytes(32), bytes(32))
        content = random.choice((round_, Signed(0, number, b"\x01" * 32, b"\x01" * 32)))
        signature = KEYS[self.me].sign(content.signable(HEAD)) if random.random() < 0.7 else bytes(64)
        ack = AckSn(HEAD, content, signature)
        return random.choice(
            (("ReqSn", HEAD, 0, number, tuple(ids)), ack.content(), ("Signing", HEAD, 0, number, bytes(32)))
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_honest_members_agree_whatever_a_party_says(seed: int) -> None:
    """Other requests, other signatures, out of turn and twice: no two snapshots are confirmed with one number."""
    random = Random(seed)
    limits = HeadLimits(snapshot_transactions_max=2)
    network = Network(3, outputs=simple_outputs(1, 2, 3, 4, 5, 6), limits=limits)
    clients, traitor = Clients(network, random, 0.2), Traitor(network, random)
    for _ in range(120):
        chance = random.random()
        if chance < 0.2:
            clients.act()
        elif chance < 0.35:
            network.logs[traitor.me].append(traitor.says())
        elif chance < 0.4:
            network.nodes[random.randrange(2)].restart()
        elif todo := network.possible():
            network.hears(*random.choice(todo))
    network.settle(random)
    assert network.head(0).number - network.head(1).number in (-1, 0, 1)


def test_messages_of_heads_that_never_open_are_bounded() -> None:
    """A member that fills our memory with them is told to wait, and the others are not."""
    node = Network(2, opened=False).nodes[0]
    for seq in range(EARLY_MAX):
        node.state = node.machine.evolve(node.state, heard(KEYS[1].member, ("ReqTx", b"never", seq.to_bytes(4))))
    assert node.takes(heard(KEYS[1].member, ("ReqTx", b"never", b"more")))[0][0] == "Ignored"
    assert node.takes(heard(KEYS[0].member, ("ReqTx", b"never", b"more"))) == []
    assert len(node.state.early) == EARLY_MAX + 1


def test_forks_and_alarms_are_told_and_change_nothing() -> None:
    """The head learns that a member forked, and says so."""
    node = Network(2).nodes[0]
    before = node.state
    assert node.takes(Forked(KEYS[1].member, 7)) == [("MemberForked", KEYS[1].member, 7)]
    assert node.takes(Alarm(0)) == []
    assert node.state == before
    assert node.machine.alarm_us(node.state) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32))
def test_copies_with_other_witnesses_hold_up_nothing(seed: int) -> None:
    """A party sends copies that are forged, or lack a witness, before the true ones and after: all are confirmed."""
    random = Random(seed)
    roots = [reference(bytes(32), index) for index in range(3)]
    ledger = UtxoLedger()
    network = Network(3, ledger=ledger, outputs=[(root, output(ALICE, 10)) for root in roots])
    tips, true = list(roots), list[bytes]()
    for _ in range(12):
        chain = random.randrange(3)
        content = body([tips[chain]], [output(ALICE, 10)], more={7: len(true).to_bytes(32)})
        true.append(signed(content, ALICE))
        tips[chain] = reference(ledger.read(true[-1]).id, 0)
    todo = [(data, data) for data in true]
    for data in true:
        forged = data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]
        content = data[1 : data.index(b"\xa1\x00\x81\x82\x58\x20")]
        todo += [(b"", random.choice((forged, signed(content), signed(content, BOB)))) for _ in range(2)]
    random.shuffle(todo)
    while todo or network.possible():
        if todo and random.random() < 0.3:
            mine, copy = todo.pop()
            if mine:
                network.asks(random.randrange(2), "NewTx", mine)
            else:
                network.logs[2].append(("ReqTx", HEAD, copy))
        elif possible := network.possible():
            network.hears(*random.choice(possible))
    for node in range(3):
        assert network.head(node).fates.size == len(true)
        assert network.head(node).own == 0
    check_all_is_said(network)
