"""The options that say which node a command is about; they make a `Config`. Reads files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from hydra_sync.config import Config, load_config, parse_config
from hydra_sync.errors import UsageError

__all__ = ["DEFAULT_CONFIG", "json_option", "node_options", "take_config"]

DEFAULT_CONFIG: Final = "hydra-sync.toml"

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
        help="Another member's verification key (.vk); repeat for each. The file's name is its alias.",
    ),
    click.option(
        "--persistence-dir", metavar="DIR", type=click.Path(path_type=Path), help="Where this node's store is."
    ),
)


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
    if path is not None:
        return load_config(path, flags)
    try:
        return parse_config({name: value for name, value in flags.items() if value is not None}, base=Path.cwd())
    except UsageError as error:
        raise UsageError(f"{error} (there is no {DEFAULT_CONFIG} here; name one with --config)") from error


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
