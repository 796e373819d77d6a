"""A member whose disk is gone, or holds what cannot be opened, gets a store to recover into. Does I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from hydra_sync import store as stores
from hydra_sync.config import Config
from hydra_sync.errors import StoreDamagedError, StoreError, UsageError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import STORE_ID_BYTES
from hydra_sync.node.seams import Seams
from hydra_sync.store import Manifest, VerifyReport, open_store, own_log_forked
from hydra_sync.store.layout import LogPlace

__all__ = ["record_loss", "recover_store"]


async def recover_store(
    config: Config,
    *,
    without: Sequence[MemberKey] = (),
    seams: Seams | None = None,
    progress: Callable[[MemberKey, int], None] = lambda _log, _size: None,
) -> tuple[str, ...]:
    """See to it that ``config.persistence_dir`` holds a sound store; returns what was done, in sentences.

    Where nothing was wrong nothing is done. What cannot be opened, and every log in which anything is damaged,
    is moved aside, and never deleted: all of each log is read for that, and ``progress`` gets the log and the
    bytes of it that are done. The node then recovers by itself when it runs. ``without`` is the operator's word
    that the disks of these members are lost for good: their answers are not waited for, and what only they held
    is lost.

    Raises `UsageError` where there is nothing to recover from, or no sense in it, and `StoreError` where the
    own log is proven to be forked.
    """
    seams = seams or Seams()
    others = [member for member in config.keys if member != config.key.member]
    if not set(without) <= set(others):
        raise UsageError("only other members of the network can be given up, and this node goes on without")
    if without and set(without) >= set(others):
        raise UsageError("all other members are given up: nobody is left to recover from, or to form a network with")
    path = config.persistence_dir.absolute()
    manifest = Manifest(config.network_id, config.key.member, seams.entropy(STORE_ID_BYTES), founding=False)
    done = await stores.remake_store(seams.disk, path, manifest, config.keys)
    try:
        await _open(config, seams)
    except StoreDamagedError as error:
        aside = await stores.move_aside(seams.disk, path)
        done.append(f"moved what cannot be opened to {aside} ({error})")
        done += await stores.remake_store(seams.disk, path, manifest, config.keys)
        await _open(config, seams)
    done += await _move_damaged_aside(config, seams, progress)
    await stores.give_up(seams.disk, path, manifest, without)
    return tuple(done)


async def _move_damaged_aside(config: Config, seams: Seams, progress: Callable[[MemberKey, int], None]) -> list[str]:
    if len(config.members) == 1:
        return []  # nobody else has the log: what is left of it is all there is
    done = []
    for member in config.members:
        place = LogPlace(config.persistence_dir.absolute(), config.network_id, member.key)
        report = await stores.verify_log(seams.disk, place, partial(progress, member.key))
        if not report.is_sound:
            aside = await stores.move_log_aside(seams.disk, place, "this node's copy was damaged on its disk")
            done.append(_moved(config, member.key, report, str(aside)))
    return done


def _moved(config: Config, log: MemberKey, report: VerifyReport, aside: str) -> str:
    first = report.damage[0]
    where = f"events {first.range}" if first.range.count else f"from seq {first.range.start} on"
    damaged = f"was damaged ({where}: {first.reason}), and is in {aside} now"
    if log != config.key.member:
        return f"{config.alias(log)}'s log {damaged}; it is fetched again"
    return f"its own log {damaged}; what the others hold of it is fetched again, and the rest is only there"


async def record_loss(config: Config, without: Sequence[MemberKey], *, seams: Seams | None = None) -> None:
    """Record the operator's word that the disks of these members are lost for good, for the next start.

    It takes the place of what he said before; nobody is lost where he names none.

    Raises `StoreError` if there is no store, or it is in use.
    """
    seams = seams or Seams()
    path = config.persistence_dir
    await stores.give_up(seams.disk, path, await stores.read_manifest(seams.disk, path), without)


async def _open(config: Config, seams: Seams) -> None:
    async with open_store(
        seams.disk,
        config.persistence_dir.absolute(),
        members=config.keys,
        network=config.network_id,
        key=config.key,
        wall_clock=seams.wall_clock,
        holder=f"recover of {config.me.alias}",
    ) as store:
        if (forked_at := store.forked_at(config.key.member)) is not None:
            raise StoreError(f"nothing can be recovered: {own_log_forked(forked_at)}")
