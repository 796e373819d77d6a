"""A member whose own log is proven to be forked: whatever it does, in whatever process, it hears so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hydra_sync.chain import Tip
from hydra_sync.fork import ForkProof, encode_proof
from tests.cli.commands import Cli, Process, config
from tests.forking import ALICE, BOB, coses, sealed

NODE = ("--config", "alice.toml")
FORKED = "this node's own log is forked at seq 2, proven"


@pytest.fixture
def forked(cli: Cli, home: Path) -> Path:
    """alice has five events, and the proof that she signed two histories from 2 on; of bob's log it is from 0 on."""
    network = config(home, "alice").network_id
    assert cli("init", *NODE).code == 0
    assert cli("append", *NODE, *"abcde").code == 0
    Path("alice/forks").mkdir()
    for key, tip in ((ALICE, Tip(0, 2, bytes(32))), (BOB, Tip(0, 0, bytes(32)))):
        left, right = (sealed(tip, salt=salt, key=key, network=network) for salt in (1, 2))
        proof = ForkProof(key.member, coses(left), coses(right))
        Path(f"alice/forks/{key.member.hex()}.cbor").write_bytes(encode_proof(network, proof))
    return home


def test_nothing_is_appended_offline(cli: Cli, forked: Path) -> None:
    done = cli("append", *NODE, "f")
    assert done.code != 0
    assert FORKED in done.err
    assert cli("status", *NODE, "--json").json[0]["logs"][0]["next_seq"] == 5


@pytest.mark.parametrize("restart", ["trust-disk", "prove"])
def test_a_node_that_is_started_again_appends_nothing(
    forked: Path, restart: str, start: Callable[..., Process]
) -> None:
    """Whatever it was that had proven it in an earlier process."""
    file = Path("alice.toml")
    file.write_text(file.read_text().replace('restart = "trust-disk"', f'restart = "{restart}"'))
    node = start("run", *NODE, "--stdin")
    node.write("f\n")
    node.until(FORKED)
    node.end_input()
    node.wait()
    assert not any("appended" in line or "needs" in line for line in node.seen), node.seen


def test_recover_says_that_there_is_nothing_to_recover(cli: Cli, forked: Path) -> None:
    done = cli("recover", *NODE, "--timeout", "5")
    assert done.code != 0
    assert FORKED in done.err
    assert "Go on with" not in done.out + done.err


def test_the_store_of_a_node_that_does_not_run_tells_of_it(cli: Cli, forked: Path) -> None:
    said = cli("explain", *NODE).out
    assert FORKED in said
    assert "bob's log is forked: two histories were signed from 0 on" in said
    assert [log["state"] for log in cli("status", *NODE, "--json").json[0]["logs"]] == ["forked"] * 2
    done = cli("verify", *NODE)
    assert done.code == 0  # what is here is sound
    assert "alice's log is forked" in done.out
    logs = cli("verify", *NODE, "--json").json[0]["logs"]
    assert {log["log"]: log["forked_at"] for log in logs} == {"alice": 2, "bob": 0}


def test_what_lies_beyond_is_not_read(cli: Cli, forked: Path) -> None:
    """Below the fork all members agree, and that is given."""
    assert cli("read", *NODE, "alice", 0, 2).code == 0
    done = cli("read", *NODE, "alice")
    assert done.code != 0
    assert len(done.out.splitlines()) == 2
    assert "forked at event 2" in done.err
