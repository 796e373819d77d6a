"""The options that say which node a command is about; they make a `Config`. Reads files."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from hydra_sync.config import Config, load_config, parse_config
from hydra_sync.errors import UsageError

__all__ = [
    "DEFAULT_CONFIG",
    "TIME_S_MAX",
    "FiniteRange",
    "json_option",
    "node_options",
    "repeat_options",
    "take_config",
]

DEFAULT_CONFIG: Final = "hydra-sync.toml"
TIME_S_MAX: Final = 100_000_000  # three years: of any time, so that timers and nanoseconds can have it

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="HYDRA_SYNC_CONFIG",
        help=f"Configuration file (TOML); {DEFAULT_CONFIG} if it exists. The options below win over it.",
    ),
    click.option("--network", metavar="NAME", help="Name of the network; all members use the same."),
    click.option("--node-id", metavar="ALIAS", help="What this node is called."),
    click.option("--listen", metavar="HOST:PORT", help="Where to listen for the other members."),
    click.option("--advertise", metavar="HOST:PORT", help="Where the others can reach this node, if not at --listen."),
    click.option("--peer", metavar="HOST:PORT", multiple=True, help="Where another member listens; repeat for each."),
    click.option(
        "--hydra-signing-key", metavar="FILE", type=click.Path(path_type=Path), help="This node's signing key (.sk)."
    ),
    click.option(
        "--hydra-verification-key",
        metavar="FILE",
        type=click.Path(path_type=Path),
        multiple=True,
        help="Another member's verification key (.vk); repeat for each. The file's name is its alias, "
        "and all of them replace the members in a configuration file.",
    ),
    click.option(
        "--persistence-dir", metavar="DIR", type=click.Path(path_type=Path), help="Where this node's store is."
    ),
)

_NAMES: Final = (
    "config_file",
    "network",
    "node_id",
    "listen",
    "advertise",
    "peer",
    "hydra_signing_key",
    "hydra_verification_key",
    "persistence_dir",
)
_REQUIRED: Final = ("network", "hydra-signing-key", "persistence-dir")


class FiniteRange(click.FloatRange):
    """As click has it, but without NaN, which is not below any limit, nor above."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number that can be counted with", param, ctx)
        return number


def node_options(command: Command) -> Command:
    """Add the node options; the command gets them as one keyword argument each, for `take_config`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def json_option(what: str) -> Callable[[Command], Command]:
    """Add ``--json``; ``what`` says what a program gets."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} for programs.")


def take_config(options: dict[str, Any]) -> Config:
    """Remove the node options from ``options`` and make the configuration. Raises `UsageError`."""
    path: Path | None = options.pop("config_file")
    flags: dict[str, object] = {
        "network": options.pop("network"),
        "node-id": options.pop("node_id"),
        "listen": options.pop("listen"),
        "advertise": options.pop("advertise"),
        "peer": list(options.pop("peer")) or None,
        "hydra-signing-key": _absolute(options.pop("hydra_signing_key")),
        "persistence-dir": _absolute(options.pop("persistence_dir")),
    }
    others = [{"hydra-verification-key": str(_absolute(key))} for key in options.pop("hydra_verification_key")]
    flags["member"] = others or None
    if path is None and Path(DEFAULT_CONFIG).exists():
        path = Path(DEFAULT_CONFIG)
    config = _given(flags) if path is None else load_config(path, flags)
    _check_place(config.persistence_dir)
    return config


def _given(flags: dict[str, object]) -> Config:
    given = {name: value for name, value in flags.items() if value is not None}
    missing = [f"--{name}" for name in _REQUIRED if name not in given]
    if missing:
        raise UsageError(
            f"which node? There is no {DEFAULT_CONFIG} here: name a configuration file with --config, "
            f"or give {' and '.join(missing)} too"
        )
    return parse_config(given, base=Path.cwd())


def _check_place(store: Path) -> None:
    """Raises `UsageError` where no store can be, nor be made."""
    advice = "name a directory with --persistence-dir"
    for place in (store, *store.parents):
        if place.is_dir():
            return
        if place.exists():
            raise UsageError(f"{place} is a file: {advice}")
        if place.is_symlink():
            raise UsageError(f"{place} is a link to {place.readlink()}, which is not there: make that, or {advice}")


def repeat_options() -> str:
    """The node options as they were given on this command line, for advice that can be pasted."""
    words = []
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        if name not in _NAMES or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        for item in value if isinstance(value, tuple) else (value,):
            words += [option.opts[0], str(item)]
    return shlex.join(words)


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
