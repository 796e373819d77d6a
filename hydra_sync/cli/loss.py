"""An operator's word that members' disks are lost for good: options, and the warning that goes with them. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from hydra_sync.config import Config
from hydra_sync.errors import UsageError
from hydra_sync.identity import MemberKey

__all__ = ["given_up", "loss_options", "loss_warning"]

Command = TypeVar("Command", bound=Callable[..., Any])


def loss_options(command: Command) -> Command:
    """Add ``--accept-loss`` and ``--without``."""
    accept_loss = click.option(
        "--accept-loss", is_flag=True, help="Go on --without members, and lose what only they still had."
    )
    without = click.option(
        "--without",
        metavar="MEMBER",
        multiple=True,
        help="With --accept-loss: this member's disk is lost for good, do not wait for its answer; repeat for each.",
    )
    return accept_loss(without(command))


def given_up(config: Config, accept_loss: bool, without: Sequence[str]) -> tuple[MemberKey, ...]:
    if accept_loss != bool(without):
        raise UsageError(
            "--accept-loss and --without MEMBER go together: name each member whose disk is lost for good, and accept "
            "that what only those disks held is lost"
        )
    members = tuple(dict.fromkeys(map(config.find, without)))
    if config.key.member in members:
        raise UsageError(f"--without {config.me.alias} is this node itself: name members that will not come back")
    if len(members) >= len(config.members) - 1 > 0:
        raise UsageError("--without all other members leaves nobody to recover from: begin a new network instead")
    return members


def loss_warning(config: Config, without: Sequence[MemberKey]) -> str:
    """What that means, for people."""
    names = " and ".join(map(config.alias, without))
    return (
        f"WARNING: going on without {names}. Every event that only {names} held is lost, also events that were "
        "acknowledged and delivered; if one of these disks should come back, its node must not be started "
        "before its store was moved away. This is recorded in the log, for everybody to see"
    )
