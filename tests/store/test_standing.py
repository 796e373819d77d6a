"""Promises of `hydra_sync.store.standing` and `standing_file`: no promise is forgotten, none is made up."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.chain import Tip
from hydra_sync.encoding import encode
from hydra_sync.errors import FormatError, NewerFormatError, StoreDamagedError, StoreError, StoreFullError, UsageError
from hydra_sync.identity import MemberKey, NetworkId, SigningKey
from hydra_sync.limits import ANSWER_BYTES_MAX, MEMBERS_MAX, TEXT_BYTES_MAX, UINT_MAX
from hydra_sync.store import Standing
from hydra_sync.store.checked import seal
from hydra_sync.store.standing import STANDING_BYTES_MAX, encode_standing, parse_standing
from tests.store.crash_disk import MemoryDisk
from tests.store.crashes import Died, die_at
from tests.store.worlds import ALICE, BOB, NETWORK, READING, USUAL, make_store, opened, place

PROMISED = Standing(
    7,
    b"t" * 16,
    b"i" * 16,
    b"answer",
    b"ballot",
    Tip(3, 20, b"h" * 32),
    amnesiac=True,
    why="a cut",
    without=(ALICE.member,),
)
LOG = BOB.member
GOLDEN = (
    "847368796472612d73796e63207374616e64696e670158958c58206e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e"
    "6e6e6e6e6e6e6e6e6e6e6e58206b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b055074"
    "747474747474747474747474747474506969696969696969696969696969696941614162830102582068686868686868"
    "68686868686868686868686868686868686868686868686868f4f46080582062a23bf214b90289cb6320957cda5f5c67"
    "adc414143d4d12b67ffea0c9cadf7d"
)

keys = st.builds(MemberKey, st.binary(min_size=32, max_size=32))
numbers = st.integers(0, UINT_MAX)
standings = st.builds(
    Standing,
    numbers,
    st.sampled_from([b"", b"s" * 16]),
    st.sampled_from([b"", b"i" * 16]),
    st.binary(max_size=ANSWER_BYTES_MAX),
    st.binary(max_size=ANSWER_BYTES_MAX),
    st.builds(Tip, numbers, numbers, st.binary(min_size=32, max_size=32)),
    st.booleans(),
    st.booleans(),
    st.text(st.characters(codec="utf-8"), max_size=100),
    st.lists(keys, max_size=5).map(tuple),
)


@given(standings)
def test_a_standing_comes_back(standing: Standing) -> None:
    """`parse_standing` undoes `encode_standing`, and has one form for each."""
    data = encode_standing(standing, NETWORK, LOG)
    assert parse_standing(data, NETWORK, LOG) == standing
    assert len(data) <= STANDING_BYTES_MAX


def test_the_largest_standing_fits() -> None:
    """Every field at its largest."""
    most = Standing(
        UINT_MAX,
        bytes(16),
        bytes(16),
        bytes(ANSWER_BYTES_MAX),
        bytes(ANSWER_BYTES_MAX),
        Tip(UINT_MAX, UINT_MAX, bytes(32)),
        amnesiac=True,
        why="x" * TEXT_BYTES_MAX,
        without=(ALICE.member,) * MEMBERS_MAX,
    )
    data = encode_standing(most, NETWORK, LOG)
    assert len(data) <= STANDING_BYTES_MAX
    assert parse_standing(data, NETWORK, LOG) == most


def test_the_format_never_changes() -> None:
    """A golden vector of version 1."""
    data = encode_standing(
        Standing(5, b"t" * 16, b"i" * 16, b"a", b"b", Tip(1, 2, b"h" * 32)), NetworkId(b"n" * 32), MemberKey(b"k" * 32)
    )
    assert data.hex() == GOLDEN


@given(st.binary() | st.builds(seal, st.just("hydra-sync standing"), st.just(1), st.lists(st.integers() | st.binary())))
def test_any_bytes_are_a_standing_or_refused(data: bytes) -> None:
    """Any bytes give the one standing that is written so, or the one declared error."""
    try:
        standing = parse_standing(data, NETWORK, LOG)
    except FormatError:
        return
    assert encode_standing(standing, NETWORK, LOG) == data


@given(st.data())
def test_fields_of_any_kind_give_a_standing_or_the_one_error(data: st.DataObject) -> None:
    """One field of another kind or out of its limits, under a right checksum."""
    fields: list[object] = [NETWORK, LOG, 7, bytes(16), b"a", [1, 2, bytes(32)], True, "why", [LOG]]
    at = data.draw(st.integers(0, len(fields) - 1))
    odd = st.integers(-1, 1 << 64) | st.booleans() | st.none() | st.binary(max_size=33) | st.text()
    fields[at] = data.draw(odd | st.lists(odd, max_size=3))
    written = seal("hydra-sync standing", 1, fields)
    try:
        standing = parse_standing(written, NETWORK, LOG)
    except FormatError:
        return
    assert encode_standing(standing, NETWORK, LOG) == written


def test_every_flipped_bit_is_noticed() -> None:
    """A file with any other byte is refused, as is one of another log or network."""
    data = encode_standing(PROMISED, NETWORK, LOG)
    for at in range(len(data)):
        for bit in range(8):
            with pytest.raises(FormatError):
                parse_standing(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :], NETWORK, LOG)
    for network, log in ((NETWORK, ALICE.member), (NetworkId(b"x" * 32), LOG)):
        with pytest.raises(FormatError):
            parse_standing(data, network, log)


def test_limits_hold() -> None:
    """What the file could not hold is refused when it is made."""
    for odd in ({"start": b"short"}, {"answer": bytes(ANSWER_BYTES_MAX + 1)}, {"promised": -1}, {"why": "x" * 1025}):
        with pytest.raises(ValueError, match="no standing"):
            Standing(**odd)


@pytest.fixture
async def disk() -> MemoryDisk:
    disk = MemoryDisk()
    await make_store(disk)
    return disk


FILE = place(key=BOB).standing


async def test_it_is_there_when_the_store_is_opened_again(disk: MemoryDisk) -> None:
    """For each log its own; nothing for a log of which nothing was said; a reader sees it too."""
    async with opened(disk) as store:
        assert store.standing(LOG) == Standing()
        await store.set_standing(LOG, PROMISED)
        assert store.standing(LOG) == PROMISED
        with pytest.raises(UsageError):
            store.standing(SigningKey(b"x" * 32).member)
    for options in (USUAL, READING):
        async with opened(disk, **options) as store:
            assert store.standing(LOG) == PROMISED
            assert store.standing(ALICE.member) == Standing()
            assert any("a cut" in line for line in store.warnings(lambda key: key.hex()))


async def test_a_crash_anywhere_leaves_the_old_or_the_new(disk: MemoryDisk) -> None:
    """Die in each disk operation, with and without loss of power; what was returned from is there."""
    new = replace(PROMISED, promised=8)
    for seed in range(6):
        for nth in range(1, 40):
            disk = MemoryDisk()
            await make_store(disk)
            done = False
            try:
                async with opened(disk) as store:
                    await store.set_standing(LOG, PROMISED)
                    die_at(disk, nth)
                    await store.set_standing(LOG, new)
                    done = True
                    disk.fault = lambda name, path: None
            except Died:
                pass
            disk.fault = lambda name, path: None
            disk.crash(Random(seed)) if seed else disk.kill()
            async with opened(disk) as store:
                shown = store.standing(LOG)
                assert shown == new or (shown == PROMISED and not done)
                assert disk.durable_names.get(FILE) is disk.names.get(FILE)
            disk.crash(Random(seed + 100))
            async with opened(disk) as store:
                assert store.standing(LOG) == shown
            if done:
                break
        assert done
        assert nth > 5


async def test_of_calls_at_once_the_last_one_wins(disk: MemoryDisk) -> None:
    """They wait for one another, and none returns before its own, or a later one, is durable."""
    async with opened(disk) as store:
        disk.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for ballot in (1, 2, 3):
                nursery.start_soon(store.set_standing, LOG, Standing(ballot))
                await trio.testing.wait_all_tasks_blocked()
            assert store.standing(LOG) == Standing()
            disk.gate.set()
        assert store.standing(LOG) == Standing(3)
    async with opened(disk) as store:
        assert store.standing(LOG) == Standing(3)


async def test_what_was_begun_is_finished_though_its_caller_is_cancelled(disk: MemoryDisk) -> None:
    """What is shown afterwards is what is on the disk."""
    async with opened(disk) as store:
        disk.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.set_standing, LOG, PROMISED)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            disk.gate.set()
        assert store.standing(LOG) == PROMISED


@pytest.mark.parametrize("operation", ["open", "write_at", "sync", "rename", "sync_dir"])
async def test_a_failing_disk_ends_all_promises(disk: MemoryDisk, operation: str) -> None:
    """After a failure nothing more is promised, nothing new is shown, and the store can be opened again."""
    async with opened(disk) as store:

        def fail(name: str, path: Path) -> None:
            if name == operation:
                raise OSError(errno.EIO, "input/output error")

        disk.fault = fail
        for _ in range(2):
            with pytest.raises(StoreError, match="restart the node"):
                await store.set_standing(LOG, PROMISED)
            disk.fault = lambda name, path: None
        assert store.standing(LOG) == Standing()
        assert any("no more promises" in line for line in store.warnings(lambda key: key.hex()))
    async with opened(disk) as store:
        assert store.standing(LOG) in (PROMISED, Standing())


async def test_a_full_disk_refuses_and_later_ones_work(disk: MemoryDisk) -> None:
    """The one before stays in force."""
    async with opened(disk) as store:
        await store.set_standing(LOG, PROMISED)
        disk.file_bytes_max = 100
        with pytest.raises(StoreFullError):
            await store.set_standing(LOG, replace(PROMISED, promised=8))
        assert store.standing(LOG) == PROMISED
        disk.file_bytes_max = 1 << 30
        await store.set_standing(LOG, replace(PROMISED, promised=9))
    async with opened(disk) as store:
        assert store.standing(LOG).promised == 9


async def test_a_damaged_or_newer_file_is_refused(disk: MemoryDisk) -> None:
    """What, where, and what next; and the lock is not left behind."""
    async with opened(disk) as store:
        await store.set_standing(LOG, PROMISED)
    live = disk.names[FILE].live
    live[50] ^= 1
    for options in (USUAL, READING):
        with pytest.raises(StoreDamagedError, match=rf"{FILE} is damaged.*hydra-sync recover"):
            async with opened(disk, **options):
                pass
    del live[10:]
    with pytest.raises(StoreDamagedError, match="hydra-sync recover"):
        async with opened(disk):
            pass
    live[:] = encode(["hydra-sync standing", 2, {"other": "form"}])
    with pytest.raises(NewerFormatError, match=rf"{FILE}.*format 2.*upgrade"):
        async with opened(disk):
            pass
    live[:] = encode_standing(PROMISED, NETWORK, LOG)
    async with opened(disk) as store:
        assert store.standing(LOG) == PROMISED
