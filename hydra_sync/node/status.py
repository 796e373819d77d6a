"""What a node says of itself: members, links, tips and lag, for people and programs. No I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from hydra_sync.chain import Tip
from hydra_sync.ranges import SeqRange

__all__ = ["LogStatus", "MemberStatus", "StartStatus", "Status"]


@dataclass(frozen=True, slots=True)
class LogStatus:
    """Our copy of one log. ``lag`` counts the events that some connected member has and we have not."""

    first_seq: int
    tip: Tip
    lag: int
    holes: tuple[SeqRange, ...]
    state: str = "ok"
    """What our word about the log is worth: ok, founding, recovering, amnesiac, or forked."""
    why: str = ""
    """Why it is amnesiac."""
    target: int = 0
    """The next seq that some connected member shows, or that our own log has to reach before we append."""
    stable: int = 0
    """The first seq that is not known to be durable on a majority."""
    promised: int = 0
    """The latest epoch that we promised to its author; 0 is none."""
    counted: int = 0
    """How far our copy counts as held. What came after a promise, and is of an older epoch, does not."""
    forked_at: int | None = None
    """From where on its author signed two histories, proven; the proof is in the store, below ``forks``."""


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
    states: dict[str, str] = field(default_factory=dict)
    """What the member's word about each log is worth, by alias, as it shows it."""


@dataclass(frozen=True, slots=True)
class StartStatus:
    """How this node comes to append to its own log, or why it does not yet."""

    ready: bool
    phase: str
    """In words."""
    epoch: int = 0
    """Of our own log, as far as it is here."""
    ballot: int = 0
    """The epoch that we ask for; 0 as long as nobody was asked."""
    founding: bool = False
    needed: int = 0
    """How many others have to promise it."""
    promised: tuple[str, ...] = ()
    """Who has."""
    waiting: tuple[str, ...] = ()
    """Who has not answered."""
    refused: tuple[str, ...] = ()
    """Who has said, for itself or for others, that a later one is promised: it is asked again above that."""
    holders: tuple[str, ...] = ()
    """Who answered that it holds what our log must reach first."""
    without: tuple[str, ...] = ()
    """Whose disks the operator gave up."""


@dataclass(frozen=True, slots=True)
class Status:
    """A node at one moment."""

    network: str
    network_id: str
    node_id: str
    listen: str | None
    restart: str
    start: StartStatus
    warnings: tuple[str, ...]
    members: tuple[MemberStatus, ...]

    @property
    def me(self) -> MemberStatus:
        """This node itself."""
        return next(member for member in self.members if member.me)

    def to_json(self) -> dict[str, object]:
        """The same as plain values, hashes in hexadecimal."""
        fields = asdict(self)
        for member in fields["members"]:
            member["log"]["tip"]["hash"] = member["log"]["tip"]["hash"].hex()
        return fields
