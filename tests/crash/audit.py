"""What three stores hold, against what was acknowledged; read from the files by a reader of its own. Does I/O.

The product's own `verify_log` checks records and signatures. What stands where is read without it: a
segment is a CBOR Sequence of records, as the format says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cbor2

from hydra_sync.config import Config
from hydra_sync.disk import RealDisk
from hydra_sync.store import verify_log
from hydra_sync.store.layout import LogPlace

__all__ = ["Copy", "audit", "event_ids", "read_records"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One log in one node's store: its records, and the ids of its events in order of seq."""

    node: str
    log: str
    fingerprint: str
    ids: tuple[str, ...]


async def audit(
    configs: Mapping[str, Config], acknowledged: Mapping[str, Mapping[int, str]]
) -> tuple[list[Copy], list[str]]:
    """The copies of all logs in all stores, and everything that is wrong with them, in sentences.

    ``acknowledged`` is, for each author, the id of the event that it said it had made durable at a seq.
    """
    copies: list[Copy] = []
    wrong: list[str] = []
    decoded: dict[str, tuple[str, ...]] = {}
    for node, config in configs.items():
        for member in config.members:
            place = LogPlace(config.persistence_dir, config.network_id, member.key)
            report = await verify_log(RealDisk(), place)
            where = f"{node}'s copy of {member.alias}'s log"
            wrong += [f"{where}: {found}" for found in (*report.damage, *report.remarks)]
            try:
                records = read_records(place.directory)
                fingerprint = hashlib.sha256(records).hexdigest()
                ids = decoded[fingerprint] if fingerprint in decoded else event_ids(records)
            except ValueError as error:
                wrong.append(f"{where} cannot be read: {error}")
                continue
            decoded[fingerprint] = ids
            copy = Copy(node, member.alias, fingerprint, ids)
            if report.events != len(copy.ids):
                wrong.append(f"{where}: {len(copy.ids)} events, of which {report.events} were verified")
            copies.append(copy)
            wrong += [f"{where}: {found}" for found in _compare(copy.ids, acknowledged[member.alias])]
    return copies, wrong + _differences(copies)


def _compare(ids: tuple[str, ...], acknowledged: Mapping[int, str]) -> list[str]:
    places: dict[str, list[int]] = {}
    for seq, name in enumerate(ids):
        places.setdefault(name, []).append(seq)
    wrong = [f"event {name} is there {len(seqs)} times: {seqs}" for name, seqs in places.items() if len(seqs) > 1]
    for seq, name in sorted(acknowledged.items()):
        if name not in places:
            there = ids[seq] if seq < len(ids) else "nothing"
            wrong.append(f"event {name}, acknowledged at seq {seq}, is lost: {there} stands there")
        elif places[name] != [seq]:
            wrong.append(f"event {name}, acknowledged at seq {seq}, stands at {places[name]}")
    return wrong


def _differences(copies: list[Copy]) -> list[str]:
    first: dict[str, Copy] = {}
    for copy in copies:
        first.setdefault(copy.log, copy)
    return [
        f"{copy.log}'s log has other bytes at {copy.node} ({len(copy.ids)} events) "
        f"than at {first[copy.log].node} ({len(first[copy.log].ids)})"
        for copy in copies
        if copy.fingerprint != first[copy.log].fingerprint
    ]


def read_records(directory: Path) -> bytes:
    """The records in all segments of a log, behind one another. Raises `ValueError` for anything else."""
    parts = []
    for path in sorted(directory.glob("*.log")):
        data = path.read_bytes()
        stop = 0
        while data[stop : stop + 1] == b"\x82":
            cose_stop = stop + 4 + int.from_bytes(data[stop + 2 : stop + 4])
            stop = cose_stop + 5 + int.from_bytes(data[cose_stop + 1 : cose_stop + 5])
        if data[stop:].strip(b"\0") or stop > len(data):
            raise ValueError(f"{path}: no record at byte {stop}")
        parts.append(data[:stop])
    return b"".join(parts)


def event_ids(records: bytes) -> tuple[str, ...]:
    """The ids of all events, whose seqs are dense. Raises `ValueError` where they are not."""
    ids: list[str] = []
    at = 0
    while at < len(records):
        cose_stop = at + 4 + int.from_bytes(records[at + 2 : at + 4])
        body_at = cose_stop + 5
        stop = body_at + int.from_bytes(records[cose_stop + 1 : body_at])
        header = cbor2.loads(cbor2.loads(records[at + 4 : cose_stop]).value[2])
        events = cbor2.loads(records[body_at:stop])
        if header[2] != len(ids) or header[3] != len(events):
            raise ValueError(f"a record of {len(events)} events says {header[2:4]} and stands at seq {len(ids)}")
        ids += [_id(cbor2.loads(event)) for event in events]
        at = stop
    return tuple(ids)


def _id(event: list[object]) -> str:
    """An event's own id; one that begins an epoch is the log's, and never acknowledged."""
    return f"epoch {event[2]}" if event[0] == "hydra-sync epoch" else str(event[1])
