"""``hydra-sync new-network``: other members, a new network, and what is taken over from the old one."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from hydra_sync.batch import parse_batches
from hydra_sync.chain import Tip
from hydra_sync.checkpoint import checkpoint_digest
from hydra_sync.fork import encode_proof, prove
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope
from hydra_sync.limits import CHECKPOINT_STATE_BYTES_MAX
from tests.cli.commands import Cli, Process, Result, Start, config, flip, free_port, locked, segment, write_network
from tests.cli.test_cli_recover import until
from tests.forking import sealed

DAVE = SigningKey(b"\x09" * 32)


def write_next(home: Path, names: Sequence[str], *, restart: str = "prove") -> None:
    """Configurations ``alice-2.toml`` and so on of a network called *next*, with stores ``alice-2`` and so on."""
    (home / "dave.sk").write_text(signing_envelope(DAVE))
    (home / "dave.vk").write_text(verification_envelope(DAVE.member))
    ports = {name: free_port() for name in names}
    for name in names:
        lines = ['network = "next"', f'node-id = "{name}"', f'listen = "127.0.0.1:{ports[name]}"']
        lines += [f'hydra-signing-key = "{name}.sk"', f'persistence-dir = "{name}-2"', f'restart = "{restart}"']
        for other in names:
            lines += ["[[member]]", f'alias = "{other}"', f'hydra-verification-key = "{other}.vk"']
            lines += [f'address = "127.0.0.1:{ports[other]}"']
        (home / f"{name}-2.toml").write_text("\n".join(lines) + "\n")


def of(name: str) -> tuple[str, str]:
    return ("--config", f"{name}.toml")


def make(cli: Cli, name: str, *more: str) -> Result:
    return cli("new-network", "--from", f"{name}.toml", *of(f"{name}-2"), *more)


def stop(*nodes: Process) -> None:
    for node in nodes:
        node.signal(signal.SIGTERM)
        assert node.wait() == 0


@pytest.fixture
def stopped(cli: Cli, home: Path) -> Path:
    """alice has three events, in a network of disks that are trusted; bob has none, and nobody runs."""
    write_next(home, ("alice", "bob"), restart="trust-disk")
    for name in ("alice", "bob"):
        assert cli("init", *of(name)).code == 0
    for value in ("one", "two", "three"):
        assert cli("append", *of("alice"), value).code == 0
    return home


def test_another_member_joins(cli: Cli, start: Start, home: Path) -> None:
    """Stop, make, compare, start: every member's log begins with the same checkpoint, also that of the one who joins;
    the old stores stay as they are, and their signatures are none in the new network."""
    write_network(home, restart="prove")
    for name in ("alice", "bob"):
        assert cli("init", *of(name)).code == 0
    nodes = {name: start("run", *of(name), "--stdin", "--replicas", "1") for name in ("alice", "bob")}
    nodes["alice"].write("one\ntwo\n")
    nodes["alice"].until("appended 2")
    nodes["bob"].until("epoch 1 of our own log has begun")
    stop(*nodes.values())
    before = {path: path.read_bytes() for path in Path("alice").rglob("*") if path.is_file()}

    write_next(home, ("alice", "bob", "dave"))
    Path("state").write_bytes(b"balances")
    told = make(cli, "alice", "--state", "state")
    assert told.code == 0
    assert re.search(r"^  alice's log up to 3, epoch 1, batch [0-9a-f]{16}$", told.out, re.MULTILINE)
    (digest,) = re.findall(r"checkpoint ([0-9a-f]{64}), with 8 bytes of state: compare", told.out)
    assert make(cli, "bob", "--state", "state", "--json").json[0]["digest"] == digest
    joined = cli("new-network", "--checkpoint", "alice-2/checkpoint.cbor", *of("dave-2"), "--json").json[0]
    assert (joined["digest"], joined["old_network"], joined["state_bytes"]) == (digest, "test", 8)

    names = ("alice", "bob", "dave")
    nodes = {name: start("run", *of(f"{name}-2"), "--stdin", "--replicas", "2") for name in names}
    nodes["dave"].write("hello\n")
    nodes["dave"].until("appended 2")
    stop(nodes["dave"])
    dave = start("run", *of("dave-2"), "--stdin", "--replicas", "2")
    dave.write("again\n")
    dave.until("appended 4")  # the second epoch is 3
    for name in ("alice", "bob"):
        (first, *rest) = [event["value"] for event in cli("read", *of(f"{name}-2"), "dave", "--json").json]
        assert first is None  # bytes have no form in JSON
        assert rest == ["hello", "again"]
        checkpoint = bytes.fromhex(cli("read", *of(f"{name}-2"), "dave", "--json").json[0]["cbor"])
        assert checkpoint.endswith(b"balances")
        assert "checkpoint" not in cli("status", *of(f"{name}-2")).out
    stop(dave, nodes["alice"], nodes["bob"])
    assert {path: path.read_bytes() for path in Path("alice").rglob("*") if path.is_file()} == before
    assert [event["value"] for event in cli("read", *of("alice"), "alice", "--json").json] == ["one", "two"]
    assert cli("verify", *of("alice-2")).code == 0
    assert cli("verify", segment(home, "alice", "alice"), "--log", "alice", *of("alice-2")).code == 3
    assert cli("verify", segment(home, "alice", "alice"), "--log", "alice", *of("alice")).code == 0


def test_a_member_that_took_over_something_else_is_noticed(cli: Cli, start: Start, stopped: Path) -> None:
    """The digests differ, and status says so at each, while the nodes run and afterwards; so it does of a member
    whose store was made by init."""
    assert make(cli, "alice").out != make(cli, "bob", "--up-to", "alice=0").out
    for said in ("with another checkpoint", "without the checkpoint"):
        nodes = [start("run", *of("alice-2"), "--stdin"), start("run", *of("bob-2"), "--stdin")]
        for node in nodes:
            node.write("x\n")
            node.until("appended")
        until(lambda said=said: f"bob's log begins {said}" in cli("explain", *of("alice-2")).out)  # type: ignore[misc]
        assert f"bob's log begins {said}" in " ".join(cli("status", *of("alice-2")).out.split())
        stop(*nodes)
        assert f"bob's log begins {said}" in " ".join(cli("status", *of("alice-2")).out.split())
        others = "another checkpoint" if "another" in said else "a checkpoint of an older network"
        assert f"alice's log begins with {others}" in " ".join(cli("status", *of("bob-2")).out.split())
        for made in ("alice-2", "bob-2"):
            Path(made).rename(f"{made} {said}")
        assert make(cli, "alice").code == 0
        assert cli("init", *of("bob-2")).code == 0


def test_append_begins_with_the_checkpoint(cli: Cli, stopped: Path) -> None:
    """Where the node need not run to append; once."""
    digest = make(cli, "alice", "--json").json[0]["digest"]
    for value in ("one", "two"):
        assert cli("append", *of("alice-2"), value).code == 0
    events = cli("read", *of("alice-2"), "alice", "--json").json
    assert [event["value"] for event in events[1:]] == ["one", "two"]
    assert checkpoint_digest(bytes.fromhex(str(events[0]["cbor"]))).hex() == digest


def test_positions_can_be_given(cli: Cli, stopped: Path) -> None:
    """Where members hold different ends, at the last batch before."""
    (alices, bobs) = make(cli, "alice", "--up-to", "alice=2", "--json").json[0]["logs"]
    ends = list(parse_batches(segment(stopped, "alice", "alice").read_bytes().rstrip(b"\0")))
    by_alias = {log["log"]: (log["next_seq"], log["hash"]) for log in (alices, bobs)}
    assert by_alias == {"alice": (2, ends[1].hash.hex()), "bob": (0, bytes(32).hex())}


def test_of_a_forked_log_only_what_all_agree_on(cli: Cli, stopped: Path) -> None:
    """What lies before the fork that is proven in the store."""
    alice = config(stopped, "alice")
    batches = list(parse_batches(segment(stopped, "alice", "alice").read_bytes().rstrip(b"\0")))
    other = sealed(Tip.after(batches[0]), 1, salt=7, key=alice.key, network=alice.network_id)
    proof = prove(alice.network_id, alice.key.member, batches, [batches[0], other])
    assert proof is not None
    Path("alice/forks").mkdir()
    Path("alice/forks", f"{alice.key.member.hex()}.cbor").write_bytes(encode_proof(alice.network_id, proof))
    logs = make(cli, "alice", "--json").json[0]["logs"]
    assert {log["log"]: log["next_seq"] for log in logs} == {"alice": 1, "bob": 0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "alice.toml", "--config", "alice.toml"], "is the old network itself"),
        (["--from", "alice.toml", "--config", "alice.toml", "--network", "n"], "the old store is in"),
        (["--from", "bob.toml", "--config", "alice-2.toml"], "each member takes its own"),
        (["--from", "gone.toml", "--config", "alice-2.toml"], "does not exist"),
        (["--from", "bare.toml", "--config", "alice-2.toml"], "there is no store in"),
        (["--from", "alice.toml", "--config", "keyless.toml"], "hydra-signing-key is missing"),
        (["--config", "alice-2.toml"], "either --from FILE or --checkpoint FILE"),
        (["--from", "alice.toml", "--checkpoint", "alice.toml", "--config", "alice-2.toml"], "either --from FILE or"),
        (["--checkpoint", "alice.toml", "--config", "alice-2.toml"], "is no checkpoint"),
        (["--checkpoint", "alice.sk", "--state", "alice.sk", "--config", "alice-2.toml"], "go with --from"),
        (["--from", "alice.toml", "--config", "alice-2.toml", "--up-to", "alice=4"], "alice's log ends at 3 here"),
        (["--from", "alice.toml", "--config", "alice-2.toml", "--up-to", "alice"], "write MEMBER=SEQ"),
        (["--from", "alice.toml", "--config", "alice-2.toml", "--up-to", "eve=1"], "is no member"),
        (["--from", "alice.toml", "--config", "alice-2.toml", "--state", "huge"], "let members read it"),
        (["--from", "alice.toml", "--config", "alice-2.toml", "--persistence-dir", "alice.sk"], "is a file"),
        (["--from", "alice.toml", "--config", "alice-2.toml", "--persistence-dir", "bob"], "there is a store in"),
    ],
)
def test_mistakes_make_nothing(cli: Cli, stopped: Path, words: list[str], said: str) -> None:
    """Each is said with what to do about it."""
    Path("bare.toml").write_text(Path("alice.toml").read_text().replace('dir = "alice"', 'dir = "bare"'))
    Path("keyless.toml").write_text(re.sub("hydra-signing-key.*\n", "", Path("alice-2.toml").read_text()))
    with Path("huge").open("wb") as file:
        file.truncate(CHECKPOINT_STATE_BYTES_MAX + 1)
    done = cli("new-network", *words)
    assert done.code in (2, 3, 5)
    assert said in done.err
    assert not Path("alice-2").exists()


def test_the_old_node_has_to_be_stopped(cli: Cli, stopped: Path) -> None:
    """Where a log ends is not to move meanwhile."""
    with locked(stopped, "alice"):
        done = make(cli, "alice")
    assert (done.code, "is in use by process 7 (node alice): stop that first" in done.err) == (2, True)
    assert not Path("alice-2").exists()


def test_a_damaged_checkpoint_file_is_noticed(cli: Cli, stopped: Path) -> None:
    """By who is handed it, and by who begins from it."""
    assert make(cli, "alice").code == 0
    flip(Path("alice-2/checkpoint.cbor"), 100)
    done = cli("new-network", "--checkpoint", "alice-2/checkpoint.cbor", *of("bob-2"))
    assert (done.code, "is no checkpoint" in done.err) == (3, True)
    done = cli("append", *of("alice-2"), "x")
    assert (done.code, "copy the file of another member" in done.err) == (3, True)


def test_damage_where_a_log_ends(cli: Cli, stopped: Path) -> None:
    """Nothing is taken over that is not whole; an earlier place can be named."""
    path = segment(stopped, "alice", "alice")
    data = path.read_bytes().rstrip(b"\0")
    last = list(parse_batches(data))[-1]
    for index in path.parent.glob("*.idx"):
        index.unlink()
    flip(path, len(data) - len(last.record) + 60)
    cut = make(cli, "alice", "--json")
    assert cut.code == 0  # at the end it may never have been acknowledged
    assert {log["log"]: log["next_seq"] for log in cut.json[0]["logs"]} == {"alice": 2, "bob": 0}
