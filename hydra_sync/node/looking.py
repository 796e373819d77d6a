"""Looks at a running node and tells its status. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from hydra_sync.config import Address, Member
from hydra_sync.limits import STALL_S
from hydra_sync.node.checkpoints import differences
from hydra_sync.node.engine import Engine
from hydra_sync.node.status import LogStatus, MemberStatus, StartStatus, Status
from hydra_sync.sync import EndFounding, KeepProof, Persist
from hydra_sync.sync.starting import Phase

__all__ = ["look"]


def look(engine: Engine, listening: Address | None) -> Status:
    """The node at this moment."""
    config = engine.config
    halted = [engine.halted] if engine.halted else []
    full = [
        f"the disk has no room for {what}: make room, it is tried again every {STALL_S:g} s"
        for what in (*_unkept(engine), *(f"{config.alias(log)}'s log" for log in engine.refused))
    ]
    origins = differences(config, engine.store.checkpoint, engine.origins)
    trusts = engine.replicator.agreement.starting is None
    trust = ["restart = trust-disk: that this node never signs two histories rests on its disk"] if trusts else []
    return Status(
        network=config.network,
        network_id=config.network_id.hex(),
        node_id=config.me.alias,
        listen=str(listening) if listening else None,
        restart=config.restart,
        start=_start(engine),
        warnings=(*halted, *full, *origins, *engine.store.warnings(config.alias), *trust),
        members=tuple(_member(engine, member) for member in config.members),
    )


def _unkept(engine: Engine) -> Iterator[str]:
    match engine.unkept:
        case None:
            return
        case Persist(log):
            yield f"what this node promises about {engine.config.alias(log)}'s log, and until then it promises nothing"
        case EndFounding() | KeepProof():
            yield "what this node has to keep beside the logs, and until then it promises nothing"


def _start(engine: Engine) -> StartStatus:
    agreement, alias = engine.replicator.agreement, engine.config.alias
    epoch = engine.store.log(engine.config.key.member).tip.epoch
    starting = agreement.starting
    if starting is None:
        return StartStatus(ready=engine.halted is None, phase="trusts its disk", epoch=epoch)
    return StartStatus(
        ready=starting.is_ready and engine.halted is None,
        phase=starting.phase.value if engine.halted is None else "stopped appending",
        epoch=epoch,
        ballot=starting.number,
        founding=starting.founding,
        needed=starting.needed,
        promised=tuple(map(alias, sorted(starting.answers))),
        waiting=tuple(map(alias, starting.silent())),
        refused=tuple(map(alias, sorted(starting.refusals))),
        holders=tuple(map(alias, sorted(starting.holders))),
        without=tuple(map(alias, starting.without)),
    )


def _member(engine: Engine, member: Member) -> MemberStatus:
    replicator, alias = engine.replicator, engine.config.alias
    link = replicator.nodes.get(member.key)
    shown = replicator.sessions[link].shown if link is not None else {}
    address = engine.advertised(member.key) or member.address
    return MemberStatus(
        alias=member.alias,
        key=member.key.hex(),
        me=member.key == engine.config.key.member,
        address=str(address) if address else None,
        connected=link is not None,
        last_error=engine.last_error.get(member.key),
        log=_log(engine, member),
        receipt=replicator.receipts.get(member.key, 0),
        shows={alias(key): tip.tip.next_seq for key, tip in shown.items()},
        states={alias(key): tip.state.name.lower() for key, tip in shown.items()},
    )


def _log(engine: Engine, member: Member) -> LogStatus:
    agreement = engine.replicator.agreement
    log = engine.store.log(member.key)
    standing = agreement.witness.standings[member.key]
    starting = agreement.starting
    target = engine.replicator.target(member.key)
    if member.key == agreement.me and starting is not None and starting.phase is Phase.ADOPTING:
        target = max(target, starting.target.next_seq)
    shown = agreement.shown(member.key)
    return LogStatus(
        first_seq=log.first_seq,
        tip=log.tip,
        lag=max(0, target - log.tip.next_seq),
        holes=tuple(log.holes),
        state=shown.state.name.lower(),
        why=standing.why,
        target=target,
        stable=agreement.stability.stable.get(member.key, 0),
        promised=standing.promised,
        counted=shown.tip.next_seq,
        forked_at=engine.replicator.forks.position(member.key),
    )
