"""verify: whatever byte is wrong is found and named, offline, with code 3."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra_sync.disk import Disk
from hydra_sync.ranges import SeqRange
from hydra_sync.store import Finding, VerifyReport, verify_log
from hydra_sync.store.layout import LogPlace
from tests.cli.commands import Cli, config, flip, locked, segment

ALICE = ("--config", "alice.toml")


@pytest.fixture
def store(cli: Cli, home: Path) -> Path:
    """alice's store with five events."""
    assert cli("init", *ALICE).code == 0
    for value in ("one", "two", "three", "four", "five"):
        assert cli("append", *ALICE, value).code == 0
    return home / "alice"


@pytest.fixture
def file(home: Path, store: Path) -> Path:
    """alice's segment, outside of any store."""
    copy = home / "copy.log"
    copy.write_bytes(segment(home, "alice", "alice").read_bytes())
    return copy


def one_log(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(log for log in result["logs"] if log["log"] == name)
    return found


def test_a_sound_store(cli: Cli, store: Path) -> None:
    """The node's own store, by its configuration: code 0, for people and programs."""
    done = cli("verify", *ALICE, "--json")
    assert done.code == 0
    report = done.json[0]
    log = one_log(report, "alice")
    assert (report["good"], log["events"], log["next_seq"], log["damage"]) == (True, 5, 5, [])
    assert "Good: every event is there" in cli("verify", *ALICE).out


def test_nothing_is_changed(cli: Cli, home: Path, store: Path) -> None:
    """Not one file of the store, nor one more of them; nor is its lock needed."""
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with locked(home, "alice"):
        assert cli("verify", *ALICE).code == 0
    del before[store / "LOCK"]
    after = {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and path.name != "LOCK"}
    assert after == before


def test_a_store_directory_without_any_configuration(cli: Cli, home: Path, store: Path) -> None:
    """store.toml and the directories' names tell all; logs are then named by key."""
    (home / "alice.toml").unlink()
    report = cli("verify", "alice", "--json").json[0]
    key = (home / "alice" / "logs").iterdir().__next__().name
    assert report["good"]
    assert key in [log["key"] for log in report["logs"]]


@pytest.mark.parametrize("at", ["one", "three", "five"])
def test_a_flipped_byte_is_found(cli: Cli, home: Path, store: Path, at: str) -> None:
    """At the start, in the middle and at the end: code 3, the log, the events, the file, the byte, why."""
    path = segment(home, "alice", "alice")
    place = path.read_bytes().index(at.encode())
    flip(path, place)
    done = cli("verify", *ALICE, "--json")
    assert done.code == 3
    (damage,) = one_log(done.json[0], "alice")["damage"]
    seq = ["one", "two", "three", "four", "five"].index(at)
    assert (damage["start"], damage["file"]) == (seq, str(path))
    assert 0 <= place - damage["offset"] < 400  # where its record begins
    shown = cli("verify", *ALICE)
    assert shown.code == 3
    assert f"{path}, byte {damage['offset']}: {damage['reason']}" in shown.out
    assert "DAMAGED" in shown.out
    assert "hydra-sync fetch LOG START STOP" in shown.out


def test_damage_while_a_node_runs_is_believed_when_seen_twice(cli: Cli, home: Path, store: Path) -> None:
    """A held lock does not hide it."""
    path = segment(home, "alice", "alice")
    flip(path, path.read_bytes().index(b"two"))
    with locked(home, "alice"):
        assert cli("verify", *ALICE).code == 3


def test_damage_that_a_second_look_does_not_see(
    cli: Cli, home: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a node runs it is a write under way, and no damage; while none runs there is no second look."""
    real = verify_log
    looks: list[LogPlace] = []

    async def look(disk: Disk, place: LogPlace, progress: Callable[[int], None]) -> VerifyReport:
        report = await real(disk, place, progress)
        if place not in looks:
            report.damage.append(Finding(SeqRange(5, 6), place.directory, 0, "half written"))
        looks.append(place)
        return report

    monkeypatch.setattr(sys.modules["hydra_sync.cli.verify"], "verify_log", look)
    with locked(home, "alice"):
        assert cli("verify", *ALICE).code == 0
    looks.clear()
    assert cli("verify", *ALICE).code == 3


def test_a_half_written_record_is_a_torn_tail(cli: Cli, home: Path, store: Path) -> None:
    """No damage: the node cuts it when it starts."""
    path = segment(home, "alice", "alice")
    data = path.read_bytes()
    end = len(data.rstrip(b"\0"))
    path.write_bytes(data[:end] + data[:40] + data[end + 40 :])
    done = cli("verify", *ALICE)
    assert done.code == 0
    assert "torn tail: alice, from seq 5 on" in done.out


def test_a_stranger_among_the_logs(cli: Cli, home: Path, store: Path) -> None:
    """The log of no member, and a name that is no key at all."""
    for name in ("ab" * 32, "notes"):
        (store / "logs" / name).mkdir()
    done = cli("verify", *ALICE, "--json")
    assert done.code == 3
    assert len(done.json[0]["strangers"]) == 2
    assert "move it away" in cli("verify", *ALICE).out


def test_one_log_only(cli: Cli, home: Path, store: Path) -> None:
    """Damage in another log is not looked for; a log that is not there is a mistake."""
    path = segment(home, "alice", "alice")
    flip(path, path.read_bytes().index(b"two"))
    assert cli("verify", *ALICE, "--log", "bob").code == 0
    assert cli("verify", *ALICE, "--log", "alice").code == 3
    assert cli("verify", *ALICE, "--log", "mallory").code == 2
    assert "has no log of" in cli("verify", *ALICE, "--log", "ab" * 32).err


def test_an_unreadable_log_is_damage(cli: Cli, home: Path, store: Path) -> None:
    """A directory where the segment should be: the other logs are checked all the same."""
    path = segment(home, "alice", "alice")
    path.unlink()
    path.mkdir()
    done = cli("verify", *ALICE, "--json")
    assert done.code == 3
    assert not one_log(done.json[0], "alice")["sound"]
    assert one_log(done.json[0], "bob")["sound"]


def test_a_file_by_every_way_to_name_its_author(cli: Cli, home: Path, file: Path) -> None:
    """By alias, by key, by key file; the network by configuration, by id, by name and members."""
    own = config(home, "alice")
    network, key = own.network_id.hex(), own.key.member.hex()
    everybody = ("--hydra-verification-key", "alice.vk", "--hydra-verification-key", "bob.vk")
    for words in (
        (*ALICE, "--log", "alice"),
        (*ALICE, "--log", key),
        (*ALICE, "--hydra-verification-key", "alice.vk"),
        ("--network-id", network, "--hydra-verification-key", "alice.vk"),
        ("--network-id", network, "--log", key),
        ("--network", "test", *everybody, "--log", "alice"),
    ):
        done = cli("verify", "copy.log", *words, "--json")
        assert (done.code, done.err) == (0, ""), words
        assert done.json[0]["logs"][0]["events"] == 5


@pytest.mark.parametrize("words", [("--log", "bob"), ("--log", "alice", "--network-id", "00" * 32)])
def test_a_file_of_another_author_or_network(cli: Cli, home: Path, file: Path, words: tuple[str, ...]) -> None:
    """Nothing is signed: code 3, and what may be the matter."""
    done = cli("verify", "copy.log", *ALICE, *words)
    assert done.code == 3
    assert "signature" in done.out
    assert "check that --log and the network are right" in done.out


def test_a_damaged_file(cli: Cli, home: Path, file: Path) -> None:
    """Whole records before and after the damage are told from it."""
    flip(file, file.read_bytes().index(b"three"))
    done = cli("verify", "copy.log", *ALICE, "--log", "alice", "--json")
    assert done.code == 3
    (damage,) = done.json[0]["logs"][0]["damage"]
    assert (damage["start"], damage["stop"]) == (2, 3)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"no records", b"\x82\x59" * 50])
def test_a_file_of_anything(cli: Cli, home: Path, store: Path, data: bytes) -> None:
    """Any bytes get an answer; what holds no record at all is not called good, unless it is empty."""
    (home / "any").write_bytes(data)
    done = cli("verify", "any", *ALICE, "--log", "alice")
    assert done.code == (3 if data.strip(b"\0") else 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.log"], "does not exist"),
        (["copy.log"], "whose log is"),
        (["copy.log", "--log", "alice"], "'alice' is no member (none is known without a configuration)"),
        (["copy.log", "--log", "ab" * 32], "signatures hold for one network"),
        (["copy.log", "--log", "ab" * 32, "--network-id", "xy"], "is no network id: write 64"),
        ([], "which node?"),
        (["alice", "--config", "alice.toml", "--network", "other"], "correct them, or name another directory"),
        (["bob.d", "--config", "bob.toml"], "there is no store in"),
    ],
)
def test_mistakes(cli: Cli, home: Path, file: Path, words: list[str], said: str) -> None:
    """Code 2, and what to give."""
    (home / "bob.d").mkdir()
    done = cli("verify", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_file_that_cannot_be_read(cli: Cli, home: Path) -> None:
    """Is named, and so is what is no file at all."""
    done = cli("verify", "/proc/self/mem", "--log", "alice", "--config", "alice.toml")
    assert (done.code, "reading /proc/self/mem: " in done.out) == (3, True)
    done = cli("verify", "/dev/null", "--log", "alice", "--config", "alice.toml")
    assert (done.code, "/dev/null is a device or a pipe" in done.err) == (2, True)
