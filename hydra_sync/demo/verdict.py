"""The demonstration's verdict: what the stores hold, read from the disk, against what was submitted. Does I/O."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hydra_sync.chain import EMPTY, Tip, link
from hydra_sync.config import Config
from hydra_sync.disk import RealDisk
from hydra_sync.encoding import encode_event
from hydra_sync.epoch import check_epoch
from hydra_sync.errors import HydraSyncError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import DATA_BYTES_TARGET
from hydra_sync.node import open_read_only
from hydra_sync.store import Log, verify_log
from hydra_sync.store.layout import LogPlace

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
    foreign: int
    """Events that its author was never given."""
    tip_hash: str
    """Hash of the last batch."""
    fingerprint: str
    """SHA-256 over all bytes of all records."""
    damage: str | None
    epochs: tuple[int, ...] = ()
    """The epochs that begin in it, each granted by enough others."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicated or self.out_of_order or self.foreign or self.damage)


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
    """Read every record of every store and compare. ``submitted`` is what each author had to append.

    The nodes must not run. Damage of any kind is a finding, not an error.
    """
    findings: list[Finding] = []
    for node, config in configs.items():
        due = {member.key: [encode_event(item) for item in submitted[member.alias]] for member in config.members}
        contents: list[_Content] = []
        try:
            async with open_read_only(config) as store:
                for author in due:
                    contents.append(await _read(config, store.log(author)))  # noqa: PERF401  kept if a later one fails
        except HydraSyncError as error:
            contents += [_Content(damage=str(error)) for _ in range(len(due) - len(contents))]
        for author, content in zip(due, contents, strict=True):
            await _audit(config, author, content)
            findings.append(_compare(node, config.alias(author), content, due[author]))
    return Verdict(tuple(findings))


@dataclass(slots=True)
class _Content:
    """What one log in one store holds."""

    events: list[bytes] = field(default_factory=list)
    """The application's."""
    epochs: list[int] = field(default_factory=list)
    """That begin in it, each granted by enough others."""
    digest: str = ""
    tip: Tip = EMPTY
    damage: str | None = None


async def _read(config: Config, log: Log) -> _Content:
    """The events as any reader gets them, up to the first damage."""
    content = _Content()
    digest = hashlib.sha256()
    try:
        while content.tip.next_seq < log.tip.next_seq:
            batches = await log.read(content.tip.next_seq, log.tip.next_seq, DATA_BYTES_TARGET)
            for batch in batches:
                before, content.tip = content.tip, link(content.tip, batch)
                members, network = config.keys, config.network_id
                if check_epoch(batch, before, network=network, log=log.author, members=members) is None:
                    content.events += batch.events()
                else:
                    content.epochs.append(batch.header.epoch)
                digest.update(batch.record)
            batches[-1].verify(config.network_id, log.author)
    except HydraSyncError as error:
        content.damage = str(error)
    content.digest = digest.hexdigest()
    return content


async def _audit(config: Config, author: MemberKey, content: _Content) -> None:
    """Look at every byte of the files too: what a reader gets may leave out what is not durable."""
    place = LogPlace(config.persistence_dir.absolute(), config.network_id, author)
    try:
        report = await verify_log(RealDisk(), place)
    except HydraSyncError as error:
        content.damage = content.damage or str(error)
        return
    for finding in [*report.damage, *report.remarks]:
        content.damage = content.damage or f"{finding.file}, byte {finding.offset}: {finding.reason}"


def _compare(node: str, log: str, content: _Content, due: Sequence[bytes]) -> Finding:
    wanted, found = Counter(due), Counter(content.events)
    foreign = sum(count for event, count in found.items() if event not in wanted)
    return Finding(
        node=node,
        log=log,
        events=len(content.events),
        lost=(wanted - found).total(),
        duplicated=(found - wanted).total() - foreign,
        out_of_order=_descents(content.events, due),
        foreign=foreign,
        tip_hash=content.tip.hash.hex(),
        fingerprint=content.digest,
        damage=content.damage,
        epochs=tuple(content.epochs),
    )


def _descents(events: Sequence[bytes], due: Sequence[bytes]) -> int:
    place = {event: index for index, event in enumerate(due)}
    places = [place[event] for event in events if event in place]
    return sum(left > right for left, right in itertools.pairwise(places))
