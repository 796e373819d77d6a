"""``hydra-sync new-network``: a network with other members takes the place of one that ends. Does I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import trio

from hydra_sync.checkpoint import Checkpoint, parse_checkpoint
from hydra_sync.cli.options import json_option, node_options, repeat_options, take_config
from hydra_sync.config import Config, load_config
from hydra_sync.disk import RealDisk, lock_holder
from hydra_sync.errors import FormatError, StoreLockedError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import CHECKPOINT_STATE_BYTES_MAX
from hydra_sync.node import create_store, open_read_only
from hydra_sync.store import position_of, read_checkpoint_file
from hydra_sync.store.layout import CHECKPOINT, LOCK

__all__ = ["new_network"]

_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(
    "new-network",
    epilog="Example: hydra-sync new-network --from alice.toml --config alice-2.toml. "
    "A member that joins: hydra-sync new-network --checkpoint checkpoint.cbor --config dave.toml",
)
@click.option(
    "--from", "old", type=_FILE, metavar="FILE", help="Configuration of this member's node in the network that ends."
)
@click.option(
    "--checkpoint",
    "checkpoint_file",
    type=_FILE,
    metavar="FILE",
    help=f"Instead of --from: the {CHECKPOINT} that another member's store was made with.",
)
@click.option(
    "--up-to",
    metavar="MEMBER=SEQ",
    multiple=True,
    help="Take this old log only up to, but not including, SEQ; repeat for each.",
)
@click.option(
    "--state", "state_file", type=_FILE, metavar="FILE", help="The application's state there, into the checkpoint."
)
@node_options
@json_option("what was made")
def new_network(
    old: Path | None,
    checkpoint_file: Path | None,
    up_to: Sequence[str],
    state_file: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make the store of a node in a new network that takes the place of an old one, from a checkpoint of that.

    Members are fixed for a network's life; with others it is a new network, in which no signature of the old
    one counts. Stop the old nodes when they all hold the same; each member runs this, and compares the digest
    it prints: it is the same for all who had the same. The old store is only read, and stays as it is.
    """
    config = take_config(options)
    if (old is None) == (checkpoint_file is None):
        raise UsageError("what does the new network begin from? Give either --from FILE or --checkpoint FILE")
    if config.persistence_dir.is_file():
        raise UsageError(f"{config.persistence_dir} is a file: name a directory with --persistence-dir")
    if old is not None:
        old_config = load_config(old)
        _check_new(config, old_config)
        checkpoint = trio.run(_take, old_config, _limits(old_config, up_to), _read_state(state_file))
    else:
        assert checkpoint_file is not None
        if up_to or state_file is not None:
            raise UsageError("--up-to and --state go with --from: the checkpoint in a file is what it is")
        old_config = None
        checkpoint = trio.run(_read, checkpoint_file.absolute())
    trio.run(_make, config, checkpoint)
    _tell(config, checkpoint, old_config, as_json)


def _check_new(config: Config, old: Config) -> None:
    if config.network_id == old.network_id:
        raise UsageError(
            f"{config.network} is the old network itself, with the same members: give the new one another name, or "
            "other members"
        )
    if old.key.member != config.key.member:
        raise UsageError(
            f"--from is the configuration of {old.me.alias}, and the new one is {config.me.alias}'s: each member takes "
            f"its own, or from another one its {CHECKPOINT}, with --checkpoint"
        )
    if config.persistence_dir.absolute() == old.persistence_dir.absolute():
        raise UsageError(
            f"the old store is in {old.persistence_dir}, and stays there: name another directory for the new one with "
            "--persistence-dir"
        )


def _limits(old: Config, up_to: Sequence[str]) -> dict[MemberKey, int]:
    limits = {}
    for text in up_to:
        name, _, seq = text.rpartition("=")
        if not name or not seq.isascii() or not seq.isdigit():
            raise UsageError(f"--up-to {text}: write MEMBER=SEQ, for example alice=100")
        limits[old.find(name)] = int(seq)
    return limits


def _read_state(path: Path | None) -> bytes | None:
    if path is None:
        return None
    with path.open("rb") as file:
        return file.read(CHECKPOINT_STATE_BYTES_MAX + 1)  # one more is too many, and refused


async def _take(old: Config, limits: dict[MemberKey, int], state: bytes | None) -> Checkpoint:
    """The checkpoint of a store that is not in use."""
    if (holder := lock_holder(old.persistence_dir / LOCK)) is not None:
        raise StoreLockedError(
            f"the store in {old.persistence_dir} is in use by {holder}: stop that first, when all members hold the same"
        )
    async with open_read_only(old) as store:
        forked = {proof.log: proof.verify(old.network_id).seq for proof in store.proofs}
        positions = []
        for member in old.keys:
            log = store.log(member)
            stop = limits.get(member, log.tip.next_seq)
            stop = min(stop, forked.get(member, stop))  # on what lies behind, nobody agrees
            position = await position_of(log, old.alias(member), stop)
            if member in limits and stop not in (position.tip.next_seq, forked.get(member)):
                raise UsageError(
                    f"--up-to {old.alias(member)}={stop}: that is within a batch, which was signed as a whole; the one "
                    f"before it ends at {position.tip.next_seq}"
                )
            positions.append(position)
    return Checkpoint(old.network, tuple(positions), state)


async def _read(path: Path) -> Checkpoint:
    try:
        return parse_checkpoint(await read_checkpoint_file(RealDisk(), path))
    except FormatError as error:
        raise type(error)(f"{path} is no checkpoint: {error}") from error


async def _make(config: Config, checkpoint: Checkpoint) -> None:
    await create_store(config, checkpoint=checkpoint)


def _tell(config: Config, checkpoint: Checkpoint, old: Config | None, as_json: bool) -> None:
    def alias(member: MemberKey) -> str:
        return (config if old is None else old).alias(member)

    made = {
        "persistence_dir": str(config.persistence_dir.absolute()),
        "network_id": config.network_id.hex(),
        "key": config.key.member.hex(),
        "old_network": checkpoint.name,
        "old_network_id": checkpoint.network.hex(),
        "digest": checkpoint.digest.hex(),
        "state_bytes": None if checkpoint.state is None else len(checkpoint.state),
        "logs": [
            {
                "log": alias(at.log),
                "key": at.log.hex(),
                "epoch": at.tip.epoch,
                "next_seq": at.tip.next_seq,
                "hash": at.tip.hash.hex(),
            }
            for at in checkpoint.logs
        ],
    }
    if as_json:
        click.echo(json.dumps(made))
        return
    click.echo(f"made a store for {config.me.alias} in {made['persistence_dir']}")
    click.echo(f"network {config.network} is {made['network_id']}")
    click.echo(f"it begins where network {checkpoint.name} ({checkpoint.network.hex()[:16]}) ended:")
    for at in checkpoint.logs:
        last = f"epoch {at.tip.epoch}, batch {at.tip.hash.hex()[:16]}" if at.tip.next_seq else "no events"
        click.echo(f"  {alias(at.log)}'s log up to {at.tip.next_seq}, {last}")
    size = "no state" if checkpoint.state is None else f"{len(checkpoint.state):,} bytes of state"
    click.echo(f"checkpoint {checkpoint.digest.hex()}, with {size}: compare this with the other members")
    click.echo(f"for members that were not in {checkpoint.name}: {config.persistence_dir / CHECKPOINT}")
    click.echo(f"start the node with: hydra-sync run {repeat_options()}".rstrip())
