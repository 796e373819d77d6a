"""Configuration: every mistake is a `UsageError` that says where it stands."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra_sync.config import (
    Address,
    Config,
    Member,
    load_config,
    parse_config,
    parse_member_key,
    read_signing_key,
    read_verification_key,
)
from hydra_sync.errors import UsageError
from hydra_sync.identity import SigningKey, network_id, signing_envelope, verification_envelope

ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)

TOML = """
network = "our head"
node-id = "alice"
listen = "127.0.0.1:5001"
advertise = "[::1]:5001"
peer = ["127.0.0.1:5002"]
hydra-signing-key = "alice.sk"
persistence-dir = "alice"
restart = "trust-disk"

[[member]]
alias = "bobby"
hydra-verification-key = "bob.vk"
address = "bob.example:5002"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the keys of alice and bob."""
    home = tmp_path_factory.mktemp("home")
    for name, key in (("alice", ALICE), ("bob", BOB)):
        (home / f"{name}.sk").write_text(signing_envelope(key))
        (home / f"{name}.vk").write_text(verification_envelope(key.member))
    (home / "binary.sk").write_bytes(b"\xff\xfe")
    (home / "wrong.vk").write_text("{}")
    (home / "node.toml").write_text(TOML)
    return home


def table(**changes: object) -> dict[str, object]:
    """The example, with some settings changed; None removes one."""
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in (tomllib.loads(TOML) | changed).items() if value is not None}


def test_a_whole_configuration(home: Path) -> None:
    """Every setting arrives, paths are relative to the file."""
    config = load_config(home / "node.toml")
    assert config == Config(
        network="our head",
        key=ALICE,
        members=(
            Member("alice", ALICE.member),
            Member("bobby", BOB.member, Address("bob.example", 5002)),
        ),
        persistence_dir=home / "alice",
        listen=Address("127.0.0.1", 5001),
        advertise=Address("::1", 5001),
        peers=(Address("127.0.0.1", 5002),),
        restart="trust-disk",
    )
    assert config.network_id == network_id("our head", [ALICE.member, BOB.member])
    assert config.me == Member("alice", ALICE.member)
    assert config.keys == tuple(sorted([ALICE.member, BOB.member]))


def test_flags_win_over_the_file(home: Path) -> None:
    """Overrides replace what the file says; None leaves it."""
    config = load_config(home / "node.toml", {"node-id": "al", "listen": None, "persistence-dir": home / "elsewhere"})
    assert (config.me.alias, config.listen) == ("al", Address("127.0.0.1", 5001))
    assert config.persistence_dir == home / "elsewhere"


def test_the_node_may_be_among_the_members(home: Path) -> None:
    """A list that all members share works on each: the own entry keeps its place and address."""
    members = [
        {"hydra-verification-key": "bob.vk"},
        {"hydra-verification-key": "alice.vk", "address": "alice:5001"},
    ]
    config = parse_config(table(member=members), base=home)
    assert config.members == (Member("bob", BOB.member), Member("alice", ALICE.member, Address("alice", 5001)))


def test_the_least_configuration(home: Path) -> None:
    """Network, key and directory are enough."""
    least = {"network": "n", "hydra-signing-key": "alice.sk", "persistence-dir": "d"}
    config = parse_config(least, base=home)
    assert (config.me.alias, config.listen, config.peers, config.restart) == ("me", None, (), "prove")


def test_members_are_found_by_alias_key_or_hex(home: Path) -> None:
    """People and programs name members their own way; a stranger is answered with those we know."""
    config = load_config(home / "node.toml")
    for name in ("bobby", BOB.member, BOB.member.hex()):
        assert config.find(name) == BOB.member
    assert config.alias(BOB.member) == "bobby"
    assert config.alias(SigningKey(b"\x03" * 32).member) == SigningKey(b"\x03" * 32).member.hex()[:8]
    for stranger in ("carol", bytes(32)):
        with pytest.raises(UsageError, match="alice, bobby"):
            config.find(stranger)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": None}, "network is missing"),
        ({"network": ""}, "name"),
        ({"network": "x" * 300}, "name"),
        ({"network": 5}, "not a text"),
        ({"hydra_signing_key": None}, "hydra-signing-key is missing"),
        ({"hydra_signing_key": "nobody.sk"}, "there is no signing key file"),
        ({"hydra_signing_key": "bob.vk"}, "HydraVerificationKey"),
        ({"hydra_signing_key": "binary.sk"}, "cannot be read"),
        ({"hydra_signing_key": "."}, "cannot be read"),
        ({"hydra_signing_key": "nul\0.sk"}, "nul"),
        ({"persistence_dir": None}, "persistence-dir is missing"),
        ({"persistance_dir": "x"}, "no setting 'persistance-dir'"),
        ({"listen": "5001"}, "HOST:PORT"),
        ({"listen": "host:99999"}, "port"),
        ({"advertise": 1}, "not a text"),
        ({"peer": "127.0.0.1:1"}, "not a list"),
        ({"peer": [1]}, "not a list"),
        ({"peer": ["nowhere"]}, "HOST:PORT"),
        ({"restart": "hope"}, "prove, trust-disk"),
        ({"node_id": ""}, "no alias"),
        ({"node_id": "x" * 65}, "no alias"),
        ({"node_id": "a\nb"}, "no alias"),
        ({"node_id": "bobby"}, "two members are called 'bobby'"),
        ({"member": {"alias": "x"}}, r"\[\[member\]\]"),
        ({"member": ["bob"]}, r"\[\[member\]\]"),
        ({"member": [{"alias": "bob"}]}, "hydra-verification-key is missing"),
        ({"member": [{"hydra-verification-key": "nobody.vk"}]}, "nobody.vk"),
        ({"member": [{"hydra-verification-key": "wrong.vk"}]}, "wrong.vk"),
        ({"member": [{"hydra-verification-key": "alice.sk"}]}, "alice.sk"),
        ({"member": [{"hydra-verification-key": "bob.vk", "adress": "x:1"}]}, "no setting 'adress'"),
        ({"member": [{"alias": a, "hydra-verification-key": "bob.vk"} for a in "xy"]}, "twice"),
    ],
)
def test_every_mistake_is_named(home: Path, changes: dict[str, object], words: str) -> None:
    """A wrong setting raises a `UsageError` with the words that help, before anything runs."""
    with pytest.raises(UsageError, match=words):
        parse_config(table(**changes), base=home)


def test_a_bad_file_is_named(home: Path) -> None:
    """Missing, broken or wrong files are named in the message."""
    with pytest.raises(UsageError, match=r"no configuration file .*none\.toml"):
        load_config(home / "none.toml")
    (home / "broken.toml").write_text("network = ")
    with pytest.raises(UsageError, match=r"broken\.toml is not TOML"):
        load_config(home / "broken.toml")
    (home / "typo.toml").write_text(TOML.replace("listen", "lisen"))
    with pytest.raises(UsageError, match=r"typo\.toml: .*'lisen'"):
        load_config(home / "typo.toml")


def test_a_key_that_is_no_members_is_refused(home: Path) -> None:
    """A node outside the network it is configured for does not start."""
    with pytest.raises(UsageError, match="no member of this network"):
        Config(network="n", key=ALICE, members=(Member("bob", BOB.member),), persistence_dir=home)


leaves = st.text(max_size=12) | st.integers() | st.booleans() | st.floats() | st.sampled_from(["alice.sk", "bob.vk"])
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["alias", "hydra-verification-key", "address", "x"]) | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(
        st.sampled_from([*tomllib.loads(TOML)]) | st.text(max_size=5), values, min_size=1, max_size=3
    )
)
def test_any_table_is_a_configuration_or_a_usage_error(home: Path, changes: dict[str, object]) -> None:
    """Whatever TOML holds, the answer is a usable `Config` or `UsageError`."""
    try:
        config = parse_config(tomllib.loads(TOML) | changes, base=home)
    except UsageError:
        return
    assert len(config.network_id) == 32


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_any_file_is_a_configuration_or_a_usage_error(home: Path, data: bytes) -> None:
    """Any bytes in the file raise nothing but `UsageError`."""
    path = home / "any.toml"
    path.write_bytes(data)
    for read in (load_config, read_signing_key, read_verification_key):
        with pytest.raises(UsageError, match=r"any\.toml"):
            read(path)


hosts = st.text(alphabet="ab.:[]% 1\0é\ud800", max_size=8)
ports = st.text(alphabet="0123456789٣²-+ _", max_size=6) | st.integers(-1, 70000).map(str)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=12) | st.builds("{}:{}".format, hosts, ports) | st.builds("[{}]:{}".format, hosts, ports))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    """An address is written as it is read, and reads back as itself; all else raises `UsageError`."""
    try:
        address = Address.parse(text)
    except UsageError:
        return
    assert 0 <= address.port <= 65535
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host:0", Address("host", 0)),
        ("10.0.0.1:65535", Address("10.0.0.1", 65535)),
        ("[fe80::1%eth0]:7", Address("fe80::1%eth0", 7)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """Names, IPv4 and bracketed IPv6 hosts."""
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":1",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "::1:5001",
        "[]:1",
        "[::1:5001",
        "::1]:5001",
        "h" * 300 + ":1",
        "host:" + "1" * 200,
        "host:²",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(UsageError, match="HOST:PORT"):
        Address.parse(text)


def test_member_keys_in_hex() -> None:
    """64 hexadecimal digits, or a `UsageError`."""
    assert parse_member_key(BOB.member.hex()) == BOB.member
    for text in ("", "zz", "ab", BOB.member.hex() + "00"):
        with pytest.raises(UsageError, match="64 hexadecimal digits"):
            parse_member_key(text)
