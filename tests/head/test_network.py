"""A head of several members, whatever the order in which they hear one another, and whatever they lose."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.encoding import decode_event, encode, encode_event
from hydra_sync.head import HeadLimits, SimpleLedger
from hydra_sync.head.ledger import Trial, judged
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.machine import Command, Decided, Heard
from tests.head.network import HEAD, Network, simple_outputs

LEDGER = SimpleLedger()


class Clients:
    """They take outputs that are there, or will be, or are gone, and make new ones."""

    def __init__(self, network: Network, random: Random, conflicts: float) -> None:
        self.network = network
        self.random = random
        self.conflicts = conflicts
        self.made = [1, 2, 3, 4, 5, 6]
        self.taken: list[int] = []
        self.next = 100

    def act(self) -> None:
        """Submit one transaction to some node."""
        random = self.random
        again = self.taken and (not self.made or random.random() < self.conflicts)
        source = random.choice(self.taken) if again else self.made.pop(random.randrange(len(self.made)))
        outputs = [self.next + step for step in range(random.choice((1, 1, 2)))]
        self.next += len(outputs)
        node = random.randrange(len(self.network.nodes))
        if self.network.tries(node, "NewTx", simple_transaction(self.next, [source], outputs)) is None:
            self.made += outputs
            self.taken.append(source)
        elif not again:
            self.made.append(source)


def check_all_is_said(network: Network) -> None:
    """Nothing is under way: all agree, and what is not confirmed cannot be."""
    heads = [network.head(node) for node in range(len(network.nodes))]
    first = heads[0]
    for head in heads:
        assert (head.confirmed, head.outputs, head.round) == (first.confirmed, first.outputs, None)
        assert {id_: fate[1] for id_, fate in head.fates.sorted()} == {id_: n for id_, (_, n) in first.fates.sorted()}
    for log in network.logs:
        requested = [content[2:4] for content in log if content[0] == "ReqSn"]
        assert len(set(requested)) == len(requested), "a leader requests a snapshot twice"
        for content in log:
            if content[0] == "ReqTx":
                assert isinstance(content[2], bytes)
                transaction = network.ledger.read(content[2])
                if transaction.id not in first.fates:
                    assert judged(network.ledger, first.outputs, transaction) is not None, (
                        "a valid transaction was lost"
                    )


def check_history(network: Network) -> None:
    """All snapshots, one after the other, are valid transactions from what the head opened with."""
    opening = Network(1, ledger=network.ledger, outputs=network.outputs).head(0).outputs
    trial = Trial(network.ledger, opening)
    known = {}
    for log in network.logs:
        for content in log:
            if content[0] == "ReqTx":
                assert isinstance(content[2], bytes)
                known[network.ledger.read(content[2]).id] = network.ledger.read(content[2])
    for number in range(1, max(network.confirmed, default=0) + 1):
        for id_ in network.confirmed[number].snapshot.transactions:
            assert trial.add(known[id_]) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    members=st.integers(1, 4),
    conflicts=st.sampled_from((0.0, 0.2, 0.6)),
    cap=st.sampled_from((1, 3, 1000)),
)
def test_members_agree_and_lose_nothing(seed: int, members: int, conflicts: float, cap: int) -> None:
    """Whatever is heard in whatever order, crashed and recovered: one history, and no valid transaction lost."""
    random = Random(seed)
    limits = HeadLimits(snapshot_transactions_max=cap)
    network = Network(members, outputs=simple_outputs(1, 2, 3, 4, 5, 6), limits=limits)
    clients = Clients(network, random, conflicts)
    before = [0] * members
    for _ in range(150):
        node = random.randrange(members)
        chance = random.random()
        if chance < 0.2:
            clients.act()
        elif chance < 0.24:
            network.nodes[node].restart()
        elif chance < 0.27:
            network.nodes[node].checkpoint()
        elif chance < 0.30:
            network.lose_disk(node, random)
            before[node] = network.head(node).number
        elif chance < 0.34:
            network.down ^= {node}
        elif todo := network.possible():
            network.hears(*random.choice(todo))
        numbers = [network.head(each).number for each in range(members)]
        assert all(now >= then for now, then in zip(numbers, before, strict=True)), "snapshots only grow"
        before = numbers
    network.down.clear()
    network.settle(random)
    check_all_is_said(network)
    check_history(network)


@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_transactions_without_conflict_are_all_confirmed(members: int) -> None:
    """Chains submitted at every node, children before their parents are heard, end in a snapshot."""
    network = Network(members, outputs=simple_outputs(*range(members)))
    random = Random(members)
    for link in range(10):
        for chain in range(members):
            name = 1000 * (link + 1) + chain
            taken = name - 1000 if link else chain
            network.asks((chain + link) % members, "NewTx", simple_transaction(name, [taken], [name]))
    network.settle(random)
    check_all_is_said(network)
    for node in range(members):
        assert network.head(node).fates.size == 10 * members
        assert network.head(node).pool.size == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), cut=st.floats(0, 1))
def test_a_checkpoint_loses_nothing(seed: int, cut: float) -> None:
    """From any record on, a thawed checkpoint folds to the very state that all records fold to."""
    random = Random(seed)
    network = Network(3, outputs=simple_outputs(1, 2, 3, 4, 5, 6), limits=HeadLimits(snapshot_transactions_max=3))
    clients = Clients(network, random, 0.3)
    for _ in range(80):
        if random.random() < 0.25:
            clients.act()
        elif todo := network.possible():
            network.hears(*random.choice(todo))
    node = network.nodes[random.randrange(3)]
    machine, records = node.machine, node.records
    at = int(cut * len(records))
    state = machine.start
    for record in records[:at]:
        state = machine.evolve(state, record)
    frozen = machine.freeze(state)
    thawed = machine.thaw(frozen)
    assert thawed == state
    assert machine.freeze(thawed) == frozen
    for record in records[at:]:
        state, thawed = machine.evolve(state, record), machine.evolve(thawed, record)
    assert machine.freeze(thawed) == machine.freeze(state) == machine.freeze(node.state)
    assert thawed == node.state
    encode(frozen)


def test_the_same_records_fold_to_the_same_state_without_the_key() -> None:
    """Whoever has a member's records knows what it knew: the fold needs no secret, and verifies nothing."""
    network = Network(3)
    network.asks(0, "NewTx", simple_transaction(1, [1], [11]))
    network.settle()
    node = network.nodes[0]
    reader = type(node.machine)(node.machine.member, node.machine.ledger)
    state = reader.start
    for record in node.records:
        state = reader.evolve(state, record)
    assert state == node.state
    assert state.head(HEAD) is not None


def side_load(network: Network, giver: int, taker: int) -> None:
    """Bring the taker the giver's confirmed snapshot, if it is no older than its own."""
    head = network.head(giver)
    snapshot = head.confirmed.snapshot
    given = (0, snapshot.number, snapshot.transactions, head.outputs.pairs(), head.confirmed.signatures)
    refused = network.tries(taker, "SideLoadSnapshot", *given)
    assert (refused is None) == (
        snapshot.number >= network.head(taker).number and network.nodes[taker].state.open is not None
    )


def unsettle(network: Network, clients: Clients, random: Random) -> None:
    """Have one thing happen, mostly something heard."""
    node = random.randrange(len(network.nodes))
    chance = random.random()
    if chance < 0.2:
        clients.act()
    elif chance < 0.24:
        network.tries(node, "Observed", (0, b"block"), ("RolledBack",))
    elif chance < 0.30:
        network.catch_up(node)
    elif chance < 0.34:
        side_load(network, random.randrange(len(network.nodes)), node)
    elif chance < 0.38:
        network.nodes[node].restart()
    elif chance < 0.41:
        network.lose_disk(node, random)
    elif todo := network.possible():
        network.hears(*random.choice(todo))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), members=st.integers(2, 4))
def test_rollbacks_and_side_loads_lose_nothing_either(seed: int, members: int) -> None:
    """Layer 1 forgets the head here and there, snapshots are brought by hand: still one history, and no loss."""
    random = Random(seed)
    limits = HeadLimits(snapshot_transactions_max=random.choice((1, 2, 1000)))
    network = Network(members, outputs=simple_outputs(1, 2, 3, 4, 5, 6), limits=limits)
    clients = Clients(network, random, 0.3)
    for _ in range(150):
        unsettle(network, clients, random)
    for node in range(members):
        network.catch_up(node)
    network.settle(random)
    for node in range(members):  # what side-loading dropped is submitted again
        for pooled in network.head(node).pool.flat().values():
            network.tries(node, "NewTx", pooled.transaction.data)
    network.settle(random)
    check_all_is_said(network)
    check_history(network)


def written(content: object) -> object:
    """The content as it comes back from a log."""
    return decode_event(encode_event(content))


def test_records_read_back_from_a_log_fold_to_the_same_state() -> None:
    """Arrays may come back as lists, and every event fits the log."""
    network = Network(3, outputs=simple_outputs(1, 2, 3, 4, 5, 6))
    random = Random(7)
    clients = Clients(network, random, 0.3)
    for _ in range(120):
        unsettle(network, clients, random)
    for node in network.nodes:
        state = node.machine.start
        for record in node.records:
            if isinstance(record, Decided | Command | Heard):
                record = replace(record, content=written(record.content))  # noqa: PLW2901  as it is read back
            state = node.machine.evolve(state, record)
        assert state == node.state
        assert node.machine.thaw(written(node.machine.freeze(state))) == state
    for node in (Network(2).nodes[0], Network(1, opened=False).nodes[0]):
        assert node.machine.thaw(written(node.machine.freeze(node.state))) == node.state
