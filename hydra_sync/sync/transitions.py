"""The session's state machine, whole, in one table. No I/O.

A pair that is not in the table is the peer's fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from hydra_sync.errors import PeerError
from hydra_sync.wire import (
    Cancel,
    Credit,
    Data,
    End,
    Fetch,
    Fork,
    Goodbye,
    Hello,
    Message,
    Ping,
    Pong,
    Prepare,
    Promise,
    Refuse,
    Stable,
    Tips,
)

__all__ = ["RECEIVED", "State", "next_state"]


class State(Enum):
    """Where a session stands, by what its peer has said so far."""

    GREETING = "waiting for Hello"
    INTRODUCING = "waiting for the full Tips"
    SYNCING = "in session"
    CLOSED = "closed"


RECEIVED: Final[Mapping[tuple[State, type[Message]], State]] = {
    (State.GREETING, Hello): State.INTRODUCING,
    (State.GREETING, Goodbye): State.CLOSED,
    (State.INTRODUCING, Tips): State.SYNCING,
    (State.INTRODUCING, Ping): State.INTRODUCING,
    (State.INTRODUCING, Pong): State.INTRODUCING,
    (State.INTRODUCING, Goodbye): State.CLOSED,
    (State.SYNCING, Tips): State.SYNCING,
    (State.SYNCING, Prepare): State.SYNCING,
    (State.SYNCING, Promise): State.SYNCING,
    (State.SYNCING, Refuse): State.SYNCING,
    (State.SYNCING, Stable): State.SYNCING,
    (State.SYNCING, Fetch): State.SYNCING,
    (State.SYNCING, Data): State.SYNCING,
    (State.SYNCING, End): State.SYNCING,
    (State.SYNCING, Credit): State.SYNCING,
    (State.SYNCING, Cancel): State.SYNCING,
    (State.SYNCING, Fork): State.SYNCING,
    (State.SYNCING, Ping): State.SYNCING,
    (State.SYNCING, Pong): State.SYNCING,
    (State.SYNCING, Goodbye): State.CLOSED,
}


def next_state(state: State, message: Message) -> State:
    """The state after ``message`` arrives. Raises `PeerError` if it has no business here."""
    try:
        return RECEIVED[state, type(message)]
    except KeyError:
        raise PeerError(f"{type(message).__name__} while {state.value}") from None
