"""run, follow and fetch as people use them: processes, real sockets, signals, pipes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from hydra_sync import Seams, SeqRange
from hydra_sync.cli.node_output import NodeOutput
from hydra_sync.cli.output import open_writers
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope
from tests.cli.commands import ENVIRONMENT, PATIENCE_S, Cli, Start, fill, free_port
from tests.node.network import NetworkMaker, until
from tests.node.test_disk_trouble import TroubledDisk

run_module = importlib.import_module("hydra_sync.cli.run")  # the package has its command under this name

ALICE = ("--config", "alice.toml")
BOB = ("--config", "bob.toml")


def test_two_nodes_and_everything_beside_them(cli: Cli, start: Start, home: Path) -> None:
    """Lines are acknowledged and replicated; follow, read, status, verify and fetch work meanwhile and disturb
    nobody; append refuses; a signal stops the nodes cleanly."""
    text = Path("bob.toml").read_text()
    first_address = next(line for line in text.splitlines() if line.startswith("address"))
    Path("bob.toml").write_text(text.replace(first_address, "", 1))  # only alice dials: no two sessions that cross
    assert cli("init", *ALICE).code == cli("init", *BOB).code == 0
    alice = start("run", *ALICE, "--stdin", "--replicas", "1")
    alice.until("alice runs in network test at 127.0.0.1:")
    alice.until("cannot reach bob: 127.0.0.1")
    bob = start("run", *BOB, "--json")
    assert json.loads(bob.until('"ready"'))["node"] == "bob"
    bob.until('"connected"')
    alice.until("connected to bob")
    alice.write("one\ntwo\n")
    alice.until("appended 1")
    follower = start("follow", *BOB, "alice", "--json")
    assert json.loads(follower.until('"seq": 1'))["value"] == "two"
    alice.write("three\n")
    assert json.loads(follower.until('"seq": 2'))["value"] == "three"

    assert [event["value"] for event in cli("read", *BOB, "alice", "--json").json] == ["one", "two", "three"]
    assert "process" in str(cli("status", *BOB, "--json").json[0]["held_by"])
    assert cli("verify", *BOB).code == 0
    refused = cli("append", *ALICE, "four")
    assert (refused.code, "hydra-sync run --stdin" in refused.err) == (2, True)

    # From alice, from her relay bob, and by address; with the key of alice, whose node runs.
    fetched = cli("fetch", *ALICE, "alice", "0", "3", "--output", "a.log", "--json")
    assert fetched.json == [{"log": "alice", "start": 0, "stop": 3, "file": "a.log"}]
    done = cli("fetch", *ALICE, "--from", "bob", "alice", "1", "2", "--output", "b.log")
    assert "look at it with: hydra-sync verify b.log --log alice --config alice.toml" in done.out
    address = next(line.split('"')[1] for line in Path("bob.toml").read_text().splitlines() if "listen" in line)
    assert cli("fetch", *ALICE, "--from", address, "alice", "0", "3", "--output", "c.log").code == 0
    assert Path("a.log").read_bytes() == Path("c.log").read_bytes()
    for file, events in (("a.log", 3), ("b.log", 2)):
        report = cli("verify", file, *ALICE, "--log", "alice", "--json").json[0]
        logs = report["logs"]
        assert isinstance(logs, list)
        assert (report["good"], logs[0]["next_seq"], logs[0]["events"] <= events) == (True, logs[0]["next_seq"], True)

    exists = cli("fetch", *ALICE, "alice", "0", "3", "--output", "a.log")
    assert (exists.code, "a.log exists" in exists.err) == (2, True)
    beyond = cli("fetch", *ALICE, "--from", "bob", "alice", "2", "9", "--output", "d.log")
    assert (beyond.code, "cannot supply events [3, 9) of alice" in beyond.err) == (4, True)
    assert "in d.log.part" in beyond.err
    nothing = cli("fetch", *ALICE, "--from", "bob", "alice", "7", "9", "--output", "e.log")
    assert (nothing.code, Path("e.log.part").exists()) == (4, False)
    nowhere = cli("fetch", *ALICE, "--from", "bob", "alice", "0", "3", "--output", "no/where.log")
    assert (nowhere.code, "choose another --output" in nowhere.err) == (2, True)

    alice.write("four\n")
    alice.until("appended 3")
    follower.signal(signal.SIGINT)
    assert follower.wait() == 0
    for node in (bob, alice):
        node.signal(signal.SIGINT if node is bob else signal.SIGTERM)
        assert node.wait() == 0
    # The tools came and went, and the one session between the nodes stayed up until bob stopped.
    assert sum("connected to bob" in line and "tool" not in line for line in alice.seen) == 1
    assert [line for line in alice.seen if line.startswith("lost bob") and "stopped" not in line] == []


def test_standard_input_that_ends(cli: Cli, start: Start, home: Path) -> None:
    """The node goes on, or stops if told so; a last line without an end counts."""
    assert cli("init", *ALICE).code == 0
    alice = start("run", *ALICE, "--stdin")
    alice.write("one\ntwo")
    alice.end_input()
    alice.until("the node goes on until Ctrl-C")
    alice.signal(signal.SIGINT)
    assert alice.wait() == 0
    again = start("run", *ALICE, "--stdin", "--stop-at-end", "--json", "--format", "json")
    again.write('{"n": 3}\n')
    again.end_input()
    assert again.wait() == 0
    assert json.loads(next(line for line in again.seen if "appended" in line)) == {"event": "appended", "seq": 2}
    assert [event["value"] for event in cli("read", *ALICE, "alice", "--json").json] == ["one", "two", {"n": 3}]


def test_a_line_that_is_no_value(cli: Cli, start: Start, home: Path) -> None:
    """It is named by its number, and the lines before it are appended."""
    assert cli("init", *ALICE).code == 0
    alice = start("run", *ALICE, "--stdin", "--format", "json")
    alice.write("1\n2\n{\n4\n")
    alice.until("hydra-sync: line 3 of standard input: '{' is not JSON")
    assert alice.wait() == 2
    assert len(cli("read", *ALICE, "alice", "--json").json) == 2
    again = start("run", *ALICE, "--stdin", "--format", "json")
    again.write('3\n"\\ud800"\n')
    assert "the lines before it are appended" in again.until("line 2 of standard input: '\"\\\\ud800\"': this value")
    assert again.wait() == 2
    assert len(cli("read", *ALICE, "alice", "--json").json) == 3


def test_a_reader_that_leaves(cli: Cli, home: Path) -> None:
    """As in `| head -1`: read and run end quietly, and the store stays whole."""
    assert cli("init", *ALICE).code == 0
    assert cli("append", *ALICE, *(f"{n:0100}" for n in range(2000))).code == 0
    for words in ("read --config alice.toml alice", "run --config alice.toml --stdin --json"):
        command = f"(yes | head -n 5000) | {sys.executable} -m hydra_sync {words} | head -n 1"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.stderr.replace("yes: standard output: Broken pipe\n", ""), len(done.stdout.splitlines())) == (
            "",
            1,
        )
    assert cli("verify", *ALICE).code == 0


def test_a_reader_that_does_not_read(cli: Cli, start: Start, home: Path) -> None:
    """A node whose output is stuck replicates, and ends on a signal, all the same."""
    assert cli("init", *ALICE).code == cli("init", *BOB).code == 0
    read_end, write_end = os.pipe()
    fill(write_end)
    command = [sys.executable, "-m", "hydra_sync", "run", *BOB, "--json"]
    with subprocess.Popen(command, stdout=write_end, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as bob:
        alice = start("run", *ALICE, "--stdin", "--replicas", "1")
        for n in range(20):
            alice.write(f"{n}\n")
            alice.until(f"appended {n}")
        bob.send_signal(signal.SIGTERM)
        assert bob.wait(10) == 0
    os.close(read_end)
    os.close(write_end)
    assert len(cli("read", *BOB, "alice", "--json").json) == 20


def test_a_slow_reader_gets_every_acknowledgement(cli: Cli, home: Path) -> None:
    """Standard input ends, and the node stops, but not before they are read."""
    assert cli("init", *ALICE).code == 0
    command = f"seq 30000 | {sys.executable} -m hydra_sync run --config alice.toml --stdin --stop-at-end"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | (sleep 4; cat)"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout.splitlines() == [f"appended {seq}" for seq in range(30000)]


async def test_lines_wait_for_room_on_the_disk(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The node goes on, says once which lines wait and why, and appends them in order when it can."""
    monkeypatch.setattr(run_module, "FULL_RETRY_S", 0.01)
    read_end, write_end = os.pipe()
    disk = TroubledDisk()
    lines = run_module._Lines("text", replicas=0, stop_at_end=True)
    with os.fdopen(read_end) as stdin, trio.fail_after(PATIENCE_S):
        monkeypatch.setattr("sys.stdin", stdin)
        async with make_network("alice").node("alice", seams=Seams(disk=disk)) as alice:
            output = NodeOutput(alice.config, as_json=False)
            async with open_writers((output.out, output.err)), trio.open_nursery() as nursery:
                nursery.start_soon(run_module._append_lines, alice, lines, output, trio.CancelScope())
                os.write(write_end, b"one\ntwo\n")
                await until(lambda: run_module._next_seq(alice) == 2)
                disk.full = True
                long = [letter * 60_000 for letter in "abcdefgh"]  # more than what was set aside for the log
                text = "".join(f"{line}\n" for line in long).encode()
                nursery.start_soon(trio.to_thread.run_sync, _write_and_close, write_end, text)
                await trio.sleep(0.5)
                assert run_module._next_seq(alice) < 10
                disk.full = False
            values = [event.value async for event in alice.read("alice", SeqRange(0, 10))]
    assert values == ["one", "two", *long]
    out, err = capfd.readouterr()
    assert out.splitlines() == [f"appended {seq}" for seq in range(10)]
    told = [line for line in err.splitlines() if "not appended" in line]
    assert len(told) == 1
    assert "of standard input" in told[0]
    assert "no room left on the disk" in told[0]


def _write_and_close(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def test_a_full_output(cli: Cli, home: Path) -> None:
    """Output that cannot be written is an error, said in one line."""
    assert cli("init", *ALICE).code == cli("append", *ALICE, "x").code == 0
    command = [sys.executable, "-m", "hydra_sync", "read", *ALICE, "alice"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE_S, env=ENVIRONMENT
        )
    assert done.returncode == 5
    assert done.stderr == "hydra-sync: No space left on device\n"


def test_another_network_is_told_on_both_sides_once(cli: Cli, start: Start, home: Path) -> None:
    """The same members under another network's name: both nodes say so, once, however often they try."""
    text = Path("bob.toml").read_text()
    Path("bob.toml").write_text(text.replace('network = "test"', 'network = "other"'))
    assert cli("init", *ALICE).code == cli("init", *BOB).code == 0
    alice, bob = start("run", *ALICE), start("run", *BOB)
    for node in (alice, bob):
        node.until("runs in network")
        while "in network" not in (line := node.until("")) and "wrong network" not in line:
            pass
    done = cli("fetch", *ALICE, "--from", "bob", "bob", "0", "1", "--output", "x.log")
    assert done.code == 4
    assert "network" in done.err
    for node in (alice, bob):
        node.signal(signal.SIGINT)
        assert node.wait() == 0
        told = [line for line in node.seen if "network" in line and ("cannot reach" in line or "turned away" in line)]
        assert told
        assert len(told) == len(set(told))
        assert not any(line.startswith(("connected", "lost")) for line in node.seen if "tool" not in line)


def test_an_unknown_key_is_told_on_both_sides(cli: Cli, start: Start, home: Path) -> None:
    """mallory has alice on her list, and is on nobody's."""
    mallory = SigningKey(b"m" * 32)
    (home / "mallory.sk").write_text(signing_envelope(mallory))
    (home / "mallory.vk").write_text(verification_envelope(mallory.member))
    text = Path("bob.toml").read_text().replace("bob.sk", "mallory.sk").replace("bob.vk", "mallory.vk")
    text = text.replace('"bob"', '"mallory"')
    listens = next(line for line in text.splitlines() if line.startswith("listen"))
    Path("mallory.toml").write_text(text.replace(listens, f'listen = "127.0.0.1:{free_port()}"'))
    assert cli("init", *ALICE).code == cli("init", "--config", "mallory.toml").code == 0
    alice = start("run", *ALICE)
    alice.until("alice runs")
    stranger = start("run", "--config", "mallory.toml")
    assert "key" in stranger.until("cannot reach alice: the other side")
    alice.until("turned away 127.0.0.1: the other side's key belongs to no member of this network")
    done = cli("fetch", "--config", "mallory.toml", "alice", "0", "1", "--output", "x.log")
    assert done.code == 4
    assert "key" in done.err
    nobody = cli("fetch", *ALICE, "--from", "bob", "alice", "0", "1", "--output", "x.log")
    assert (nobody.code, "cannot be reached" in nobody.err) == (4, True)
    other = cli("fetch", *BOB, "--from", "127.0.0.1:99999", "alice", "0", "1", "--output", "x.log")
    assert other.code == 2


def test_fetch_of_an_empty_range(cli: Cli, home: Path) -> None:
    """Before anybody is dialed."""
    done = cli("fetch", *ALICE, "alice", "3", "3", "--output", "x.log")
    assert (done.code, "STOP must be above START" in done.err) == (2, True)


def test_fetch_from_a_member_without_address(cli: Cli, home: Path) -> None:
    """It names the option that helps."""
    lines = Path("alice.toml").read_text().splitlines()
    Path("alice.toml").write_text("\n".join(line for line in lines if not line.startswith("address")))
    done = cli("fetch", *ALICE, "--from", "bob", "alice", "0", "3", "--output", "x.log")
    assert (done.code, "name one with --from HOST:PORT" in done.err) == (2, True)
