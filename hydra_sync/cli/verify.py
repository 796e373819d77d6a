"""``hydra-sync verify``: every record of a store, or of one file, checked without a network. Does I/O: reads only."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import trio

from hydra_sync.batch import parse_batch, record_size
from hydra_sync.cli.exits import EXIT_DAMAGED
from hydra_sync.cli.options import DEFAULT_CONFIG, json_option, node_options, take_config
from hydra_sync.cli.progress import progress_bar
from hydra_sync.cli.verified import Checked, checked_json, show
from hydra_sync.config import parse_member_key, read_verification_key
from hydra_sync.disk import Disk, RealDisk, lock_holder
from hydra_sync.errors import FormatError, StoreError, UsageError
from hydra_sync.identity import MemberKey, NetworkId, network_id
from hydra_sync.limits import HASH_BYTES, RECORD_BYTES_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.store import (
    Finding,
    VerifyReport,
    fork_positions,
    read_manifest,
    read_proofs,
    verify_log,
    verify_segment,
)
from hydra_sync.store.faults import translated
from hydra_sync.store.layout import LOCK, LOGS, LogPlace, segment_seqs

__all__ = ["verify"]

LOOKS_MAX: Final = 5  # at a log that somebody is writing to; damage is believed when seen twice


@click.command(
    epilog="Example: hydra-sync verify --config bob.toml. "
    "A fetched file: hydra-sync verify alice.log --log alice --config bob.toml"
)
@click.argument("path", metavar="[DIR|FILE]", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--log", "log", metavar="ALIAS|KEY", help="Check this member's log only; whose log FILE is.")
@click.option("--network-id", metavar="HEX", help="The network's id, where its name and members are not at hand.")
@node_options
@json_option("what was found")
def verify(path: Path | None, log: str | None, network_id: str | None, as_json: bool, **options: Any) -> None:
    """Check form, hashes, chain and signatures of every event in a store (DIR) or a segment file (FILE).

    Without an argument it is the node's own store, which may be in use. A FILE may come from a store or
    from `hydra-sync fetch`; its author is --log, or the one --hydra-verification-key. No signing key is
    needed for DIR, nor for FILE with --network-id. Exits with 3 if anything is damaged.
    """
    known = _known(network_id, options, needs_node=path is None)
    if path is None:
        assert known.persistence_dir is not None
        path = known.persistence_dir
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path} is a device or a pipe: name a file of records, or the directory of a store")
    checked = trio.run(_verify_file if path.is_file() else _verify_store, path.absolute(), log, known)
    if as_json:
        click.echo(json.dumps(checked_json(checked)))
    else:
        show(checked)
    if not checked.good:
        sys.exit(EXIT_DAMAGED)


@dataclass(frozen=True, slots=True)
class _Known:
    """What options and configuration tell of the network."""

    network: NetworkId | None = None
    members: Mapping[MemberKey, str] = field(default_factory=dict)
    author: MemberKey | None = None
    persistence_dir: Path | None = None

    def name(self, member: MemberKey) -> str:
        return self.members.get(member, member.hex()[:16])

    def find(self, name: str) -> MemberKey:
        """The member with this alias or key; a key needs not be known. Raises `UsageError`."""
        for member, alias in self.members.items():
            if name in (alias, member.hex()):
                return member
        try:
            return parse_member_key(name)
        except UsageError as error:
            known = ", ".join(self.members.values()) or "none is known without a configuration"
            raise UsageError(
                f"{name!r} is no member ({known}): name one, write its key, or give --hydra-verification-key FILE.vk"
            ) from error


def _known(network_hex: str | None, options: dict[str, Any], *, needs_node: bool) -> _Known:
    named = options["config_file"] or (Path(DEFAULT_CONFIG) if Path(DEFAULT_CONFIG).exists() else None)
    if named is None and options["hydra_signing_key"] is None and not needs_node:
        return _from_keys(network_hex, options)
    given: tuple[Path, ...] = options["hydra_verification_key"]
    if named is not None:
        # The configuration tells the members; a key beside it tells whose log it is.
        options["hydra_verification_key"] = ()
    config = take_config(options)
    network = config.network_id if network_hex is None else _parse_network(network_hex)
    members = {member.key: member.alias for member in config.members}
    author = read_verification_key(given[0]) if named is not None and len(given) == 1 else None
    return _Known(network, members, author, config.persistence_dir)


def _from_keys(network_hex: str | None, options: Mapping[str, Any]) -> _Known:
    files: tuple[Path, ...] = options["hydra_verification_key"]
    members = {read_verification_key(path): path.stem for path in files}
    network: NetworkId | None = None
    if network_hex is not None:
        network = _parse_network(network_hex)
    elif options["network"] is not None and members:
        network = network_id(options["network"], members)
    return _Known(network, members, next(iter(members)) if len(members) == 1 else None)


def _parse_network(text: str) -> NetworkId:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES:
        raise UsageError(f"{text!r} is no network id: write {2 * HASH_BYTES} hexadecimal digits, as status shows them")
    return NetworkId(data)


async def _verify_store(path: Path, log: str | None, known: _Known) -> Checked:
    disk = RealDisk()
    manifest = await read_manifest(disk, path)
    if known.network not in (None, manifest.network):
        raise UsageError(
            f"the store in {path} belongs to network {manifest.network.hex()}, the options and the configuration "
            f"say {known.network.hex() if known.network else ''}: correct them, or name another directory"
        )
    checked = Checked(path, manifest.network, is_store=True)
    names = await disk.list_dir(path / LOGS) if (path / LOGS).is_dir() else []
    authors = [member for name in names if (member := _author(name, known)) is not None]
    for name in names:
        if _author(name, known) is None:
            checked.strangers.append(Finding(SeqRange(0, 0), path / LOGS / name, 0, "this is the log of no member"))
    if log is not None:
        wanted = known.find(log)
        if wanted not in authors:
            raise UsageError(f"the store in {path} has no log of {log!r}")
        authors = [wanted]
    checked.forked = fork_positions(manifest.network, await read_proofs(disk, path, manifest.network))
    for author in authors:
        place = LogPlace(path, manifest.network, author)
        checked.add(author, known.name(author), await _verify_log(disk, place, known.name(author)))
    return checked


def _author(name: str, known: _Known) -> MemberKey | None:
    try:
        member = parse_member_key(name)
    except UsageError:
        return None
    is_stranger = member.hex() != name or (known.network is not None and known.members and member not in known.members)
    return None if is_stranger else member


async def _verify_log(disk: Disk, place: LogPlace, name: str) -> VerifyReport:
    """The report on one log; what is half written at this moment by a running node is no damage."""
    seen: list[list[Finding]] = []
    size = sum(map(_size, place.directory.glob("*.log")))
    for _ in range(LOOKS_MAX):
        with progress_bar(f"log of {name}", size, in_bytes=True) as progress:
            try:
                report = await verify_log(disk, place, progress)
            except StoreError as error:
                return _unreadable(place.directory, error)
        if report.is_sound or report.damage in seen or lock_holder(place.root / LOCK) is None:
            break
        seen.append(report.damage)
    return report


def _size(path: Path) -> int:
    return path.stat().st_size


def _unreadable(path: Path, error: StoreError) -> VerifyReport:
    return VerifyReport(damage=[Finding(SeqRange(0, 0), path, 0, str(error))])


async def _verify_file(path: Path, log: str | None, known: _Known) -> Checked:
    author = known.author if log is None else known.find(log)
    if author is None:
        raise UsageError(
            f"whose log is {path}? Name its author with --log ALIAS|KEY or --hydra-verification-key FILE.vk"
        )
    if known.network is None:
        raise UsageError(
            "signatures hold for one network: name it with --config, with --network-id HEX, or with --network NAME "
            "and every member's --hydra-verification-key"
        )
    checked = Checked(path, known.network, is_store=False)
    place = LogPlace(path.parent, known.network, author)
    disk = RealDisk()
    with progress_bar(path.name, _size(path), in_bytes=True) as progress:
        try:
            report = await verify_segment(disk, place, path, await _first_seq(disk, path), progress)
        except StoreError as error:
            report = _unreadable(path, error)
    checked.add(author, known.name(author), report)
    return checked


async def _first_seq(disk: Disk, path: Path) -> int:
    """By the first record; where that is damaged, by the file's name if it tells."""
    with translated(f"reading {path}"):
        file = await disk.open(path, "read")
        try:
            data = await file.read_at(0, RECORD_BYTES_MAX)
        finally:
            file.close()
    try:
        return parse_batch(data[: record_size(data) or 0]).header.first_seq
    except FormatError:
        return next(iter(segment_seqs([path.name])), 0)
