"""The demonstration of a head, with real processes; and its judge, which must see what is wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from hydra_sync.demo.head_clients import Client, HeadNode
from hydra_sync.demo.head_verdict import comparable_json
from hydra_sync.demo.naive import Naive, apply_all, outputs_hash
from hydra_sync.demo.processes import NodeProcess
from hydra_sync.demo.wallets import again, generate, onward, read_wallets
from hydra_sync.errors import UsageError
from hydra_sync.head import UtxoLedger
from hydra_sync.head.ledger import Outputs, judged
from hydra_sync.identity import SigningKey
from hydra_sync.machine import Command, Decided, Heard, Place, Record

PATIENCE_S = 240.0
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
DEMO = [sys.executable, "-m", "hydra_sync", "head", "demo"]
LEDGER = UtxoLedger()


async def test_a_short_run(tmp_path: Path) -> None:
    """Every transaction is confirmed, each node was killed and came back the same, what is wrong was rejected."""
    command = [*DEMO, "--count", "12", "--json", "--dir", str(tmp_path / "demo")]
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    outcome = json.loads(done.stdout)
    assert (outcome["good"], outcome["figures"]["confirmed"]) == (True, 36)
    assert sorted(kill["node"] for kill in outcome["verdict"]["kills"]) == ["alice", "bob", "carol"]
    assert [kill["problem"] for kill in outcome["verdict"]["kills"]] == [None] * 3
    assert any(kill["unconfirmed"] for kill in outcome["verdict"]["kills"])
    reasons = dict(outcome["rejected"])
    assert "is confirmed" in reasons["a double spend of what is confirmed"]
    assert "is no signature" in reasons["a bad witness"]
    assert "malformed" in reasons["half a transaction"]
    assert "spent by" in reasons["one of two that spend one output"]
    for name in ("alice", "bob", "carol"):
        check = [
            sys.executable,
            "-m",
            "hydra_sync",
            "replay",
            "--check",
            "--config",
            str(tmp_path / "demo" / f"{name}.toml"),
        ]
        done = await trio.run_process(check, capture_stdout=True, capture_stderr=True, env=ENVIRONMENT, check=False)
        assert (done.returncode, b"Good" in done.stdout) == (0, True), done.stdout + done.stderr


def test_generated_transactions_are_valid_and_the_others_conflict() -> None:
    """What clients pay with passes the ledger; what must be rejected is valid but for what it spends."""
    wallets = generate(3)
    outputs = Outputs.opening((ref, LEDGER.read_output(data)) for ref, data in wallets.outputs)
    for transactions in wallets.transactions:
        for data in transactions:
            transaction = LEDGER.read(data)
            assert LEDGER.witnessed(transaction) is None
            assert judged(LEDGER, outputs, transaction) is None
            outputs = outputs.after([transaction])
    double = LEDGER.read(again(wallets.keys[0], wallets.transactions[0][0], fee=1))
    assert judged(LEDGER, outputs, double) is not None
    assert LEDGER.witnessed(double) is None
    one, other = (LEDGER.read(onward(wallets.keys[0], wallets.transactions[0][-1], fee=fee)) for fee in (1, 2))
    assert (one.inputs, one.id == other.id) == (other.inputs, False)
    assert judged(LEDGER, outputs, one) is None
    assert judged(LEDGER, outputs.after([one]), other) is not None


def test_the_dataset_leads_to_the_same_outputs_by_both_ways(hydra_data: Path) -> None:
    """Hydra's real transactions: the ledger's outputs, and those of the second fold."""
    wallets = read_wallets(hydra_data / "3-nodes.json")
    assert [len(transactions) for transactions in wallets.transactions] == [300] * 3
    listed = [data for transactions in wallets.transactions for data in transactions]
    outputs = Outputs.opening((ref, LEDGER.read_output(data)) for ref, data in wallets.outputs)
    outputs = outputs.after([LEDGER.read(data) for data in listed])
    assert outputs.hash().hex() == outputs_hash(apply_all(wallets.outputs, listed))
    with pytest.raises(KeyError):
        apply_all(wallets.outputs, [*listed, listed[0]])


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("", "{}", '{"clientDatasets": []}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="is no dataset"):
            read_wallets(path)


PLACE = Place(SigningKey(bytes(32)).member, 1, 0, bytes(32))
TX = generate(2).transactions[0]
IDS = [LEDGER.read(data).id for data in TX]
HISTORY: tuple[Record, ...] = (
    Command(("Observed", (1, b"b"), ("HeadOpened", b"h", (PLACE.log,), 10, ())), 0),
    Decided(("Followed", "HeadOpened", b"h", "open", 1, b"b")),
    Heard(PLACE, ("ReqTx", b"h", TX[0]), 0),
    Decided(("TxApplied", b"h", IDS[0])),
    Heard(PLACE, ("ReqTx", b"h", TX[1]), 0),
    Decided(("TxWaiting", b"h", IDS[1], "why")),
    Heard(PLACE, ("ReqSn", b"h", 0, 1, (IDS[0],)), 0),
    Decided(("SnapshotRequested", b"h", 0, 1, b"")),
)


def test_the_second_fold_tells_what_became_of_each_transaction() -> None:
    """In flight once requested, confirmed with its snapshot; nothing that is in flight is lost."""
    naive = Naive()
    for record in HISTORY:
        naive.take(record)
    assert naive.answers() == {
        "status": "open",
        "parties": [PLACE.log.hex()],
        "snapshot": [0, []],
        "transactions": dict(sorted({IDS[0].hex(): "in flight", IDS[1].hex(): "waiting"}.items())),
    }
    naive.take(Decided(("SnapshotConfirmed", b"h", 0, 1)))
    assert naive.answers()["snapshot"] == [1, [IDS[0].hex()]]
    assert naive.fates[IDS[0].hex()] == "confirmed"


@pytest.mark.parametrize("spoil", [lambda g: g["snapshot"].update(number=2), lambda g: g["transactions"].pop()])
def test_a_head_that_comes_back_with_other_answers_is_seen(spoil: Callable[[dict[str, object]], object]) -> None:
    """What is compared differs where an answer does."""
    greetings: dict[str, object] = {
        "status": "open",
        "parties": ["a"],
        "snapshot": {"number": 1, "transactions": ["t"]},
        "transactions": [{"id": "t", "fate": "confirmed"}],
    }
    before = comparable_json(greetings)
    spoil(greetings)
    assert comparable_json(greetings) != before


async def test_a_node_tells_its_clients_what_became_of_their_transactions() -> None:
    """Confirmations count once; refusals are found by id or by bytes."""
    node = HeadNode("alice")
    node.take("alice", {"event": "greetings", "status": "open", "transactions": [{"id": "t", "fate": "confirmed"}]})
    node.take("alice", {"tag": "SnapshotConfirmed", "number": 2, "utxoHash": "u", "confirmed": ["t", "v"]})
    node.take("alice", {"tag": "TxInvalid", "transactionId": "w", "validationError": {"reason": "spent"}})
    command = {"transaction": {"cborHex": "84"}}
    node.take("alice", {"tag": "CommandFailed", "clientInput": command, "reason": "malformed"})
    assert (list(node.confirmed), node.refused) == (["t", "v"], {"w": "spent", "84": "malformed"})


class Swallowing:
    """Stands in for a node's process: what is sent to it is written down."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def send(self, line: str) -> None:
        await trio.lowlevel.checkpoint()
        self.lines.append(line)


@pytest.mark.parametrize(("count", "window"), [(10, 4), (100, 25), (1000, 100)])
async def test_a_client_has_a_part_of_its_transactions_on_their_way(count: int, window: int) -> None:
    """Never all at once; what it holds back comes when it is told to, so that there is something to be killed in."""
    node, process = HeadNode("alice"), Swallowing()
    node.take("alice", {"event": "greetings", "status": "open", "transactions": []})
    client = Client(node, cast("NodeProcess", process), {str(number): b"" for number in range(count)})
    client.hold()

    async def confirm(ids: list[str]) -> None:
        node.take("alice", {"tag": "SnapshotConfirmed", "number": 1, "utxoHash": "u", "confirmed": ids})
        await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        await trio.testing.wait_all_tasks_blocked()
        assert len(process.lines) == len(client.unconfirmed) == window
        while client.unconfirmed:
            await confirm(client.unconfirmed)
        assert client.confirmed == count - window
        client.release()
        await trio.testing.wait_all_tasks_blocked()
        assert len(client.unconfirmed) == window
        await confirm(client.unconfirmed)
    assert client.is_done


class Dead(Swallowing):
    """A process that is killed while something is sent to it: as `NodeProcess`, it never returns then."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = True

    async def send(self, line: str) -> None:
        if not self.alive:
            await trio.sleep_forever()
        await super().send(line)


async def test_a_client_goes_on_after_a_kill_in_the_middle_of_a_submission() -> None:
    """What was being sent is sent to the process that comes back."""
    node, process = HeadNode("alice"), Dead()
    greetings = {"event": "greetings", "status": "open", "transactions": []}
    node.take("alice", greetings)
    client = Client(node, cast("NodeProcess", process), {str(number): b"" for number in range(8)})
    process.alive = False
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            await trio.testing.wait_all_tasks_blocked()
            node.killed()
            client.interrupt()
            await trio.testing.wait_all_tasks_blocked()
            assert process.lines == []
            process.alive = True
            node.take("alice", greetings)
            await trio.testing.wait_all_tasks_blocked()
            assert len(process.lines) == client.window
            ids = list(client.transactions)
            node.take("alice", {"tag": "SnapshotConfirmed", "number": 1, "utxoHash": "u", "confirmed": ids})
