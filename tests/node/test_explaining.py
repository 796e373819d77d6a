"""What people are told that a node waits for, and how to go on."""

from __future__ import annotations

from dataclasses import replace

from hydra_sync.chain import EMPTY, Tip
from hydra_sync.node.explaining import explain, explain_start
from hydra_sync.node.status import LogStatus, MemberStatus, StartStatus, Status
from hydra_sync.sync.starting import Phase

ADOPTING = StartStatus(
    ready=False, phase=Phase.ADOPTING.value, epoch=1, ballot=4, needed=2, promised=("bob", "carol"), holders=("bob",)
)

ASKING = StartStatus(ready=False, phase=Phase.ASKING.value, epoch=1, ballot=4, needed=2, waiting=("bob", "carol"))


def status(start: StartStatus, *, connected: tuple[str, ...] = ()) -> Status:
    """Alice's, who has 5 of 9 events of her own log."""
    members = tuple(
        MemberStatus(
            alias=alias,
            key=alias,
            me=alias == "alice",
            address=None,
            connected=alias in connected,
            last_error=None,
            log=LogStatus(0, Tip(1, 5, bytes(32)) if alias == "alice" else EMPTY, 4, (), "ok", target=9),
            receipt=0,
            shows={},
            states={},
        )
        for alias in ("alice", "bob", "carol")
    )
    return Status("net", "00", "alice", None, "prove", start, (), members)


def test_a_start_that_fetches_says_who_is_said_to_have_it() -> None:
    """Who is not there has to be started, and nobody else."""
    line, way = explain_start(status(ADOPTING, connected=("bob", "carol")))
    assert line == (
        "starting: bob and carol promised epoch 4 of its own log; fetches what bob said to hold of it first, has 5 of 9"
    )
    assert "start" not in way
    assert "recover --accept-loss --without" in way
    line, way = explain_start(status(ADOPTING, connected=("carol",)))
    assert way.startswith("to go on, start bob. Without")
    both = replace(ADOPTING, holders=("bob", "carol"))
    assert "start bob and carol" in explain_start(status(both))[1]


def test_a_start_that_asks_says_where_to_look() -> None:
    """Who is not there has to be started; who is there and says nothing can say why; who refused is asked again."""
    assert explain_start(status(ASKING))[1].startswith("to go on, start bob and carol. Without")
    one = explain_start(status(ASKING, connected=("carol",)))[1]
    assert one.startswith("to go on, start bob, and see what hydra-sync explain says at carol: on a full disk")
    both = explain_start(status(ASKING, connected=("bob", "carol")))[1]
    assert both.startswith("to go on, see what hydra-sync explain says at bob and carol: ")
    refused = replace(ASKING, refused=("bob",), waiting=("bob",))
    assert explain_start(status(refused, connected=("bob",)))[1].startswith("they are asked again. Without")


def test_what_is_said_of_a_log_counts_later() -> None:
    """When the epoch that was promised has come, or while a start is not sure of its own disk, when it is."""
    for promised, until in ((3, "epoch 3 has come"), (0, "it is sure of its own log")):
        shown = status(ADOPTING, connected=("bob", "carol"))
        alice, bob, carol = shown.members
        log = replace(bob.log, state="recovering", promised=promised, tip=Tip(1, 4, bytes(32)), target=4)
        lines = explain(replace(shown, members=(alice, replace(bob, log=log), carol)))
        assert f"recovering bob's log: has 4; what it says of it counts when {until}" in lines
