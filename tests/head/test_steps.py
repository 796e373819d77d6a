"""The remembered steps of the last decision: never anything else than the fold."""

from __future__ import annotations

from hydra_sync.head import HeadMachine, SimpleLedger
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.machine import Command, Decided
from tests.head.network import HEAD, KEYS, Network


def test_what_is_folded_is_the_same_with_and_without_them() -> None:
    """In order, out of order, from another state, or with other records than were decided."""
    node = Network(1).nodes[0]
    machine, state = node.machine, node.state
    plain = HeadMachine(KEYS[0].member, SimpleLedger())
    cause = Command(("NewTx", simple_transaction(1, [1], [11])), 0)
    (content,) = machine.decide(state, cause)
    other = Decided(("ReqSn", HEAD, 0, 1, (b"t",)))
    assert machine.evolve(state, other) == plain.evolve(state, other) != state
    assert machine.evolve(machine.start, cause) == plain.evolve(plain.start, cause)
    after = machine.evolve(state, cause)
    assert machine.evolve(after, other) == plain.evolve(after, other)
    assert machine.evolve(after, Decided(content)) == plain.evolve(after, Decided(content)) != after
    assert machine.evolve(after, Decided(content)) == plain.evolve(after, Decided(content)), "and once more"
