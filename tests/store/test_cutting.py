"""Promises of `hydra_sync.store.cutting`: the note of a cut is right, or refused."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.chain import Tip
from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError, NewerFormatError, StoreDamagedError, StoreError, StoreFullError
from hydra_sync.ranges import SeqRange
from hydra_sync.store.checked import seal
from hydra_sync.store.cutting import begin_cut, cut_index, parse_cut, pending_cut
from hydra_sync.store.index import Index, Mark, encode_index, parse_index
from hydra_sync.store.log import open_log
from tests.currently import currently
from tests.store.crash_disk import MemoryDisk
from tests.store.worlds import ALICE, BOB, place, run_of

END = Mark(100, Tip(3, 20, b"h" * 32))


async def fresh() -> MemoryDisk:
    disk = MemoryDisk()
    for directory in (place().directory, place().quarantine):
        await disk.make_dir(directory)
    return disk


async def test_a_note_comes_back_and_every_flipped_bit_is_noticed() -> None:
    """For its own log only; a damaged one names `recover`, a newer one an upgrade, and the log is not opened."""
    disk = await fresh()
    assert await pending_cut(disk, place()) is None
    await begin_cut(disk, place(), END)
    assert await pending_cut(disk, place()) == END
    live = disk.names[place().cut].live
    for at in range(len(live)):
        live[at] ^= 4
        with pytest.raises((StoreDamagedError, NewerFormatError), match=r"cut\.cbor.*(hydra-sync recover|upgrade)"):
            await pending_cut(disk, place())
        live[at] ^= 4
    disk.names[place(key=BOB).cut] = disk.names[place().cut]
    with pytest.raises(StoreDamagedError):
        await pending_cut(disk, place(key=BOB))
    live[:] = encode(["hydra-sync cut", 2])
    for read_only in (True, False):
        with pytest.raises(NewerFormatError):
            await open_log(disk, place(), commit_bytes=0, read_only=read_only)


@given(st.binary() | st.builds(seal, st.just("hydra-sync cut"), st.just(1), st.lists(st.integers() | st.binary())))
def test_any_bytes_are_a_note_or_refused(data: bytes) -> None:
    """Any bytes raise the one declared error; those of a note were tried above."""
    with pytest.raises(FormatError):
        parse_cut(data, place())


@pytest.mark.parametrize("again", [False, True])
async def test_a_note_that_was_refused_does_not_come_back(again: bool) -> None:
    """What finds no file to be had takes its note back; if that fails, too, the log takes no more."""
    disk = await fresh()
    log = await open_log(disk, place(), commit_bytes=0)
    batches = run_of(ALICE, 4)
    for batch in batches[:3]:
        await log.commit([batch])
    met = 0

    def fail(name: str, path: Path) -> None:
        nonlocal met
        if name == "sync_dir" and path == place().directory:
            met += 1
            if met == 1 or again:
                raise OSError(errno.EMFILE, "too many files")

    disk.fault = fail
    with pytest.raises(StoreError) as caught:
        await log.rebranch(1, [])
    assert isinstance(caught.value, StoreFullError) != again
    assert (log.failure is not None) == again
    disk.fault = lambda name, path: None
    assert place().cut not in disk.names
    if not again:
        await log.commit(batches[3:])
        assert place().cut not in disk.durable_names
        assert (await open_log(disk, place(), commit_bytes=0)).tip == Tip.after(batches[3])


def test_an_index_is_cut_where_its_segment_is() -> None:
    """Its entries, mark and holes; one that ends before is left as it is."""
    index = Index(7, Mark(900_000, Tip(2, 100, b"x" * 32)), (SeqRange(1, 3), SeqRange(18, 25), SeqRange(30, 31)))
    for seq in range(7, 100):
        index.add(seq, (seq - 7) * 100_000)
    end = Mark(1_300_000, Tip(3, 20, b"h" * 32))
    assert not cut_index(index, end)
    end = Mark(700_000, Tip(1, 14, b"h" * 32))
    index.holes = (SeqRange(1, 3), SeqRange(12, 25), SeqRange(30, 31))
    assert cut_index(index, end)
    assert index.mark == end
    assert currently(index).holes == (SeqRange(1, 3), SeqRange(12, 14))
    assert index.find(50) == (13, 600_000)
    assert encode_index(parse_index(encode_index(index, ALICE.member), ALICE.member, 7), ALICE.member)
