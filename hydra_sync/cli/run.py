"""``hydra-sync run``: a node, until it is stopped. Does I/O."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
import trio

from hydra_sync.cli.loss import given_up, loss_options, loss_warning
from hydra_sync.cli.node_output import NodeOutput
from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.cli.running import run_node
from hydra_sync.cli.stdin import line_text, read_lines
from hydra_sync.cli.values import input_format_option, parse_event
from hydra_sync.config import Config
from hydra_sync.errors import StoreFullError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.node import Node, record_loss

__all__ = ["run"]

FULL_RETRY_S: Final = 1.0  # how often a full disk is asked for room


@click.command(epilog="Example: seq 1000 | hydra-sync run --config alice.toml --stdin")
@click.option("--stdin", "from_stdin", is_flag=True, help="Append each line of standard input as an event.")
@click.option("--stop-at-end", is_flag=True, help="With --stdin: stop the node when standard input ends.")
@click.option(
    "--replicas", type=click.IntRange(min=0), default=0, help="Acknowledge a line only when so many others have it."
)
@loss_options
@input_format_option
@node_options
@json_option("one line for each thing that happens")
def run(
    from_stdin: bool,
    stop_at_end: bool,
    replicas: int,
    accept_loss: bool,
    without: Sequence[str],
    input_format: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Run the node: serve its log, and keep replicas of the other members' logs.

    What happens is told on standard error, or with --json on standard output. With --stdin each
    appended line is acknowledged on standard output once it is durable. Stop the node with Ctrl-C.
    It appends when enough others have granted its start; while it waits, it says for whom. If its disk
    turns out to be short of its own log, it fetches what is missing before that. With --accept-loss this
    start, and no later one, does --without the answers of members that will not come back.
    """
    config = take_config(options)
    lost = given_up(config, accept_loss, without)
    others = len(config.members) - 1
    if replicas > others:
        raise UsageError(f"--replicas {replicas}, but this network has {others} other members")
    if from_stdin and sys.stdin is None:
        raise UsageError("--stdin, but standard input is closed")
    lines = _Lines(input_format, replicas, stop_at_end) if from_stdin else None
    trio.run(_run, config, lines, lost, as_json)


@dataclass(frozen=True, slots=True)
class _Lines:
    """What to do with standard input."""

    input_format: str
    replicas: int
    stop_at_end: bool


async def _run(config: Config, lines: _Lines | None, lost: Sequence[MemberKey], as_json: bool) -> None:
    output = NodeOutput(config, as_json)
    await record_loss(config, lost)  # also that nobody is lost: what was said to an earlier start was for that one
    if lost:
        output.note(loss_warning(config, lost))
    async with run_node(config, output, output.notice) as (node, nursery):
        if lines is not None:
            nursery.start_soon(_append_lines, node, lines, output, nursery.cancel_scope)


async def _append_lines(node: Node, lines: _Lines, output: NodeOutput, scope: trio.CancelScope) -> None:
    number = 0
    await node.wait_started()  # nothing is taken from standard input before
    async for texts in read_lines():
        events: list[bytes] = []
        failure: UsageError | None = None
        first = number + 1
        for text in texts:
            number += 1
            try:
                events.append(parse_event(line_text(text), lines.input_format))
            except UsageError as error:
                failure = UsageError(f"line {number} of standard input: {error}; the lines before it are appended")
                break
        await _append(node, events, lines, output, first=first)
        if failure is not None:
            await output.out.flush()
            raise failure
    if lines.stop_at_end:
        await output.out.flush()  # nobody hurries us: a slow reader gets every acknowledgement
        scope.cancel()
    else:
        output.note("standard input has ended; the node goes on until Ctrl-C")


async def _append(node: Node, events: list[bytes], lines: _Lines, output: NodeOutput, *, first: int) -> None:
    """Append and acknowledge events, the lines of standard input from ``first`` on, however long the disk is full."""
    done, told = 0, False
    while done < len(events):
        start = _next_seq(node)
        try:
            last = await node.append_encoded(events[done:], replicas=lines.replicas)
            appended = len(events) - done
        except StoreFullError as error:
            # Of a call that needs several batches the first may be durable.
            appended = _next_seq(node) - start
            last = start + appended - 1
            if not told:
                output.full(first + done + appended, first + len(events) - 1, error)
                told = True
            await trio.sleep(FULL_RETRY_S)
        for seq in range(last + 1 - appended, last + 1):
            await output.appended(seq)
        done += appended


def _next_seq(node: Node) -> int:
    return node.status().me.log.tip.next_seq
