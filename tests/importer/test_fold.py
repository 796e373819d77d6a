"""The traps of hydra-node's fold, one by one: what is forgotten, ignored, or held in one place only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from hydra_sync.head import Answers, Fate, Status
from hydra_sync.importer.fold import HeadFold
from hydra_sync.importer.outputs import parse_output
from hydra_sync.importer.parsing import parse_change
from tests.importer.histories import (
    HEAD,
    OTHER_HEAD,
    PARTIES,
    SEEN,
    TX10,
    TX11,
    TX12,
    TX13,
    TX14,
    V1_3,
    V2_2,
    VKEYS,
    Dialect,
    Event,
    applied,
    confirmed,
    history,
    invalid,
    opening,
    received,
    requested,
    signed,
    snapshot,
)

FIRST = snapshot(V2_2, 1, [TX10, TX11], [3, 4, 5])
SECOND = snapshot(V2_2, 2, [TX12], [3, 5, 6])


def fold(events: Sequence[Event]) -> HeadFold:
    head = HeadFold()
    for event in events:
        if (change := parse_change(event)) is not None:  # type: ignore[arg-type]
            head.apply(change)
    return head


def answers(*events: Event) -> Answers:
    return fold(events).answers()


def fates(found: Answers) -> dict[str, Fate]:
    return {transaction.id: transaction.fate for transaction in found.transactions}


def head_event(tag: str, head: str = HEAD, **fields: object) -> Event:
    return {"tag": tag, "headId": head, **fields}


def closing() -> Event:
    return head_event("HeadClosed", snapshotNumber=1, chainState={}, contestationDeadline="2026-01-01T00:00:00Z")


def checkpoint(state: Mapping[str, object]) -> Event:
    return {"tag": "Checkpoint", "state": state}


def open_state(**changed: object) -> Event:
    """An open head as a checkpoint has it: snapshot 1 confirmed, 2 in flight, 13 applied, 14 waiting."""
    coordinated: Event = {
        "localUTxO": [3, 6, 7],
        "localTxs": [TX13],
        "allTxs": {"13": TX13, "14": TX14},
        "confirmedSnapshot": {"tag": "ConfirmedSnapshot", "snapshot": FIRST, "signatures": {"multiSignature": []}},
        "seenSnapshot": {"tag": "SeenSnapshot", "snapshot": SECOND, "signatories": {}},
        "currentDepositTxId": None,
        "decommitTx": None,
        "version": 1,
    }
    contents = {"parameters": {"parties": VKEYS}, "headId": HEAD, "coordinatedHeadState": coordinated | changed}
    return {"tag": "Open", "contents": contents}


def node_state(state: Event) -> Event:
    return {"tag": "NodeInSync", "headState": state, "pendingDeposits": {}, "chainPointTime": {}}


def test_nothing_yet() -> None:
    """Before the first event: idle, no head, nothing seen."""
    assert answers() == Answers(Status.IDLE, None, (), None, ())


def test_a_requested_snapshot_holds_its_transactions_alone() -> None:
    """They leave allTxs when it is requested: without the third term they would be lost until it is confirmed."""
    start = [*opening(V2_2), *received(TX10), *applied(V2_2, TX10, []), *requested(V2_2, FIRST, [], [])]
    assert fates(answers(*start)) == {"10": Fate.IN_FLIGHT, "11": Fate.IN_FLIGHT}
    done = answers(*start, *confirmed(V2_2, FIRST))
    assert fates(done) == {"10": Fate.CONFIRMED, "11": Fate.CONFIRMED}
    assert done.transactions[0].snapshot == 1


def test_a_snapshot_requested_again_loses_the_one_before() -> None:
    """What only the former one held is told as forgotten, not passed over."""
    twice = [*received(TX10), invalid(TX10), *received(TX10, TX11)]
    found = answers(*opening(V2_2), *twice, *requested(V2_2, FIRST, [], []), *requested(V2_2, SECOND, [], []))
    assert fates(found) == {"10": Fate.REJECTED, "11": Fate.REJECTED, "12": Fate.IN_FLIGHT}
    assert all("submit it again" in transaction.why for transaction in found.transactions[:2])


def test_until_2_0_the_request_says_what_leaves() -> None:
    """By requestedTxIds: what is not among them goes on waiting, should the snapshot come to nothing."""
    first = {**requested(V1_3, FIRST, [], [3])[0], "requestedTxIds": [10]}
    events = [*opening(V1_3), *received(TX10, TX11), first, *requested(V1_3, SECOND, [], [3])]
    assert fates(answers(*events)) == {"10": Fate.REJECTED, "11": Fate.WAITING, "12": Fate.IN_FLIGHT}


def test_events_of_another_head_are_ignored() -> None:
    """By their head id; those that name none always apply."""
    foreign = [head_event("HeadClosed", OTHER_HEAD), head_event("TransactionAppliedToLocalUTxO", OTHER_HEAD, tx=TX14)]
    head = fold([*opening(V2_2), *foreign, *opening(V2_2, OTHER_HEAD)[:1], *received(TX10)])
    assert (head.answers().status, head.answers().head_id, head.ignored) == (Status.OPEN, HEAD, 3)
    assert fates(head.answers()) == {"10": Fate.WAITING}


def test_a_head_that_another_announces_is_not_ours() -> None:
    """IgnoredHeadInitializing names a head, and changes nothing."""
    ignored = head_event("IgnoredHeadInitializing", OTHER_HEAD, contestationPeriod=1, parties=[], participants=[])
    assert answers(*opening(V2_2), ignored).head_id == HEAD


def test_confirmed_without_a_snapshot_is_the_one_requested() -> None:
    """Since 2.1 the event leaves it out; where none was requested hydra-node stops, and it is said."""
    found = answers(*opening(V2_2), *requested(V2_2, FIRST, [], []), *confirmed(V2_2, FIRST))
    assert found.snapshot is not None
    assert found.snapshot.number == 1
    head = fold(opening(V2_2))
    change = parse_change(confirmed(V2_2, FIRST)[0])  # type: ignore[arg-type]
    assert change is not None
    assert "nobody requested" in head.apply(change)
    kept = head.answers().snapshot
    assert kept is not None
    assert kept.number == 0


def test_a_snapshot_from_outside_clears_the_local_state() -> None:
    """SnapshotConfirmed with a snapshot, then LocalStateCleared: what was not confirmed is to be submitted again."""
    loaded = {**confirmed(V2_2, SECOND)[0], "snapshot": SECOND}
    cleared = head_event("LocalStateCleared", snapshotNumber=2)
    head = fold([*opening(V2_2), *received(TX12, TX13), *applied(V2_2, TX13, []), loaded, cleared])
    found = head.answers()
    assert fates(found) == {"12": Fate.CONFIRMED, "13": Fate.REJECTED}
    assert "submit it again" in found.transactions[1].why
    assert head.local_outputs == 3


def test_a_rejected_transaction_may_come_again() -> None:
    """It leaves allTxs when it is rejected, and is back when it is received once more."""
    events = [*opening(V2_2), *received(TX14), invalid(TX14)]
    assert fates(answers(*events)) == {"14": Fate.REJECTED}
    assert fates(answers(*events, *received(TX14))) == {"14": Fate.WAITING}


def test_a_confirmed_transaction_stays_confirmed() -> None:
    """A resubmission that is refused, of course, takes nothing back."""
    events = [*opening(V2_2), *requested(V2_2, FIRST, [], []), *confirmed(V2_2, FIRST), *received(TX10), invalid(TX10)]
    assert fates(answers(*events))["10"] is Fate.CONFIRMED


@pytest.mark.parametrize("dialect", [V1_3, V2_2], ids=str)
def test_closing_drops_what_is_not_confirmed(dialect: Dialect) -> None:
    """The confirmed snapshot stays, everything else is lost to the head, and that is said of each transaction."""
    found = answers(*history(dialect), closing())
    assert found.status is Status.CLOSED
    assert found.snapshot is not None
    assert found.snapshot.number == 1
    lost = [transaction for transaction in found.transactions if "closed before" in transaction.why]
    assert [transaction.id for transaction in lost] == ["12", "13", "14"]
    assert len(found.transactions) == len(SEEN)


def test_the_end_of_a_head_is_remembered() -> None:
    """hydra-node forgets the head after the fanout; here the last one is still answered for."""
    events = [*history(V2_2), closing()]
    for event, status in (
        (head_event("HeadContested", snapshotNumber=1), Status.CLOSED),
        (head_event("HeadIsReadyToFanout"), Status.FANOUT_POSSIBLE),
        (head_event("HeadFanoutInitiated", remainingOutputs=[]), Status.FANNING_OUT),
        (head_event("HeadFanoutReverted"), Status.FANOUT_POSSIBLE),
        (head_event("HeadPartialFannedOut", distributedOutputs=[], remainingOutputs=[]), Status.FANNING_OUT),
        (head_event("HeadFannedOut", finalizedOutputs=[]), Status.FINAL),
    ):
        events.append(event)
        assert answers(*events).status is status
    found = answers(*events)
    assert (found.head_id, found.parties, len(found.transactions)) == (HEAD, PARTIES, len(SEEN))
    again = answers(*events, *opening(V2_2, OTHER_HEAD))
    assert (again.status, again.head_id, again.transactions) == (Status.OPEN, OTHER_HEAD, ())


def test_a_head_may_be_aborted() -> None:
    """Until 1.3: announced, not opened, given up."""
    announced = opening(V1_3)[:2]
    assert answers(*announced).status is Status.INITIAL
    assert answers(*announced).parties == PARTIES
    assert answers(*announced, head_event("HeadAborted", utxo=[])).status is Status.ABORTED


def test_opening_what_was_not_announced_is_said() -> None:
    """Until 1.3 a head opens only out of Initial: the announcement is missing, and nothing is invented."""
    change = parse_change(opening(V1_3)[2])  # type: ignore[arg-type]
    assert change is not None
    head = HeadFold()
    assert "HeadInitialized is missing" in head.apply(change)
    assert head.answers().status is Status.IDLE


@pytest.mark.parametrize("wrap", [node_state, dict], ids=["NodeState", "HeadState"])
@pytest.mark.parametrize("before", [0, 11, 17])
def test_a_checkpoint_replaces_everything(wrap: type, before: int) -> None:
    """What went before may be missing: the answers are those of the state, the one in flight included."""
    found = answers(*history(V2_2)[:before], checkpoint(wrap(open_state())))
    expected = {
        "10": Fate.CONFIRMED,
        "11": Fate.CONFIRMED,
        "12": Fate.IN_FLIGHT,
        "13": Fate.APPLIED,
        "14": Fate.WAITING,
    }
    assert fates(found) == expected
    assert (found.status, found.head_id, found.parties) == (Status.OPEN, HEAD, PARTIES)
    assert found.snapshot is not None
    assert found.snapshot.number == 1


def test_a_checkpoint_takes_nothing_back_that_was_confirmed() -> None:
    """It has no former snapshots; what is known of the same head from before it stays known."""
    third = snapshot(V2_2, 3, [TX14], [3])
    seen = {"tag": "LastSeenSnapshot", "lastSeen": 3}
    last = {"tag": "ConfirmedSnapshot", "snapshot": third, "signatures": {"multiSignature": []}}
    state = open_state(confirmedSnapshot=last, seenSnapshot=seen, localTxs=[], allTxs={})
    found = answers(*history(V2_2), checkpoint(node_state(state)))
    assert fates(found) == {
        "10": Fate.CONFIRMED,
        "11": Fate.CONFIRMED,
        "14": Fate.CONFIRMED,
        "15": Fate.REJECTED,
    }


@pytest.mark.parametrize(
    ("tag", "more", "status"),
    [
        ("Initial", {}, Status.INITIAL),
        ("Closed", {"readyToFanoutSent": False}, Status.CLOSED),
        ("Closed", {"readyToFanoutSent": True}, Status.FANOUT_POSSIBLE),
        ("FanoutProgress", {"remainingOutputs": []}, Status.FANNING_OUT),
    ],
)
def test_a_checkpoint_of_every_status(tag: str, more: Event, status: Status) -> None:
    """What is closed holds no transactions any more: those that were open before are told as lost."""
    last = {"tag": "ConfirmedSnapshot", "snapshot": FIRST, "signatures": {"multiSignature": []}}
    contents = {"parameters": {"parties": VKEYS}, "headId": HEAD, "confirmedSnapshot": last, **more}
    found = answers(*history(V2_2), checkpoint(node_state({"tag": tag, "contents": contents})))
    assert (found.status, found.head_id, found.parties) == (status, HEAD, PARTIES)
    if status is not Status.INITIAL:
        assert fates(found)["12"] is Fate.REJECTED
        assert fates(found)["10"] is Fate.CONFIRMED
        assert found.snapshot is not None


def test_a_checkpoint_goes_on() -> None:
    """The events after it find the snapshot in flight that it carried: its confirmation needs it."""
    found = answers(checkpoint(node_state(open_state())), *confirmed(V2_2, SECOND))
    assert found.snapshot is not None
    assert (found.snapshot.number, found.snapshot.transactions) == (2, ("12",))


def test_an_idle_checkpoint() -> None:
    """After the end of a head it changes nothing here, although hydra-node has forgotten the head."""
    idle = checkpoint(node_state({"tag": "Idle", "contents": {"chainState": {}}}))
    ended = [*opening(V2_2), closing(), head_event("HeadFannedOut", finalizedOutputs=[])]
    assert answers(*ended, idle).status is Status.FINAL
    assert answers(*opening(V2_2), idle) == Answers(Status.IDLE, None, (), None, ())


def test_a_checkpoint_has_the_deposits() -> None:
    """Those that are pending are added when they are final, those that are not in it are not."""
    deposit = {"headId": HEAD, "deposited": [70, 71], "created": "", "deadline": "", "status": "Active"}
    old = node_state(open_state()) | {"pendingDeposits": {"51": deposit}}
    new = {"tag": "NodeInSync2", "headState": open_state(), "chainPointTime": {}}
    new["deposits"] = {"51": {"deposit": deposit, "consumedAt": None}, "50": {"deposit": deposit, "consumedAt": 4}}
    for state in (old, new):
        for number, outputs in ((51, 5), (50, 3)):
            final = head_event("CommitFinalized", newVersion=2, depositTxId=number, chainState={})
            assert fold([*opening(V2_2)[:2], checkpoint(state), final]).local_outputs == outputs


def test_only_an_open_head_is_closed() -> None:
    """Whoever comes second does not bring it back from its fanout."""
    fanned = [*opening(V2_2), closing(), head_event("HeadIsReadyToFanout"), closing()]
    assert answers(*fanned).status is Status.FANOUT_POSSIBLE
    assert answers(closing()).status is Status.IDLE


def test_what_a_request_tells_of_its_release() -> None:
    """A head whose transactions all came with snapshots: the request alone says which form of bytes was signed."""
    for dialect, reason in ((V1_3, ""), (V2_2, "KZG")):
        first = snapshot(dialect, 1, [TX10, TX11], [3, 4, 5])
        found = answers(*opening(dialect), *requested(dialect, first, [], [3, 4, 5]), *confirmed(dialect, first))
        assert found.snapshot is not None
        assert reason in found.snapshot.unverified
        assert bool(found.snapshot.signed_by) is (dialect is V1_3)


@pytest.mark.parametrize(("version", "outputs"), [(0, 3), (1, 4)])
def test_a_deposit_counts_once_the_main_chain_has_it(version: int, outputs: int) -> None:
    """The outputs to commit are the local ledger's only after the version has risen above the snapshot's."""
    of = {**FIRST, "version": 0, "utxoToCommit": [70]}
    final = head_event("CommitFinalized", newVersion=version, depositTxId=50, chainState={})
    head = fold([*opening(V2_2)[:1], final, *requested(V2_2, of, [], [])])
    assert head.local_outputs == outputs


def test_a_deposit_that_was_recovered_is_not_added() -> None:
    """Nor one that expired and was recovered; a finalized one is, whether or not it was activated."""
    recovered = head_event("DepositRecovered", depositTxId=50, recovered=[1, 2, 3])
    start, deposit, final = opening(V2_2)
    assert fold([start, deposit, final]).local_outputs == 3
    assert fold([start, deposit, recovered, final]).local_outputs == 0


def test_a_decommit_leaves_the_head() -> None:
    """Its inputs go, and its outputs do not stay."""
    recorded = head_event("DecommitRecorded", decommitTx={"id": 60, "inputs": [1], "outputs": [90]})
    assert fold([*opening(V2_2), recorded]).local_outputs == 2
    told = recorded | {"newLocalUTxO": [3], "utxoToDecommit": []}
    assert fold([*opening(V2_2), told]).local_outputs == 1


def test_a_ledger_that_cannot_be_told() -> None:
    """Transactions that are mere ids do not say what they do: the local ledger is unknown, the answers are not."""
    head = fold([*opening(V2_2), *received(TX10), head_event("TransactionAppliedToLocalUTxO", tx={"id": "ab" * 32})])
    assert head.local_outputs is None
    assert fates(head.answers())["ab" * 32] is Fate.APPLIED


def test_party_signatures_change_nothing_here() -> None:
    """They are checked for their form; hydra-node writes some of them twice."""
    events = [*opening(V2_2), *requested(V2_2, FIRST, [], [])]
    assert answers(*events, *signed(V2_2, FIRST, 0), *signed(V2_2, FIRST, 0)) == answers(*events)


def test_outputs_tell_what_events_do() -> None:
    """What clients of the oldest releases were told comes to the same answers."""
    told: list[Event] = [
        {"tag": "HeadIsInitializing", "parties": VKEYS},
        {"tag": "HeadIsOpen", "utxo": [1, 2, 3]},
        {"tag": "TxValid", "transaction": TX10},
        {"tag": "TxInvalid", "transaction": TX14, "utxo": [], "validationError": {"reason": "no"}},
        {"tag": "SnapshotConfirmed", "snapshot": FIRST, "signatures": {"multiSignature": []}},
        {"tag": "Greetings", "me": VKEYS[0]},
        {"tag": "HeadIsClosed", "snapshotNumber": 1},
        {"tag": "ReadyToFanout"},
        {"tag": "HeadIsFinalized", "utxo": []},
    ]
    head = HeadFold()
    for output in told:
        for change in parse_output(output):  # type: ignore[arg-type]
            head.apply(change)
    found = head.answers()
    assert (found.status, found.parties) == (Status.FINAL, PARTIES)
    assert fates(found) == {"10": Fate.CONFIRMED, "14": Fate.REJECTED, "11": Fate.CONFIRMED}
