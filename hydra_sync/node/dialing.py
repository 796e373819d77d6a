"""Reaching the other members: who is dialed where, and when again. Does I/O."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable

import trio

from hydra_sync.channel import Channel, explain
from hydra_sync.config import Address
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import DIAL_DELAY_S_MAX, DIAL_DELAY_S_MIN, DIAL_S_MAX, HANDSHAKE_S

__all__ = ["Backoff", "dial", "secured"]


class Backoff:
    """Delays between attempts: doubling, capped, and jittered so that nodes do not march in step."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._delay = DIAL_DELAY_S_MIN

    def reset(self) -> None:
        """The last attempt worked: begin again with short delays."""
        self._delay = DIAL_DELAY_S_MIN

    def next(self) -> float:
        """Seconds to wait now."""
        delay = self._delay * self._draw.uniform(0.5, 1.0)
        self._delay = min(self._delay * 2, DIAL_DELAY_S_MAX)
        return delay


async def dial(channel: Channel, address: Address, *, expected: MemberKey | None) -> tuple[trio.abc.Stream, MemberKey]:
    """A secured stream to the member at ``address``.

    Raises `PeerError`, saying why for people: nobody listens, no member, another one than expected.
    """
    try:
        with trio.fail_after(DIAL_S_MAX):
            transport = await trio.open_tcp_stream(address.host, address.port)
    except trio.TooSlowError:
        raise PeerError(f"nobody answered at {address} within {DIAL_S_MAX:g} s") from None
    except (OSError, UnicodeError) as error:  # a name that no resolver takes is a UnicodeError
        raise PeerError(f"{address} cannot be reached: {_dial_reason(error)}") from error
    stream, peer = await secured(channel.connect, transport)
    if expected is not None and peer != expected:
        await trio.aclose_forcefully(stream)
        raise PeerError(f"{address} is answered by member {peer.hex()[:8]}, not by {expected.hex()[:8]}")
    return stream, peer


async def secured(
    handshake: Callable[[trio.abc.Stream], Awaitable[tuple[trio.abc.Stream, MemberKey]]],
    transport: trio.abc.Stream,
) -> tuple[trio.abc.Stream, MemberKey]:
    """The stream after ``handshake``; the transport is closed if that fails. Raises `PeerError`."""
    try:
        with trio.fail_after(HANDSHAKE_S):
            return await handshake(transport)
    except trio.TooSlowError:
        await trio.aclose_forcefully(transport)
        raise PeerError(f"no handshake within {HANDSHAKE_S:g} s") from None
    except BaseException:
        await trio.aclose_forcefully(transport)
        raise


def _dial_reason(error: Exception) -> str:
    # trio groups the attempts to all addresses of a name, and says the address again; the first cause is enough.
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup) or cause.__cause__ is not None:
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__ or cause
    number = getattr(cause, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else explain(cause)
