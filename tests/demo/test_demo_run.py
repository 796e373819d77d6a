"""The demonstration itself: three real processes, and nothing of them left whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from hydra_sync.cli import main
from hydra_sync.config import load_config
from hydra_sync.demo import generate, judge
from hydra_sync.demo.processes import NodeProcess, prepare
from hydra_sync.demo.transactions import read_dataset
from hydra_sync.errors import StoreError, UsageError

PATIENCE_S = 240.0  # the whole story takes about 20 s on a quiet machine
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
DEMO = [sys.executable, "-m", "hydra_sync", "demo"]


def node_processes(directory: Path) -> list[int]:
    """Processes whose command line names ``directory``, the demonstration's own excepted."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"run" in words and any(os.fsencode(directory) in word for word in words):
                found.append(int(entry.name))
    return found


def until_no_process(directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while node_processes(directory):
        assert time.monotonic() < deadline, "nodes are left running"
        time.sleep(0.05)


async def test_a_short_run(tmp_path: Path) -> None:
    """The whole story, for programs: good, every fetch named, the stores kept; then one planted byte is fatal."""
    home = tmp_path / "demo"
    command = [*DEMO, "--count", "20", "--json", "--dir", str(home), "--picture", str(tmp_path / "demo.svg")]
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, env=ENVIRONMENT, check=False)
    told = done.stderr.decode()
    assert done.returncode == 0, told
    outcome = json.loads(done.stdout)
    assert (outcome["good"], outcome["identical"], outcome["problems"]) == (True, True, [])
    assert outcome["acknowledged"] == {"alice": 20, "bob": 20, "carol": 20}
    assert [finding["events"] for finding in outcome["verdict"]["findings"]] == [20] * 9
    assert {"log": "alice", "peer": "bob", "start": 20, "stop": None, "missed": 1} in outcome["fetches"]
    assert "carol is killed with SIGKILL" in told
    assert "carol has caught up with alice's log at 21: [20, 21) from bob" in told  # at 0 the epoch begins
    assert "run refuses, and names recover" in told
    assert "bob's new store meets who knows his log: a lost disk, no new node" in told
    epochs = {finding["log"]: finding["epochs"] for finding in outcome["verdict"]["findings"]}
    assert {log: len(begun) for log, begun in epochs.items()} == {"alice": 2, "bob": 2, "carol": 5}
    assert all(begun == sorted(set(begun)) for begun in epochs.values())
    assert (tmp_path / "demo.svg").read_text().startswith("<svg")
    assert node_processes(home) == []

    configs = {name: load_config(home / f"{name}.toml") for name in ("alice", "bob", "carol")}
    due = {name: generate(name, 20) for name in configs}
    assert (await judge(configs, due)).good
    key = configs["bob"].find("alice").hex()
    segment = home / "bob" / "logs" / key / f"{0:020d}.log"
    data = bytearray(segment.read_bytes())
    end = len(data.rstrip(b"\0"))
    for offset in (end // 2, end + 1000):  # in a record, and where readers never look
        data[offset] ^= 1
        segment.write_bytes(data)
        assert not (await judge(configs, due)).good, offset
        data[offset] ^= 1


def test_what_is_wrong_makes_it_exit_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A byte planted while the story ends, before the verdict: the table says NO, the exit code 3."""
    real_judge = judge

    async def plant_and_judge(configs: dict[str, object], submitted: dict[str, list[bytes]]) -> object:
        for path in (tmp_path / "demo" / "carol" / "logs").glob("*/*.log"):
            data = bytearray(path.read_bytes())
            data[data.index(b"outputs")] ^= 1
            path.write_bytes(data)
        return await real_judge(configs, submitted)  # type: ignore[arg-type]

    monkeypatch.setattr("hydra_sync.demo.story.judge", plant_and_judge)
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    monkeypatch.setattr(sys, "argv", ["hydra-sync", "demo", "--count", "6", "--dir", str(tmp_path / "demo")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    out = capfd.readouterr().out
    assert "Wrong." in out
    assert "bytes DIFFER" in out
    assert "carol's store, alice's log: " in out
    assert out.count("NO") == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    """However the demonstration is ended, its nodes end too; Ctrl-C says nothing and is code 130."""
    home = tmp_path / "demo"
    with subprocess.Popen(
        [*DEMO, "--dir", str(home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        assert "alice, bob and carol run" in demo.stdout.readline()
        assert len(node_processes(home)) == 3
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == (130 if number == signal.SIGINT else -number)
    assert errors.strip() == ""
    until_no_process(home)


def test_a_node_that_ends_by_itself(tmp_path: Path) -> None:
    """The demonstration says which, ends the others, and fails."""
    home = tmp_path / "demo"
    with subprocess.Popen(
        [*DEMO, "--dir", str(home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as demo:
        assert demo.stdout is not None
        assert "alice, bob and carol run" in demo.stdout.readline()
        bob = next(
            number for number in node_processes(home) if b"bob.toml" in Path(f"/proc/{number}/cmdline").read_bytes()
        )
        os.kill(bob, signal.SIGTERM)
        _, errors = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 5
    assert errors == "hydra-sync: the node of bob ended by itself: it gave no reason\n"
    until_no_process(home)


async def test_a_node_that_never_starts(tmp_path: Path) -> None:
    """Its own words are the reason."""
    files = prepare(tmp_path, ["alice"])
    node = NodeProcess("alice", files["alice"], lambda *_: None)
    with pytest.raises(StoreError, match="the node of alice ended by itself: there is no store in"):
        await node.run()
    (tmp_path / "alice.sk").write_text("{}")
    with pytest.raises(StoreError, match=r"alice has no store: .*alice\.sk"):
        await node.init()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--count", "3"], "3 is not in the range"),
        (["--rate", "0"], "0.0 is not in the range"),
        (["--dir", "full"], "full is not empty: name a new directory with --dir"),
        (["--dir", "/proc/none/demo"], "/proc/none/demo cannot be made"),
        (["--transactions", "none.json"], "none.json cannot be read"),
        (["--transactions", "odd.json"], "odd.json is no dataset of hydra-node's benchmark"),
        (["--transactions", "two.json"], "does not have 3 clients with transactions"),
    ],
)
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    """Code 2, before anything starts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "odd.json").write_text("[1]")
    (tmp_path / "two.json").write_text('{"clientDatasets": [{"txSequence": []}, {"txSequence": []}]}')
    monkeypatch.setattr(sys, "argv", ["hydra-sync", "demo", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_dataset_of_hydra_node(hydra_data: Path) -> None:
    """Three clients with 300 signed transactions each, all different."""
    clients = read_dataset(hydra_data / "3-nodes.json")
    assert [len(set(transactions)) for transactions in clients] == [300, 300, 300]


def test_generated_transactions_form_a_chain() -> None:
    """Each is different, and the same for the same wallet."""
    assert generate("alice", 10) == generate("alice", 10)
    assert len(set(generate("alice", 10) + generate("bob", 10))) == 20


def test_a_dataset_has_to_be_one(tmp_path: Path) -> None:
    """Not UTF-8, not hexadecimal."""
    path = tmp_path / "data.json"
    for data in (b"\xff", b'{"clientDatasets": [{"txSequence": [{"cborHex": "x"}]}]}'):
        path.write_bytes(data)
        with pytest.raises(UsageError, match="is no dataset"):
            read_dataset(path)
