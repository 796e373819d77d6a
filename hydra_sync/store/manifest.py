"""``store.toml``: whose store this is, for which network, in which format. No I/O."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from typing import Final, Never

from hydra_sync.errors import NewerFormatError, StoreDamagedError
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import HASH_BYTES, KEY_BYTES, STORE_ID_BYTES

__all__ = ["MANIFEST_BYTES_MAX", "Manifest", "parse_manifest", "render"]

FORMAT_VERSION: Final = 1
MANIFEST_BYTES_MAX: Final = 4096  # six short lines; more is not a manifest


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a store says about itself.

    ``store_id`` is random: a wiped and remade store is another one. ``founding`` is true in a store
    made for a new network (design: 7).
    """

    network: NetworkId
    member: MemberKey
    store_id: bytes
    founding: bool


def render(manifest: Manifest) -> str:
    """The text of ``store.toml``; its last line is a checksum of all lines before it."""
    fields = (
        f"format = {FORMAT_VERSION}\n"
        f'network = "{manifest.network.hex()}"\n'
        f'member = "{manifest.member.hex()}"\n'
        f'store = "{manifest.store_id.hex()}"\n'
        f"founding = {'true' if manifest.founding else 'false'}\n"
    )
    return fields + f'checksum = "{_checksum(fields)}"\n'


def parse_manifest(text: str) -> Manifest:
    """The manifest that `render` turns into exactly ``text``.

    Raises `NewerFormatError` for a format this release does not know, and `StoreDamagedError` for
    every other text.
    """
    try:
        fields = tomllib.loads(text)
    except (ValueError, RecursionError):
        _damaged("it is not TOML")
    version = fields.get("format")
    # Asked first: a newer format may compute its checksum in another way.
    if type(version) is int and version > FORMAT_VERSION:
        raise NewerFormatError(
            f"store.toml is of format {version}, this release reads format {FORMAT_VERSION}: upgrade hydra-sync"
        )
    match fields:
        case {"network": str(network), "member": str(member), "store": str(store), "founding": bool(founding)}:
            manifest = Manifest(
                NetworkId(_unhex(network, HASH_BYTES)),
                MemberKey(_unhex(member, KEY_BYTES)),
                _unhex(store, STORE_ID_BYTES),
                founding,
            )
        case _:
            _damaged("a line is missing")
    if render(manifest) != text:
        _damaged("its checksum is wrong")
    return manifest


def _checksum(fields: str) -> str:
    return hashlib.sha256(fields.encode()).hexdigest()


def _unhex(text: str, size: int) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size:
        _damaged(f"{text[:80]!r} is not {size} bytes in hexadecimal")
    return data


def _damaged(what: str) -> Never:
    raise StoreDamagedError(
        f"store.toml is damaged, {what}: the logs are untouched, and "
        "`hydra-sync recover` rebuilds the file from the configuration"
    )
