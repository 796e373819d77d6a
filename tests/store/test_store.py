"""Promises of `hydra_sync.store.store`: opening says what is wrong and what to do next."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from hydra_sync.disk import RealDisk
from hydra_sync.errors import (
    NewerFormatError,
    StoreDamagedError,
    StoreLockedError,
    StoreMissingError,
    UsageError,
)
from hydra_sync.identity import MemberKey, SigningKey, network_id
from hydra_sync.store import create_store, open_store, read_manifest
from tests.store.crash_disk import MemoryDisk
from tests.store.crashes import Died, die_at
from tests.store.worlds import ALICE, BOB, MANIFEST, MEMBERS, NETWORK, event, make_store, opened, read_all, run_of


async def test_events_come_back(tmp_path: Path) -> None:
    """What was appended, to both kinds of log, is there when the store is opened again."""
    await make_store(RealDisk(), tmp_path)
    async with opened(RealDisk(), tmp_path) as store:
        await store.author.append([event(0), event(1)])
        await store.log(BOB.member).commit(run_of(BOB, 3))
    async with opened(RealDisk(), tmp_path) as store:
        assert store.manifest == replace(MANIFEST, founding=False)  # its own log has begun
        assert await read_all(store.log(ALICE.member)) == [event(0), event(1)]
        assert await read_all(store.log(BOB.member)) == [event(0), event(1), event(2)]
        assert store.warnings(lambda key: key.hex()) == ()
        with pytest.raises(UsageError):
            store.log(SigningKey(b"x" * 32).member)


async def test_a_missing_store(tmp_path: Path) -> None:
    """The message names both ways on."""
    with pytest.raises(StoreMissingError, match=r"hydra-sync init.*hydra-sync recover"):
        async with opened(RealDisk(), tmp_path / "none"):
            pass


async def test_logs_without_a_manifest_are_damage(tmp_path: Path) -> None:
    """`store.toml` gone but logs there: not a place for `init`."""
    await make_store(RealDisk(), tmp_path)
    async with opened(RealDisk(), tmp_path):
        pass
    (tmp_path / "store.toml").unlink()
    with pytest.raises(StoreDamagedError, match="recover"):
        async with opened(RealDisk(), tmp_path):
            pass
    with pytest.raises(UsageError):
        await create_store(RealDisk(), tmp_path, MANIFEST)


async def test_a_store_is_made_once(tmp_path: Path) -> None:
    """A second `create_store` changes nothing."""
    await make_store(RealDisk(), tmp_path)
    with pytest.raises(UsageError, match="already"):
        await create_store(RealDisk(), tmp_path, MANIFEST)


@pytest.mark.parametrize("amnesiac", [(), MEMBERS])
async def test_a_new_store_is_durable_with_every_directory_on_the_way_to_it(amnesiac: Sequence[MemberKey]) -> None:
    """Also if a first attempt was killed in any disk operation, which leaves names that are not durable yet."""
    path, manifest = Path("/srv/hydra/net/alice"), replace(MANIFEST, founding=False)
    for seed, nth in itertools.product(range(10), range(1, 60)):
        disk = MemoryDisk()
        await disk.make_dir(Path("/srv"))
        await disk.sync_dir(Path("/"))
        die_at(disk, nth)
        with suppress(Died):
            await create_store(disk, path, manifest, amnesiac=amnesiac, why="lost")
        disk.fault = lambda name, path: None
        disk.kill()
        try:
            await read_manifest(disk, path)
        except StoreMissingError:
            await create_store(disk, path, manifest, amnesiac=amnesiac, why="lost")
        except StoreDamagedError:  # logs may be there already; which `recover` mends
            continue
        async with opened(disk, path):
            pass
        disk.crash(Random(seed))
        assert await read_manifest(disk, path) == manifest


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is told who has it; a reader needs no lock; leaving the block gives the lock up."""
    await make_store(RealDisk(), tmp_path)
    async with opened(RealDisk(), tmp_path, holder="node alice"):
        with pytest.raises(StoreLockedError, match="node alice"):
            async with opened(RealDisk(), tmp_path):
                pass
        async with opened(RealDisk(), tmp_path, read_only=True, key=None) as reader:
            with pytest.raises(UsageError):
                _ = reader.author
    async with opened(RealDisk(), tmp_path):
        pass


async def test_the_wrong_network_key_or_members(tmp_path: Path) -> None:
    """Both sides of the contradiction are named, and the lock is not left behind."""
    await make_store(RealDisk(), tmp_path)
    other = network_id("other", MEMBERS)
    with pytest.raises(UsageError, match=f"{NETWORK.hex()}.*{other.hex()}"):
        async with opened(RealDisk(), tmp_path, network=other):
            pass
    with pytest.raises(UsageError, match=f"{ALICE.member.hex()}.*{BOB.member.hex()}"):
        async with opened(RealDisk(), tmp_path, key=BOB):
            pass
    with pytest.raises(UsageError):
        async with opened(RealDisk(), tmp_path, members=(BOB.member,)):
            pass
    with pytest.raises(UsageError):
        async with opened(RealDisk(), tmp_path, key=None):
            pass
    async with opened(RealDisk(), tmp_path):
        pass


async def test_a_log_of_no_member(tmp_path: Path) -> None:
    """The directory is named, and nothing is opened."""
    await make_store(RealDisk(), tmp_path)
    (tmp_path / "logs" / "cafe").mkdir()
    with pytest.raises(StoreDamagedError, match="cafe"):
        async with opened(RealDisk(), tmp_path):
            pass


async def test_a_damaged_or_newer_manifest(tmp_path: Path) -> None:
    """Damage names `recover`, a newer format an upgrade."""
    await make_store(RealDisk(), tmp_path)
    text = (tmp_path / "store.toml").read_text()
    (tmp_path / "store.toml").write_text(text.replace("true", "false"))
    with pytest.raises(StoreDamagedError, match="hydra-sync recover"):
        async with opened(RealDisk(), tmp_path):
            pass
    (tmp_path / "store.toml").write_text(text.replace("format = 1", "format = 2"))
    with pytest.raises(NewerFormatError, match="upgrade"):
        async with opened(RealDisk(), tmp_path):
            pass


async def test_errors_of_the_block_come_out_as_they_are(tmp_path: Path) -> None:
    """An exception raised inside is not wrapped in a group."""
    await make_store(RealDisk(), tmp_path)
    with pytest.raises(KeyError):
        async with open_store(
            RealDisk(),
            tmp_path,
            members=MEMBERS,
            network=NETWORK,
            key=ALICE,
            wall_clock=lambda: 0,
            holder="test",
        ):
            raise KeyError
