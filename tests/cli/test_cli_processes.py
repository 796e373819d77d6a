"""Two processes with one member's key, as operators start them by mistake: the older one ends, and says why."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from hydra_sync.demo.processes import prepare
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope
from tests.cli.commands import Cli, Process, Start

NAMES = ("alice", "bob", "carol")


def without_addresses(text: str, *names: str) -> str:
    """A configuration that does not know where these members are."""
    for name in names:
        text = re.sub(rf'(alias = "{name}"\n.*\n)address = .*\n', r"\1", text)
    return text


def prepare_processes(home: Path, *, lowest: bool, dials: bool) -> None:
    """Three members: carol has the lowest key or the highest, and dials the others or is dialed.

    A second process of hers has a configuration of its own, ``again.toml``; it can only dial.
    """
    prepare(home, NAMES)
    keys = sorted((SigningKey(bytes([n]) * 32) for n in (1, 2, 3)), key=lambda key: key.member, reverse=not lowest)
    for name, key in zip(("carol", "alice", "bob"), keys, strict=True):
        (home / f"{name}.sk").write_text(signing_envelope(key))
        (home / f"{name}.vk").write_text(verification_envelope(key.member))
    texts = {name: (home / f"{name}.toml").read_text() for name in NAMES}
    (home / "again.toml").write_text(re.sub(r"listen = .*\n", "", texts["carol"]).replace('"carol"', '"again"'))
    for name in ("alice", "bob") if dials else ("carol",):
        (home / f"{name}.toml").write_text(without_addresses(texts[name], *(("carol",) if dials else NAMES)))


@pytest.mark.parametrize("dials", [True, False])
@pytest.mark.parametrize("lowest", [True, False])
def test_the_older_of_two_processes_ends(
    cli: Cli, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lowest: bool, dials: bool
) -> None:
    """Whoever dialed whom, and whosever key is lower: the younger appends, the older ends with code 5 and names the
    reason, and what both wrote is in the log."""
    monkeypatch.chdir(tmp_path)
    prepare_processes(tmp_path, lowest=lowest, dials=dials)
    for name in NAMES:
        assert cli("init", "--config", f"{name}.toml").code == 0
    nodes: dict[str, Process] = {
        name: start("run", "--config", f"{name}.toml", "--stdin", "--replicas", "2") for name in NAMES
    }
    nodes["carol"].write("of the older\n")
    nodes["carol"].until("appended 1")

    nodes["carol"].copy_store("carol", "again")
    younger = start("run", "--config", "again.toml", "--stdin", "--replicas", "2")
    younger.write("of the younger\n")
    younger.until("appended 3")
    nodes["carol"].until("another process has our key")
    assert nodes["carol"].wait() == 5
    assert any("begun by another process with the same key" in line for line in nodes["carol"].seen)
    for name in ("alice", "bob"):
        values = [event["value"] for event in cli("read", "--config", f"{name}.toml", "carol", "--json").json]
        assert values == ["of the older", "of the younger"]
    for node in (younger, nodes["alice"], nodes["bob"]):
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
