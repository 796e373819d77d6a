"""What members say that they took over from the network before this one, held against one another. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from hydra_sync.checkpoint import checkpoint_digest, is_checkpoint_event
from hydra_sync.config import Config
from hydra_sync.identity import MemberKey

__all__ = ["NONE", "differences", "origin"]

NONE = b""
"""The origin of a log that begins with no checkpoint."""


def origin(event: bytes) -> bytes:
    """What the first event of a log says of where it comes from: the digest of its checkpoint, or `NONE`."""
    return checkpoint_digest(event) if is_checkpoint_event(event) else NONE


def differences(config: Config, checkpoint: bytes | None, origins: Mapping[MemberKey, bytes]) -> tuple[str, ...]:
    """Which members' logs have another origin than ours, in sentences, of those known by now.

    ``checkpoint`` is the event that our own log is to begin with, if there is one.
    """
    own = origins.get(config.key.member, NONE if checkpoint is None else origin(checkpoint))
    return tuple(
        _sentence(config.alias(member), own, other)
        for member, other in sorted(origins.items())
        if other != own and member != config.key.member
    )


def _sentence(alias: str, own: bytes, other: bytes) -> str:
    if not own:
        return (
            f"{alias}'s log begins with a checkpoint of an older network ({other.hex()[:16]}), and this node's with "
            "none: its store was made by hydra-sync init and not by hydra-sync new-network"
        )
    if not other:
        return (
            f"{alias}'s log begins without the checkpoint that this node's begins with ({own.hex()[:16]}): its store "
            "was made by hydra-sync init and not by hydra-sync new-network"
        )
    return (
        f"{alias}'s log begins with another checkpoint ({other.hex()[:16]}) than this node's ({own.hex()[:16]}): they "
        "took over different things from the old network. Compare what hydra-sync new-network printed at each member, "
        "and make the stores again from the same positions, for a network of another name"
    )
