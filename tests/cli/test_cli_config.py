"""keygen, and the ways to say which node: every mistake has its own words and exit code 2."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from hydra_sync.config import read_signing_key, read_verification_key
from tests.cli.commands import Cli


def test_keygen_makes_a_pair_that_belongs_together(cli: Cli, home: Path) -> None:
    """The private file is for its owner only, and --json names both files and the key."""
    made = cli("keygen", "--output-file", "dora", "--json").json[0]
    assert read_signing_key(home / "dora.sk").member == read_verification_key(home / "dora.vk")
    assert made["key"] == read_verification_key(home / "dora.vk").hex()
    assert stat.S_IMODE((home / "dora.sk").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "dora.vk").stat().st_mode) == 0o644


@pytest.mark.parametrize("suffix", [".sk", ".vk"])
def test_keygen_never_overwrites(cli: Cli, home: Path, suffix: str) -> None:
    """Neither file of an existing pair changes, and no other one appears."""
    (home / f"dora{suffix}").write_text("precious")
    done = cli("keygen", "--output-file", "dora")
    assert (done.code, (home / f"dora{suffix}").read_text()) == (2, "precious")
    assert f"dora{suffix} exists, and keys are never overwritten" in done.err
    assert [path.name for path in home.glob("dora*")] == [f"dora{suffix}"]


@pytest.mark.parametrize(
    ("name", "words"), [("nowhere/dora", "No such file"), (".", "is a directory"), ("..", "is a directory")]
)
def test_keygen_says_why_it_cannot_write(cli: Cli, home: Path, name: str, words: str) -> None:
    """A path that cannot be is a user's mistake."""
    done = cli("keygen", "--output-file", name)
    assert done.code == 2
    assert words in done.err


@pytest.mark.parametrize("command", ["keygen", "init", "run", "append", "read", "follow", "fetch", "status", "verify"])
def test_every_command_has_help_with_an_example(cli: Cli, command: str) -> None:
    """--help names its command once more in an example."""
    done = cli(command, "--help")
    assert done.code == 0
    assert f"Example: {'seq 1000 | ' if command == 'run' else ''}hydra-sync {command}" in done.out


def test_help_tells_the_exit_codes(cli: Cli) -> None:
    """So does the version."""
    assert "Exit codes: 0 done" in cli("--help").out
    assert cli("--version").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which node? There is no hydra-sync.toml here"),
        (["--network", "test"], "give --hydra-signing-key and --persistence-dir too"),
        (["--config", "none.toml"], "there is no configuration file none.toml"),
        (["--config", "."], "is a directory"),
        (["--config", "broken.toml"], "broken.toml is not TOML"),
        (["--config", "odd.toml"], "no setting 'nettwork'"),
        (["--config", "alice.toml", "--listen", "127.0.0.1:70000"], "no port from 0 to 65535"),
        (["--config", "alice.toml", "--listen", "::1"], "is no address: write HOST:PORT"),
        (["--config", "alice.toml", "--peer", "localhost"], "is no address: write HOST:PORT"),
        (["--config", "alice.toml", "--hydra-signing-key", "none.sk"], "there is no signing key file"),
        (["--config", "alice.toml", "--hydra-signing-key", "alice.vk"], "not a HydraSigningKey_ed25519"),
        (["--config", "alice.toml", "--hydra-signing-key", "."], "cannot be read"),
        (["--config", "alice.toml", "--hydra-verification-key", "binary.vk"], "cannot be read"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(cli: Cli, home: Path, words: list[str], said: str) -> None:
    """Every mistake has its own sentence and exit code 2."""
    (home / "broken.toml").write_text("network = \n")
    (home / "odd.toml").write_text('nettwork = "test"\n')
    (home / "binary.vk").write_bytes(b"\xff\xfe")
    done = cli("status", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_flags_alone_are_enough(cli: Cli, home: Path) -> None:
    """A node needs no file; what init advises to run next has the same options."""
    flags = ["--network", "flagged", "--node-id", "al", "--hydra-signing-key", "alice.sk"]
    flags += ["--hydra-verification-key", "bob.vk", "--persistence-dir", "by flags"]
    done = cli("init", *flags)
    assert done.code == 0
    assert "hydra-sync run --network flagged --node-id al" in done.out
    assert "--persistence-dir 'by flags'" in done.out
    status = cli("status", *flags, "--json").json[0]
    assert [log["alias"] for log in status["logs"]] == ["al", "bob"]


def test_the_default_file_and_the_environment(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hydra-sync.toml is taken where it is, and HYDRA_SYNC_CONFIG names another."""
    assert cli("init", "--config", "alice.toml").code == 0
    (home / "alice.toml").rename(home / "hydra-sync.toml")
    assert cli("status", "--json").json[0]["node_id"] == "alice"
    monkeypatch.setenv("HYDRA_SYNC_CONFIG", "bob.toml")
    assert "there is no store in" in cli("status").err


def test_a_key_outside_the_network_is_named(cli: Cli, home: Path) -> None:
    """A name that is no member's lists those that are."""
    assert cli("init", "--config", "alice.toml").code == 0
    done = cli("read", "--config", "alice.toml", "mallory")
    assert done.code == 2
    assert "'mallory' is no member of network 'test'; its members are: alice, bob" in done.err


def test_init_makes_one_store_once(cli: Cli, home: Path) -> None:
    """A second time, and where a file stands, it refuses."""
    made = json.loads(cli("init", "--config", "alice.toml", "--json").out)
    assert Path(made["persistence_dir"]) == home / "alice"
    again = cli("init", "--config", "alice.toml")
    assert again.code == 2
    assert "already" in again.err
    (home / "bob").write_text("a file")
    done = cli("init", "--config", "bob.toml")
    assert done.code == 2
    assert "is a file" in done.err
