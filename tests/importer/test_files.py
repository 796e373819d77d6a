"""Whatever the files of a directory look like: what can be read is read, what cannot is told with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hydra_sync.errors import UsageError
from hydra_sync.head import Fate, Status
from hydra_sync.importer import Imported, import_directory
from hydra_sync.importer import lines as lines_module
from tests.importer.histories import (
    DIALECTS,
    HEAD,
    SEEN,
    TX10,
    V1_3,
    V2_2,
    VKEYS,
    Event,
    history,
    lines,
    opening,
    received,
    write_database,
    write_lines,
)
from tests.importer.test_fold import checkpoint, fates, node_state, open_state

WHOLE = lines(V1_3, history(V1_3))


def read(directory: Path, records: bytes | Sequence[bytes]) -> Imported:
    """Import a ``state`` of these bytes, or of these lines."""
    data = records if isinstance(records, bytes) else b"".join(record + b"\n" for record in records)
    (directory / "state").write_bytes(data)
    return import_directory(directory)


def places(imported: Imported) -> list[tuple[int | None, int | None, bool]]:
    return [(found.position.line, found.position.offset, found.harmless) for found in imported.problems]


def expect_all(imported: Imported) -> None:
    """Everything that `history` tells was read."""
    assert imported.answers is not None
    assert imported.answers.transactions == SEEN


def test_a_half_written_last_line(tmp_path: Path) -> None:
    """It never counted: told, with its place, and no damage. Each cut of the last line."""
    before = b"".join(record + b"\n" for record in WHOLE)
    torn = lines(V1_3, received(TX10), len(WHOLE))[0]
    for length in (1, 5, 40, len(torn) - 1):
        imported = read(tmp_path, before + torn[:length])
        assert places(imported) == [(len(WHOLE) + 1, len(before), True)]
        assert imported.is_sound
        expect_all(imported)
    whole = read(tmp_path, before + torn)  # only its end of line is missing
    assert (whole.problems, whole.records) == ([], len(WHOLE) + 1)


@pytest.mark.parametrize("zeros", [1, 5000])
def test_zeros_at_the_end(zeros: int, tmp_path: Path) -> None:
    """What a crash leaves of a file that had grown: harmless at the end, also after a torn line."""
    before = b"".join(record + b"\n" for record in WHOLE)
    imported = read(tmp_path, before + bytes(zeros))
    assert places(imported) == [(len(WHOLE) + 1, len(before), True)]
    expect_all(imported)
    torn = read(tmp_path, before + b'{"eventId":' + bytes(zeros))
    assert torn.is_sound
    expect_all(torn)


def test_zeros_in_the_middle(tmp_path: Path) -> None:
    """A node that was started again has appended to them: they are damage, the record after them is read."""
    first = b"".join(record + b"\n" for record in WHOLE[:5])
    rest = b"".join(record + b"\n" for record in WHOLE[5:])
    imported = read(tmp_path, first + bytes(100) + rest)
    assert places(imported) == [(6, len(first), False)]
    assert not imported.is_sound
    expect_all(imported)


def test_zeros_between_bare_events(tmp_path: Path) -> None:
    """Before one on its line, and on a line of their own: damage both times, for something was written after them."""
    bare = lines(DIALECTS[0], history(DIALECTS[0]))
    imported = read(tmp_path, [*bare[:5], bytes(10) + bare[5], bytes(20), *bare[6:]])
    assert [(line, harmless) for line, _, harmless in places(imported)] == [(6, False), (7, False)]
    assert imported.records == len(bare)
    expect_all(imported)


def test_a_torn_line_that_was_appended_to(tmp_path: Path) -> None:
    """The half record is damage, the whole one behind it on the same line is read."""
    torn = WHOLE[5][:30]
    imported = read(tmp_path, [*WHOLE[:5], torn + WHOLE[5], *WHOLE[6:]])
    offset = sum(len(record) + 1 for record in WHOLE[:5])
    assert places(imported) == [(6, offset, False)]
    assert imported.records == len(WHOLE)
    expect_all(imported)


@pytest.mark.parametrize(
    "garbage",
    [b"garbage", b"\xff\xfe\x00", b"[1, 2]", b"17", b'{"tag": 5}', b"{}", b'{"eventId": -1, "stateChanged": {}}'],
)
def test_garbage_between(garbage: bytes, tmp_path: Path) -> None:
    """Told with line and offset; the records round it are read, and no gap is told twice."""
    imported = read(tmp_path, [*WHOLE[:5], garbage, *WHOLE[5:]])
    assert places(imported) == [(6, sum(len(record) + 1 for record in WHOLE[:5]), False)]
    assert imported.damage == 1
    expect_all(imported)


def test_an_unknown_event(tmp_path: Path) -> None:
    """Of a release to come, or of none: told, kept as a record, and changing nothing."""
    unknown = lines(V1_3, [{"tag": "HeadTeleported", "headId": HEAD}], 5)
    events = [*WHOLE[:5], *unknown, *lines(V1_3, history(V1_3)[5:], 6)]
    imported = read(tmp_path, events)
    assert [problem.reason for problem in imported.problems] == ["HeadTeleported: no known event: 'HeadTeleported'"]
    assert imported.events["(not understood)"] == 1
    assert imported.records == len(WHOLE) + 1
    expect_all(imported)


def test_a_known_event_of_another_form(tmp_path: Path) -> None:
    """A field missing, or of another type: told by the field's name."""
    for broken in ({"tag": "TransactionReceived"}, {"tag": "TransactionReceived", "tx": [1]}, {"tag": "HeadOpened"}):
        imported = read(tmp_path, [*WHOLE, *lines(V1_3, [broken], len(WHOLE))])
        assert [problem.position.line for problem in imported.problems] == [len(WHOLE) + 1]
        expect_all(imported)


def test_missing_events(tmp_path: Path) -> None:
    """Ids rise by one: a gap, a repetition, and a beginning that is not one are told where they are seen."""
    gap = read(tmp_path, [*WHOLE[:5], *WHOLE[7:]])
    assert [(problem.position.line, problem.reason) for problem in gap.problems] == [(6, "events 5 to 6 are missing")]
    late = read(tmp_path, WHOLE[3:])
    assert "the history begins with event 3" in late.problems[0].reason
    again = read(tmp_path, [*WHOLE, WHOLE[4]])
    assert f"event 4 comes after event {len(WHOLE) - 1}" in again.problems[0].reason


def test_what_stops_hydra_node_is_told(tmp_path: Path) -> None:
    """An event that its own fold cannot take: with its place, and the others are folded."""
    alone: Event = {"tag": "SnapshotConfirmed", "headId": HEAD, "snapshot": None, "signatures": {"multiSignature": []}}
    imported = read(tmp_path, lines(V2_2, [*opening(V2_2), alone, *received(TX10)]))
    assert [(problem.position.line, "hydra-node stops here" in problem.reason) for problem in imported.problems] == [
        (4, True)
    ]
    assert imported.answers is not None
    assert fates(imported.answers) == {"10": Fate.WAITING}


def test_a_line_beyond_all_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed over without being held; what comes after it has the right line and offset."""
    monkeypatch.setattr(lines_module, "LINE_BYTES_MAX", 4096)
    monkeypatch.setattr(lines_module, "PIECE_BYTES", 1024)
    first = b"".join(record + b"\n" for record in WHOLE[:5])
    rest = b"".join(record + b"\n" for record in WHOLE[5:])
    imported = read(tmp_path, first + b"x" * 10_000 + b"\n" + b"oops\n" + rest)
    assert places(imported) == [(6, len(first), False), (7, len(first) + 10_001, False)]
    expect_all(imported)


def test_empty_lines_and_an_empty_file(tmp_path: Path) -> None:
    """hydra-node passes over empty lines, and starts with an empty file."""
    assert read(tmp_path, [b"", *WHOLE[:3], b"", *WHOLE[3:]]).problems == []
    empty = read(tmp_path, b"")
    assert (empty.records, empty.is_sound) == (0, True)
    assert empty.answers is not None
    assert empty.answers.status is Status.IDLE


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("x"), lambda path: path.mkdir()])
def test_no_persistence_directory(make: object, tmp_path: Path) -> None:
    """Nothing there, a file, a directory of something else: said, with what was looked for."""
    place = tmp_path / "here"
    make(place)  # type: ignore[operator]
    with pytest.raises(UsageError, match="persistence"):
        import_directory(place)
    if place.is_dir():
        (place / "server-output").write_bytes(b"")
        (place / "statement").write_bytes(b"")
        (place / "state").mkdir()
        with pytest.raises(UsageError, match=r"none of state, state-<id>"):
            import_directory(place)


def rotated(first: int) -> list[bytes]:
    """A checkpoint of the history's end, with the id of the event before it, and one event more."""
    events = [checkpoint(node_state(open_state())), *received({"id": 16, "inputs": [1], "outputs": [2]})]
    return lines(V2_2, events, first - 1)


def test_rotated_files_are_read_in_order(tmp_path: Path) -> None:
    """By the number in their names, not by their letters; with the old ones nothing is missing, without some is."""
    whole = lines(V2_2, history(V2_2))
    write_lines(tmp_path / "state-9", whole[:10])
    write_lines(tmp_path / f"state-{len(whole) - 1}", whole[10:])
    write_lines(tmp_path / "state", rotated(len(whole)))
    imported = import_directory(tmp_path)
    assert imported.files == ("state-9", f"state-{len(whole) - 1}", "state")
    assert imported.problems == []
    assert imported.answers is not None
    assert {**fates(imported.answers), "15": Fate.REJECTED}["16"] is Fate.WAITING
    assert {"10", "11", "12", "13", "14", "15", "16"} == set(fates(imported.answers))
    (tmp_path / "state-9").unlink()
    assert "the history begins with event 10" in import_directory(tmp_path).problems[0].reason
    (tmp_path / f"state-{len(whole) - 1}").unlink()
    assert import_directory(tmp_path).problems == []  # the checkpoint makes up for all of it


def test_migrated_events_are_read_once(tmp_path: Path) -> None:
    """``state.migrated`` went into the database line by line; rotated databases come before it is time for the last."""
    whole = lines(V2_2, history(V2_2))
    write_lines(tmp_path / "state.migrated", whole[:8])
    write_database(tmp_path / "old-state" / "hydra-100.db", whole[15:], first_id=15)
    write_database(tmp_path / "old-state" / "hydra-14.db", whole[:15])
    write_database(tmp_path / "hydra.db", rotated(len(whole)), first_id=len(whole) - 1)
    imported = import_directory(tmp_path)
    assert imported.files == ("state.migrated", "old-state/hydra-14.db", "old-state/hydra-100.db", "hydra.db")
    assert imported.problems == []
    assert imported.duplicates == 8
    assert imported.records == len(whole) + 2
    assert imported.answers is not None
    assert set(fates(imported.answers)) == {"10", "11", "12", "13", "14", "15", "16"}


def test_the_oldest_layout(tmp_path: Path) -> None:
    """``state`` is the state of the head, ``server-output`` has what led there, its last line half written."""
    told: list[Event] = [
        {"tag": "HeadIsInitializing", "parties": VKEYS},
        {"tag": "HeadIsOpen", "utxo": [1, 2, 3]},
        {"tag": "TxValid", "transaction": {"id": 7, "inputs": [3], "outputs": [33]}},
        {"tag": "SnapshotConfirmed", "snapshot": {"snapshotNumber": 0, "confirmedTransactions": [7], "utxo": []}},
        {"tag": "GetUTxOResponse", "utxo": []},
    ]
    outputs = [json.dumps({**output, "seq": seq, "timestamp": "t"}).encode() for seq, output in enumerate(told)]
    (tmp_path / "server-output").write_bytes(b"\n".join(outputs) + b'\n{"tag":"TxVal')
    old = open_state()
    del old["contents"]["headId"]  # type: ignore[attr-defined]  # 0.8 had none
    (tmp_path / "state").write_text(json.dumps(old))
    imported = import_directory(tmp_path)
    assert imported.files == ("server-output", "state")
    assert [(problem.position.line, problem.harmless) for problem in imported.problems] == [(6, True)]
    assert imported.answers is not None
    assert fates(imported.answers)["7"] is Fate.CONFIRMED
    assert fates(imported.answers)["12"] is Fate.IN_FLIGHT
    assert imported.answers.status is Status.OPEN


def test_server_output_beside_events_is_not_read(tmp_path: Path) -> None:
    """It follows from them."""
    (tmp_path / "server-output").write_bytes(b"garbage\n")
    write_lines(tmp_path / "state", lines(V1_3, opening(V1_3)))
    imported = import_directory(tmp_path)
    assert (imported.files, imported.problems) == (("state",), [])


def test_problems_are_bounded(tmp_path: Path) -> None:
    """A file of another kind has one on each line: the first are told, all are counted."""
    imported = read(tmp_path, [b"x"] * 2500)
    assert (len(imported.problems), imported.untold, imported.damage) == (1000, 1500, 2500)
