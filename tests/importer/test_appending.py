"""Imported records in a log of ours: exactly what was read, each once, whatever came between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from hydra_sync.encoding import decode_event, encode_event
from hydra_sync.importer import Position, Record
from hydra_sync.importer import appending as appending_module
from hydra_sync.importer.appending import Value, append_records, imported_records
from hydra_sync.importer.records import parse_record
from hydra_sync.importer.sources import Form, Raw
from hydra_sync.limits import EVENT_BYTES_MAX
from tests.importer.histories import V1_3, V2_2, Dialect, history, lines, received, tx


class CrashError(Exception):
    """The machine is gone."""


@dataclass(frozen=True)
class Logged:
    value: object


@dataclass
class Log:
    """A log of ours, in memory: values go through the encoding of events."""

    events: list[bytes] = field(default_factory=list)
    crash_after: int | None = None
    calls: int = 0

    async def append(self, values: Sequence[Value]) -> None:
        if self.calls == self.crash_after:
            raise CrashError
        self.calls += 1
        self.events += map(encode_event, values)

    async def read(self) -> AsyncIterator[Logged]:
        for event in self.events:
            yield Logged(decode_event(event))

    @property
    def values(self) -> list[object]:
        return list(map(decode_event, self.events))


def records(dialect: Dialect) -> list[Record]:
    return parsed(lines(dialect, history(dialect)))


def parsed(data: Iterable[bytes], file: str = "state") -> list[Record]:
    return [
        parse_record(Raw(Position(file, line=line, offset=0), Form.JSON, record)) for line, record in enumerate(data, 1)
    ]


@pytest.mark.parametrize("dialect", [Dialect("0.12", has_id=False, has_time=False, opens_at_once=False), V1_3, V2_2])
async def test_each_record_once(dialect: Dialect) -> None:
    """The first time all, the second none; what comes back are the bytes of the file, and where they stood."""
    found, log = records(dialect), Log()
    done = await append_records(found, "alice", log.read(), log.append)
    assert (done.events, done.there) == (len(found), 0)
    again = await append_records(found, "alice", log.read(), log.append)
    assert (again.events, again.there) == (0, len(found))
    assert [data for _, data in imported_records(log.values)] == [record.data for record in found]
    first = log.values[0]
    assert isinstance(first, dict)
    assert (first["imported"], first["origin"], first["file"], first["line"]) == ("hydra-node", "alice", "state", 1)
    assert first.get("id") == (0 if dialect.has_id else None)


async def test_only_what_is_new() -> None:
    """The history has grown, and its file has another name since: its new records are appended, in order."""
    found, log = records(V2_2), Log()
    await append_records(found[:7], "alice", log.read(), log.append)
    moved = parsed([record.data for record in found], "hydra.db")
    done = await append_records(moved, "alice", log.read(), log.append)
    assert (done.events, done.there) == (len(found) - 7, 7)
    assert [data for _, data in imported_records(log.values)] == [record.data for record in found]


@pytest.mark.parametrize("crash_after", range(5))
async def test_a_crash_in_the_middle(crash_after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is durable is a beginning; importing again goes on from there, and nothing is there twice."""
    monkeypatch.setattr(appending_module, "BATCH_EVENTS_MAX", 4)
    found, log = records(V1_3), Log(crash_after=crash_after)
    with pytest.raises(CrashError):
        await append_records(found, "alice", log.read(), log.append)
    assert len(log.events) == 4 * crash_after
    log.crash_after = None
    await append_records(found, "alice", log.read(), log.append)
    assert [data for _, data in imported_records(log.values)] == [record.data for record in found]


async def test_equal_records_are_not_one() -> None:
    """A bare event has no id: the same one on two lines has happened twice."""
    twice = parsed([b'{"tag":"NetworkConnected"}'] * 2)
    log = Log()
    assert (await append_records(twice, "alice", log.read(), log.append)).events == 2
    assert (await append_records(twice, "alice", log.read(), log.append)).events == 0


async def test_a_checkpoint_shares_its_id() -> None:
    """hydra-node gives it the id of the event before: both are kept. An id that was given twice keeps both, too."""
    shared = parsed(
        [
            b'{"eventId":5,"stateChanged":{"tag":"NetworkConnected"}}',
            b'{"eventId":5,"stateChanged":{"tag":"NetworkDisconnected"}}',
        ]
    )
    log = Log()
    assert (await append_records(shared, "alice", log.read(), log.append)).events == 2
    assert (await append_records(shared, "alice", log.read(), log.append)).events == 0


async def test_a_record_that_stands_there_twice() -> None:
    """The same id and the same content, in one file: appended once."""
    found = parsed([b'{"eventId":5,"stateChanged":{"tag":"NetworkConnected"}}'] * 2)
    log = Log()
    done = await append_records(found, "alice", log.read(), log.append)
    assert (done.events, done.there) == (1, 1)


async def test_two_nodes_are_two_histories() -> None:
    """The same record of another origin is another event; events of the application do not matter."""
    found, log = records(V1_3), Log([encode_event("hello"), encode_event({"imported": 5}), encode_event([1])])
    await append_records(found, "alice", log.read(), log.append)
    assert (await append_records(found, "bob", log.read(), log.append)).events == len(found)
    assert (await append_records(found, "alice", log.read(), log.append)).events == 0
    assert len(list(imported_records(log.values))) == 2 * len(found)


@pytest.mark.parametrize("letter", ["x", "\N{GRINNING FACE}"])
async def test_a_record_longer_than_an_event(letter: str) -> None:
    """It goes into as many events as it takes, each within its limit; a crash between them leaves no half record."""
    reason = letter * 700_000
    bare = b'{"tag":"TxInvalid","transaction":{"id":1},"validationError":{"reason":"%s"}}' % reason.encode()
    found = parsed([bare, *lines(V1_3, received(tx(1, [1], [2])))])
    log = Log()
    await append_records(found, "alice", log.read(), log.append)
    assert len(log.events) == 5
    assert all(len(event) < EVENT_BYTES_MAX for event in log.events)
    assert [data for _, data in imported_records(log.values)] == [record.data for record in found]
    del log.events[2:]
    assert list(imported_records(log.values)) == []
    await append_records(found, "bob", log.read(), log.append)
    assert (await append_records(found, "alice", log.read(), log.append)).events == 3
    twice = [record.data for record in found] * 2
    assert [data for _, data in imported_records(log.values)] == twice
