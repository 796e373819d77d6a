"""``hydra-sync fork-proof``: what a proof of a fork proves, without a network or a store. Does I/O: reads only."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from hydra_sync.batch import SignedHeader
from hydra_sync.cli.exits import EXIT_DAMAGED
from hydra_sync.cli.options import DEFAULT_CONFIG, json_option
from hydra_sync.cli.values import time_text
from hydra_sync.config import Config, load_config
from hydra_sync.errors import FormatError, UsageError
from hydra_sync.fork import ForkKind, ForkProof, ForkVerdict, decode_proof
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import EVIDENCE_BYTES_MAX

__all__ = ["fork_proof"]


@click.group("fork-proof")
def fork_proof() -> None:
    """Look at proofs that an author signed two histories."""


@fork_proof.command(epilog="Example: hydra-sync fork-proof verify alice-512.cbor --config bob.toml")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HYDRA_SYNC_CONFIG",
    help=f"Configuration file (TOML) that tells the network and its members; {DEFAULT_CONFIG} if it exists.",
)
@json_option("what is proven")
def verify(file: Path, config_file: Path | None, as_json: bool) -> None:
    """Check the proof in FILE, and say who signed two histories, where, and which.

    FILE is all it takes: it names the network and the log that its signatures are of. A configuration
    tells whether that network is the right one, and whose log it is. Exits with 3 if FILE is no proof.
    """
    config = _take_config(config_file)
    try:
        proven = _verify(file, config)
    except FormatError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"valid": False, "path": str(file), "reason": str(error)}))
        sys.exit(EXIT_DAMAGED)
    if as_json:
        click.echo(json.dumps(_proven_json(proven)))
    else:
        click.echo("\n".join(_proven_lines(proven)))


@dataclass(frozen=True, slots=True)
class _Proven:
    """What is known of a proof that holds; without a configuration nobody's name is."""

    path: Path
    network: NetworkId
    network_name: str | None
    alias: str | None
    proof: ForkProof
    verdict: ForkVerdict


def _take_config(path: Path | None) -> Config | None:
    if path is None and Path(DEFAULT_CONFIG).exists():
        path = Path(DEFAULT_CONFIG)
    return None if path is None else load_config(path, {})


def _verify(path: Path, config: Config | None) -> _Proven:
    """What the file proves. Raises `FormatError` if it is nothing, `UsageError` if it is of another network."""
    try:
        with path.open("rb") as file:
            data = file.read(EVIDENCE_BYTES_MAX + 1)
    except OSError as error:  # a read that fails does not name the file
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        network, proof = decode_proof(data)
        verdict = proof.verify(network)
    except FormatError as error:
        raise type(error)(f"{path} proves no fork: {error}") from error
    if config is None:
        return _Proven(path, network, None, None, proof, verdict)
    if network != config.network_id:
        raise UsageError(
            f"the proof in {path} is of network {network.hex()}, and says nothing about {config.network}, which the "
            f"configuration names and which is {config.network_id.hex()}: name the configuration of that network"
        )
    return _Proven(path, network, config.network, _alias(path, config, proof.log), proof, verdict)


def _alias(path: Path, config: Config, log: MemberKey) -> str:
    if log not in config.keys:
        # Anyone can make two histories for a key of his own.
        raise FormatError(
            f"{path} proves no fork of a member: log {log.hex()} is of nobody in network {config.network}"
        )
    return config.alias(log)


def _proven_json(proven: _Proven) -> dict[str, object]:
    verdict = proven.verdict
    return {
        "valid": True,
        "path": str(proven.path),
        "network": proven.network_name,
        "network_id": proven.network.hex(),
        "log": proven.alias,
        "key": verdict.log.hex(),
        "kind": verdict.kind.name.lower(),
        "epoch": verdict.epoch,
        "seq": verdict.seq,
        "left": _branch_json(verdict.left, len(proven.proof.left)),
        "right": _branch_json(verdict.right, len(proven.proof.right)),
    }


def _branch_json(signed: SignedHeader, headers: int) -> dict[str, object]:
    header = signed.header
    return {
        "hash": signed.hash.hex(),
        "start": header.first_seq,
        "stop": header.stop,
        "time_us": header.time_us,
        "prev_hash": header.prev_hash.hex(),
        "body_hash": header.body_hash.hex(),
        "headers": headers,
    }


def _proven_lines(proven: _Proven) -> list[str]:
    verdict = proven.verdict
    who = verdict.log.hex() if proven.alias is None else f"{proven.alias} ({verdict.log.hex()})"
    where = proven.network.hex() if proven.network_name is None else f"{proven.network_name} ({proven.network.hex()})"
    lines = [
        f"{who} equivocated",
        f"in network {where}",
        f"at {_what(verdict)}:",
        *(_batch_line(signed) for signed in (verdict.left, verdict.right)),
        "The proof holds: both stand under signatures of that key, and whoever follows the rules signs one of them.",
        f"Events below {verdict.seq} are not in doubt by this; from {verdict.seq} on believe neither history.",
    ]
    if proven.alias is None:
        lines.append("Whether that key is a member's, and whose, a configuration tells: --config FILE.")
    return lines


def _what(verdict: ForkVerdict) -> str:
    if verdict.kind is ForkKind.SEQ:
        return f"seq {verdict.seq} of epoch {verdict.epoch}, with two batches that hold it"
    return f"seq {verdict.seq}, with two batches that are the first of epoch {verdict.epoch}"


def _batch_line(signed: SignedHeader) -> str:
    header = signed.header
    return f"  events {header.range}  {time_text(header.time_us)}  batch {signed.hash.hex()}"
