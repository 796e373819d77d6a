"""What a node says of itself: members, links, tips and lag, for people and programs. No I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hydra_sync.chain import Tip
from hydra_sync.ranges import SeqRange

__all__ = ["LogStatus", "MemberStatus", "Status"]


@dataclass(frozen=True, slots=True)
class LogStatus:
    """Our copy of one log. ``lag`` counts the events that some connected member has and we have not."""

    first_seq: int
    tip: Tip
    lag: int
    holes: tuple[SeqRange, ...]


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One member as seen from this node."""

    alias: str
    key: str
    me: bool
    address: str | None
    connected: bool
    last_error: str | None
    """Why the last connection, or attempt at one, ended."""
    log: LogStatus
    receipt: int
    """How far the member holds our own log durably, as it last showed."""
    shows: dict[str, int]
    """Next seq of each log, by alias, as the member shows it."""


@dataclass(frozen=True, slots=True)
class Status:
    """A node at one moment."""

    network: str
    network_id: str
    node_id: str
    listen: str | None
    restart: str
    warnings: tuple[str, ...]
    members: tuple[MemberStatus, ...]

    def to_json(self) -> dict[str, object]:
        """The same as plain values, hashes in hexadecimal."""
        fields = asdict(self)
        for member in fields["members"]:
            member["log"]["tip"]["hash"] = member["log"]["tip"]["hash"].hex()
        return fields
