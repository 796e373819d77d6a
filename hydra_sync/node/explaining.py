"""What a node is doing and why it waits, in sentences for people. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hydra_sync.node.status import MemberStatus, StartStatus, Status
from hydra_sync.sync.starting import Phase

__all__ = ["explain", "explain_fork", "explain_start", "names"]

_ANEW: Final = "to have them again, stop this node, and hydra-sync recover: it fetches the log anew"
_WITHOUT: Final = (
    "Without one whose disk is lost for good: stop this node, and hydra-sync recover --accept-loss --without MEMBER; "
    "what only that disk held is lost then"
)


def explain(status: Status) -> tuple[str, ...]:
    """Everything worth knowing, the most pressing first: whom the node waits for, and how to go on."""
    logs = [line for member in status.members for line in _log(status, member)]
    return (*status.warnings, *explain_start(status), *logs)


def explain_fork(whose: str, key: str, seq: int) -> str:
    """``whose`` log is proven to be forked from ``seq`` on; ``key`` is its author's, in hexadecimal."""
    return (
        f"{whose} log is forked: two histories were signed from {seq} on; what lies before is kept and delivered, "
        f"and nothing after. The proof is forks/{key}.cbor in the store: hydra-sync fork-proof verify shows it"
    )


def explain_start(status: Status) -> tuple[str, ...]:
    """How the node comes to append to its own log; while it waits, for whom, and how to go on without."""
    start = status.start
    if start.ready:
        how = ", granted by the others" if start.ballot else ""
        return (f"appends to its own log, in epoch {start.epoch}{how}",)
    if start.phase == Phase.ASKING.value:
        return tuple(_asking(status))
    if start.phase == Phase.ADOPTING.value:
        return tuple(_adopting(status))
    if start.phase == Phase.SEALING.value:
        return (f"starting: {names(start.promised)} promised epoch {start.ballot} of its own log, and it begins",)
    return ("appends nothing any more",)


def _asking(status: Status) -> Iterator[str]:
    start = status.start
    asks = f"asks for epoch {start.ballot} of its own log" if start.ballot else "has to ask for an epoch of its own log"
    promised = f"; promised by {names(start.promised)}" if start.promised else ""
    given_up = f"; {names(start.without)} given up by the operator" if start.without else ""
    members = {member.alias: member for member in status.members}
    silent = [_silent(status, members[alias]) for alias in start.waiting if alias not in start.without]
    missing = max(0, start.needed - len(start.promised))
    more = f"{missing} more" if start.promised else str(missing)
    whom = f"all of {', '.join(silent)}" if missing == len(silent) > 1 else f"{more} of {', '.join(silent)}"
    if missing == len(silent) == 1:
        whom = silent[0]
    elif missing == 0:
        whom = f"no promise, but to know what others remember: {', '.join(silent)}"
    yield f"starting: {asks}{promised}{given_up}; needs {whom}"
    if start.founding:
        yield (
            "a new network begins when all its members are there: start the others too (hydra-sync init, once, and "
            "hydra-sync run)"
        )
    else:
        yield f"{_way_on(start, members)}. {_WITHOUT}"


def _adopting(status: Status) -> Iterator[str]:
    start, log = status.start, status.me.log
    who, holders = names(start.promised), names(start.holders)
    fetches = f"fetches what {holders} said to hold of it first, has {log.tip.next_seq} of {log.target}"
    if log.tip.next_seq >= log.target:
        fetches = f"what {holders} said to hold of it is another branch, or nothing that this node signed"
    yield f"starting: {who} promised epoch {start.ballot} of its own log; {fetches}"
    away = [member.alias for member in status.members if member.alias in start.holders and not member.connected]
    yield f"to go on, start {names(away)}. {_WITHOUT}" if away else f"others are asked if it does not come. {_WITHOUT}"


def _way_on(start: StartStatus, members: Mapping[str, MemberStatus]) -> str:
    waiting = [alias for alias in start.waiting if alias not in start.without]
    away = [alias for alias in waiting if not members[alias].connected]
    mute = [alias for alias in waiting if members[alias].connected and alias not in start.refused]
    ways = [f"start {names(away)}"] if away else []
    if mute:
        ways.append(f"see what hydra-sync explain says at {names(mute)}: on a full disk, say, no promise can be kept")
    return f"to go on, {', and '.join(ways)}" if ways else "they are asked again"


def _silent(status: Status, member: MemberStatus) -> str:
    if not member.connected:
        return f"{member.alias} ({_away(member)})"
    state = member.states.get(status.node_id, "ok")
    if state == "amnesiac":
        return f"{member.alias} (connected, but amnesiac for this log: it may not promise before it has it again)"
    if state == "founding" and not status.start.founding:
        return f"{member.alias} (connected, but founding: it promises nothing to who is not)"
    if member.alias in status.start.refused:
        return f"{member.alias} (connected, promised a later epoch, or so it says: it is asked again above that)"
    return f"{member.alias} (connected, has not answered)"


def _away(member: MemberStatus) -> str:
    if member.last_error:
        hint = "; does another process run with this node's key?" if "connected already" in member.last_error else ""
        return f"not connected: {member.last_error}{hint}"
    return "not connected" if member.address else "not connected, and no address is known"


def _log(status: Status, member: MemberStatus) -> Iterator[str]:
    log, name = member.log, "its own" if member.me else f"{member.alias}'s"
    reach = max(log.tip.next_seq, log.target)
    here = f"has {log.tip.next_seq} of {reach}" if reach > log.tip.next_seq else f"has {log.tip.next_seq}"
    if log.forked_at is not None:
        yield explain_fork(name, member.key, log.forked_at)
    elif log.state == "amnesiac":
        waits = "" if member.me else f", {_reminder(status, member)}"
        yield f"amnesiac for {name} log: {here}{waits}"
    elif log.state == "recovering" and not member.me:
        late = f"epoch {log.promised} has come" if log.promised > log.tip.epoch else "it is sure of its own log"
        yield f"recovering {name} log: {here}; what it says of it counts when {late}"
    elif log.lag and not member.me:
        yield f"catches up with {name} log: {here}"
    elif not member.me:
        late = f", {log.tip.next_seq - log.counted} of them to count when epoch {log.promised} has come"
        here += late if log.counted < log.tip.next_seq else ""
        yield f"{name} log: {here}" + ("" if member.connected else f"; {member.alias} is {_away(member)}")
    for hole in log.holes:
        yield f"{name} log: events {hole} are damaged here; {_ANEW}"
    if log.tip.next_seq > log.stable and status.start.ready and log.forked_at is None:
        yield f"{name} log is stable, durable on a majority, up to {log.stable} of {log.tip.next_seq}"


def _reminder(status: Status, author: MemberStatus) -> str:
    """What ends amnesia: the author itself, which was not wiped, shows its log."""
    if not author.connected:
        return f"waits for {author.alias} to be back ({_away(author)})"
    if author.states.get(author.alias) == "amnesiac":
        return f"waits for {author.alias}, which lost it too, to recover it"
    if author.log.holes:
        return "cannot count with what is damaged in it"
    if author.log.lag:
        return "fetches the rest"
    return f"waits for {author.alias} to start"


def names(members: Sequence[str]) -> str:
    """
    >>> names(["alice"]), names(["alice", "bob", "carol"]), names([])
    ('alice', 'alice, bob and carol', 'nobody')
    """
    if not members:
        return "nobody"
    *others, last = members
    return f"{', '.join(others)} and {last}" if others else last
