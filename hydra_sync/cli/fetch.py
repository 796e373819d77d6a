"""``hydra-sync fetch``: one range of one log, from one running node, into a file. Does I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import trio

from hydra_sync.cli.options import json_option, node_options, repeat_options, take_config
from hydra_sync.cli.progress import progress_bar
from hydra_sync.config import Address, Config, Member
from hydra_sync.errors import HydraSyncError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import UINT_MAX
from hydra_sync.node.tool import open_tool
from hydra_sync.ranges import SeqRange

__all__ = ["fetch"]


@click.command(epilog="Example: hydra-sync fetch --config bob.toml --from carol alice 0 100 --output alice.log")
@click.argument("log", metavar="LOG")
@click.argument("start", type=click.IntRange(min=0, max=UINT_MAX))
@click.argument("stop", type=click.IntRange(min=1, max=UINT_MAX))
@click.option("--from", "source", metavar="MEMBER|HOST:PORT", help="Whom to ask; LOG's author if not given.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to put the records."
)
@node_options
@json_option("what was fetched")
def fetch(log: str, start: int, stop: int, source: str | None, output: Path, as_json: bool, **options: Any) -> None:
    """Fetch the events [START, STOP) of LOG into a file of whole, verified batch records.

    LOG is a member's alias or key. Uses this node's key, even while the node itself runs, and disturbs no
    node. The batches at both ends come whole. Check the file with: hydra-sync verify FILE --log LOG
    """
    config = take_config(options)
    if stop <= start:
        raise UsageError(f"the range [{start}, {stop}) is empty: STOP must be above START")
    if output.exists():
        raise UsageError(f"{output} exists: choose another --output, or remove it")
    member = config.find(log)
    seqs = trio.run(_fetch, config, _source(config, source, member), member, SeqRange(start, stop), output)
    done = {"log": config.alias(member), "start": seqs.start, "stop": seqs.stop, "file": str(output)}
    if as_json:
        click.echo(json.dumps(done))
    else:
        click.echo(f"{output}: events {seqs} of {config.alias(member)}, verified")
        click.echo(
            f"look at it with: hydra-sync verify {output} --log {config.alias(member)} {repeat_options()}".rstrip()
        )


@dataclass(frozen=True, slots=True)
class _Source:
    address: Address
    expected: MemberKey | None


def _source(config: Config, source: str | None, log: MemberKey) -> _Source:
    if source is not None and ":" in source:
        return _Source(Address.parse(source), None)
    key = log if source is None else config.find(source)
    member: Member = next(member for member in config.members if member.key == key)
    address = config.listen if key == config.key.member else member.address
    if address is None or address.port == 0:
        raise UsageError(f"the configuration has no address of {member.alias}: name one with --from HOST:PORT")
    return _Source(address, key)


async def _fetch(config: Config, source: _Source, log: MemberKey, seqs: SeqRange, output: Path) -> SeqRange:
    partial = output.with_name(output.name + ".part")
    got: SeqRange | None = None
    async with open_tool(config, source.address, expected=source.expected) as tool:
        try:
            file = await trio.open_file(partial, "wb")
        except OSError as error:
            raise UsageError(f"{partial} cannot be written: {error.strerror}; choose another --output") from error
        async with file:
            with progress_bar(f"events of {config.alias(log)}", seqs.count) as show:
                try:
                    async for batches in tool.fetch(log, seqs):
                        got = SeqRange(got.start if got else batches[0].header.first_seq, batches[-1].header.stop)
                        await file.write(b"".join(batch.record for batch in batches))
                        show(min(got.stop, seqs.stop) - seqs.start)
                except HydraSyncError as error:
                    if got is None:
                        partial.unlink()
                        raise
                    raise type(error)(f"{error}; what came before, {got}, is in {partial}") from error
    assert got is not None
    await trio.Path(partial).rename(output)
    return got
