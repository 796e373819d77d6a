"""``hydra-sync import``: the history that another program persisted, read, and taken into a log. Does I/O."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
import trio
from rich.console import Console
from rich.text import Text

from hydra_sync.cli.answered import answer_lines, answers_json, shown
from hydra_sync.cli.exits import EXIT_DAMAGED
from hydra_sync.cli.options import json_option, node_options, repeat_options, take_config
from hydra_sync.cli.own_store import open_to_append
from hydra_sync.cli.progress import progress_bar
from hydra_sync.config import Config
from hydra_sync.disk import lock_holder
from hydra_sync.encoding import encode_event
from hydra_sync.errors import StoreLockedError, UsageError
from hydra_sync.importer import Import, Imported, Problem, open_directory
from hydra_sync.importer.appending import Appended, Value, append_records
from hydra_sync.node.reading import Events

__all__ = ["import_"]

TOLD_MAX: Final = 20  # problems told to people


@click.group("import")
def import_() -> None:
    """Read what another program has persisted."""


@import_.command("hydra-node", epilog="Example: hydra-sync import hydra-node /srv/hydra/persistence --json")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--append", is_flag=True, help="Append every record to the own log of the node that the options name.")
@click.option(
    "--origin",
    metavar="NAME",
    help="With --append: which node's history this is; what has the same origin is never appended twice. "
    "[default: DIR's absolute path]",
)
@node_options
@json_option("the answers, and what was found,")
def hydra_node(directory: Path, append: bool, origin: str | None, as_json: bool, **options: Any) -> None:
    """Say what a hydra-node knew when it stopped, out of its persistence directory DIR.

    Who are the peers in the head, what was the last snapshot that all signed, which transactions were seen, what
    is the status of the head. Reads the files of every release (state, hydra.db, and those that were rotated), and
    changes none. Damaged records are told with their place, and the rest is read; exits with 3 if there are any.

    With --append the records become signed events in the log of one of our nodes, which must not run and has to
    trust its disk, as for `hydra-sync append`. A second time appends only what is new.
    """
    if origin is not None and not append:
        raise UsageError("--origin names the history that --append appends: give both, or neither")
    config = _trusting(take_config(options)) if append else None
    with ExitStack() as stack:
        found = open_directory(directory, stack)
        progress = stack.enter_context(progress_bar(f"reading {directory}", found.size, in_bytes=True))
        job = Import(found, progress)
        appended: Appended | None = None
        if config is None:
            for _ in job:
                pass
        else:
            appended = _append_to(config, job, origin or str(directory.absolute()))
    _tell(job.result, appended, config, as_json=as_json)
    if not job.result.is_sound:
        sys.exit(EXIT_DAMAGED)


def _trusting(config: Config) -> Config:
    if config.restart == "trust-disk":
        return config
    raise UsageError(
        f'restart = "{config.restart}": {config.me.alias} appends only when the other members have granted its start, '
        'and for that its node has to run. Import into a node with restart = "trust-disk"; hydra-sync import without '
        "--append only reads"
    )


def _append_to(config: Config, job: Import, origin: str) -> Appended:
    try:
        return trio.run(_append, config, job, origin)
    except StoreLockedError as error:
        holder = lock_holder(config.persistence_dir / "LOCK") or "another process"
        raise StoreLockedError(
            f"the store in {config.persistence_dir} is in use by {holder}: stop that first, and import again"
        ) from error


async def _append(config: Config, job: Import, origin: str) -> Appended:
    async with open_to_append(config, "import") as store:
        own = store.author.log

        async def append(values: Sequence[Value]) -> None:
            await store.author.append(list(map(encode_event, values)))

        events = Events(own, config.me.alias, own.first_seq, own.tip.next_seq)
        return await append_records(job, origin, events, append)


def _tell(result: Imported, appended: Appended | None, config: Config | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_result_json(result, appended)))
        return
    console = Console()
    for line in _lines(result):
        console.print(Text(line), soft_wrap=True)
    for problem in result.problems[:TOLD_MAX]:
        style = "yellow" if problem.harmless else "red"
        console.print(Text(_problem_line(problem), style=style), soft_wrap=True)
    if len(result.problems) > TOLD_MAX:
        more = f"and {len(result.problems) + result.untold - TOLD_MAX:,} problems more"
        console.print(Text(f"{more}; --json names the first {len(result.problems):,}"), soft_wrap=True)
    if appended is not None and config is not None:
        there = f"; {appended.there:,} were there from before" if appended.there else ""
        words = f"appended {appended.events:,} events to {config.me.alias}'s log, durable{there}"
        console.print(Text(words), soft_wrap=True)
        console.print(Text(f"see them with: hydra-sync read {repeat_options()} {config.me.alias}"), soft_wrap=True)


def _lines(result: Imported) -> Iterator[str]:
    yield shown(f"{result.path}: {', '.join(result.files)}")
    twice = f", {result.duplicates:,} of them in two files" if result.duplicates else ""
    others = f", {result.ignored:,} about another head" if result.ignored else ""
    yield f"records       {result.records + result.duplicates:,}{twice}{others}"
    if result.answers is not None:
        yield from answer_lines(result.answers)


def _problem_line(problem: Problem) -> str:
    harm = "; no harm, it never counted" if problem.harmless else ""
    return f"{'torn' if problem.harmless else 'damaged'}: {shown(str(problem.position))}: {shown(problem.reason)}{harm}"


def _result_json(result: Imported, appended: Appended | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "path": str(result.path),
        "files": list(result.files),
        "sound": result.is_sound,
        "records": result.records,
        "events": dict(sorted(result.events.items())),
        "duplicates": result.duplicates,
        "ignored": result.ignored,
        "local_outputs": result.local_outputs,
        "damage": result.damage,
        "problems": list(map(_problem_json, result.problems)),
        "problems_not_named": result.untold,
    }
    if result.answers is not None:
        fields |= answers_json(result.answers)
    if appended is not None:
        fields |= {"appended": appended.events, "already_there": appended.there}
    return fields


def _problem_json(problem: Problem) -> dict[str, object]:
    position = problem.position
    return {
        "file": position.file,
        "line": position.line,
        "offset": position.offset,
        "event": position.row,
        "reason": problem.reason,
        "harmless": problem.harmless,
    }
