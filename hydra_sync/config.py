"""What a node is told: who it is, who the members are, where they are. Reads TOML and key files.

The names are hydra-node's own where it has one. Every mistake is a `UsageError` that says where it
stands and what to write instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hydra_sync.errors import FormatError, UsageError
from hydra_sync.identity import (
    MemberKey,
    NetworkId,
    SigningKey,
    member_key,
    network_id,
    parse_signing_envelope,
    parse_verification_envelope,
)
from hydra_sync.limits import ADDRESS_BYTES_MAX, ALIAS_BYTES_MAX

__all__ = ["Address", "Config", "Member", "load_config", "read_signing_key", "read_verification_key"]

Restart = Literal["prove", "trust-disk"]
RESTARTS: Final[tuple[Restart, ...]] = ("prove", "trust-disk")
"""How a node starts; ``prove`` comes with own-log recovery."""

_KEYS: Final = {
    "network",
    "node-id",
    "listen",
    "advertise",
    "peer",
    "hydra-signing-key",
    "persistence-dir",
    "restart",
    "member",
}
_MEMBER_KEYS: Final = {"alias", "hydra-verification-key", "address"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens.

    >>> Address.parse("127.0.0.1:5001")
    Address(host='127.0.0.1', port=5001)
    >>> print(Address.parse("[::1]:5001"))
    [::1]:5001
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """``HOST:PORT``, a numeric IPv6 host in brackets. Raises `UsageError`."""
        host, colon, port = text.rpartition(":")
        in_brackets = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if in_brackets else host
        is_host = bare.isprintable() and bare != "" and not set(bare) & set("[]" if in_brackets else "[]:")
        if not colon or not is_host or len(text.encode(errors="replace")) > ADDRESS_BYTES_MAX:
            raise UsageError(f"{text!r} is no address: write HOST:PORT, for example 127.0.0.1:5001")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise UsageError(f"{text!r} has no port from 0 to 65535: write HOST:PORT, for example 127.0.0.1:5001")
        try:
            bare.encode("idna")
        except UnicodeError as error:
            raise UsageError(f"{bare!r} is no host name: {error}") from error
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Member:
    """A member as this node knows it; the alias is this node's own word for the key."""

    alias: str
    key: MemberKey
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """All a node needs to know. ``members`` includes the node itself."""

    network: str
    key: SigningKey
    members: tuple[Member, ...]
    persistence_dir: Path
    listen: Address | None = None
    advertise: Address | None = None
    peers: tuple[Address, ...] = ()
    """Addresses to dial without knowing which member answers there; the channel tells."""
    restart: Restart = "prove"
    """Whether a start asks enough others for an epoch before it appends, or trusts its disk (design: 7)."""

    def __post_init__(self) -> None:
        aliases = [member.alias for member in self.members]
        for alias in aliases:
            if aliases.count(alias) > 1:
                raise UsageError(f"two members are called {alias!r}: give each its own alias")
            if not alias.isprintable() or not 1 <= len(alias.encode()) <= ALIAS_BYTES_MAX:
                raise UsageError(f"{alias!r} is no alias: 1 to {ALIAS_BYTES_MAX} printable bytes")
        if self.key.member not in [member.key for member in self.members]:
            raise UsageError(
                f"the signing key belongs to {self.key.member.hex()}, which is no member of this network: "
                "check hydra-signing-key, or add its verification key to the members"
            )
        network_id(self.network, [member.key for member in self.members])  # says what is wrong with them

    @property
    def network_id(self) -> NetworkId:
        return network_id(self.network, [member.key for member in self.members])

    @property
    def me(self) -> Member:
        return next(member for member in self.members if member.key == self.key.member)

    @property
    def keys(self) -> tuple[MemberKey, ...]:
        """The members' keys, sorted."""
        return tuple(sorted(member.key for member in self.members))

    def alias(self, key: MemberKey) -> str:
        """What people call this member here; part of its key for one that is none."""
        return next((member.alias for member in self.members if member.key == key), key.hex()[:8])

    def find(self, name: str | bytes) -> MemberKey:
        """The member with this alias, hex key or key. Raises `UsageError` that lists whom we know."""
        for member in self.members:
            if name in (member.alias, member.key.hex(), member.key):
                return member.key
        shown = name.hex() if isinstance(name, bytes) else name
        known = ", ".join(member.alias for member in self.members)
        raise UsageError(f"{shown!r} is no member of network {self.network!r}; its members are: {known}")


def read_signing_key(path: Path) -> SigningKey:
    """The key in a ``.sk`` file. Raises `UsageError` that names the file."""
    try:
        return parse_signing_envelope(_read_text(path, "signing key"))
    except FormatError as error:
        raise UsageError(f"{path}: {error}") from error


def read_verification_key(path: Path) -> MemberKey:
    """The key in a ``.vk`` file. Raises `UsageError` that names the file."""
    try:
        return parse_verification_envelope(_read_text(path, "verification key"))
    except FormatError as error:
        raise UsageError(f"{path}: {error}") from error


def load_config(path: Path, overrides: Mapping[str, object] | None = None) -> Config:
    """The configuration in a TOML file; ``overrides`` (same keys, not None) win over it.

    Paths are relative to the file. Raises `UsageError`.
    """
    try:
        table: dict[str, object] = tomllib.loads(_read_text(path, "configuration"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    merged = table | {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return parse_config(merged, base=path.parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def parse_config(table: Mapping[str, object], *, base: Path) -> Config:
    """The configuration in a parsed TOML table. Raises `UsageError`."""
    _refuse_unknown(table, _KEYS, "the configuration")
    key = read_signing_key(base / _text(table, "hydra-signing-key"))
    alias = _text(table, "node-id", default="me")
    members = [_parse_member(item, base) for item in _tables(table, "member")]
    if key.member not in [member.key for member in members]:
        members.insert(0, Member(alias, key.member))
    members = [Member(alias, m.key, m.address) if m.key == key.member else m for m in members]
    return Config(
        network=_text(table, "network"),
        key=key,
        members=tuple(members),
        persistence_dir=base / _text(table, "persistence-dir"),
        listen=_address(table, "listen"),
        advertise=_address(table, "advertise"),
        peers=tuple(Address.parse(text) for text in _texts(table, "peer")),
        restart=_restart(table),
    )


def _restart(table: Mapping[str, object]) -> Restart:
    text = _text(table, "restart", default=RESTARTS[0])
    for restart in RESTARTS:
        if restart == text:
            return restart
    raise UsageError(f"restart = {text!r} is not known here; use one of: {', '.join(RESTARTS)}")


def _parse_member(table: Mapping[str, object], base: Path) -> Member:
    _refuse_unknown(table, _MEMBER_KEYS, "[[member]]")
    path = base / _text(table, "hydra-verification-key")
    return Member(
        alias=_text(table, "alias", default=path.stem),
        key=read_verification_key(path),
        address=_address(table, "address"),
    )


def parse_member_key(text: str) -> MemberKey:
    """A key written in hexadecimal. Raises `UsageError`."""
    try:
        return member_key(bytes.fromhex(text))
    except (ValueError, FormatError) as error:
        raise UsageError(f"{text!r} is no verification key: write 64 hexadecimal digits") from error


def _read_text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"there is no {what} file {path}") from error
    except (OSError, ValueError) as error:  # no text, or a path with a zero byte in it
        raise UsageError(f"the {what} file {path} cannot be read: {error}") from error


def _refuse_unknown(table: Mapping[str, object], known: set[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise UsageError(f"{where} has no setting {name!r}; it knows: {', '.join(sorted(known))}")


def _text(table: Mapping[str, object], name: str, *, default: str | None = None) -> str:
    value = table.get(name, default)
    if value is None:
        raise UsageError(f'{name} is missing: add {name} = "..."')
    if not isinstance(value, str | Path):
        raise UsageError(f"{name} = {value!r} is not a text in quotes")
    return str(value)


def _texts(table: Mapping[str, object], name: str) -> Iterable[str]:
    value = table.get(name, [])
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise UsageError(f'{name} = {value!r} is not a list of texts, ["...", "..."]')
    return value


def _tables(table: Mapping[str, object], name: str) -> Iterable[Mapping[str, object]]:
    value = table.get(name, [])
    if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
        raise UsageError(f"write each {name} as a table of its own, [[{name}]]")
    return value


def _address(table: Mapping[str, object], name: str) -> Address | None:
    return Address.parse(_text(table, name)) if name in table else None
