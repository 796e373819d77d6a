"""Messages and their fields: golden bytes, round trips, and that all else is the peer's fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.batch import parse_batches
from hydra_sync.chain import Tip
from hydra_sync.encoding import encode
from hydra_sync.errors import PeerError
from hydra_sync.identity import MemberKey, SigningKey, network_id
from hydra_sync.limits import CREDIT_BYTES_MAX, FORK_HEADERS_MAX, MEMBERS_MAX, TEXT_BYTES_MAX, UINT_MAX
from hydra_sync.ranges import SeqRange
from hydra_sync.wire import (
    Cancel,
    Credit,
    Data,
    End,
    EndReason,
    Fetch,
    Fork,
    FrameReader,
    Goodbye,
    GoodbyeReason,
    Hello,
    LogState,
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
    encode_frame,
)
from hydra_sync.wire.frames import decode_message
from hydra_sync.wire.messages import MESSAGE_TYPES

GOLDEN = Path(__file__).parent.parent / "fixtures" / "format-1"
ALICE, BOB = SigningKey(b"\x01" * 32).member, SigningKey(b"\x02" * 32).member


def transcript() -> list[Message]:
    """One message of every type, and of some more than one, as in the golden transcript."""
    records = b"".join(bytes.fromhex(line) for line in (GOLDEN / "chain.hex").read_text().split())
    batches = list(parse_batches(records))
    alice = LogTip(ALICE, Tip(0, 6, batches[-1].hash))
    bob = LogTip(BOB, Tip(7, 1000, b"\xbb" * 32), 10, (SeqRange(20, 30), SeqRange(400, 401)), LogState.AMNESIAC)
    return [
        Hello(network_id("golden", [ALICE, BOB]), "hydra-sync/1", Role.NODE, bytes(range(16)), True, "alice:5001"),
        Hello(bytes(32), "tool", Role.TOOL, bytes(16), False, versions=(1, 2, 9), limits={"later": 5, "z": UINT_MAX}),
        Tips(True, (alice, bob)),
        Tips(False, ()),
        Prepare(ALICE, b"\xd2\x84" + bytes(29)),
        Promise(ALICE, BOB, b"\xd2\x84" + bytes(30)),
        Fetch(1, ALICE, 0, 6, bytes(32), 2097152),
        Fetch(2, ALICE, 6, None, batches[-1].hash, 2097152),
        Fetch(3, BOB, 500, 600, None, 0),
        Data(1, records),
        *(End(number, 6, reason, 250) for number, reason in enumerate(EndReason)),
        Credit(2, 524288),
        Cancel(2),
        Fork(BOB, (batches[0].cose,), (batches[0].cose, batches[1].cose)),
        Ping(12345678901),
        Pong(0),
        *(Goodbye(reason, "why \N{EM DASH} for people") for reason in GoodbyeReason),
        Refuse(ALICE, BOB, 9, b"\xd2\x84" + bytes(29)),
        Stable(ALICE, 3, 500),
    ]


def golden_frames() -> list[bytes]:
    """The frames of the golden transcript."""
    lines = (GOLDEN / "messages.txt").read_text().splitlines()
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def test_the_golden_transcript_is_written() -> None:
    """Every message has the bytes it had when version 1 was fixed."""
    assert [encode_frame(message) for message in transcript()] == golden_frames()


def test_the_golden_transcript_is_read() -> None:
    """Bytes of then mean what they meant then."""
    assert list(FrameReader().feed(b"".join(golden_frames()))) == transcript()


def test_the_transcript_says_what_it_holds() -> None:
    """Each line of hex stands under the message it is, so that people can read the file."""
    lines = (GOLDEN / "messages.txt").read_text().splitlines()
    shown = [line[2:] for line in lines if line.startswith("# ") and "(" in line]
    assert shown == [repr(message) for message in transcript()]


def test_every_type_is_in_the_transcript() -> None:
    """A new message type needs a golden line."""
    assert {type(message) for message in transcript()} == set(MESSAGE_TYPES.values())
    assert list(MESSAGE_TYPES) == list(range(15))


def printable(size: int) -> st.SearchStrategy[str]:
    """What may be shown on a terminal as it is."""
    return st.text(max_size=size).filter(str.isprintable)


uints = st.integers(0, 30) | st.integers(0, UINT_MAX)
hashes = st.binary(min_size=32, max_size=32)
members = hashes.map(MemberKey)


@st.composite
def log_tips(draw: st.DrawFn) -> LogTip:
    """What a peer may show of a log."""
    next_seq = draw(uints)
    ends = sorted(draw(st.sets(st.integers(0, next_seq), max_size=6)))
    holes = [SeqRange(start, stop) for start, stop in zip(ends[::2], ends[1::2], strict=False)]
    tip = Tip(draw(uints), next_seq, draw(hashes))
    return LogTip(draw(members), tip, draw(st.integers(0, next_seq)), tuple(holes), draw(st.sampled_from(LogState)))


@st.composite
def fetches(draw: st.DrawFn) -> Fetch:
    """Any fetch of something."""
    start = draw(st.integers(0, UINT_MAX - 1))
    stop = draw(st.none() | st.integers(start + 1, UINT_MAX))
    return Fetch(
        draw(uints), draw(members), start, stop, draw(st.none() | hashes), draw(st.integers(0, CREDIT_BYTES_MAX))
    )


messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello,
        network=hashes,
        agent=printable(30),
        role=st.sampled_from(Role),
        store_id=st.binary(min_size=16, max_size=16),
        founding=st.booleans(),
        advertise=printable(60),
        versions=st.lists(uints, max_size=16).map(tuple),
        limits=st.dictionaries(printable(30), uints, max_size=5),
    ),
    st.builds(Tips, st.booleans(), st.lists(log_tips(), max_size=3).map(tuple)),
    st.builds(Prepare, members, st.binary(max_size=256)),
    st.builds(Promise, members, members, st.binary(max_size=256)),
    st.builds(Refuse, members, members, uints, st.binary(max_size=256)),
    st.builds(Stable, members, uints, uints),
    fetches(),
    st.builds(Data, uints, st.binary(max_size=100)),
    st.builds(End, uints, uints, st.sampled_from(EndReason), uints),
    st.builds(Credit, uints, st.integers(0, CREDIT_BYTES_MAX)),
    st.builds(Cancel, uints),
    st.builds(
        Fork,
        members,
        st.lists(st.binary(max_size=256), max_size=3).map(tuple),
        st.lists(st.binary(max_size=256), max_size=3).map(tuple),
    ),
    st.builds(Ping, uints),
    st.builds(Pong, uints),
    st.builds(Goodbye, st.sampled_from(GoodbyeReason), printable(100)),
)


@settings(max_examples=150, deadline=None)
@given(message=messages)
def test_every_message_comes_back(message: Message) -> None:
    """What one side encodes the other side reads."""
    assert decode_message(encode_frame(message)[4:]) == message


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=60)
    | st.tuples(
        st.integers(-1, 14),
        st.lists(st.none() | st.integers() | st.binary(max_size=40) | st.booleans() | st.text(max_size=5), max_size=8),
    ).map(lambda parts: encode((parts[0], *parts[1])))
)
def test_any_bytes_are_a_message_or_the_peers_fault(content: bytes) -> None:
    """Arbitrary bytes are the message that encodes to them, or `PeerError`."""
    try:
        message = decode_message(content)
    except PeerError:
        return
    assert encode_frame(message)[4:] == content


@settings(max_examples=150, deadline=None)
@given(message=st.sampled_from(transcript()), data=st.data())
def test_a_changed_message_is_another_one_or_the_peers_fault(message: Message, data: st.DataObject) -> None:
    """No byte of a message is ignored."""
    content = bytearray(encode_frame(message)[4:])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode_message(bytes(content))
    except PeerError:
        return
    assert changed != message


KEY, HASH = bytes(32), b"h" * 32
HELLO: tuple[object, ...] = ((1,), HASH, "agent", 0, bytes(16), False, "", {})
TIP: tuple[object, ...] = (KEY, 0, 0, 10, HASH, (), 0)


def hello(at: int, value: object) -> tuple[object, ...]:
    """A Hello with one field replaced."""
    return (0, *HELLO[:at], value, *HELLO[at + 1 :])


def tips(at: int, value: object) -> tuple[object, ...]:
    """Tips of one log with one field of it replaced."""
    return (1, True, ((*TIP[:at], value, *TIP[at + 1 :]),))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        {},
        "text",
        (15, 1),
        (-1,),
        ("0",),
        (True, 5),
        (10,),
        (10, 1, 2),
        (10, -1),
        (10, UINT_MAX + 1),
        (10, True),
        (10, 1.0),
        (11, None),
        (8, "1"),
        (7, 1, CREDIT_BYTES_MAX + 1),
        (6, 1, 0, 7, 0),
        (6, 1, 0, False, 0),
        (5, 1, "text"),
        (5, 1, (b"",)),
        (4, 1, KEY, 5, 5, None, 0),
        (4, 1, KEY, 5, 4, None, 0),
        (4, 1, KEY, 5, 6, b"short", 0),
        (4, 1, KEY[:-1], 5, 6, None, 0),
        (4, 1, KEY, 5, 6, None, CREDIT_BYTES_MAX + 1),
        (4, 1, KEY, None, 6, None, 0),
        (3, KEY, KEY, bytes(257)),
        (2, KEY),
        (2, b"", 1),
        (9, KEY, (), (bytes(257),)),
        (9, KEY, (), (b"",) * (FORK_HEADERS_MAX + 1)),
        (9, KEY, b"", ()),
        (12, 7, ""),
        (12, 0, "x" * (TEXT_BYTES_MAX + 1)),
        (12, 0, "\N{EM DASH}" * 342),
        (12, 0, b""),
        (1, 1, ()),
        (1, True, {}),
        (1, True, (TIP,) * (MEMBERS_MAX + 1)),
        tips(0, b""),
        tips(1, -1),
        tips(2, 11),
        tips(3, None),
        tips(4, bytes(31)),
        tips(5, ((3, 3),)),
        tips(5, ((4, 3),)),
        tips(5, ((3, 11),)),
        tips(5, ((3, 5), (4, 6))),
        tips(5, ((6, 7), (3, 5))),
        tips(5, ((3,),)),
        tips(5, ((3, 4, 5),)),
        tips(5, tuple((n, n + 1) for n in range(65))),
        tips(6, 5),
        hello(0, 1),
        hello(0, (1,) * 17),
        hello(0, (-1,)),
        hello(1, bytes(31)),
        hello(2, "x" * 129),
        hello(3, 2),
        hello(4, bytes(15)),
        hello(5, 0),
        hello(6, "x" * 301),
        hello(7, ()),
        hello(7, {str(n): n for n in range(17)}),
        hello(7, {"a": -1}),
        hello(7, {b"a": 1}),
        hello(7, {"x" * 129: 1}),
    ],
)
def test_broken_messages_are_the_peers_fault(fields: object) -> None:
    """Each wrong type, size, number and order of a field is refused by name."""
    with pytest.raises(PeerError):
        decode_message(encode(fields))


def test_a_broken_message_is_evidence() -> None:
    """The error names the message and the field's fault, but never quotes a megabyte."""
    with pytest.raises(PeerError, match="a broken Ping: expected an integer") as caught:
        decode_message(encode((10, "x" * 100_000)))
    assert len(str(caught.value)) < 200


def test_a_receipt_ends_at_the_first_hole() -> None:
    """Durable up to the tip, or up to the first damage."""
    tip = LogTip(ALICE, Tip(0, 10, HASH), 2)
    assert tip.durable_stop == 10
    assert LogTip(ALICE, Tip(0, 10, HASH), 2, (SeqRange(4, 6), SeqRange(8, 9))).durable_stop == 4


def test_what_a_log_holds() -> None:
    """From the first seq to the tip, but for the holes."""
    tip = LogTip(ALICE, Tip(0, 10, HASH), 2, (SeqRange(4, 6), SeqRange(8, 9)))
    assert [seq for seq in range(12) if tip.holds(seq)] == [2, 3, 6, 7, 9]


@pytest.mark.parametrize("text", ["\x1b[2J", "two\nlines", "a\x00b", "\u202eright to left"])
def test_what_would_disturb_a_terminal_is_refused(text: str) -> None:
    """Words of a peer are shown to people: no escape sequences, no line of its own making."""
    with pytest.raises(PeerError, match="printable"):
        decode_message(encode_frame(Goodbye(GoodbyeReason.CLOSING, text))[4:])
