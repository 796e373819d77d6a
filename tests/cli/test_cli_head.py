"""A head as people meet it: run, show, chain and replay, with real processes and hydra's SimpleTx."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.cli.commands import Cli, Process, Start

SIMPLE = ("--chain", "chain.jsonl", "--ledger", "simple", "--json")


def of(name: str) -> tuple[str, str]:
    return ("--config", f"{name}.toml")


def new_tx(number: int, spent: int, made: int) -> str:
    fields = {"tag": "NewTx", "transaction": {"id": number, "inputs": [spent], "outputs": [made]}}
    return json.dumps(fields) + "\n"


def begin(cli: Cli, start: Start) -> dict[str, Process]:
    """alice and bob run a head each on one chain, and it is open."""
    for name in ("alice", "bob"):
        assert cli("init", *of(name)).code == 0
    assert cli("head", "chain", "init", "chain.jsonl", "--simple", "1", "--simple", "2").code == 0
    heads = {name: start("head", "run", *of(name), *SIMPLE, "--stdin") for name in ("alice", "bob")}
    heads["alice"].write('{"tag": "Init", "contestationPeriod": 1}\n')
    for head in heads.values():
        head.until("HeadIsOpen")
    return heads


def answers(cli: Cli, *words: str) -> dict[str, object]:
    return cli("head", "show", *words, "--json").json[0]


def test_pay_be_killed_look_back_and_close(home: Path, cli: Cli, start: Start) -> None:
    """The whole life: what is confirmed survives a kill, any member can tell any head at any position."""
    heads = begin(cli, start)
    heads["alice"].write(new_tx(1, 1, 3))
    heads["bob"].until('"SnapshotConfirmed"')
    heads["bob"].write(new_tx(2, 3, 4))
    heads["bob"].write(new_tx(3, 1, 9))
    heads["bob"].until('"CommandFailed"')
    assert "was spent by" in heads["bob"].seen[-1]
    for head in (heads["alice"], heads["alice"], heads["bob"]):
        head.until('"SnapshotConfirmed"')

    before = answers(cli, *of("bob"))
    heads["bob"].signal(signal.SIGKILL)
    heads["bob"].wait()
    assert answers(cli, *of("bob")) == before
    assert before["snapshot"]["number"] == 2  # type: ignore[index]  # JSON
    assert len(before["snapshot"]["signed_by"]) == 2  # type: ignore[index]  # JSON
    heads["bob"] = start("head", "run", *of("bob"), *SIMPLE, "--stdin")
    greetings = json.loads(heads["bob"].until('"greetings"'))
    assert greetings["snapshot"] == before["snapshot"]
    assert greetings["transactions"] == before["transactions"]

    heads["bob"].write('{"tag": "Close"}\n')
    heads["alice"].until("ReadyToFanout")
    heads["alice"].write('{"tag": "Fanout"}\n')
    for head in heads.values():  # all of them first: what one tells is stable only while the other runs
        head.until("HeadIsFinalized")
    for head in heads.values():
        head.signal(signal.SIGTERM)
        assert head.wait() == 0

    shown = cli("head", "show", *of("alice"))
    assert "status        final" in shown.out
    assert "signed by 2 of 2 parties" in shown.out
    own, foreign = answers(cli, *of("alice")), answers(cli, *of("bob"), "--of", "alice")
    assert own | {"next_seq": 0} == foreign | {"next_seq": 0}
    at = cli("head", "show", *of("bob"), "--of", "alice", "--at", "3")
    assert "status        idle" in at.out

    for name in ("alice", "bob"):
        checked = cli("replay", *of(name), "--check", "--json")
        assert (checked.code, checked.json[0]["difference"]) == (0, None)
        elsewhere = cli("replay", *of("bob" if name == "alice" else "alice"), name, "--json")
        assert elsewhere.json[0]["state_hash"] == checked.json[0]["state_hash"]
    assert "leave out --check" in cli("replay", *of("bob"), "alice", "--check").err


def test_a_snapshot_is_taken_from_one_node_to_another_by_hand(home: Path, cli: Cli, start: Start) -> None:
    """What `head snapshot` prints is what a head takes, as it is, and only whole."""
    heads = begin(cli, start)
    heads["alice"].write(new_tx(1, 1, 3))
    for head in heads.values():
        head.until('"SnapshotConfirmed"')
    line = cli("head", "snapshot", *of("alice")).out
    assert cli("head", "snapshot", *of("bob")).out == line
    assert line.count("\n") == 1
    heads["bob"].write(line)
    assert json.loads(heads["bob"].until('"SnapshotSideLoaded"'))["number"] == 1
    command = json.loads(line)
    command["snapshot"]["outputs"].pop()
    heads["bob"].write(json.dumps(command) + "\n")
    assert "another snapshot 1 than ours" in heads["bob"].until('"CommandFailed"')
    for head in heads.values():
        head.signal(signal.SIGTERM)
        assert head.wait() == 0


def test_mistakes_are_named(home: Path, cli: Cli, start: Start) -> None:
    """Each wrong call or line says what is wrong, and what would be right; the head goes on."""
    result = cli("head", "run", *of("alice"), "--chain", "none.jsonl")
    assert (result.code, "none.jsonl" in result.err) == (2, True)
    assert cli("init", *of("alice")).code == 0
    result = cli("head", "show", *of("alice"))
    assert (result.code, "hydra-sync head run" in result.err) == (2, True)
    result = cli("replay", *of("alice"))
    assert (result.code, "no machine" in result.err) == (2, True)
    assert cli("head", "chain", "init", "chain.jsonl", "--output", "xx=yy").code == 2
    assert cli("head", "chain", "init", "chain.jsonl", "--simple", "1").code == 0
    assert cli("head", "chain", "rollback", "chain.jsonl", "1").code == 2
    for position in ("x", "1/x", "99"):
        result = cli("head", "show", *of("alice"), "--at", position)
        assert result.code == 2, result
    assert cli("init", *of("bob")).code == 0
    head = start("head", "run", *of("alice"), *SIMPLE, "--stdin")
    start("run", *of("bob"))
    head.until('"greetings"')
    for line, words in (
        ("garbage", "InvalidInput"),
        ('{"tag": "Init", "contestationPeriod": 1e400}', "InvalidInput"),
        ('{"tag": "NewTx", "transaction": {"id": 1, "inputs": [1.5], "outputs": [2]}}', "InvalidInput"),
        ('{"tag": "Dance"}', "tags are Init"),
        ('{"tag": "Close"}', "the head is idle"),
        ('{"tag": "NewTx", "transaction": {"cborHex": "zz"}}', "InvalidInput"),
        ('{"tag": "NewTx", "transaction": {"cborHex": "00"}}', "the head is idle"),
    ):
        head.write(f"{line}\n")
        head.until(words)
    head.signal(signal.SIGTERM)
    assert head.wait() == 0


def test_a_chain_rolls_back_and_the_head_with_it(home: Path, cli: Cli, start: Start) -> None:
    """A close that did not happen: the head is open again, and what was confirmed is still there."""
    heads = begin(cli, start)
    heads["alice"].write(new_tx(1, 1, 3))
    for head in heads.values():
        head.until('"SnapshotConfirmed"')
    heads["bob"].write('{"tag": "Close"}\n')
    for head in heads.values():
        head.until("ReadyToFanout")
    assert cli("head", "chain", "rollback", "chain.jsonl", "2").code == 0
    for head in heads.values():
        assert '"headStatus": "open"' in head.until("ChainRolledBack")
    heads["bob"].write(new_tx(2, 3, 4))
    heads["alice"].until('"SnapshotConfirmed"')
    for head in heads.values():
        head.signal(signal.SIGTERM)
        assert head.wait() == 0
    assert answers(cli, *of("alice"))["status"] == "open"
