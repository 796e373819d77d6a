"""The session's state machine is total."""

from __future__ import annotations

import pytest

from hydra_sync.chain import EMPTY
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey
from hydra_sync.sync.transitions import RECEIVED, State, next_state
from hydra_sync.wire import (
    Cancel,
    Credit,
    Data,
    End,
    EndReason,
    Fetch,
    Fork,
    Goodbye,
    GoodbyeReason,
    Hello,
    LogTip,
    Message,
    Ping,
    Pong,
    Prepare,
    Promise,
    Refuse,
    Role,
    Stable,
    Tips,
)
from hydra_sync.wire.messages import MESSAGE_TYPES

LOG = MemberKey(bytes(32))
MESSAGES: list[Message] = [
    Hello(bytes(32), "", Role.NODE, bytes(16), False),
    Tips(True, (LogTip(LOG, EMPTY),)),
    Prepare(LOG, b""),
    Promise(LOG, LOG, b""),
    Fetch(1, LOG, 0, None, None, 0),
    Data(1, b""),
    End(1, 0, EndReason.DONE),
    Credit(1, 1),
    Cancel(1),
    Fork(LOG, (), ()),
    Ping(1),
    Pong(1),
    Goodbye(GoodbyeReason.CLOSING),
    Refuse(LOG, LOG, 1),
    Stable(LOG, 1, 2),
]

GREETING = {Hello: State.INTRODUCING, Goodbye: State.CLOSED}
INTRODUCING = {
    Tips: State.SYNCING,
    Ping: State.INTRODUCING,
    Pong: State.INTRODUCING,
    Goodbye: State.CLOSED,
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("state", State)
def test_every_pair_moves_or_blames_the_peer(state: State, message: Message) -> None:
    """The table is total: each pair has a next state or raises `PeerError`."""
    if (state, type(message)) in RECEIVED:
        assert next_state(state, message) is RECEIVED[state, type(message)]
    else:
        with pytest.raises(PeerError, match=type(message).__name__):
            next_state(state, message)


def test_every_message_is_tried() -> None:
    """A new message type needs an entry here."""
    assert [type(message) for message in MESSAGES] == list(MESSAGE_TYPES.values())


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_the_table_is_the_protocol(message: Message) -> None:
    """Hello once and first, full Tips second, nothing after the end: stated here a second time, by hand."""
    kind = type(message)
    expected = {
        State.GREETING: GREETING.get(kind),
        State.INTRODUCING: INTRODUCING.get(kind),
        State.SYNCING: None if kind is Hello else State.CLOSED if kind is Goodbye else State.SYNCING,
        State.CLOSED: None,
    }
    assert {state: RECEIVED.get((state, kind)) for state in State} == expected
