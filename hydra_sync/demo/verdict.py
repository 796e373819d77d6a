"""The demonstration's verdict: what the stores hold, read from the disk, against what was submitted. Does I/O."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra_sync.chain import verify_run
from hydra_sync.config import Config
from hydra_sync.disk import RealDisk
from hydra_sync.encoding import encode_event
from hydra_sync.errors import HydraSyncError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import DATA_BYTES_TARGET
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.store import Log, open_store

__all__ = ["Finding", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One log in one node's store, compared with what its author was given to append."""

    node: str
    log: str
    events: int
    lost: int
    duplicated: int
    out_of_order: int
    fingerprint: str
    """SHA-256 over all bytes of all records."""
    damage: str | None

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicated or self.out_of_order or self.damage)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all stores hold."""

    findings: tuple[Finding, ...]

    @property
    def identical(self) -> bool:
        """Whether every node holds the same bytes of every log."""
        logs = {finding.log for finding in self.findings}
        return all(len({f.fingerprint for f in self.findings if f.log == log}) == 1 for log in sorted(logs))

    @property
    def good(self) -> bool:
        return self.identical and all(finding.good for finding in self.findings)


async def judge(configs: Mapping[str, Config], submitted: Mapping[str, Sequence[bytes]]) -> Verdict:
    """Read every record of every store and compare. ``submitted`` is what each author had to append."""
    findings = []
    for node, config in configs.items():
        async with open_store(
            RealDisk(),
            config.persistence_dir.absolute(),
            members=config.keys,
            network=config.network_id,
            key=None,
            wall_clock=wall_clock_us,
            holder="verdict",
            read_only=True,
        ) as store:
            for member in config.members:
                due = [encode_event(transaction) for transaction in submitted[member.alias]]
                findings.append(await _find(node, config, store.log(member.key), member.key, due))
    return Verdict(tuple(findings))


async def _find(node: str, config: Config, log: Log, author: MemberKey, due: Sequence[bytes]) -> Finding:
    events: list[bytes] = []
    digest = hashlib.sha256()
    damage: str | None = None
    try:
        while len(events) < log.tip.next_seq:
            batches = await log.read(len(events), log.tip.next_seq, DATA_BYTES_TARGET)
            verify_run(batches, config.network_id, author)
            for batch in batches:
                events += batch.events()
                digest.update(batch.record)
    except HydraSyncError as error:
        damage = str(error)
    lost, extra = Counter(due), Counter(events)
    return Finding(
        node=node,
        log=config.alias(author),
        events=len(events),
        lost=(lost - extra).total(),
        duplicated=(extra - lost).total(),
        out_of_order=_descents(events, due),
        fingerprint=digest.hexdigest(),
        damage=damage,
    )


def _descents(events: Sequence[bytes], due: Sequence[bytes]) -> int:
    place = {event: index for index, event in enumerate(due)}
    places = [place[event] for event in events if event in place]
    return sum(left > right for left, right in itertools.pairwise(places))
