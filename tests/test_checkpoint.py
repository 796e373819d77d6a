"""Checkpoints of networks that ended: what members compare, and that nobody can make up where a log ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.batch import Batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.checkpoint import Checkpoint, Position, is_checkpoint_event, parse_checkpoint
from hydra_sync.encoding import decode, decode_event, encode
from hydra_sync.errors import FormatError, NewerFormatError, SignatureError, UsageError
from hydra_sync.identity import NetworkId, SigningKey, network_id
from hydra_sync.limits import CHECKPOINT_STATE_BYTES_MAX, EVENT_BYTES_MAX, MEMBERS_MAX

KEYS: Final = sorted((SigningKey(bytes([n]) * 32) for n in (1, 2, 3)), key=lambda key: key.member)
MEMBERS: Final = [key.member for key in KEYS]
OLD: Final = network_id("old", MEMBERS)
NEW: Final = network_id("new", MEMBERS)
GOLDEN: Final = "cf08c779305656dec9afe03e4f9dfb29629ecf1747c4c5bf72925b18a790320e"


def batch(key: SigningKey, network: NetworkId = OLD, *, epoch: int = 2, first_seq: int = 7) -> Batch:
    return seal_batch(
        key, network, [encode("x")], epoch=epoch, first_seq=first_seq, time_us=0, prev_hash=bytes([1]) * 32
    )


def position(key: SigningKey, network: NetworkId = OLD) -> Position:
    last = batch(key, network)
    return Position(key.member, Tip.after(last), last.cose)


def checkpoint(*, state: bytes | None = None) -> Checkpoint:
    """Two logs with events, and one without."""
    return Checkpoint("old", (position(KEYS[0]), position(KEYS[1]), Position(MEMBERS[2], EMPTY, b"")), state)


@pytest.mark.parametrize("state", [None, b"", b"\x00state"])
def test_a_checkpoint_is_read_as_it_was_written(state: bytes | None) -> None:
    """Also by applications, as any event; and no state is another thing than an empty one."""
    event = checkpoint(state=state).event()
    assert is_checkpoint_event(event)
    assert parse_checkpoint(event) == checkpoint(state=state)
    fields = decode_event(event)
    assert isinstance(fields, list)
    mark, version, network, name, logs, told = fields
    assert (mark, version, network, name, len(logs), told) == ("hydra-sync checkpoint", 1, OLD, "old", 3, state)


def test_the_format_never_changes() -> None:
    """A golden digest: members of different releases have to come to the same."""
    assert checkpoint(state=b"state").digest.hex() == GOLDEN


def test_members_compare_all_of_it() -> None:
    """Any difference in what was taken over is one in the digest."""
    later = batch(KEYS[0], first_seq=8)
    moved = Position(MEMBERS[0], Tip.after(later), later.cose)
    digests = {
        one.digest
        for one in (
            checkpoint(),
            checkpoint(state=b""),
            checkpoint(state=b"1"),
            replace(checkpoint(), logs=(moved, *checkpoint().logs[1:])),
        )
    }
    assert len(digests) == 4


def test_signatures_of_one_network_mean_nothing_in_another() -> None:
    """What an author signed in the old network is no record of the new one, nor the evidence of another's end."""
    old = batch(KEYS[0])
    old.verify(OLD, MEMBERS[0])
    with pytest.raises(SignatureError):
        old.verify(NEW, MEMBERS[0])
    with pytest.raises(SignatureError):
        parse_checkpoint(replace(checkpoint(), logs=(position(KEYS[0], NEW), *checkpoint().logs[1:])).event())


@pytest.mark.parametrize(
    "forged",
    [
        replace(position(KEYS[0]), tip=Tip(2, 9, position(KEYS[0]).tip.hash)),
        replace(position(KEYS[0]), tip=Tip(3, 8, position(KEYS[0]).tip.hash)),
        replace(position(KEYS[0]), tip=Tip(2, 8, bytes(32))),
        replace(position(KEYS[0]), evidence=b""),
        replace(position(KEYS[0]), evidence=position(KEYS[1]).evidence),
        replace(position(KEYS[1]), log=MEMBERS[0]),
        replace(position(KEYS[0]), evidence=position(KEYS[0]).evidence[:-1] + b"\x00"),
        Position(MEMBERS[0], EMPTY, position(KEYS[0]).evidence),
    ],
)
def test_nobody_makes_up_where_a_log_ended(forged: Position) -> None:
    """Its author's signature is on the epoch, the seq and the hash."""
    with pytest.raises(FormatError):
        parse_checkpoint(replace(checkpoint(), logs=(forged, *checkpoint().logs[1:])).event())


def test_all_logs_of_the_network_are_in_it() -> None:
    """The network's id says which there are."""
    whole = decode(checkpoint().event())
    assert isinstance(whole, tuple)
    mark, version, network, name, logs, state = whole
    for fields in (
        (mark, version, network, name, logs[:2], state),
        (mark, version, network, "other", logs, state),
        (mark, version, NEW, name, logs, state),
        (mark, version, network, "", logs, state),
        (mark, version, network, name, (), state),
        (mark, version, network, name, (logs[1], logs[0], logs[2]), state),
        (mark, version, network, name, (logs[0], logs[0], logs[2]), state),
        (mark, version, network, name, (*logs[:2], logs[2][:4]), state),
        (mark, version, network, name, (*logs[:2], (b"", *logs[2][1:])), state),
        (mark, version, network, name, (*logs[:2], (logs[2][0], True, *logs[2][2:])), state),
        (mark, 0, network, name, logs, state),
        (mark, True, network, name, logs, state),
        (mark, version, network, name, logs, "text"),
        (mark, version, network, name, logs, bytes(CHECKPOINT_STATE_BYTES_MAX + 1)),
        ("other mark", version, network, name, logs, state),
    ):
        with pytest.raises(FormatError):
            parse_checkpoint(encode(fields))
    with pytest.raises(NewerFormatError):
        parse_checkpoint(encode((mark, 2, "anything")))


@given(st.binary(max_size=80))
def test_any_other_bytes_are_no_checkpoint(data: bytes) -> None:
    """The one declared error."""
    with pytest.raises(FormatError):
        parse_checkpoint(data)
    with pytest.raises(FormatError):
        parse_checkpoint(b"\x86" + encode("hydra-sync checkpoint") + data)


def test_the_largest_checkpoint_is_an_event() -> None:
    """Of the largest network, with the largest state; and what is larger is refused with a way on."""
    evidence = batch(KEYS[0], epoch=(1 << 63) - 1, first_seq=(1 << 63) - 2).cose
    keys = sorted(bytes([n % 256, n // 256]) + bytes(30) for n in range(MEMBERS_MAX))
    logs = tuple(Position(key, Tip((1 << 63) - 1, (1 << 63) - 1, bytes(32)), evidence) for key in keys)  # type: ignore[arg-type]
    largest = Checkpoint("n" * 256, logs, bytes(CHECKPOINT_STATE_BYTES_MAX))
    assert len(largest.event()) <= EVENT_BYTES_MAX
    with pytest.raises(UsageError, match="give its hash"):
        replace(largest, state=bytes(CHECKPOINT_STATE_BYTES_MAX + 1)).event()
