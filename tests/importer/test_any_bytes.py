"""Any bytes at all: answers and problems, and never anything else."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_sync.importer import import_directory
from hydra_sync.importer.events_cbor import read_state_event
from hydra_sync.importer.fields import Json, RecordError, parse_json, render_json
from hydra_sync.importer.ledger import parse_transaction
from hydra_sync.importer.records import parse_record
from hydra_sync.importer.sources import Form, Position, Raw
from tests.importer.histories import DIALECTS, V2_2, history, lines, write_database

HISTORIES = [b"\n".join(lines(dialect, history(dialect))) + b"\n" for dialect in DIALECTS]
ROWS = lines(V2_2, history(V2_2) * 3)


def _database() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        return write_database(Path(name) / "hydra.db", ROWS).read_bytes()


DATABASE = _database()
TAGS = sorted(
    {str(event["tag"]) for dialect in DIALECTS for event in history(dialect)} | {"Checkpoint", "Open", "Idle"}
)
NAMES = (
    "tag",
    "headId",
    "tx",
    "snapshot",
    "utxo",
    "parameters",
    "parties",
    "contents",
    "state",
    "headState",
    "eventId",
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(TAGS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner),
    max_leaves=20,
)


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "state").write_bytes(data)
        imported = import_directory(Path(name))
    assert imported.answers is not None
    assert imported.is_sound == all(problem.harmless for problem in imported.problems)


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_a_file(data: bytes) -> None:
    """Garbage is told, not raised."""
    check(data)


@given(st.lists(JSON, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_json_in_a_file(values: list[Json]) -> None:
    """Records of any form, those of real events with anything in their fields."""
    check("\n".join(map(render_json, values)).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(HISTORIES), st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_history(whole: bytes, data: st.DataObject) -> None:
    """Bytes changed, taken out, and put in, anywhere in a history."""
    bad = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(bad)))
        stop = data.draw(st.integers(start, min(len(bad), start + 40)))
        bad[start:stop] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"null", b"-1", b"{}", b'"\\ud800"', b"1e999"])
        )
    check(bytes(bad))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_database(data: st.DataObject) -> None:
    """Bytes changed anywhere in the pages of a database: it has an end, and nothing but problems comes of it."""
    bad = bytearray(DATABASE)
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(bad) - 16))
        part = data.draw(st.binary(min_size=1, max_size=16))
        bad[start : start + len(part)] = part
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "hydra.db").write_bytes(bad)
        imported = import_directory(Path(name))
    assert imported.answers is not None
    assert imported.records <= 2 * len(ROWS)


@given(st.binary(max_size=200), st.sampled_from(list(Form)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_a_record(data: bytes, form: Form) -> None:
    """The declared error, or a record that has the same bytes."""
    with suppress(RecordError):
        assert parse_record(Raw(Position("x"), form, data)).data == data


@given(st.binary(max_size=100), st.sampled_from(["HeadOpened", "SnapshotRequested", "Checkpoint", "TickObserved"]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_cbor(data: bytes, tag: str) -> None:
    """Behind the beginning of a real event: the declared error, or a value."""
    start = b"\x6aStateEvent\x00" + bytes([0x60 + len(tag)]) + tag.encode()
    with suppress(RecordError):
        read_state_event(start + data)


@given(st.binary(max_size=100))
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_a_transaction(data: bytes) -> None:
    """Of a Cardano transaction's CBOR."""
    with suppress(RecordError):
        parse_transaction({"cborHex": data.hex()})


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_json_comes_back(value: Json) -> None:
    """What is written is what was read."""
    assert parse_json(render_json(value).encode("utf-8", "surrogatepass")) == value
