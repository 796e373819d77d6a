"""Lost disks as people meet them: run, recover, explain and status with real processes (issue: recovery, 3)."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hydra_sync.cli.recover import _Recovery
from hydra_sync.config import load_config
from hydra_sync.demo.processes import prepare
from tests.cli.commands import PATIENCE_S, Cli, Process, Start, flip

NAMES = ("alice", "bob", "carol")


@pytest.fixture
def trio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with keys and configurations of three members who prove their starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_SYNC_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    prepare(tmp_path, NAMES)
    return tmp_path


def of(name: str) -> tuple[str, str]:
    return ("--config", f"{name}.toml")


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def values(cli: Cli, name: str, log: str) -> list[object]:
    return [event["value"] for event in cli("read", *of(name), log, "--json").json]


def tips(cli: Cli, name: str, log: str) -> object:
    logs = cli("status", *of(name), "--json").json[0]["logs"]
    assert isinstance(logs, list)
    return next((entry["epoch"], entry["next_seq"], entry["hash"]) for entry in logs if entry["alias"] == log)


def begin(cli: Cli, start: Start) -> dict[str, Process]:
    """All three run, and carol has three events."""
    for name in NAMES:
        assert cli("init", *of(name)).code == 0
    nodes = {name: start("run", *of(name), "--stdin", "--replicas", "2") for name in NAMES}
    nodes["carol"].write("one\ntwo\nthree\n")
    nodes["carol"].until("appended 3")
    return nodes


def stop(node: Process, code: int = 0) -> None:
    node.signal(signal.SIGTERM)
    assert node.wait() == code


def test_a_lost_store_is_recovered(cli: Cli, start: Start, trio_home: Path) -> None:
    """run refuses and names recover; recover brings back every stable event and says so; appending goes on in a
    new epoch that the others accept; a second process with the key ends the first, which says why."""
    nodes = begin(cli, start)
    nodes["carol"].signal(signal.SIGKILL)
    assert nodes["carol"].wait() == -signal.SIGKILL
    shutil.rmtree("carol")
    refused = cli("run", *of("carol"))
    assert refused.code == 2
    assert "hydra-sync init" in refused.err
    assert "hydra-sync recover" in refused.err
    assert not Path("carol").exists()

    done = start("recover", *of("carol"))
    assert done.wait() == 0
    told = "\n".join(done.seen)
    assert "its own log: events [0, 5) are here, fetched 4 events of its own log" in told
    assert "its own log: epoch 2 has begun" in told
    assert "alice's log: events [0, 1) are here, fetched 1 event" in told
    assert "recovered. Go on with: hydra-sync run --config carol.toml" in told
    assert "NOT" not in told
    assert not Path("carol/status.json").exists()
    assert values(cli, "carol", "carol") == ["one", "two", "three"]

    carol = start("run", *of("carol"), "--stdin", "--replicas", "2")
    carol.write("four\n")
    carol.until("appended 6")
    for name in ("alice", "bob"):
        assert values(cli, name, "carol") == ["one", "two", "three", "four"]

    carol.copy_store("carol", "twin")
    twin = start("run", *of("carol"), "--persistence-dir", "twin", "--listen", "127.0.0.1:0", "--stdin")
    twin.write("of the younger\n")
    twin.until("appended 8")
    carol.until("another process has our key")
    assert carol.wait() == 5
    assert any("another process with the same key" in line for line in carol.seen)
    until(lambda: tips(cli, "alice", "carol") == tips(cli, "bob", "carol"))
    for name in ("alice", "bob"):
        until(lambda name=name: values(cli, name, "carol")[-1] == "of the younger")  # type: ignore[misc]
        assert cli("verify", *of(name)).code == 0
    for node in (twin, nodes["alice"], nodes["bob"]):
        stop(node)


def test_an_init_over_a_lost_store(cli: Cli, start: Start, trio_home: Path) -> None:
    """It is recognised, and ends as recover does."""
    nodes = begin(cli, start)
    stop(nodes["carol"])
    shutil.rmtree("carol")
    assert cli("init", *of("carol")).code == 0
    carol = start("run", *of("carol"), "--stdin", "--replicas", "2")
    carol.until("others hold our own log")
    carol.write("four\n")
    carol.until("appended 5")
    for name in NAMES:
        assert values(cli, name, "carol") == ["one", "two", "three", "four"]
    for node in (carol, nodes["alice"], nodes["bob"]):
        stop(node)


def test_recovery_that_waits_says_for_whom(cli: Cli, start: Start, trio_home: Path) -> None:
    """With bob away: code 4 names him and how to go on; explain says the same; without him, by the operator's
    word, it ends, and warns of what may be lost."""
    nodes = begin(cli, start)
    stop(nodes["carol"])
    stop(nodes["bob"])
    shutil.rmtree("carol")
    late = cli("recover", *of("carol"), "--timeout", "3")
    assert late.code == 4
    assert "not recovered within 3 s" in late.err
    assert "promised by alice; needs bob (not connected: " in late.err
    assert "hydra-sync recover --accept-loss --without MEMBER" in late.err
    assert "hydra-sync recover --config carol.toml" in late.err
    assert "the node does not run" in cli("explain", *of("carol")).out

    waiting = start("run", *of("carol"))
    waiting.until("needs bob (not connected")
    until(lambda: "running" in (said := cli("explain", *of("carol"), "--json").json[0]) and said["running"] is True)
    explained = cli("explain", *of("carol")).out
    assert "starting: asks for epoch" in explained
    assert "amnesiac for bob's log: has 1, waits for bob to be back (not connected" in explained
    status = cli("status", *of("carol"), "--json").json[0]
    assert status["live"]["start"]["waiting"] == ["bob"]
    states = {log["alias"]: log["state"] for log in status["logs"]}
    assert (states["bob"], states["carol"]) == ("amnesiac", "amnesiac")
    stop(waiting)

    done = start("recover", *of("carol"), "--accept-loss", "--without", "bob", "--json")
    assert done.wait() == 0
    lines = [json.loads(line) for line in done.seen]
    assert "WARNING: going on without bob" in lines[0]["words"][0]
    report = lines[-1]
    assert (report["event"], report["without"]) == ("recovered", ["bob"])
    assert {log["log"]: log["stop"] for log in report["logs"]} == {"alice": 1, "bob": 1, "carol": 5}
    assert values(cli, "alice", "carol") == ["one", "two", "three"]

    again = start("run", *of("carol"), "--accept-loss", "--without", "bob", "--stdin")
    again.until("WARNING: going on without bob")
    again.write("four\n")
    again.until("appended 6")
    until(lambda: values(cli, "alice", "carol") == ["one", "two", "three", "four"])
    stop(again)
    stop(nodes["alice"])


@pytest.mark.parametrize(
    ("names", "lost", "flags"),
    [
        (NAMES, (), ""),
        (NAMES, ("bob",), " --accept-loss --without bob"),
        ((*NAMES, "dave"), ("bob",), ""),
        ((*NAMES, "dave"), ("bob", "dave"), " --accept-loss --without bob --without dave"),
    ],
)
def test_the_way_on_is_one_that_does_not_wait(
    trio_home: Path, names: tuple[str, ...], lost: tuple[str, ...], flags: str
) -> None:
    """Where too few members are left to grant a start, the run that is named goes without the same members."""
    prepare(trio_home, names)
    config = load_config(trio_home / "carol.toml")
    job = _Recovery(config, tuple(map(config.find, lost)), as_json=False, options="--config carol.toml")
    assert job._go_on("run") == f"Go on with: hydra-sync run --config carol.toml{flags}"


def test_a_start_of_a_new_network_that_waits(cli: Cli, start: Start, trio_home: Path) -> None:
    """run says after a while that all members have to be there, and explain and status beside it too."""
    for name in NAMES:
        assert cli("init", *of(name)).code == 0
    alice = start("run", *of("alice"), "--stdin")
    alice.write("one\n")
    assert "needs all of" in alice.until("starting: ")
    alice.until("a new network begins when all its members are there")
    assert "a new network begins" in cli("explain", *of("alice")).out
    assert "founding" in cli("status", *of("alice")).out
    others = [start("run", *of(name)) for name in ("bob", "carol")]
    alice.until("epoch 1 of our own log has begun")
    alice.until("appended 1")
    until(lambda: "appends to its own log, in epoch 1" in cli("explain", *of("alice")).out)
    alice.signal(signal.SIGKILL)
    alice.wait()
    assert Path("alice/status.json").exists()  # stale, and not believed
    assert "the node does not run" in cli("explain", *of("alice")).out
    for node in others:
        stop(node)


def test_damaged_store_files_are_made_again(cli: Cli, start: Start, trio_home: Path) -> None:
    """store.toml from the configuration, the logs kept; what cannot be opened is moved aside, whole."""
    nodes = begin(cli, start)
    stop(nodes["carol"])
    flip(Path("carol/store.toml"), 40)
    assert "hydra-sync recover" in cli("run", *of("carol")).err
    done = start("recover", *of("carol"))
    assert done.wait() == 0
    assert any(line.startswith("made store.toml again from the configuration") for line in done.seen)
    assert any("its own log: events [0, 5) are here, none had to be fetched" in line for line in done.seen)

    flip(next(Path("carol/logs").glob("*/standing.cbor")), 40)
    assert "hydra-sync recover" in cli("run", *of("carol")).err
    mended = start("recover", *of("carol"))
    assert mended.wait() == 0
    assert any("again, as that of a node that forgot" in line for line in mended.seen)

    Path("carol/logs", "ab" * 32).mkdir()
    again = start("recover", *of("carol"))
    assert again.wait() == 0
    assert any("moved what cannot be opened to" in line for line in again.seen)
    assert Path("carol.unusable-1/logs", "ab" * 32).exists()
    assert values(cli, "carol", "carol") == ["one", "two", "three"]
    for name in ("alice", "bob"):
        stop(nodes[name])


def test_damaged_logs_are_fetched_anew(cli: Cli, start: Start, trio_home: Path) -> None:
    """What verify finds, recover mends: of its own log, and of another member's, which waits for that."""
    nodes = begin(cli, start)
    stop(nodes["carol"])
    for log in Path("carol/logs").iterdir():
        (segment,) = log.glob("*.log")
        flip(segment, 100)
    said = cli("verify", *of("carol"))
    assert said.code == 3
    assert "hydra-sync recover" in said.out
    done = start("recover", *of("carol"))
    assert done.wait() == 0
    moved = [line for line in done.seen if "was damaged" in line]
    assert {line.partition(" was damaged")[0] for line in moved} == {"alice's log", "its own log", "bob's log"}
    assert len(list(Path("carol/quarantine").glob("*-damaged-1/*.log"))) == 3
    assert cli("verify", *of("carol")).code == 0
    assert values(cli, "carol", "carol") == ["one", "two", "three"]
    for name in ("alice", "bob"):
        stop(nodes[name])


def test_an_interrupted_recovery_goes_on(cli: Cli, start: Start, trio_home: Path) -> None:
    """Ctrl-C is 130, keeps the store, and names the way on; run goes on by itself."""
    nodes = begin(cli, start)
    stop(nodes["carol"])
    stop(nodes["bob"])
    shutil.rmtree("carol")
    recovering = start("recover", *of("carol"))
    recovering.until("needs bob (not connected")
    recovering.signal(signal.SIGINT)
    assert recovering.wait() == 130
    assert any("what was fetched is kept. Go on with: hydra-sync recover" in line for line in recovering.seen)
    bob, carol = start("run", *of("bob")), start("run", *of("carol"), "--stdin")
    carol.write("four\n")
    carol.until("epoch")
    carol.until("appended ")
    assert values(cli, "carol", "carol") == ["one", "two", "three", "four"]
    for node in (carol, bob, nodes["alice"]):
        stop(node)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--accept-loss"], "go together"),
        (["--without", "bob"], "go together"),
        (["--accept-loss", "--without", "carol"], "is this node itself"),
        (["--accept-loss", "--without", "mallory"], "is no member"),
        (["--accept-loss", "--without", "bob", "--without", "alice"], "leaves nobody to recover from"),
    ],
)
def test_nonsense_is_refused(cli: Cli, trio_home: Path, words: list[str], said: str) -> None:
    """Before anything is made."""
    done = cli("recover", *of("carol"), *words)
    assert done.code == 2
    assert said in done.err
    assert not Path("carol").exists()


def test_a_member_on_its_own_cannot_recover(cli: Cli, trio_home: Path) -> None:
    """Nobody has its log."""
    Path("alone.toml").write_text('network = "one"\nhydra-signing-key = "carol.sk"\npersistence-dir = "alone"\n')
    done = cli("recover", "--config", "alone.toml")
    assert (done.code, "only one of its network" in done.err) == (2, True)


def test_append_needs_a_disk_that_is_trusted(cli: Cli, trio_home: Path) -> None:
    """Else the way is a running node's standard input."""
    assert cli("init", *of("alice")).code == 0
    done = cli("append", *of("alice"), "x")
    assert done.code == 2
    assert "hydra-sync run --stdin --config alice.toml" in done.err
