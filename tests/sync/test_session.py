"""One connection: alive or not, and what is served on it."""

from __future__ import annotations

import math

import pytest

from hydra_sync.errors import PeerError
from hydra_sync.limits import FETCHES_PER_SESSION_MAX, FRAME_S, HANDSHAKE_S, PING_S, PROBE_S, SILENCE_S
from hydra_sync.sync.effects import Drop, Effect, Send
from hydra_sync.sync.session import Session
from hydra_sync.sync.transitions import State
from hydra_sync.wire import Fetch, GoodbyeReason, Ping, Role, Tips
from tests.currently import currently
from tests.sync.pump import hello, network_of, signing_keys

KEYS = signing_keys(2)
PEER = KEYS[1].member


def session(state: State = State.SYNCING, now: float = 100.0) -> Session:
    """A session that began at ``now``."""
    return Session(1, PEER, dialed=True, opened_at=now, state=state)


def timed_out(effects: list[Effect]) -> str:
    """The words of the one time-out among these effects."""
    (drop,) = effects
    assert isinstance(drop, Drop)
    assert drop.goodbye.reason is GoodbyeReason.TIMEOUT
    assert drop.fault is None
    return drop.goodbye.text


@pytest.mark.parametrize("state", [State.GREETING, State.INTRODUCING])
def test_a_handshake_takes_no_longer_than_its_limit(state: State) -> None:
    """Whoever connects and does not greet, though its bytes drip, is gone after `HANDSHAKE_S`."""
    waiting = session(state)
    assert waiting.deadline() == 100 + HANDSHAKE_S
    for second in range(int(HANDSHAKE_S)):
        assert waiting.tick(100 + second) == []
        waiting.heard(100 + second, partial=True)
    assert "waiting for" in timed_out(waiting.tick(100 + HANDSHAKE_S))


def test_silence_is_asked_about_and_then_ended() -> None:
    """A ping after `PING_S`, again and again; the end after `SILENCE_S`."""
    quiet = session()
    now, pings = 100.0, 0
    while True:
        assert quiet.deadline() > now
        assert quiet.tick(quiet.deadline() - 0.01) == []
        now = quiet.deadline()
        (effect,) = effects = quiet.tick(now)
        if not isinstance(effect, Send):
            break
        assert isinstance(effect.message, Ping)
        pings += 1
    assert "silent" in timed_out(effects)
    assert now == 100 + SILENCE_S
    assert pings == math.ceil(SILENCE_S / PING_S) - 1


def test_a_peer_that_answers_lives_for_ever() -> None:
    """Each sign of life starts the clocks anew."""
    alive = session()
    for _ in range(50):
        now = alive.deadline()
        assert [type(effect) for effect in alive.tick(now)] == [Send]
        alive.heard(now + 1, partial=False)


def test_a_frame_ends_or_the_connection_does() -> None:
    """Drip feeding one frame ends at `FRAME_S`; whole frames in between start the clock anew."""
    slow = session()
    for second in range(int(FRAME_S)):
        assert not any(isinstance(effect, Drop) for effect in slow.tick(100 + second))
        slow.heard(100 + second, partial=True)
    assert "one frame" in timed_out(slow.tick(100 + FRAME_S))

    steady = session()
    for second in range(200):
        assert not any(isinstance(effect, Drop) for effect in steady.tick(100 + second))
        steady.heard(100 + second, partial=second % 20 != 0)
    message = session()
    message.heard(100, partial=True)
    message.receive(Ping(1))
    assert message.frame_since is None


def test_a_probe_is_answered_or_the_connection_is_dead() -> None:
    """`PROBE_S` for any bytes at all; a second probe does not prolong it."""
    probed = session()
    assert isinstance(probed.probe(100).message, Ping)
    probed.probe(101)
    assert probed.deadline() == 100 + PROBE_S
    assert "ping" in timed_out(probed.tick(100 + PROBE_S))

    answered = session()
    answered.probe(100)
    answered.heard(101, partial=False)
    assert answered.deadline() == 101 + PING_S


def test_a_closed_session_has_no_clock() -> None:
    """Nothing is due any more."""
    closed = session(State.CLOSED)
    assert closed.deadline() == math.inf
    assert closed.tick(1e9) == []


def test_only_a_node_in_session_is_asked() -> None:
    """Not before its tips, not a tool."""
    network = network_of(KEYS)
    peer = session(State.GREETING)
    assert not peer.is_node
    assert not currently(peer.is_tool)
    peer.receive(hello(network))
    peer.hello = hello(network)
    assert not currently(peer.syncing)
    peer.receive(Tips(True, ()))
    assert currently(peer.syncing)
    peer.hello = hello(network, role=Role.TOOL)
    assert not peer.syncing
    assert peer.is_tool


def test_fetches_are_counted_and_named_once() -> None:
    """A request id in use, or one fetch too many, is the peer's fault."""
    server = session()
    for request in range(FETCHES_PER_SESSION_MAX):
        server.begin(Fetch(request, PEER, 0, None, None, 0))
    with pytest.raises(PeerError, match="in use"):
        server.begin(Fetch(0, PEER, 0, None, None, 0))
    with pytest.raises(PeerError, match="at once"):
        server.begin(Fetch(FETCHES_PER_SESSION_MAX, PEER, 0, None, None, 0))
    del server.serving[3]
    server.begin(Fetch(3, PEER, 0, None, None, 0))
