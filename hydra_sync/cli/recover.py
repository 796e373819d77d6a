"""``hydra-sync recover``: a member whose disk is lost gets its log, and the others', back. Does I/O."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import click
import trio

from hydra_sync.cli.exits import EXIT_INTERRUPTED
from hydra_sync.cli.live import publish_status
from hydra_sync.cli.loss import given_up, loss_options, loss_warning
from hydra_sync.cli.notices import notice_json, notice_line
from hydra_sync.cli.options import TIME_S_MAX, FiniteRange, json_option, node_options, repeat_options, take_config
from hydra_sync.cli.output import LineWriter, lost_json, lost_line, open_writers
from hydra_sync.cli.running import until_signal
from hydra_sync.config import Config
from hydra_sync.epoch import answers_needed
from hydra_sync.errors import UnavailableError
from hydra_sync.identity import MemberKey
from hydra_sync.node import MemberStatus, Node, Status, explain, open_node, recover_store
from hydra_sync.sync import Connected, Disconnected, Fetched, LostDisk, NoSession, Notice, Remembers, Started
from hydra_sync.tasks import open_tasks

__all__ = ["recover"]

LOOK_S: Final = 0.1  # how often it is asked whether all is here
PROGRESS_S: Final = 1.0  # between two lines of progress, if there was any
COUNTED: Final = frozenset({"ok", "founding"})
"""States of a log about which this node's word counts again."""
TOLD: Final = (Connected, Disconnected, NoSession, Started, LostDisk, Remembers)


@click.command(epilog="Example: hydra-sync recover --config carol.toml")
@click.option(
    "--timeout", type=FiniteRange(0, TIME_S_MAX), metavar="S", help="Give up after so many seconds; exit code 4."
)
@loss_options
@node_options
@json_option("one line for each thing that happens, the report last,")
def recover(timeout: float | None, accept_loss: bool, without: Sequence[str], as_json: bool, **options: Any) -> None:
    """Get the log of a member whose disk is gone back from the others, and theirs too.

    Makes a store where none is, or one that opens where it is damaged, looks through all logs, and takes out
    those in which anything is damaged (what is there is kept, or moved aside; nothing is deleted). Then it runs
    the node until its own log is recovered, a new epoch of it has begun, and the node counts again for the logs
    of all others. Ctrl-C keeps what was fetched: `recover` or `run` goes on from there.
    """
    config = take_config(options)
    lost = given_up(config, accept_loss, without)
    job = _Recovery(replace(config, restart="prove"), lost, as_json, repeat_options())
    code = trio.run(job.run, math.inf if timeout is None else timeout)
    if code:
        sys.exit(code)


@dataclass
class _Recovery:
    config: Config
    without: tuple[MemberKey, ...]
    as_json: bool
    options: str
    events: dict[MemberKey, int] = field(default_factory=dict)
    """Fetched of each log."""
    size: dict[MemberKey, int] = field(default_factory=dict)
    """Bytes of that."""
    caught_up: set[MemberKey] = field(default_factory=set)
    epoch: int | None = None
    """The epoch that has begun."""

    checked: tuple[str, int] = ("", 0)
    """Whose log is being looked through for damage, and how many bytes are done."""
    ends: list[Status] = field(default_factory=list)
    """What was reached at the end, unless it was interrupted."""
    recovered: bool = False
    out: LineWriter = field(default_factory=lambda: LineWriter(sys.stdout, lost_json))
    err: LineWriter = field(default_factory=lambda: LineWriter(sys.stderr, lost_line))

    async def run(self, timeout_s: float) -> int:
        """Recover; returns the exit code. Raises `UnavailableError` where it takes too long."""
        async with open_writers((self.out, self.err)):
            await self._prepare()
            async with (
                open_node(self.config, observe=self._notice) as node,
                publish_status(node),
                open_tasks() as nursery,
            ):
                nursery.start_soon(until_signal, nursery.cancel_scope)
                nursery.start_soon(self._progress, node)
                with trio.move_on_after(timeout_s):
                    await self._until_done(node)
                    self.recovered = True
                self.ends.append(node.status())
                nursery.cancel_scope.cancel()
            if not self.ends:
                self._say(f"interrupted; what was fetched is kept. {self._go_on('recover')}")
                return EXIT_INTERRUPTED
            if self.recovered:
                self._report(self.ends[0])
                return 0
        raise UnavailableError(self._too_long(timeout_s, self.ends[0]))

    async def _until_done(self, node: Node) -> None:
        while not self._is_done(node.status()):  # noqa: ASYNC110  many things have to come together
            await trio.sleep(LOOK_S)

    async def _prepare(self) -> None:
        if self.without:
            self._say(loss_warning(self.config, self.without))
        async with open_tasks() as nursery:
            nursery.start_soon(self._tell_checks)
            done = await recover_store(self.config, without=self.without, progress=self._check)
            nursery.cancel_scope.cancel()
        for line in done:
            self._say(line)
        if not self.as_json:
            self._say(
                f"recovering {self.config.me.alias} in network {self.config.network}; Ctrl-C keeps what is fetched"
            )

    def _check(self, log: MemberKey, size: int) -> None:
        self.checked = self.config.alias(log), size

    async def _tell_checks(self) -> None:
        while True:
            await trio.sleep(PROGRESS_S)
            alias, size = self.checked
            self._say(f"looking for damage: {alias}'s log, {size / 1e6:,.1f} MB")

    def _notice(self, notice: Notice) -> None:
        match notice:
            case Fetched(log, _, events, size):
                self.events[log] = self.events.get(log, 0) + events.count
                self.size[log] = self.size.get(log, 0) + size
            case Started(epoch):
                self.epoch = epoch
            case _:
                pass
        if self.as_json:
            self.out.offer(json.dumps(notice_json(notice, self.config)))
        elif isinstance(notice, TOLD) and (line := notice_line(notice, self.config)):
            self.err.offer(line)

    def _is_done(self, status: Status) -> bool:
        given_up = list(map(self.config.alias, self.without))
        for member in status.members:
            if member.log.lag == 0 and not member.log.holes and status.start.ready:
                self.caught_up.add(self.config.find(member.alias))  # it was here once; it may go on growing
        return status.start.ready and all(
            self.config.find(member.alias) in self.caught_up
            and (member.me or member.alias in given_up or member.log.state in COUNTED)
            for member in status.members
        )

    async def _progress(self, node: Node) -> None:
        told: tuple[str, ...] = ()
        while True:
            await trio.sleep(PROGRESS_S)
            status = node.status()
            lines = tuple(f"fetched {self._fetched(member)}" for member in status.members if self._count(member))
            lines += explain(replace(status, warnings=()))
            if lines != told and not self._is_done(status):
                self._tell("recovering", lines, [line for line in lines if line not in told])
            told = lines

    def _count(self, member: MemberStatus) -> int:
        return self.events.get(self.config.find(member.alias), 0)

    def _fetched(self, member: MemberStatus) -> str:
        log = self.config.find(member.alias)
        whose = "its own log" if member.me else f"{member.alias}'s log"
        count = self.events.get(log, 0)
        return f"{count:,} event{'' if count == 1 else 's'} of {whose}, {self.size.get(log, 0) / 1e6:,.1f} MB"

    def _report(self, status: Status) -> None:
        if self.as_json:
            logs = [
                {
                    "log": member.alias,
                    "start": member.log.first_seq,
                    "stop": member.log.tip.next_seq,
                    "stable": member.log.stable,
                    "fetched_events": self._count(member),
                    "fetched_bytes": self.size.get(self.config.find(member.alias), 0),
                    "missing": [[start, stop] for start, stop in _missing(member)],
                    "state": member.log.state,
                }
                for member in status.members
            ]
            without = [self.config.alias(member) for member in self.without]
            fields = {"event": "recovered", "epoch": status.start.epoch, "without": without, "logs": logs}
            self.out.offer(json.dumps(fields))
            return
        for line in self._lines(status):
            self.out.offer(line)
        self.out.offer(f"recovered. {self._go_on('run')}")

    def _lines(self, status: Status) -> Iterator[str]:
        for member in status.members:
            whose = "its own log" if member.me else f"{member.alias}'s log"
            yield f"{whose}: events [{member.log.first_seq}, {member.log.tip.next_seq}) are here" + (
                f", fetched {self._fetched(member)}" if self._count(member) else ", none had to be fetched"
            )
            for start, stop in _missing(member):
                yield f"{whose}: events [{start}, {stop}) are NOT here"
            if member.me:
                begun = f"epoch {self.epoch} has begun" if self.epoch else "no new epoch has begun"
                yield f"{whose}: {begun}"
        for key in self.without:
            alias = self.config.alias(key)
            log = next(member.log for member in status.members if member.alias == alias)
            yield f"{alias}'s log: events from {log.tip.next_seq} on are NOT here, if only {alias} had any"
        if self._too_few:
            without = " and ".join(map(self.config.alias, self.without))
            yield (
                f"each later start needs more members than are left without {without}: recover there too, or give the "
                "same --accept-loss to each run, or begin a network without them (hydra-sync new-network)"
            )

    def _too_long(self, timeout_s: float, status: Status) -> str:
        here = "; ".join(self._lines(status))
        why = "; ".join(explain(replace(status, warnings=())))
        kept = f"What was fetched is kept. {self._go_on('recover')}"
        return f"not recovered within {timeout_s:g} s. {why}. So far: {here}. {kept}"

    @property
    def _too_few(self) -> bool:
        """Whether those who are left cannot grant a start, if nobody is given up for it."""
        members = len(self.config.members)
        return members - 1 - len(self.without) < answers_needed(members)

    def _go_on(self, command: str) -> str:
        words = ["Go on with: hydra-sync", command, self.options]
        if command == "run" and self._too_few:
            lost = [word for member in self.without for word in ("--without", self.config.alias(member))]
            words.append(shlex.join(["--accept-loss", *lost]))
        return " ".join(filter(None, words))

    def _say(self, line: str) -> None:
        self._tell("recovery", (line,), (line,))

    def _tell(self, event: str, whole: Sequence[str], news: Sequence[str]) -> None:
        if self.as_json:
            self.out.offer(json.dumps({"event": event, "words": list(whole)}))
            return
        for line in news:
            self.err.offer(line)


def _missing(member: MemberStatus) -> list[tuple[int, int]]:
    """What somebody connected shows of the log, and is not here."""
    log = member.log
    missing = [(hole.start, hole.stop) for hole in log.holes]
    return [*missing, (log.tip.next_seq, log.target)] if log.lag else missing
