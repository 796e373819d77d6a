"""Who the members of a simulated cluster are to each other: keys that follow from aliases, and configurations."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from hydra_sync import Address, Config
from hydra_sync import config as configs
from hydra_sync.config import Restart
from hydra_sync.identity import MemberKey, SigningKey

__all__ = ["PORT", "STORE", "configurations", "member_key", "signing_key"]

STORE: Final = Path("/data/store")
PORT: Final = 5000


def signing_key(alias: str) -> SigningKey:
    """The key of a member; it follows from the alias."""
    return SigningKey(hashlib.sha256(alias.encode()).digest())


def member_key(alias: str) -> MemberKey:
    """The name of a member, and of its log."""
    return signing_key(alias).member


def configurations(network: str, aliases: list[str], ips: list[str], restart: Restart) -> dict[str, Config]:
    """The configuration of each member."""
    keys = {alias: signing_key(alias) for alias in aliases}
    members = tuple(
        configs.Member(alias, key.member, Address(ip, PORT)) for (alias, key), ip in zip(keys.items(), ips, strict=True)
    )
    return {
        member.alias: Config(network, keys[member.alias], members, STORE, listen=member.address, restart=restart)
        for member in members
    }
