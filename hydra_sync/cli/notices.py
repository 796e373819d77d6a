"""What a running node tells: notices as log lines for people, as JSON for programs. No I/O."""

from __future__ import annotations

from hydra_sync.config import Config
from hydra_sync.sync import (
    Advanced,
    AppendRefused,
    BecameStable,
    CaughtUp,
    Connected,
    Disconnected,
    Diverged,
    Fetched,
    Fetching,
    Forked,
    LostDisk,
    NoSession,
    Notice,
    Orphaned,
    OwnLogAhead,
    OwnLogTaken,
    Receipt,
    Remembers,
    SourceReplaced,
    Started,
)

__all__ = ["notice_json", "notice_line"]


def notice_json(notice: Notice, config: Config) -> dict[str, object]:  # noqa: C901, PLR0911, PLR0912  one case a notice
    """A notice for programs: its name, and its fields with aliases for keys."""
    match notice:
        case Connected(peer, tool):
            return {"event": "connected", "peer": config.alias(peer), "tool": tool}
        case Disconnected(peer, tool, why):
            return {"event": "disconnected", "peer": config.alias(peer), "tool": tool, "why": why}
        case NoSession(peer, address, dialed, why):
            name = None if peer is None else config.alias(peer)
            return {"event": "no_session", "peer": name, "address": address, "dialed": dialed, "why": why}
        case Fetching(log, peer, start, stop):
            return _of("fetching", config, log, peer) | {"start": start, "stop": stop}
        case Fetched(log, peer, events, size):
            return _of("fetched", config, log, peer) | {"start": events.start, "stop": events.stop, "bytes": size}
        case SourceReplaced(log, peer, why):
            return _of("source_replaced", config, log, peer) | {"why": why}
        case Advanced(log, next_seq):
            return {"event": "advanced", "log": config.alias(log), "next_seq": next_seq}
        case Receipt(peer, next_seq):
            return {"event": "receipt", "peer": config.alias(peer), "next_seq": next_seq}
        case CaughtUp(log, next_seq):
            return {"event": "caught_up", "log": config.alias(log), "next_seq": next_seq}
        case Diverged(log, peer, seq, proven):
            return _of("diverged", config, log, peer) | {"seq": seq, "proven": proven}
        case AppendRefused(log):
            return {"event": "append_refused", "log": config.alias(log)}
        case OwnLogAhead(peer, next_seq):
            return {"event": "own_log_ahead", "peer": config.alias(peer), "next_seq": next_seq}
        case OwnLogTaken(peer, epoch):
            return {"event": "own_log_taken", "peer": config.alias(peer), "epoch": epoch}
        case Started(epoch):
            return {"event": "started", "epoch": epoch}
        case LostDisk(next_seq):
            return {"event": "lost_disk", "next_seq": next_seq}
        case Remembers(log):
            return {"event": "remembers", "log": config.alias(log)}
        case Orphaned(log, events):
            return {"event": "orphaned", "log": config.alias(log), "start": events.start, "stop": events.stop}
        case Forked(log, seq):
            return {"event": "forked", "log": config.alias(log), "seq": seq}
        case BecameStable(log, next_seq):
            return {"event": "stable", "log": config.alias(log), "next_seq": next_seq}


def notice_line(notice: Notice, config: Config) -> str | None:  # noqa: C901, PLR0911, PLR0912  one case a notice
    """A notice for people, in one line; None for what happens too often to read."""
    name = config.alias
    match notice:
        case Connected(peer, tool):
            return f"connected to {name(peer)}" + (" (a tool)" if tool else "")
        case Disconnected(peer, _, why):
            return f"lost {name(peer)}: {why}"
        case NoSession(peer, address, dialed, why):
            who = address or "a caller" if peer is None else name(peer)
            return f"{'cannot reach' if dialed else 'turned away'} {who}: {why}"
        case Fetching(log, peer, start, None):
            return f"follow {name(log)}'s log from {start} on, from {name(peer)}"
        case Fetching(log, peer, start, stop):
            return f"ask {name(peer)} for events [{start}, {stop}) of {name(log)}'s log"
        case Fetched() | Advanced() | Receipt() | BecameStable():
            return None
        case SourceReplaced(log, peer, why):
            return f"ask another than {name(peer)} for {name(log)}'s log: {why}"
        case CaughtUp(log, next_seq):
            return f"caught up with {name(log)}'s log at {next_seq}"
        case Diverged(log, peer, seq, True):
            return f"{name(peer)} holds another history of {name(log)}'s log from {seq} on: {name(log)} signed both"
        case Diverged(log, peer, seq):
            return f"{name(peer)} says it holds another history of {name(log)}'s log from {seq} on; ours is kept"
        case AppendRefused(log):
            return f"the disk has no room for {name(log)}'s log: make room, it is tried again"
        case OwnLogAhead(peer, next_seq):
            return f"{name(peer)} holds our own log up to {next_seq}, further than we do: appending is stopped"
        case OwnLogTaken(peer, epoch):
            return f"{name(peer)} has epoch {epoch} of our own log: another process has our key, we stop appending"
        case Started(epoch):
            return f"epoch {epoch} of our own log has begun: we append"
        case LostDisk(next_seq):
            return f"others hold our own log up to {next_seq}, further than our disk does: it is fetched from them"
        case Forked(log, seq):
            return f"{name(log)} signed two histories from {seq} on, proven: that much of its log is kept, and no more"
        case Remembers(log):
            return f"{name(log)}'s log is here again as far as {name(log)} shows it: our word about it counts"
        case Orphaned(log, events):
            return (
                f"events {events} of {name(log)}'s log were never stable, a later epoch leaves them out: see quarantine"
            )


def _of(event: str, config: Config, log: bytes, peer: bytes) -> dict[str, object]:
    return {"event": event, "log": config.alias(config.find(log)), "peer": config.alias(config.find(peer))}
