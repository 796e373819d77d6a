"""fork-proof verify: who signed two histories, offline; what is no proof ends with code 3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.fork import ForkProof, encode_proof
from hydra_sync.identity import NetworkId, SigningKey, network_id
from hydra_sync.limits import EVIDENCE_BYTES_MAX
from tests.cli.commands import Cli, config
from tests.forking import ALICE, OTHER_NETWORK, coses, sealed

VERIFY = ("fork-proof", "verify")


@pytest.fixture
def network(home: Path) -> NetworkId:
    """That of alice's and bob's configurations."""
    return config(home, "alice").network_id


def write(
    network: NetworkId, left: Sequence[Batch], right: Sequence[Batch], key: SigningKey = ALICE, name: str = "fork.cbor"
) -> Path:
    path = Path(name)
    path.write_bytes(encode_proof(network, ForkProof(key.member, coses(*left), coses(*right))))
    return path


def forked(network: NetworkId, key: SigningKey = ALICE) -> Path:
    """A proof that the key's log forks at seq 5 of epoch 2."""
    left, right = (
        sealed(Tip(2, 5, bytes(32)), salt + 1, epoch=2, salt=salt, key=key, network=network) for salt in (1, 2)
    )
    return write(network, [left], [right], key)


def test_a_proof_says_who_where_and_what(cli: Cli, network: NetworkId) -> None:
    """In words: the member by its alias, network, epoch, seq, and of both batches events, time and hash."""
    path = forked(network)
    done = cli(*VERIFY, path, "--config", "bob.toml")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"alice ({ALICE.member.hex()}) equivocated"
    assert lines[1] == f"in network test ({network.hex()})"
    assert lines[2] == "at seq 5 of epoch 2, with two batches that hold it:"
    left, right = (sealed(Tip(2, 5, bytes(32)), n + 1, epoch=2, salt=n, network=network) for n in (1, 2))
    assert lines[3] == f"  events [5, 7)  2023-11-14 22:13:20  batch {left.hash.hex()}"
    assert lines[4] == f"  events [5, 8)  2023-11-14 22:13:20  batch {right.hash.hex()}"
    assert "The proof holds" in lines[5]
    assert "below 5" in lines[6]


def test_a_proof_for_programs(cli: Cli, network: NetworkId) -> None:
    """The same as JSON, one line."""
    (found,) = cli(*VERIFY, forked(network), "--config", "bob.toml", "--json").json
    left = sealed(Tip(2, 5, bytes(32)), 2, epoch=2, salt=1, network=network)
    right = sealed(Tip(2, 5, bytes(32)), 3, epoch=2, salt=2, network=network)
    assert found.pop("right") == {
        "hash": right.hash.hex(),
        "start": 5,
        "stop": 8,
        "time_us": 1_700_000_000_000_002,
        "prev_hash": "00" * 32,
        "body_hash": right.header.body_hash.hex(),
        "headers": 1,
    }
    shown = found.pop("left")
    assert isinstance(shown, dict)
    assert (shown["hash"], shown["start"], shown["stop"]) == (left.hash.hex(), 5, 7)
    assert found == {
        "valid": True,
        "path": "fork.cbor",
        "network": "test",
        "network_id": network.hex(),
        "log": "alice",
        "key": ALICE.member.hex(),
        "kind": "seq",
        "epoch": 2,
        "seq": 5,
    }


def test_two_beginnings_of_one_epoch(cli: Cli, network: NetworkId) -> None:
    """Said as what it is, with the chains' lengths."""
    root = sealed(network=network)
    then = sealed(Tip.after(root), network=network)
    left = [root, sealed(Tip.after(root), epoch=7, salt=1, network=network)]
    right = [then, sealed(Tip.after(then), epoch=7, salt=2, network=network)]
    path = write(network, left, right)
    assert "at seq 1, with two batches that are the first of epoch 7:" in cli(*VERIFY, path).out
    (found,) = cli(*VERIFY, path, "--json").json
    assert (found["kind"], found["epoch"], found["seq"]) == ("epoch", 7, 1)
    assert [found[side]["headers"] for side in ("left", "right")] == [2, 2]


def test_a_proof_is_enough_by_itself(cli: Cli, home: Path) -> None:
    """Without a configuration the key is named, and that it is nobody's name yet."""
    path = forked(OTHER_NETWORK)
    done = cli(*VERIFY, path)
    assert done.code == 0
    assert done.out.startswith(f"{ALICE.member.hex()} equivocated\nin network {OTHER_NETWORK.hex()}\n")
    assert done.out.endswith("--config FILE.\n")
    (found,) = cli(*VERIFY, path, "--json").json
    assert (found["network"], found["log"], found["network_id"]) == (None, None, OTHER_NETWORK.hex())


def test_a_configuration_in_the_directory_is_used(cli: Cli, home: Path, network: NetworkId) -> None:
    """As with every other command."""
    (home / "bob.toml").rename(home / "hydra-sync.toml")
    assert cli(*VERIFY, forked(network)).out.startswith("alice (")


def test_a_proof_of_another_network(cli: Cli, home: Path) -> None:
    """It says nothing about the configured one, and that is said; it is the wrong file or configuration."""
    done = cli(*VERIFY, forked(OTHER_NETWORK), "--config", "bob.toml")
    assert done.code == 2
    assert f"is of network {OTHER_NETWORK.hex()}, and says nothing about test" in done.err
    assert done.out == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_proof_of_no_members_log(cli: Cli, network: NetworkId, as_json: bool) -> None:
    """Anyone can sign two histories of his own: nobody of the network did anything."""
    stranger = SigningKey(b"\x03" * 32)
    done = cli(*VERIFY, forked(network, stranger), "--config", "bob.toml", *(["--json"] if as_json else []))
    assert done.code == 3
    assert f"log {stranger.member.hex()} is of nobody in network test" in (done.out if as_json else done.err)


def no_proofs() -> dict[str, bytes]:
    network = network_id("test", [ALICE.member])
    one, two = sealed(network=network), sealed(salt=2, network=network)
    good = encode_proof(network, ForkProof(ALICE.member, coses(one), coses(two)))
    return {
        "empty": b"",
        "text": b"hydra-sync fork proof",
        "cut": good[:-1],
        "longer": good + b"\0",
        "another signature": good[:-1] + bytes([good[-1] ^ 1]),
        "too large": bytes(EVIDENCE_BYTES_MAX + 1),
        "no conflict": encode_proof(network, ForkProof(ALICE.member, coses(one), coses(one))),
        "newer": good.replace(b"proof\x01", b"proof\x02"),
        "a segment": sealed(EMPTY).record,
    }


@pytest.mark.parametrize("name", no_proofs())
def test_what_is_no_proof(cli: Cli, home: Path, name: str) -> None:
    """Code 3 and the reason, for people and for programs."""
    path = home / "file.cbor"
    path.write_bytes(no_proofs()[name])
    done = cli(*VERIFY, path)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"hydra-sync: {path} proves no fork: ")
    done = cli(*VERIFY, path, "--json")
    assert (done.code, done.err) == (3, "")
    found = json.loads(done.out)
    assert (found["valid"], found["path"]) == (False, str(path))
    assert found["reason"].startswith(f"{path} proves no fork: ")


def test_a_file_that_cannot_be_read(cli: Cli, home: Path) -> None:
    """Is named."""
    done = cli("fork-proof", "verify", "/proc/self/mem")
    assert (done.code, done.err) == (5, "hydra-sync: /proc/self/mem: Input/output error\n")


def test_no_such_file(cli: Cli, home: Path) -> None:
    """Neither proof nor configuration: wrong use."""
    assert cli(*VERIFY, "nothing.cbor").code == 2
    assert cli(*VERIFY, home).code == 2
    path = home / "file.cbor"
    path.write_bytes(b"")
    assert cli(*VERIFY, path, "--config", "nothing.toml").code == 2


def test_the_golden_proofs_are_valid(cli: Cli, home: Path) -> None:
    """Files of version 1, wherever they come from."""
    golden = Path(__file__).parents[1] / "fixtures" / "format-1"
    for path in sorted(golden.glob("fork-*.cbor")):
        assert cli(*VERIFY, path).code == 0
