"""The history of a machine in a store that is only read, and machines by their names. Does I/O: reads stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from hydra_sync.config import Config
from hydra_sync.errors import UsageError
from hydra_sync.head import HeadMachine, Ledger, SimpleLedger, UtxoLedger
from hydra_sync.identity import MemberKey
from hydra_sync.machine import Began, Machine
from hydra_sync.node import Event
from hydra_sync.node.reading import Events
from hydra_sync.runtime.history import entered
from hydra_sync.store import Store
from hydra_sync.tutorial import ReplicatedMap

__all__ = ["LEDGERS", "find_machine", "history_of", "machine_name", "stop_of"]

LEDGERS: Final[Mapping[str, Callable[[], Ledger]]] = {"conway": UtxoLedger, "simple": SimpleLedger}


def find_machine(name: str, config: Config, member: MemberKey) -> Machine[object]:
    """The machine that records of this name belong to, as a member runs it; with our key, if it is our own.

    Raises `UsageError` if it is none of ours.
    """
    if name == ReplicatedMap.name:
        return ReplicatedMap()  # type: ignore[return-value]  # whatever its states are, only it looks into them
    kind = name.removeprefix("head/")
    if name.startswith("head/") and kind in LEDGERS:
        key = config.key if member == config.key.member else None
        return HeadMachine(member, LEDGERS[kind](), key)  # type: ignore[return-value]  # likewise
    raise UsageError(
        f"the log was written by machine {name!r}, which is none of hydra-sync's own: replay it with "
        "hydra_sync.runtime.replay_check, in a program that has the machine"
    )


async def stop_of(store: Store, config: Config, member: MemberKey, at: str | None) -> int:
    """The seq before which a history ends: the log's end, or a POSITION, SEQ or EPOCH/SEQ. Raises `UsageError`."""
    log = store.log(member)
    if at is None:
        return log.tip.next_seq
    epoch, _, seq = at.rpartition("/")
    if not seq.isdecimal() or not (epoch or "0").isdecimal():
        raise UsageError(f"{at!r} is no position: write a seq, or EPOCH/SEQ")
    stop = int(seq)
    if stop > log.tip.next_seq:
        raise UsageError(f"{config.alias(member)}'s log ends at {log.tip.next_seq} here, before {stop}")
    if epoch and stop:
        async for event in Events(log, config.alias(member), stop - 1, stop, epochs=True):
            if event.epoch > int(epoch):
                raise UsageError(f"event {stop - 1} is of epoch {event.epoch}: {at} is on a branch that was left")
    return stop


def history_of(store: Store, config: Config, member: MemberKey, stop: int) -> AsyncIterator[Event]:
    """The events of a member's log before ``stop``."""
    return Events(store.log(member), config.alias(member), 0, stop)


async def machine_name(store: Store, config: Config, member: MemberKey) -> str | None:
    """The name of the machine that wrote a log; None if none did."""
    log = store.log(member)
    async for event in Events(log, config.alias(member), 0, log.tip.next_seq):
        if (found := entered(event)) and isinstance(found.entry, Began):
            return found.entry.name
    return None
