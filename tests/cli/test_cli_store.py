"""append, read, status: a store that nobody serves, and everything that may be wrong with it."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import pytest
import trio

from hydra_sync.cli import main
from hydra_sync.errors import PeerError, StoreError
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope
from hydra_sync.limits import UINT_MAX
from hydra_sync.node import recover_store
from tests.cli.commands import Cli, config, flip, locked, segment

ALICE = ("--config", "alice.toml")


@pytest.fixture
def store(cli: Cli, home: Path) -> Path:
    """alice's store with five events."""
    assert cli("init", *ALICE).code == 0
    for value in ("one", "two", "three", "four", "five"):
        assert cli("append", *ALICE, value).code == 0
    return home / "alice"


def test_append_and_read(cli: Cli, store: Path) -> None:
    """What was appended is read back, in order, by range."""
    assert cli("append", *ALICE, "six", "", "--json").json == [{"first_seq": 5, "last_seq": 6}]
    events = cli("read", *ALICE, "alice", "--json").json
    assert [event["value"] for event in events] == ["one", "two", "three", "four", "five", "six", ""]
    assert [event["seq"] for event in cli("read", *ALICE, "alice", "1", "3", "--json").json] == [1, 2]
    assert cli("read", *ALICE, "alice", "4", "5").out.split()[-1] == "five"


@pytest.mark.parametrize(
    ("input_format", "text", "value"),
    [("text", '{"a"', '{"a"'), ("json", '{"pay": 5}', {"pay": 5}), ("json", "[1.5, null]", [1.5, None])],
)
def test_formats(cli: Cli, store: Path, input_format: str, text: str, value: object) -> None:
    """A value is a text as it stands, or JSON."""
    assert cli("append", *ALICE, "--format", input_format, text).code == 0
    assert cli("read", *ALICE, "alice", "5", "--json").json[0]["value"] == value


def test_bytes_have_no_json_form(cli: Cli, store: Path) -> None:
    """A program gets them as CBOR in hexadecimal, a person in hexadecimal."""
    assert cli("append", *ALICE, "--format", "hex", "00ff").code == 0
    event = cli("read", *ALICE, "alice", "5", "--json").json[0]
    assert (event["value"], event["cbor"]) == (None, "4200ff")
    assert "00ff" in cli("read", *ALICE, "alice", "5").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "json", "{"], "is not JSON"),
        (["--format", "json", "9" * 100 + "x"], "... (101 characters) is not JSON"),
        (["--format", "hex", "xyz"], "is not hexadecimal"),
        (["--format", "json", '"\\ud800"'], "cannot be an event"),
        ([], "Missing argument"),
    ],
)
def test_append_refuses_what_is_no_value(cli: Cli, store: Path, words: list[str], said: str) -> None:
    """Nothing is appended."""
    done = cli("append", *ALICE, *words)
    assert done.code == 2
    assert said in done.err
    assert len(cli("read", *ALICE, "alice", "--json").json) == 5


@pytest.mark.parametrize(("span", "said"), [(("3", "3"), "is empty"), (("4", "2"), "is empty"), (("-1",), "No such")])
def test_read_refuses_an_empty_range(cli: Cli, store: Path, span: tuple[str, ...], said: str) -> None:
    """It would print nothing, and look as if nothing were there."""
    done = cli("read", *ALICE, "alice", *span)
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("read", "alice", UINT_MAX + 1),
        ("read", "alice", 0, UINT_MAX + 1),
        ("follow", "alice", "--from", UINT_MAX + 1),
        ("fetch", "alice", UINT_MAX + 1, UINT_MAX + 2, "--output", "x"),
        ("fetch", "alice", 0, UINT_MAX + 1, "--output", "x"),
    ],
)
def test_seqs_that_no_log_reaches(cli: Cli, store: Path, words: tuple[object, ...]) -> None:
    """Numbers beyond our formats are a wrong use of the command."""
    done = cli(*words, *ALICE)
    assert done.code == 2
    assert "is not in the range" in done.err


def test_read_tells_where_a_log_ends(cli: Cli, store: Path) -> None:
    """Asked for everything beyond, it says so; asked for events that are not there, it fails with 4."""
    done = cli("read", *ALICE, "alice", "9")
    assert (done.code, done.err) == (0, "no events: alice's log ends at 5 here\n")
    done = cli("read", *ALICE, "alice", "3", "9")
    assert done.code == 4
    assert "events [5, 9) of alice are not here: its log reaches 5" in done.err


def test_append_refuses_while_the_own_log_may_be_longer_elsewhere(cli: Cli, store: Path, home: Path) -> None:
    """It would sign other events in the place of those that were lost, and fork the log."""
    path = segment(home, "alice", "alice")
    path.write_bytes(path.read_bytes()[:700])  # what was durable is gone
    lost_end = cli("append", *ALICE, "other")
    shutil.rmtree(store)
    trio.run(recover_store, config(home, "alice"))  # and interrupted before anything was fetched
    lost_all = cli("append", *ALICE, "other")
    for done in (lost_end, lost_all):
        assert done.code == 3
        assert "alice's own log may be longer than what is here" in done.err
        assert "hydra-sync recover" in done.err
        assert "hydra-sync run" in done.err
    assert "other" not in cli("read", *ALICE, "alice").out


@pytest.mark.parametrize(
    "words",
    [["init"], ["run"], ["append", "x"], ["read", "alice"], ["status"], ["explain"], ["recover"], ["verify"]],
    ids=lambda words: words[0],
)
def test_a_store_that_cannot_be_a_directory(cli: Cli, home: Path, words: list[str]) -> None:
    """Each command says what is in the way, and to name a directory; nothing is made or changed."""
    Path("plain").write_text("mine")
    Path("loose").symlink_to("nowhere")
    for store, said in (("plain", "plain is a file"), ("plain/sub", "plain is a file"), ("loose", "link to nowhere")):
        done = cli(*words, *ALICE, "--persistence-dir", store)
        assert (done.code, said in done.err) == (2, True), done.err
        assert "name a directory with --persistence-dir" in done.err
    assert Path("plain").read_text() == "mine"
    assert not Path("nowhere").exists()


def test_a_missing_store_names_init(cli: Cli, home: Path) -> None:
    """For every command that needs one; nothing is made."""
    for words in (["run"], ["append", "x"], ["read", "alice"], ["follow", "alice"], ["status"], ["verify"]):
        done = cli(*words, *ALICE)
        assert done.code == 2, words
        assert "there is no store in" in done.err
        assert "init" in done.err
    assert not (home / "alice").exists()


def test_append_beside_a_running_node_names_the_way(cli: Cli, home: Path, store: Path) -> None:
    """It refuses, says who has the store, and names run --stdin. Reading goes on."""
    with locked(home, "alice"):
        done = cli("append", *ALICE, "x")
        assert done.code == 2
        assert "in use by process 7 (node alice)" in done.err
        assert "hydra-sync run --stdin" in done.err
        assert "read" not in done.err  # an append for reading only is no advice
        done = cli("run", *ALICE)
        assert (done.code, "in use by process 7 (node alice)" in done.err) == (2, True)
        assert cli("status", *ALICE, "--json").json[0]["held_by"] == "process 7 (node alice)"
        assert "held by process 7 (node alice)" in cli("status", *ALICE).out
        assert len(cli("read", *ALICE, "alice", "--json").json) == 5
        assert cli("verify", *ALICE).code == 0
    assert cli("status", *ALICE, "--json").json[0]["held_by"] is None


def test_status_for_programs_and_people(cli: Cli, home: Path, store: Path) -> None:
    """How far each log reaches, and that nobody runs the node."""
    status = cli("status", *ALICE, "--json").json[0]
    logs = status["logs"]
    assert isinstance(logs, list)
    assert [(log["alias"], log["me"], log["next_seq"]) for log in logs] == [("alice", True, 5), ("bob", False, 0)]
    shown = cli("status", *ALICE).out
    assert "alice (this node)" in shown
    assert "[0, 5)" in shown
    assert "nobody: the node does not run" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(cli: Cli, store: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """No line of a table is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    table = [line for line in cli("status", *ALICE).out.splitlines() if line[:1] in "┏┃┡│└"]
    assert len(table) == 6
    assert max(map(len, table)) <= columns
    assert "…" not in "".join(table)


def test_another_network_is_refused(cli: Cli, home: Path, store: Path) -> None:
    """The store's network and the configuration's are both named."""
    done = cli("status", *ALICE, "--network", "other")
    assert done.code == 2
    assert "belongs to network" in done.err
    assert "correct the network's name or members" in done.err


def test_another_key_is_refused(cli: Cli, home: Path, store: Path) -> None:
    """A store is not run, or appended to, with somebody else's key."""
    done = cli("append", "--config", "bob.toml", "--persistence-dir", "alice", "x")
    assert done.code == 2
    assert "use the right key" in done.err


def test_a_key_of_no_member_is_refused(cli: Cli, home: Path, store: Path) -> None:
    """A new member is a new network."""
    mallory = SigningKey(b"m" * 32)
    (home / "m.sk").write_text(signing_envelope(mallory))
    (home / "m.vk").write_text(verification_envelope(mallory.member))
    assert cli("append", *ALICE, "--hydra-signing-key", "m.sk", "x").code == 2


def test_a_newer_format_says_upgrade(cli: Cli, home: Path, store: Path) -> None:
    """The bytes are fine, this release is too old: code 3."""
    text = (store / "store.toml").read_text()
    (store / "store.toml").write_text(text.replace("format = 1", "format = 2"))
    for words in (["status"], ["run"], ["verify"]):
        done = cli(*words, *ALICE)
        assert done.code == 3
        assert "format 2" in done.err
        assert "upgrade hydra-sync" in done.err


def test_a_damaged_store_file(cli: Cli, home: Path, store: Path) -> None:
    """store.toml carries a checksum."""
    flip(store / "store.toml", 30)
    done = cli("status", *ALICE)
    assert done.code == 3
    assert "store.toml is damaged" in done.err


def test_the_log_of_no_member_is_named(cli: Cli, home: Path, store: Path) -> None:
    """A directory that does not belong there: code 3, its path, and what to do."""
    (store / "logs" / ("ab" * 32)).mkdir()
    done = cli("status", *ALICE)
    assert done.code == 3
    assert "Move it away" in done.err


def test_damaged_events_are_named_and_the_rest_is_read(cli: Cli, home: Path, store: Path) -> None:
    """Code 3, the range, the file and the byte; events before the damage are printed."""
    path = segment(home, "alice", "alice")
    flip(path, path.read_bytes().index(b"three"))
    done = cli("read", *ALICE, "alice", "--json")
    assert done.code == 3
    assert [event["value"] for event in done.json] == ["one", "two"]
    assert "events [2, 3) are damaged" in done.err
    assert f"{path}, byte " in done.err
    assert "hydra-sync verify --config alice.toml" in done.err
    assert [event["value"] for event in cli("read", *ALICE, "alice", "3", "--json").json] == ["four", "five"]


def test_a_port_in_use_is_named(cli: Cli, home: Path, store: Path) -> None:
    """With the way to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = cli("run", *ALICE, "--listen", f"127.0.0.1:{port}")
    assert done.code == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.err
    assert "--listen" in done.err


def test_a_host_that_is_not_here(cli: Cli, home: Path, store: Path) -> None:
    """An address of another machine cannot be listened at."""
    done = cli("run", *ALICE, "--listen", "192.0.2.1:5001")
    assert done.code == 2
    assert "cannot listen at 192.0.2.1:5001" in done.err


def test_run_refuses_more_replicas_than_there_are(cli: Cli, home: Path, store: Path) -> None:
    """Before the node starts."""
    done = cli("run", *ALICE, "--stdin", "--replicas", "2")
    assert done.code == 2
    assert "this network has 1 other members" in done.err


def test_an_interrupt_is_code_130(cli: Cli, home: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is said."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trio.run", interrupt)
    done = cli("read", *ALICE, "alice")
    assert (done.code, done.out, done.err.strip()) == (130, "", "")


def test_groups_are_told_as_what_is_in_them(cli: Cli, home: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error once; the code of the first."""

    def fail(*_: object) -> None:
        group = ExceptionGroup("inner", [StoreError("the disk is broken"), PeerError("gone")])
        raise ExceptionGroup("outer", [group, StoreError("the disk is broken")])

    monkeypatch.setattr("trio.run", fail)
    done = cli("read", *ALICE, "alice")
    assert (done.code, done.err) == (5, "hydra-sync: the disk is broken\nhydra-sync: gone\n")


def test_a_bug_of_ours_is_not_hidden(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not raised on purpose comes out whole, in a group too."""

    def fail(*_: object) -> None:
        raise ExceptionGroup("", [ZeroDivisionError("a bug")])

    monkeypatch.setattr("trio.run", fail)
    monkeypatch.setattr(sys, "argv", ["hydra-sync", "status", *ALICE])
    with pytest.raises(ExceptionGroup):
        main()
