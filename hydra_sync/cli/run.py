"""``hydra-sync run``: a node, until it is stopped. Does I/O."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import click
import trio

from hydra_sync.cli.notices import notice_json, notice_line
from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.cli.values import input_format_option, parse_value
from hydra_sync.config import Config
from hydra_sync.errors import UsageError
from hydra_sync.limits import BODY_BYTES_MAX
from hydra_sync.node import Node, open_node
from hydra_sync.sync import Notice
from hydra_sync.tasks import open_tasks

__all__ = ["run"]

STDIN_BYTES: Final = 64 << 10  # lines that arrive together are committed together


@click.command(epilog="Example: seq 1000 | hydra-sync run --config alice.toml --stdin")
@click.option("--stdin", "from_stdin", is_flag=True, help="Append each line of standard input as an event.")
@click.option(
    "--replicas", type=click.IntRange(min=0), default=0, help="Acknowledge a line only when so many others have it."
)
@input_format_option
@node_options
@json_option("one line for each thing that happens")
def run(from_stdin: bool, replicas: int, input_format: str, as_json: bool, **options: Any) -> None:
    """Run the node: serve its log, and keep replicas of the other members' logs.

    What happens is told on standard error, or with --json on standard output. With --stdin each
    appended line is acknowledged on standard output once it is durable.
    """
    config = take_config(options)
    trio.run(_run, config, _Lines(from_stdin, input_format, replicas), as_json)


class _Lines:
    """What to do with standard input."""

    def __init__(self, wanted: bool, input_format: str, replicas: int) -> None:
        self.wanted = wanted
        self.input_format = input_format
        self.replicas = replicas


async def _run(config: Config, lines: _Lines, as_json: bool) -> None:
    tell = _teller(config, as_json)
    async with open_node(config, observe=tell) as node, open_tasks() as nursery:
        _say_ready(node, as_json)
        nursery.start_soon(_until_signal, nursery.cancel_scope)
        if lines.wanted:
            nursery.start_soon(_append_lines, node, lines, as_json)


def _teller(config: Config, as_json: bool) -> Callable[[Notice], None]:
    if as_json:
        return lambda notice: click.echo(json.dumps(notice_json(notice, config)))

    def tell(notice: Notice) -> None:
        if line := notice_line(notice, config):
            click.echo(line, err=True)

    return tell


def _say_ready(node: Node, as_json: bool) -> None:
    status = node.status()
    own = next(member for member in status.members if member.me)
    if as_json:
        click.echo(
            json.dumps(
                {"event": "ready", "node": status.node_id, "listen": status.listen, "next_seq": own.log.tip.next_seq}
            )
        )
        return
    where = f" at {status.listen}" if status.listen else ""
    click.echo(f"{status.node_id} runs in network {status.network}{where}; stop it with Ctrl-C", err=True)
    for warning in status.warnings:
        click.echo(f"note: {warning}", err=True)


async def _until_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def _append_lines(node: Node, lines: _Lines, as_json: bool) -> None:
    async for texts in _read_lines():
        values = [parse_value(text, lines.input_format) for text in texts]
        last = await node.append_many(values, replicas=lines.replicas)
        for seq in range(last - len(values) + 1, last + 1):
            click.echo(json.dumps({"event": "appended", "seq": seq}) if as_json else f"appended {seq}")


async def _read_lines() -> AsyncIterator[list[str]]:
    """Whole lines of standard input, those that arrive together in one list."""
    rest = b""
    while data := await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), STDIN_BYTES, abandon_on_cancel=True):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) > BODY_BYTES_MAX:
            raise UsageError("a line of standard input is longer than an event may be")
        if whole:
            yield [_text(line) for line in whole]
    if rest:
        yield [_text(rest)]


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"a line of standard input is no UTF-8 text: {error}; use --format hex for bytes") from error
