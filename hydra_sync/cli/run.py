"""``hydra-sync run``: a node, until it is stopped. Does I/O."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
import trio

from hydra_sync.cli.live import publish_status, tell_waits
from hydra_sync.cli.notices import notice_json, notice_line
from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.cli.output import LineWriter, lost_json, lost_line, open_writers
from hydra_sync.cli.values import input_format_option, parse_value
from hydra_sync.config import Config
from hydra_sync.errors import StoreFullError, UsageError
from hydra_sync.limits import EVENT_BYTES_MAX
from hydra_sync.node import Node, open_node
from hydra_sync.sync import Connected, Disconnected, Notice, OwnLogTaken
from hydra_sync.tasks import open_tasks

__all__ = ["run", "until_signal"]

STDIN_BYTES: Final = 64 << 10  # lines that arrive together are committed together
LINE_BYTES_MAX: Final = 2 * EVENT_BYTES_MAX + 2  # the largest event in hexadecimal
FULL_RETRY_S: Final = 1.0  # how often a full disk is asked for room


@click.command(epilog="Example: seq 1000 | hydra-sync run --config alice.toml --stdin")
@click.option("--stdin", "from_stdin", is_flag=True, help="Append each line of standard input as an event.")
@click.option("--stop-at-end", is_flag=True, help="With --stdin: stop the node when standard input ends.")
@click.option(
    "--replicas", type=click.IntRange(min=0), default=0, help="Acknowledge a line only when so many others have it."
)
@input_format_option
@node_options
@json_option("one line for each thing that happens")
def run(from_stdin: bool, stop_at_end: bool, replicas: int, input_format: str, as_json: bool, **options: Any) -> None:
    """Run the node: serve its log, and keep replicas of the other members' logs.

    What happens is told on standard error, or with --json on standard output. With --stdin each
    appended line is acknowledged on standard output once it is durable. Stop the node with Ctrl-C.
    It appends when enough others have granted its start; while it waits, it says for whom. If its disk
    turns out to be short of its own log, it fetches what is missing before that.
    """
    config = take_config(options)
    others = len(config.members) - 1
    if replicas > others:
        raise UsageError(f"--replicas {replicas}, but this network has {others} other members")
    if from_stdin and sys.stdin is None:
        raise UsageError("--stdin, but standard input is closed")
    lines = _Lines(input_format, replicas, stop_at_end) if from_stdin else None
    trio.run(_run, config, lines, as_json)


@dataclass(frozen=True, slots=True)
class _Lines:
    """What to do with standard input."""

    input_format: str
    replicas: int
    stop_at_end: bool


class _Output:
    """What the node tells: lines for people on standard error, or JSON on standard output."""

    def __init__(self, config: Config, as_json: bool) -> None:
        self.out: Final = LineWriter(sys.stdout, lost_json)
        self.err: Final = LineWriter(sys.stderr, lost_line)
        self._config = config
        self._as_json = as_json
        self._here: set[tuple[bytes, bool]] = set()
        self.taken = trio.Event()
        """Another process runs with this node's key, and has begun a later epoch."""

    def notice(self, notice: Notice) -> None:
        """Tell a notice. Called from inside the node, and so never raises, and never waits."""
        if isinstance(notice, OwnLogTaken):
            self.taken.set()
        if self._as_json:
            self.out.offer(json.dumps(notice_json(notice, self._config)))
            return
        match notice:
            case Connected(peer, tool):
                self._here.add((peer, tool))
            case Disconnected(peer, tool) if (peer, tool) not in self._here:
                return  # it never was here, and `NoSession` says so
            case Disconnected(peer, tool):
                self._here.remove((peer, tool))
            case _:
                pass
        if line := notice_line(notice, self._config):
            self.note(line)

    async def appended(self, seq: int) -> None:
        """Acknowledge a line of standard input. Waits for a reader, and with it the standard input does."""
        await self.out.put(json.dumps({"event": "appended", "seq": seq}) if self._as_json else f"appended {seq}")

    def full(self, first: int, last: int, why: StoreFullError) -> None:
        """Tell which lines of standard input wait for room on the disk."""
        if self._as_json:
            self.out.offer(json.dumps({"event": "disk_full", "first_line": first, "last_line": last, "why": str(why)}))
            return
        lines = (
            f"line {first} of standard input is" if first == last else f"lines {first} to {last} of standard input are"
        )
        self.note(f"{lines} not appended, and will be once there is room: {why}")

    def waits(self, lines: Sequence[str]) -> None:
        """Say why the node does not append yet."""
        if self._as_json:
            self.out.offer(json.dumps({"event": "waiting", "why": list(lines)}))
        for line in lines:
            self.note(line)

    def ready(self, node: Node) -> None:
        """Say that the node runs, and where."""
        status = node.status()
        if self._as_json:
            fields = {"event": "ready", "node": status.node_id, "listen": status.listen}
            self.out.offer(json.dumps(fields | {"next_seq": status.me.log.tip.next_seq}))
        where = f" at {status.listen}" if status.listen else ", listening nowhere: it only dials"
        self.note(f"{status.node_id} runs in network {status.network}{where}; stop it with Ctrl-C")
        for warning in status.warnings:
            self.note(f"note: {warning}")

    def note(self, line: str) -> None:
        """Tell people."""
        if not self._as_json:
            self.err.offer(line)


async def _run(config: Config, lines: _Lines | None, as_json: bool) -> None:
    output = _Output(config, as_json)
    async with (
        open_writers((output.out, output.err)),
        open_node(config, observe=output.notice) as node,
        publish_status(node),
        open_tasks() as nursery,
    ):
        nursery.start_soon(until_signal, nursery.cancel_scope)
        nursery.start_soon(_until_taken, node, output)
        nursery.start_soon(tell_waits, node, output.waits)
        for writer in (output.out, output.err):
            nursery.start_soon(_until_closed, writer, nursery.cancel_scope)
        output.ready(node)
        if lines is not None:
            nursery.start_soon(_append_lines, node, lines, output, nursery.cancel_scope)


async def until_signal(scope: trio.CancelScope) -> None:
    """Cancel the scope on Ctrl-C, or when asked to end."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def _until_taken(node: Node, output: _Output) -> None:
    """The older of two processes with one key ends: it could append nothing, and would be in the other's way."""
    await output.taken.wait()
    await node.wait_started()  # raises, and says why


async def _until_closed(writer: LineWriter, scope: trio.CancelScope) -> None:
    await writer.closed.wait()
    scope.cancel()


async def _append_lines(node: Node, lines: _Lines, output: _Output, scope: trio.CancelScope) -> None:
    number = 0
    await node.wait_started()  # nothing is taken from standard input before
    async for texts in _read_lines():
        values: list[object] = []
        failure: UsageError | None = None
        first = number + 1
        for text in texts:
            number += 1
            try:
                values.append(parse_value(_text(text), lines.input_format))
            except UsageError as error:
                failure = UsageError(f"line {number} of standard input: {error}; the lines before it are appended")
                break
        await _append(node, values, lines, output, first=first)
        if failure is not None:
            await output.out.flush()
            raise failure
    if lines.stop_at_end:
        await output.out.flush()  # nobody hurries us: a slow reader gets every acknowledgement
        scope.cancel()
    else:
        output.note("standard input has ended; the node goes on until Ctrl-C")


async def _append(node: Node, values: list[object], lines: _Lines, output: _Output, *, first: int) -> None:
    """Append and acknowledge values, the lines of standard input from ``first`` on, however long the disk is full."""
    done, told = 0, False
    while done < len(values):
        start = _next_seq(node)
        try:
            last = await node.append_many(values[done:], replicas=lines.replicas)
            appended = len(values) - done
        except StoreFullError as error:
            # Of a call that needs several batches the first may be durable.
            appended = _next_seq(node) - start
            last = start + appended - 1
            if not told:
                output.full(first + done + appended, first + len(values) - 1, error)
                told = True
            await trio.sleep(FULL_RETRY_S)
        for seq in range(last + 1 - appended, last + 1):
            await output.appended(seq)
        done += appended


def _next_seq(node: Node) -> int:
    return node.status().me.log.tip.next_seq


async def _read_lines() -> AsyncIterator[list[bytes]]:
    """Whole lines of standard input, those that arrive together in one list."""
    rest = b""
    while data := await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), STDIN_BYTES, abandon_on_cancel=True):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise UsageError(f"a line of standard input has more than {LINE_BYTES_MAX} bytes, more than an event may")
        if whole:
            yield whole
    if rest:
        yield [rest]


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"it is no UTF-8 text, {error}; send bytes with --format hex") from error
