"""What clients ask for, and the reasons they are given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hydra_sync.errors import FormatError, UsageError
from hydra_sync.head import HeadMachine, SimpleLedger, Status, UtxoLedger
from hydra_sync.head.events import SnapshotRequested, TxApplied, TxRejected, TxWaiting, content_of
from hydra_sync.head.ledger import TxId
from hydra_sync.head.messages import ReqSn
from hydra_sync.head.simple_tx import simple_transaction
from hydra_sync.head.state import State
from hydra_sync.identity import SigningKey
from hydra_sync.machine import Command, Decided, Machine, RejectedError
from tests.head.network import HEAD, KEYS, Network, heard

LEFT = simple_transaction(1, [1], [11])


def test_a_head_is_a_machine() -> None:
    """By its types, and by its form."""
    machine: Machine[State] = HeadMachine(KEYS[0].member, SimpleLedger(), KEYS[0])
    assert machine.start == State()
    assert machine.hears(("AckSn",))
    assert not machine.hears(("TxApplied", HEAD, b"t"))
    assert not machine.hears(7)


def test_deciding_needs_the_members_own_key() -> None:
    """Another key signs for somebody else, and none signs nothing."""
    with pytest.raises(UsageError):
        HeadMachine(KEYS[0].member, SimpleLedger(), KEYS[1])
    with pytest.raises(UsageError):
        HeadMachine(KEYS[0].member, SimpleLedger()).decide(State(), Command(("Close",), 0))


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("NewTx", b"\xff"), "malformed"),
        (("NewTx", bytes(20_000)), "more than"),
        (("NewTx", simple_transaction(2, [2], [1])), "was there before"),
        (("Nonsense",), "no command"),
        (("Observed", (1, b""), ("Nonsense",)), "nothing that a head observes"),
        (("Observed", (1,), ("FannedOut", HEAD)), "array of 2"),
        (("Observed", (9, b""), ("HeadClosed", b"other", 0, 0)), "is not the one"),
        (("Init", (), 60), "parties"),
        (("Init", (KEYS[0].member, KEYS[0].member), 60), "parties"),
        (("SideLoadSnapshot", 0, 0, (), ((b"\x01", b"x"),), ()), "malformed"),
        (("SideLoadSnapshot", 0, 0, (), (), ()), "another snapshot 0"),
        (("SideLoadSnapshot", 0, 1, (), (), (bytes(64),) * 300), "at most"),
    ],
)
def test_refused_commands_are_told_why_and_leave_no_trace(command: tuple[object, ...], why: str) -> None:
    """Nothing is recorded."""
    network = Network(2)
    records = len(network.nodes[0].records)
    assert why in (network.tries(0, *command) or "")
    assert len(network.nodes[0].records) == records


def test_a_transaction_is_submitted_once() -> None:
    """The second time it is on its way already; an older snapshot is not side-loaded."""
    network = Network(1)
    network.asks(0, "NewTx", LEFT)
    network.hears(0, 0)
    assert "submitted already" in (network.tries(0, "NewTx", LEFT) or "")
    network.settle()
    assert "older than ours" in (network.tries(0, "SideLoadSnapshot", 0, 0, (), network.outputs, ()) or "")


def test_a_head_whose_outputs_cannot_be_read_is_not_followed() -> None:
    """It is of another ledger."""
    network = Network(1, ledger=UtxoLedger(), opened=False)
    fact = ("HeadOpened", HEAD, network.parties, 60, network.outputs)
    assert "cannot be read" in (network.tries(0, "Observed", (1, b""), fact) or "")


def test_a_state_is_of_one_ledger() -> None:
    """A checkpoint of another one is refused."""
    network = Network(1)
    frozen = network.nodes[0].machine.freeze(network.nodes[0].state)
    other = HeadMachine(KEYS[0].member, UtxoLedger())
    with pytest.raises(FormatError, match="for the ledger simple"):
        other.thaw(frozen)


def test_decisions_that_no_head_made_are_refused_and_unknown_names_change_nothing() -> None:
    """The log of another kind of application is not folded as if it were a head's."""
    node = Network(1).nodes[0]
    for content in (("Deposited", 7), 7, (), ("TxApplied",), ("ReqTx", HEAD)):
        with pytest.raises(FormatError):
            node.machine.evolve(node.state, Decided(content))
    name = TxId(b"unknown")
    for event in (TxApplied(HEAD, name), TxWaiting(HEAD, name, ""), TxRejected(HEAD, name, "", 1)):
        assert node.machine.evolve(node.state, Decided(content_of(event))) == node.state
    events: tuple[tuple[object, ...], ...] = (
        content_of(SnapshotRequested(b"x", 0, 1, b"")),
        ReqSn(b"x", 0, 1, ()).content(),
        ("HeardEarly", HEAD),
    )
    for told in events:
        assert node.machine.evolve(node.state, Decided(told)) == node.state


def test_a_promise_that_contradicts_a_request_wins() -> None:
    """Whatever brought that about, the second content is never signed."""
    network = Network(2)
    network.takes(1, heard(network.parties[0], ("ReqTx", HEAD, LEFT)))
    node = network.nodes[1]
    node.state = node.state.with_head(replace(network.head(1), promised=(1, bytes(32))))
    decided = network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, network.head(1).local)))
    assert [content[0] for content in decided] == ["SnapshotRequested", "Ignored"]
    digest = network.head(1).round.content.digest(HEAD)  # type: ignore[union-attr]
    for claimed in (digest, bytes(32)):
        assert network.takes(1, heard(network.parties[1], ("Signing", HEAD, 0, 1, claimed))) == []


@pytest.mark.parametrize(
    ("author", "content", "why"),
    [
        (2, ("ReqTx", HEAD, LEFT), "no party"),
        (1, ("ReqTx", HEAD, b"\xff"), "malformed"),
        (1, ("ReqSn", HEAD, 0, 1, (b"t",)), "does not lead"),
        (0, ("ReqSn", HEAD, 0, 1, ()), "confirms something"),
        (0, ("ReqSn", HEAD, 1, 1, (b"t",)), "version"),
        (0, ("ReqSn", HEAD, 0, 3, (b"t",)), "too far ahead"),
        (0, ("ReqSn", HEAD, 0, 1, (b"t", b"t")), "named twice"),
        (0, ("ReqSn", HEAD, 0, 1, tuple(bytes([n % 256, n // 256]) for n in range(1001))), "more than"),
        (1, ("AckSn", HEAD, 0, 3, bytes(32), bytes(32), bytes(64)), "too far ahead"),
        (1, ("AckSn", b"", 0, 1, bytes(32), bytes(32), bytes(64)), "not empty"),
    ],
)
def test_what_has_no_place_is_recorded_with_the_reason(author: int, content: object, why: str) -> None:
    """From a stranger, malformed, out of turn, of another version, too far ahead: ignored, and said so."""
    network = Network(2)
    node = network.nodes[0]
    before = node.state
    who = [*network.parties, SigningKey(b"\x63" * 32).member][author]
    ((tag, named, reason),) = network.takes(0, heard(who, content))
    assert (tag, named) == ("Ignored", who)
    assert isinstance(reason, str)
    assert why in reason
    assert node.state == before
    assert node.state.stage.status is Status.OPEN


def test_a_second_request_of_other_transactions_is_ignored() -> None:
    """The first counts, for everybody: logs are heard in their order."""
    network = Network(2)
    network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, (b"a",))))
    assert network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, (b"a",)))) == []
    ((tag, _, why),) = network.takes(1, heard(network.parties[0], ("ReqSn", HEAD, 0, 1, (b"b",))))
    assert tag == "Ignored"
    assert "with other transactions" in str(why)
    with pytest.raises(RejectedError):
        network.asks(1, "Fanout")
