"""What the protocol core wants done: values that the node carries out, in order. No I/O.

The core never waits. `Read` and `Append` are answered later, by `Replicator.read` and
`Replicator.appended`; no receipt is sent for records before their `Append` was answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hydra_sync.batch import Batch
from hydra_sync.fork import ForkProof
from hydra_sync.identity import MemberKey
from hydra_sync.ranges import SeqRange
from hydra_sync.standing import Standing
from hydra_sync.wire import Goodbye, Message

__all__ = [
    "KeepProof",
    "Forked",
    "Compare",
    "OwnLogTaken",
    "BecameStable",
    "Orphaned",
    "Remembers",
    "LostDisk",
    "Started",
    "Explain",
    "Locate",
    "EndFounding",
    "BeginEpoch",
    "Persist",
    "Advanced",
    "Append",
    "AppendRefused",
    "CaughtUp",
    "Connected",
    "Disconnected",
    "Diverged",
    "Drop",
    "Effect",
    "Fetched",
    "Fetching",
    "NoSession",
    "Notice",
    "OwnLogAhead",
    "Read",
    "Receipt",
    "Send",
    "SourceReplaced",
    "TipsDue",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``message`` on ``link``, after what was sent before."""

    link: int
    message: Message


@dataclass(frozen=True, slots=True)
class TipsDue:
    """The peer on ``link`` has not seen our latest tips; when its line is free, take and send them."""

    link: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read whole batches of ``log`` from the one that contains ``start`` on, to serve ``request``."""

    link: int
    request: int
    log: MemberKey
    start: int
    stop: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Append:
    """Make this run durable in our copy of ``log``; its last batch carries a signature that was checked.

    If the run begins below our tip, what we hold from there on was orphaned by a later epoch, and goes.
    """

    log: MemberKey
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class Persist:
    """Make durable where we stand about ``log``; answered by `Replicator.persisted`."""

    log: MemberKey
    standing: Standing


@dataclass(frozen=True, slots=True)
class BeginEpoch:
    """Append ``event`` to our own log as the batch that begins ``epoch``; its `Replicator.appended` is the answer.

    Or `Replicator.epoch_void`, where the log has had a later one meanwhile.
    """

    epoch: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Compare:
    """Hold this verified run, which the peer on ``link`` sent, against our copy; answered by `Replicator.compared`."""

    link: int
    log: MemberKey
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class KeepProof:
    """Make the proof of a fork durable."""

    proof: ForkProof


@dataclass(frozen=True, slots=True)
class EndFounding:
    """Our store is that of a new network no more: make that durable."""


@dataclass(frozen=True, slots=True)
class Locate:
    """Find the last batch of ``log`` that ends at ``seq`` or before; answered by `Replicator.located`.

    With ``of_epoch``, the one before the epoch began that covers the event before ``seq``.
    """

    log: MemberKey
    seq: int
    of_epoch: bool


@dataclass(frozen=True, slots=True)
class Explain:
    """Find which epoch covers the event before ``seq``, and where it began; answered by `Replicator.explained`.

    The peer that fetches by ``request`` stands on another branch than we do, and looks for where they part.
    """

    link: int
    request: int
    log: MemberKey
    seq: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Close ``link``, saying goodbye first. ``fault`` is set where the peer broke the protocol."""

    link: int
    goodbye: Goodbye
    fault: str | None = None


# Notices change nothing: they are for status, logs and people who watch.


@dataclass(frozen=True, slots=True)
class Connected:
    """A member's node, or a tool, is here and has shown its tips."""

    peer: MemberKey
    tool: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A member's node, or a tool, is gone; ``why`` is for people."""

    peer: MemberKey
    tool: bool
    why: str


@dataclass(frozen=True, slots=True)
class NoSession:
    """An attempt to connect, ours (``dialed``) or theirs, came to nothing; ``why`` is for people.

    ``peer`` is None where nobody proved to be a member; then ``address`` says where it was. Told again
    only for another reason, or after a session.
    """

    peer: MemberKey | None
    address: str | None
    dialed: bool
    why: str


@dataclass(frozen=True, slots=True)
class Fetching:
    """We asked ``peer`` for ``[start, stop)`` of ``log``; ``stop`` None is from ``start`` on, live."""

    log: MemberKey
    peer: MemberKey
    start: int
    stop: int | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """Verified events of ``log`` came from ``peer``, in ``size`` bytes of records."""

    log: MemberKey
    peer: MemberKey
    events: SeqRange
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class SourceReplaced:
    """``peer`` did not supply ``log`` in time or as asked; others are asked instead."""

    log: MemberKey
    peer: MemberKey
    why: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """Our copy of ``log``, or our own log, is durable up to ``next_seq``."""

    log: MemberKey
    next_seq: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """``peer`` holds our own log durably up to ``next_seq``, on the same chain as ours."""

    peer: MemberKey
    next_seq: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Our replica of ``log`` has all that anybody connected shows; now it is followed live."""

    log: MemberKey
    next_seq: int


@dataclass(frozen=True, slots=True)
class Diverged:
    """``peer`` holds another history of ``log`` than we do.

    ``proven`` if it sent what the log's author signed: then the author signed both. Else it says so.
    """

    log: MemberKey
    peer: MemberKey
    seq: int
    proven: bool


@dataclass(frozen=True, slots=True)
class AppendRefused:
    """Our own disk has no room for what was fetched of ``log``; it is tried again until there is."""

    log: MemberKey


@dataclass(frozen=True, slots=True)
class OwnLogAhead:
    """``peer`` proved that we once signed more events than our store has: appending would fork."""

    peer: MemberKey
    next_seq: int


@dataclass(frozen=True, slots=True)
class Started:
    """This node has begun ``epoch`` of its own log, and appends."""

    epoch: int


@dataclass(frozen=True, slots=True)
class LostDisk:
    """Others know our own log better than our disk does: it was lost, or is an old copy. What they hold is fetched."""

    next_seq: int


@dataclass(frozen=True, slots=True)
class Remembers:
    """This node holds ``log`` again as far as its author shows it, and its word about it counts again."""

    log: MemberKey


@dataclass(frozen=True, slots=True)
class Orphaned:
    """``events`` of our copy of ``log`` were never stable, and a later epoch has taken their place."""

    log: MemberKey
    events: SeqRange


@dataclass(frozen=True, slots=True)
class BecameStable:
    """``log`` is durable on a majority up to ``next_seq``."""

    log: MemberKey
    next_seq: int


@dataclass(frozen=True, slots=True)
class Forked:
    """The author of ``log`` signed two histories, proven; from ``seq`` on the log is refused."""

    log: MemberKey
    seq: int


@dataclass(frozen=True, slots=True)
class OwnLogTaken:
    """Another process has begun a later epoch of our own log: it runs with our key. This one stops appending."""

    peer: MemberKey
    epoch: int


Notice = (
    Connected
    | Disconnected
    | NoSession
    | Advanced
    | Receipt
    | Fetching
    | Fetched
    | SourceReplaced
    | CaughtUp
    | Diverged
    | OwnLogAhead
    | AppendRefused
    | Started
    | LostDisk
    | Remembers
    | Orphaned
    | BecameStable
    | OwnLogTaken
    | Forked
)
Effect = (
    Send
    | TipsDue
    | Read
    | Append
    | Drop
    | Persist
    | Compare
    | KeepProof
    | BeginEpoch
    | EndFounding
    | Locate
    | Explain
    | Notice
)
