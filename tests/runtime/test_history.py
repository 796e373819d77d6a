"""Reading back: what was heard is found by its whole position, and only a whole checkpoint counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import trio

from hydra_sync.encoding import encode_event
from hydra_sync.errors import OrphanedError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import HASH_BYTES, KEY_BYTES
from hydra_sync.machine import (
    CheckpointPart,
    Command,
    Consumed,
    Decided,
    Entry,
    Heard,
    MachineError,
    Place,
    entry_value,
)
from hydra_sync.node import Event
from hydra_sync.ranges import SeqRange
from hydra_sync.runtime import folding
from hydra_sync.runtime.history import Contents

LOG = MemberKey(bytes([1]) * KEY_BYTES)
HERE, ELSEWHERE = bytes([2]) * HASH_BYTES, bytes([3]) * HASH_BYTES


def event(seq: int, entry: Entry, batch_hash: bytes = HERE) -> Event:
    return Event(LOG, 1, seq, 0, batch_hash, encode_event(entry_value(entry)))


def heard(seq: int, batch_hash: bytes = HERE) -> Consumed:
    return Consumed(Place(LOG, 1, seq, batch_hash))


def content(record: object) -> object:
    assert isinstance(record, Heard)
    return record.content


class Reading:
    """One pass over a log, from a seq on; it may end with an error."""

    def __init__(self, items: Sequence[Event | Exception], start: int) -> None:
        self._items = [item for item in items if isinstance(item, Exception) or item.seq >= start]

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        if not self._items:
            raise StopAsyncIteration
        item = self._items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item


class Following:
    """Stands in for a node's way to follow a log, with what each reading finds."""

    def __init__(self, *readings: Sequence[Event | Exception]) -> None:
        self._readings = list(readings)
        self.starts: list[int] = []

    def __call__(self, log: MemberKey, start: int) -> Reading:
        assert log == LOG
        self.starts.append(start)
        return Reading(self._readings.pop(0), start)


async def test_what_was_heard_is_read_in_one_pass() -> None:
    """However many events of a log were heard, it is read once, from the first of them on."""
    following = Following([event(seq, Decided(seq)) for seq in range(10)])
    contents = Contents(following)
    assert [content(await contents.resolve(heard(seq))) for seq in (2, 3, 7)] == [2, 3, 7]
    assert following.starts == [2]


async def test_an_event_of_another_branch_is_not_what_was_heard() -> None:
    """The seq alone does not name an event: another batch's is passed over, and without the right one there is none."""
    contents = Contents(Following([event(4, Decided("another"), ELSEWHERE), event(5, Decided("next"))]))
    with pytest.raises(MachineError, match=r"event 4 .* is not here"):
        await contents.resolve(heard(4))


async def test_a_replica_that_leaves_another_branch_is_read_again() -> None:
    """From the event that is looked for on; what was found before the branch was left stands."""
    following = Following(
        [event(3, Decided("three")), event(4, Decided("another"), ELSEWHERE), OrphanedError("left", 4, 5)],
        [event(seq, Decided(seq)) for seq in range(10)],
    )
    contents = Contents(following)
    assert [content(await contents.resolve(heard(seq))) for seq in (3, 4, 5)] == ["three", 4, 5]
    assert following.starts == [3, 4]


async def test_what_was_heard_and_is_no_decision_is_said() -> None:
    """As a machine of another version, or a damaged one, may have recorded it."""
    contents = Contents(Following([event(4, Command("no decision", 0))]))
    with pytest.raises(MachineError, match=r"event 4 .* is no decision"):
        await contents.resolve(heard(4))


def part(number: int, parts: int, data: bytes) -> CheckpointPart:
    return CheckpointPart(number, parts, data)


FIRST = (part(0, 2, b"fi"), part(1, 2, b"rst"))


@pytest.mark.parametrize("window", [1, 2, folding.WINDOW])
@pytest.mark.parametrize(
    ("later", "found"),
    [
        ((), (b"first", 3)),
        ((part(0, 1, b"second"),), (b"second", 5)),
        ((part(0, 2, b"sec"), part(1, 2, b"ond"), Command("x", 0)), (b"second", 6)),
        ((part(0, 2, b"sec"),), (b"first", 3)),
        ((part(0, 3, b"se"), part(1, 3, b"co")), (b"first", 3)),
        ((part(0, 3, b"se"), part(2, 3, b"nd")), (b"first", 3)),
        ((part(1, 2, b"ond"),), (b"first", 3)),
    ],
    ids=["none later", "one piece", "two pieces", "no end", "no end of three", "no middle", "no beginning"],
)
async def test_the_last_whole_checkpoint_counts(
    monkeypatch: pytest.MonkeyPatch, window: int, later: Sequence[Entry], found: tuple[bytes, int]
) -> None:
    """One of which a piece is missing, as where the log was cut, is passed over; however the log is looked through."""
    monkeypatch.setattr(folding, "WINDOW", window)
    log = [event(seq, entry) for seq, entry in enumerate((Command("x", 0), *FIRST, Command("y", 0), *later))]

    async def own(seqs: SeqRange) -> AsyncIterator[Event]:
        for each in log[seqs.start : seqs.stop]:
            await trio.lowlevel.checkpoint()
            yield each

    assert await folding._last_checkpoint(own, len(log)) == found
