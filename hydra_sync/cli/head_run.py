"""``hydra-sync head run``: a node with a head on it, until it is stopped. Does I/O."""

from __future__ import annotations

import json
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final

import click
import trio

from hydra_sync.cli.answered import answers_json
from hydra_sync.cli.head_values import output_json, parse_input
from hydra_sync.cli.machines import LEDGERS
from hydra_sync.cli.node_output import NodeOutput
from hydra_sync.cli.options import json_option, node_options, take_config
from hydra_sync.cli.running import run_node
from hydra_sync.cli.stdin import line_text, read_lines
from hydra_sync.config import Config
from hydra_sync.errors import HydraSyncError, UsageError
from hydra_sync.head import HeadMachine
from hydra_sync.head.state import State
from hydra_sync.machine import Group
from hydra_sync.mainchain import FileChain, drive
from hydra_sync.node import Node
from hydra_sync.node.seams import wall_clock_us
from hydra_sync.runtime import Runtime, Waiting, open_machine
from hydra_sync.sync import Advanced, BecameStable, CaughtUp, Fetched, Fetching, Notice, Receipt
from hydra_sync.tasks import Signal, open_tasks

__all__ = ["run"]

_MINUTE: Final = (Advanced, BecameStable, Fetching, Fetched, Receipt, CaughtUp)  # a head has other news to tell
UNANSWERED_MAX: Final = 1000  # commands of standard input on their way; the next is read when one is answered


@click.command(epilog="Example: hydra-sync head run --config alice.toml --chain chain.jsonl --stdin")
@click.option(
    "--chain",
    "chain_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The development chain that all members share.",
)
@click.option(
    "--ledger",
    type=click.Choice(list(LEDGERS)),
    default="conway",
    show_default=True,
    help="What a transaction is: Cardano's, or hydra's SimpleTx.",
)
@click.option("--stdin", "from_stdin", is_flag=True, help="Take commands from standard input, one JSON object a line.")
@click.option("--stop-at-end", is_flag=True, help="With --stdin: stop the node when standard input ends.")
@node_options
@json_option("one line for each thing that happens")
def run(chain_file: Path, ledger: str, from_stdin: bool, stop_at_end: bool, as_json: bool, **options: Any) -> None:
    """Run a node with a head: it judges transactions, signs snapshots, and follows layer 1.

    Commands are hydra-node's: {"tag": "Init"}, {"tag": "NewTx", "transaction": {"cborHex": "..."}}, Close,
    Contest, Fanout, SideLoadSnapshot. What the head decides is told on standard output once it is stable, so
    that no crash takes it back. Look at the head with: hydra-sync head show
    """
    config = take_config(options)
    if from_stdin and sys.stdin is None:
        raise UsageError("--stdin, but standard input is closed")
    machine = HeadMachine(config.key.member, LEDGERS[ledger](), config.key)
    trio.run(_run, config, machine, FileChain(chain_file, wall_clock_us), from_stdin, stop_at_end, as_json)


async def _run(
    config: Config, machine: HeadMachine, chain: FileChain, from_stdin: bool, stop_at_end: bool, as_json: bool
) -> None:
    output = NodeOutput(config, as_json)
    outputs = _Outputs(machine, output)

    def observe(notice: Notice) -> None:
        if not isinstance(notice, _MINUTE):
            output.notice(notice)

    async with (
        run_node(config, output, observe) as (node, nursery),
        open_machine(node, machine, observe=outputs.decided) as runtime,
        open_tasks() as inner,
    ):
        greetings = {"event": "greetings", **answers_json(machine.answers(runtime.state))}
        await output.out.put(json.dumps(greetings))
        inner.start_soon(outputs.tell, node)
        inner.start_soon(_until_failure, runtime)
        inner.start_soon(lambda: drive(runtime, chain, tell=output.note))
        if from_stdin:
            inner.start_soon(_take_commands, runtime, output, config, nursery.cancel_scope if stop_at_end else None)


async def _until_failure(runtime: Runtime[State]) -> None:
    while runtime.failure is None:
        await runtime.changed.wait()
    raise runtime.failure


class _Outputs:
    """What the head decides, told in order when it is stable."""

    def __init__(self, machine: HeadMachine, output: NodeOutput) -> None:
        self._machine = machine
        self._output = output
        self._waiting: deque[tuple[int, dict[str, object]]] = deque()
        self._came = Signal()

    def decided(self, seq: int, group: Group[State]) -> None:
        """Take what was decided for one input, whose record is at ``seq``."""
        for place, content in enumerate(group.decided, seq + 1):
            if (told := output_json(content, group.after.state, self._machine.ledger)) is not None:
                self._waiting.append((place, told))
        if self._waiting:
            self._came.fire()

    async def tell(self, node: Node) -> None:
        """Tell it, until cancelled."""
        while True:
            while not self._waiting:
                await self._came.wait()
            seq, told = self._waiting.popleft()
            await node.wait_stable(seq)
            await self._output.out.put(json.dumps({"seq": seq, **told}))


async def _take_commands(
    runtime: Runtime[State], output: NodeOutput, config: Config, scope: trio.CancelScope | None
) -> None:
    room = trio.Semaphore(UNANSWERED_MAX)
    async with trio.open_nursery() as nursery:
        async for texts in read_lines():
            for text in texts:
                await room.acquire()
                try:
                    line = line_text(text)
                    waiting = await runtime.offer(parse_input(line, config))
                except UsageError as error:
                    await output.out.put(json.dumps({"tag": "InvalidInput", "reason": str(error)}))
                    room.release()
                    continue
                nursery.start_soon(_answer, runtime, waiting, line, output, room)
    await output.out.flush()
    if scope is not None:
        scope.cancel()


async def _answer(
    runtime: Runtime[State], waiting: Waiting, line: str, output: NodeOutput, room: trio.Semaphore
) -> None:
    try:
        await runtime.outcome(waiting)
    except HydraSyncError as error:
        command = json.loads(line)
        await output.out.put(json.dumps({"tag": "CommandFailed", "clientInput": command, "reason": str(error)}))
    finally:
        room.release()
