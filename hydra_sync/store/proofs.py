"""Proofs of forks, one file a log: they outlive the process, and can be verified by anyone. Does I/O.

<dir>/forks/<author hex>.cbor     what `hydra-sync fork-proof verify` reads
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hydra_sync.disk import Disk
from hydra_sync.errors import FormatError
from hydra_sync.fork import ForkProof, decode_proof, encode_proof
from hydra_sync.identity import MemberKey, NetworkId
from hydra_sync.limits import EVIDENCE_BYTES_MAX
from hydra_sync.store.faults import translated
from hydra_sync.store.files import read_file, replace_file
from hydra_sync.store.layout import FORKS

__all__ = ["fork_positions", "own_log_forked", "read_proofs", "write_proof"]

_BYTES_MAX = EVIDENCE_BYTES_MAX + 1024


def own_log_forked(seq: int) -> str:
    """What a member whose own log is proven to be forked from ``seq`` on is told, whatever it is about to do."""
    return (
        f"this node's own log is forked at seq {seq}, proven: its key has signed two histories. "
        "Somebody else has the key, or the disk lied; this member can append no more in this network"
    )


def fork_positions(network: NetworkId, proofs: Iterable[ForkProof]) -> dict[MemberKey, int]:
    """From which seq on each log is forked that these proofs are of."""
    positions: dict[MemberKey, int] = {}
    for proof in proofs:
        seq = proof.verify(network).seq
        positions[proof.log] = min(seq, positions.get(proof.log, seq))
    return positions


async def read_proofs(disk: Disk, path: Path, network: NetworkId) -> list[ForkProof]:
    """The proofs in the store at ``path`` that are of this network and still prove something.

    What does not, is left alone: it may be looked at, and the others tell us again.
    """
    proofs = []
    with translated(f"reading {path / FORKS}"):
        try:
            names = await disk.list_dir(path / FORKS)
        except FileNotFoundError:
            return []
        for name in sorted(names):
            if not name.endswith(".cbor"):
                continue
            try:
                of_network, proof = decode_proof(await read_file(disk, path / FORKS / name, _BYTES_MAX))
                proof.verify(network)
            except FormatError:
                continue
            if of_network == network:
                proofs.append(proof)
    return proofs


async def write_proof(disk: Disk, path: Path, network: NetworkId, proof: ForkProof) -> None:
    """Keep a proof in the place of the one of that log, if any; durable on return."""
    directory = path / FORKS
    with translated(f"writing a proof into {directory}"):
        await disk.make_dir(directory)
        await replace_file(disk, directory / f"{proof.log.hex()}.cbor", encode_proof(network, proof))
        await disk.sync_dir(directory)
        await disk.sync_dir(path)
