"""hydra-node's own samples, one of every constructor: read, understood, and given back as they were.

The samples lie outside of this project and are read there; where they are not, these tests are skipped. Their content
is random and their head ids differ from one another, so they test reading, not folding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import cbor2
import pytest

from hydra_sync.importer import Record, import_directory
from hydra_sync.importer.appending import event_values, imported_records
from hydra_sync.importer.cbor import CborReader
from hydra_sync.importer.events_cbor import CONSTRUCTORS, read_state_event, read_state_events
from hydra_sync.importer.fields import Json, RecordError, as_object, parse_json, render_json
from hydra_sync.importer.parsing import parse_change
from hydra_sync.importer.records import parse_record
from hydra_sync.importer.sources import Form, Position, Raw
from tests.importer.histories import TIME, write_database, write_lines

RELEASES = ("StateChanged-1.3.0", "StateChanged-2.2.0", "StateChanged")
MASTER = "StateChanged"
OPAQUE = {"spendableUTxO", "utxo", "utxoToCommit", "utxoToDecommit", "remainingOutputs", "distributedOutputs"}
OPAQUE |= {"selection", "deposited", "recovered", "distributedUTxO", "finalizedOutputs", "localUTxO"}


def samples(hydra_data: Path, release: str) -> Iterator[tuple[str, Json]]:
    """Every sample, with the name of its file."""
    files = sorted((hydra_data / "golden" / release).glob("*.json"))
    assert files
    for file in files:
        of_file = as_object(parse_json(file.read_bytes()), "a file of samples")["samples"]
        assert isinstance(of_file, list)
        for sample in of_file:
            yield file.stem, sample


def record(sample: Json) -> Record:
    return parse_record(Raw(Position("state", line=1, offset=0), Form.JSON, render_json(sample).encode()))


@pytest.mark.parametrize("release", RELEASES)
def test_every_sample_is_understood(release: str, hydra_data: Path) -> None:
    """No constructor is unknown, no field that an answer needs is missed."""
    for name, sample in samples(hydra_data, release):
        found = record(sample)
        assert (found.tag, found.problem) == (name, "")


@pytest.mark.parametrize("release", RELEASES)
def test_every_sample_comes_back(release: str, hydra_data: Path) -> None:
    """Parsed and written again, and as an event of ours: equal, to the last digit of every number."""
    for _, sample in samples(hydra_data, release):
        assert parse_json(render_json(sample).encode()) == sample
        found = record(sample)
        [(form, data)] = imported_records(event_values(found, "there"))
        assert form is Form.JSON
        assert data == found.data
        assert json.loads(data, parse_float=Decimal) == sample


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_change_takes_is_there(release: str, hydra_data: Path) -> None:
    """Without a field that the change is made of, a sample is no event: nothing is guessed."""
    missed = 0
    for _, sample in samples(hydra_data, release):
        fields = dict(as_object(sample, "a sample"))
        if parse_change(fields) is None:
            continue
        for name in fields.keys() - {"tag", "headId"}:
            less = {key: value for key, value in fields.items() if key != name}
            try:
                assert parse_change(less) is not None
            except RecordError:
                missed += 1
    assert missed > 15


@pytest.mark.parametrize("release", RELEASES)
def test_a_file_of_samples(release: str, hydra_data: Path, tmp_path: Path) -> None:
    """As the lines of ``state`` and as the rows of ``hydra.db``: all is read, whatever it then comes to."""
    events: list[bytes] = []
    for event_id, (_, sample) in enumerate(samples(hydra_data, release)):
        whole: Json = {"eventId": event_id, "stateChanged": sample, "time": TIME}
        events.append(render_json(whole).encode())
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    write_lines(tmp_path / "old" / "state", events)
    write_database(tmp_path / "new" / "hydra.db", events)
    for kind in ("old", "new"):
        imported = import_directory(tmp_path / kind)
        assert imported.records == sum(imported.events.values()) == len(events)
        assert "(not understood)" not in imported.events
        assert all(
            "HeadInitialized" in problem.reason or "requested" in problem.reason for problem in imported.problems
        )


def golden_cbor(hydra_data: Path) -> bytes:
    return (hydra_data / "golden" / "StateEvent.cbor").read_bytes()


def split(data: bytes) -> list[bytes]:
    """The bytes of each event, between the head of the list and its end."""
    marks = [index for index in range(len(data)) if data.startswith(b"\x6aStateEvent", index)]
    assert data[:1] == b"\x9f"
    assert data[-1:] == b"\xff"
    return [data[start:stop] for start, stop in zip(marks, [*marks[1:], len(data) - 1], strict=True)]


def test_cbor_of_every_constructor(hydra_data: Path) -> None:
    """39 events, one of each constructor, in order; no byte is left, whole or one by one."""
    events = read_state_events(golden_cbor(hydra_data))
    rows = split(golden_cbor(hydra_data))
    assert [read_state_event(row) for row in rows] == events
    tags = [as_object(as_object(event, "")["stateChanged"], "")["tag"] for event in events]
    assert tags == list(CONSTRUCTORS)
    assert len(tags) == 39


def shape(value: Json, name: str = "") -> object:
    """What kind of value it is: of outputs and of maps only that they are objects, of optional ones nothing."""
    match value:
        case dict() if name in OPAQUE or any(len(key) == 64 for key in value):
            return "outputs"
        case dict() if "tag" in value:
            return (value["tag"], {key: shape(item, key) for key, item in value.items()})
        case dict():
            return {key: shape(item, key) for key, item in value.items()}
        case list():
            return [shape(item) for item in value[:1]]
        case str() if all(char in "0123456789abcdef" for char in value):
            return f"hex of {len(value)}" if name not in {"cborHex", "reason"} else "hex"
        case str() if value[:4].isdecimal() and value.endswith("Z"):
            return "time"
        case int() | Decimal() if not isinstance(value, bool):
            return "number"
        case _:
            return type(value).__name__


def alike(left: object, right: object) -> bool:
    """Whether two shapes can be of one type: lists may be empty, optional values missing, constructors others."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return not left or not right or alike(left[0], right[0])
    if isinstance(left, tuple) and isinstance(right, tuple) and left[0] != right[0]:
        return True
    if isinstance(left, tuple) and isinstance(right, tuple):
        return alike(left[1], right[1])
    return left == right or "NoneType" in (left, right) or {left, right} == {"hex", "str"}


def test_cbor_means_what_the_json_means(hydra_data: Path) -> None:
    """The same fields, of the same kinds, as the JSON sample of the same constructor has."""
    by_name = dict(samples(hydra_data, MASTER))
    for event in read_state_events(golden_cbor(hydra_data)):
        change = as_object(as_object(event, "")["stateChanged"], "")
        name = str(change["tag"])
        sample = by_name[name]
        left, right = shape(dict(change)), shape(sample)
        if name in {"SnapshotRequested", "SnapshotConfirmed"}:  # the commitment is derived, and left out of the CBOR
            _without_accumulator(right)
        if name in {"NetworkClusterIDMismatch", "TxInvalid", "DecommitInvalid"}:
            assert as_object(sample, "").keys() == change.keys()  # random texts look like anything
        else:
            assert alike(left, right), (name, left, right)
        parse_change(change)


def _without_accumulator(found: object) -> None:
    if isinstance(found, tuple):
        _without_accumulator(found[1])
    elif isinstance(found, dict):
        found.pop("accumulator", None)
        for item in found.values():
            _without_accumulator(item)


def test_cbor_rows(hydra_data: Path, tmp_path: Path) -> None:
    """``user_version`` 2: the rows are CBOR, each one event, and come back byte by byte."""
    rows = split(golden_cbor(hydra_data))
    write_database(tmp_path / "hydra.db", rows, version=2)
    imported = import_directory(tmp_path)
    assert imported.records == 39
    assert "(not understood)" not in imported.events
    found = parse_record(Raw(Position("hydra.db", row=0), Form.CBOR, rows[0]))
    assert list(imported_records(event_values(found, "there"))) == [(Form.CBOR, rows[0])]


def test_cbor_is_not_what_a_general_reader_finds(hydra_data: Path) -> None:
    """The trap: read as ordinary CBOR, the heads of containers swallow what is not theirs."""
    row = split(golden_cbor(hydra_data))[4]
    cbor = CborReader(row)
    items = []
    while not cbor.at_end:
        items.append(cbor2.loads(cbor.slice()))
    assert items[:7] == ["StateEvent", 4, "NetworkVersionMismatch", "ProtocolVersion", 1, ["ProtocolVersion"], 4]
    change = as_object(as_object(read_state_event(row), "")["stateChanged"], "")
    assert (change["ourVersion"], change["theirVersion"]) == (1, 4)


def test_damaged_cbor_has_its_place(hydra_data: Path) -> None:
    """Cut short, with bytes to spare, or with one byte changed: nothing but the declared error, with an offset."""
    row = split(golden_cbor(hydra_data))[6]
    for bad in (row[:-1], row + b"\x00", b"", row.replace(b"UnsafeHeadId", b"UnsafeHeadIx")):
        with pytest.raises(RecordError, match="at its byte"):
            read_state_event(bad)
    for index in range(0, len(row), 7):
        with suppress(RecordError):
            read_state_event(row[:index] + bytes([row[index] ^ 0x55]) + row[index + 1 :])
