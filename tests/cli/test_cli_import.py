"""import: what a hydra-node knew, for people and programs; and its records in the log of one of our nodes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import trio

from hydra_sync.importer.appending import imported_records
from hydra_sync.node import recover_store
from tests.cli.commands import PATIENCE_S, Cli, Start, config, locked, write_network
from tests.importer.histories import HEAD, PARTIES, V2_2, history, lines, write_database, write_lines

ALICE = ("--config", "alice.toml")
WHOLE = lines(V2_2, history(V2_2))


@pytest.fixture
def node(home: Path) -> Path:
    """The persistence directory of a hydra-node."""
    directory = home / "persistence"
    directory.mkdir()
    write_database(directory / "hydra.db", WHOLE)
    return directory


def values(cli: Cli) -> list[object]:
    """All of alice's log."""
    return [event["value"] for event in cli("read", *ALICE, "alice", "--json").json]


def test_the_answers_for_people(cli: Cli, node: Path) -> None:
    """All four, and why the signatures are not checked."""
    done = cli("import", "hydra-node", node)
    assert done.code == 0
    assert "status        open" in done.out
    assert HEAD in done.out
    assert all(party in done.out for party in PARTIES)
    assert "number 1, version 1, 3 unspent outputs" in done.out
    assert "KZG commitment" in done.out
    assert "6 seen: 1 waiting, 1 applied, 1 in flight, 2 confirmed, 1 rejected" in done.out
    assert "12 in flight, snapshot 2" in done.out
    assert "15 rejected: cannot apply transaction" in done.out


def test_the_answers_for_programs(cli: Cli, node: Path) -> None:
    """The same, as one line of JSON."""
    done = cli("import", "hydra-node", node, "--json")
    assert done.code == 0
    [found] = done.json
    assert (found["status"], found["head_id"], found["parties"]) == ("open", HEAD, list(PARTIES))
    assert (found["sound"], found["records"], found["files"]) == (True, len(WHOLE), ["hydra.db"])
    transactions = found["transactions"]
    assert isinstance(transactions, list)
    fates = {transaction["id"]: transaction["fate"] for transaction in transactions}
    assert fates["12"] == "in flight"
    assert "appended" not in found


def test_nothing_is_appended_while_the_own_log_may_be_longer_elsewhere(cli: Cli, node: Path, home: Path) -> None:
    trio.run(recover_store, config(home, "alice"))
    done = cli("import", "hydra-node", node, "--append", *ALICE)
    assert done.code == 3
    assert "alice's own log may be longer than what is here" in done.err
    assert values(cli) == []


def test_damage_is_told_and_decides_the_code(cli: Cli, node: Path) -> None:
    """3, with the place of what is damaged; the answers come all the same. A torn tail alone is no damage."""
    (node / "hydra.db").unlink()
    write_lines(node / "state", [*WHOLE[:4], b"\x1b[31moops", *WHOLE[4:]])
    done = cli("import", "hydra-node", node)
    assert done.code == 3
    assert "damaged: state, line 5, byte " in done.out
    assert "\x1b[31moops" not in done.out
    assert "status        open" in done.out
    [found] = cli("import", "hydra-node", node, "--json").json
    problem = found["problems"][0]
    assert (problem["file"], problem["line"], problem["harmless"]) == ("state", 5, False)
    (node / "state").write_bytes(b"\n".join(WHOLE) + b'\n{"eventId"')
    torn = cli("import", "hydra-node", node)
    assert torn.code == 0
    assert "torn: state, line " in torn.out


def test_a_history_does_nothing_to_a_terminal(cli: Cli, node: Path) -> None:
    """Texts of whoever wrote the file are shown, not obeyed."""
    why = {"reason": "\x1b[2J\ud800"}
    refused = {"tag": "TxInvalid", "headId": HEAD, "transaction": {"id": 14}, "validationError": why}
    (node / "hydra.db").unlink()
    write_lines(node / "state", [*WHOLE, *lines(V2_2, [refused], len(WHOLE))])
    done = cli("import", "hydra-node", node)
    assert done.code == 0
    assert "\x1b[2J" not in done.out
    assert r"14 rejected: '\x1b[2J\ud800'" in done.out
    assert cli("import", "hydra-node", node, "--json").code == 0


def test_many_problems(cli: Cli, node: Path) -> None:
    """People get the first ones, and how many more there are."""
    (node / "hydra.db").unlink()
    write_lines(node / "state", [b"x"] * 1500)
    done = cli("import", "hydra-node", node)
    assert done.out.count("damaged: ") == 20
    assert "and 1,480 problems more; --json names the first 1,000" in done.out
    assert cli("import", "hydra-node", node, "--json").json[0]["problems_not_named"] == 500


def test_a_directory_whose_name_is_no_text(cli: Cli, home: Path, node: Path) -> None:
    """Such names exist: as an origin their bytes are written out."""
    strange = node.rename(home / os.fsdecode(b"n\xff"))
    assert cli("init", *ALICE).code == 0
    assert cli("import", "hydra-node", strange, "--append", *ALICE).code == 0
    [first, *_] = values(cli)
    assert isinstance(first, dict)
    assert first["origin"].endswith(r"n\xff")
    assert cli("import", "hydra-node", strange, "--append", *ALICE, "--json").json[0]["appended"] == 0


def test_wrong_use(cli: Cli, home: Path, node: Path) -> None:
    """2, and what to do."""
    for words in ((home / "nowhere",), (home,), (), (node, "--origin", "alice")):
        assert cli("import", "hydra-node", *words).code == 2
    refused = cli("import", "hydra-node", home)
    assert "none of state, state-<id>" in refused.err
    assert "hydra-node" in cli("import", "--help").out


def test_records_become_events(cli: Cli, home: Path, node: Path) -> None:
    """Each once, exactly as it stood; a second import appends only what is new; verify finds every signature good."""
    assert cli("init", *ALICE).code == 0
    done = cli("import", "hydra-node", node, "--append", *ALICE, "--json")
    assert done.code == 0
    assert (done.json[0]["appended"], done.json[0]["already_there"]) == (len(WHOLE), 0)
    assert [data for _, data in imported_records(values(cli))] == WHOLE
    again = cli("import", "hydra-node", node, "--append", *ALICE)
    assert f"appended 0 events to alice's log, durable; {len(WHOLE)} were there from before" in again.out
    more = [*WHOLE, *lines(V2_2, [{"tag": "NetworkConnected"}], len(WHOLE))]
    (node / "hydra.db").unlink()
    write_database(node / "hydra.db", more)
    assert cli("import", "hydra-node", node, "--append", *ALICE, "--json").json[0]["appended"] == 1
    assert [data for _, data in imported_records(values(cli))] == more
    assert cli("verify", *ALICE).code == 0


def test_an_origin_is_whose_history_it_is(cli: Cli, home: Path, node: Path) -> None:
    """The directory, if nothing else is said; by name it may move."""
    assert cli("init", *ALICE).code == 0
    named = ("--append", "--origin", "carol", *ALICE, "--json")
    assert cli("import", "hydra-node", node, *named).json[0]["appended"] == len(WHOLE)
    moved = node.rename(home / "elsewhere")
    assert cli("import", "hydra-node", moved, *named).json[0]["appended"] == 0
    assert cli("import", "hydra-node", moved, "--append", *ALICE, "--json").json[0]["appended"] == len(WHOLE)
    origins = [value["origin"] for value in values(cli) if isinstance(value, dict)]
    assert set(origins) == {"carol", str(moved)}


def test_damage_is_no_event(cli: Cli, node: Path) -> None:
    """What is no record is not appended, what is a record of an unknown kind is; the code is 3."""
    (node / "hydra.db").unlink()
    unknown = b'{"tag":"HeadTeleported"}'
    write_lines(node / "state", [*WHOLE, b"oops", unknown])
    assert cli("init", *ALICE).code == 0
    done = cli("import", "hydra-node", node, "--append", *ALICE)
    assert done.code == 3
    assert [data for _, data in imported_records(values(cli))] == [*WHOLE, unknown]


def test_a_store_that_cannot_take_it(cli: Cli, home: Path, node: Path) -> None:
    """None there, in use, or of a node that the others have to grant its start: said, and nothing is appended."""
    words = ("import", "hydra-node", node, "--append", *ALICE)
    assert cli(*words).code == 2
    assert cli("init", *ALICE).code == 0
    with locked(home, "alice"):
        busy = cli(*words)
    assert busy.code == 2
    assert "process 7" in busy.err
    write_network(home, restart="prove")
    refused = cli(*words)
    assert refused.code == 2
    assert 'restart = "prove"' in refused.err


def test_a_killed_import_goes_on(start: Start, cli: Cli, home: Path, node: Path) -> None:
    """SIGKILL in the middle: what is durable is a beginning, and the next import brings the rest, nothing twice."""
    event = {"tag": "TxInvalid", "transaction": {"id": 1}, "validationError": {"reason": "x" * 20_000}}
    many = [json.dumps({"eventId": n, "stateChanged": event}).encode() for n in range(1500)]
    (node / "hydra.db").unlink()
    write_lines(node / "state", many)
    assert cli("init", *ALICE).code == 0
    segment = home / "alice" / "logs" / config(home, "alice").key.member.hex() / f"{0:020d}.log"
    process = start("import", "hydra-node", str(node), "--append", *ALICE)
    give_up = time.monotonic() + PATIENCE_S
    while not segment.exists() or b"TxInvalid" not in segment.read_bytes()[:1_000_000]:
        assert time.monotonic() < give_up
    process.signal(signal.SIGKILL)
    process.wait()
    done = cli("import", "hydra-node", node, "--append", *ALICE, "--json").json[0]
    assert done["already_there"]
    assert [data for _, data in imported_records(values(cli))] == many
