"""The simulated disk does what `hydra_sync.disk.RealDisk` does, and everything that disks do wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from hydra_sync.disk import Disk, RealDisk
from hydra_sync.testing import SECTOR_BYTES, Host, Keep, SimDisk, World

F = Path("/f")

Run = Callable[[Callable[[Disk, Path], Awaitable[None]]], None]


def on_disk(*steps: Callable[[SimDisk], Awaitable[None]], seed: int = 1, between: Callable[[World], None]) -> SimDisk:
    """Run each step as the main function of host a, with ``between`` before the next incarnation."""

    async def scenario(world: World) -> SimDisk:
        host = world.host("a")
        for number, step in enumerate(steps):
            if number:
                between(world)

            async def main(host: Host, step: Callable[[SimDisk], Awaitable[None]] = step) -> None:
                await step(host.disk)
                await trio.sleep_forever()

            host.start(main)
            await trio.sleep(1)
        return host.disk

    return World(seed=seed).run(scenario).value


def crash(keep: Keep) -> Callable[[World], None]:
    return lambda world: world.crash("a", keep=keep)


async def nothing(disk: SimDisk) -> None:
    pass


async def write_and_sync(disk: SimDisk, data: bytes) -> None:
    file = await disk.open(F, "create")
    await file.write_at(0, data)
    await file.sync()
    await disk.sync_dir(Path("/"))


# The twin


@pytest.fixture(params=["real", "simulated"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Run a story on a disk of either kind, in an empty directory."""

    def run_it(story: Callable[[Disk, Path], Awaitable[None]]) -> None:
        if request.param == "real":
            trio.run(story, RealDisk(), tmp_path)
            return

        async def scenario(world: World) -> None:
            async def main(host: Host) -> None:
                await host.disk.make_dir(Path("/d"))
                await story(host.disk, Path("/d"))

            world.host("a").start(main)
            await world.host("a").wait_end()

        World(seed=1).run(scenario)

    return run_it


def test_both_disks_read_what_was_written(run: Run) -> None:
    """At any offset, with zeros in holes, and less only at the end."""

    async def story(disk: Disk, root: Path) -> None:
        file = await disk.open(root / "f", "create")
        await file.write_at(5, b"hello")
        await file.write_at(7, b"LL")
        assert await file.size() == 10
        assert await file.read_at(0, 100) == b"\0\0\0\0\0heLLo"
        assert await file.read_at(8, 1) == b"L"
        assert await file.read_at(50, 1) == b""
        await file.truncate(6)
        await file.sync()
        file.close()
        file.close()
        again = await disk.open(root / "f", "read")
        assert await again.read_at(0, 100) == b"\0\0\0\0\0h"
        with pytest.raises(OSError):  # noqa: PT011
            await again.write_at(0, b"x")

    run(story)


def test_both_disks_keep_names(run: Run) -> None:
    """Created, renamed over another, removed, listed in order; errors are the system's."""

    async def story(disk: Disk, root: Path) -> None:
        await disk.make_dir(root / "x" / "y")
        await disk.make_dir(root / "x" / "y")
        for name in "ba":
            file = await disk.open(root / "x" / name, "create")
            await file.write_at(0, name.encode())
        assert await disk.list_dir(root / "x") == ["a", "b", "y"]
        await disk.rename(root / "x" / "a", root / "x" / "b")
        assert await (await disk.open(root / "x" / "b", "read")).read_at(0, 9) == b"a"
        await disk.remove(root / "x" / "b")
        await disk.sync_dir(root / "x")
        assert await disk.list_dir(root / "x") == ["y"]
        with pytest.raises(FileExistsError):
            await disk.open((await _created(disk, root)), "create")
        for call in (disk.open(root / "no", "read"), disk.open(root / "no", "write"), disk.list_dir(root / "no")):
            with pytest.raises(FileNotFoundError):
                await call
        with pytest.raises(FileNotFoundError):
            await disk.remove(root / "no")
        with pytest.raises(FileNotFoundError):
            await disk.rename(root / "no", root / "yes")

    run(story)


async def _created(disk: Disk, root: Path) -> Path:
    await disk.open(root / "new", "create")
    return root / "new"


def test_both_disks_lock(run: Run) -> None:
    """A second one hears who holds it; released, it can be had."""

    async def story(disk: Disk, root: Path) -> None:
        lock = await disk.lock(root / "LOCK", "the first")
        with pytest.raises(BlockingIOError) as caught:
            await disk.lock(root / "LOCK", "the second")
        assert "the first" in str(caught.value.strerror)
        lock.release()
        lock.release()
        (await disk.lock(root / "LOCK", "the third")).release()

    run(story)


# What survives a crash


@pytest.mark.parametrize("keep", ["random", "lost", "kept", "torn", "cache"])
def test_what_was_synced_is_kept(keep: Keep) -> None:
    """Whatever happens to the rest."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"synced")
        file = await disk.open(F, "write")
        await file.write_at(6, b"unsynced")

    for seed in range(10):
        content = on_disk(write, nothing, seed=seed, between=crash(keep)).image()["/f"]
        assert content is not None
        assert content.startswith(b"synced")
        assert len(content) == {"lost": 6, "kept": 14, "cache": 14}.get(keep, len(content))


def test_after_a_kill_the_page_cache_is_still_not_durable() -> None:
    """A power cut after it loses what the killed process had not synced."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"synced")
        file = await disk.open(F, "write")
        await file.write_at(0, b"UN")

    def kill_then_crash(world: World) -> None:
        world.kill("a")
        assert world.host("a").disk.image() == {"/f": b"UNnced"}
        world.restart("a")
        world.crash("a", keep="lost")

    async def write_only_first(disk: SimDisk) -> None:
        if not disk.image():
            await write(disk)

    assert on_disk(write_only_first, nothing, between=kill_then_crash).image() == {"/f": b"synced"}


def test_torn_writes_are_whole_sectors() -> None:
    """Each sector has the new content or the old; often the first ones are new, but not always."""
    size = 8 * SECTOR_BYTES
    patterns: dict[tuple[bool, ...], int] = {}

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"o" * size)
        file = await disk.open(F, "write")
        await file.write_at(0, b"n" * size)

    for seed in range(60):
        content = on_disk(write, nothing, seed=seed, between=crash("torn")).image()["/f"]
        assert content is not None
        assert len(content) == size
        sectors = [content[at : at + SECTOR_BYTES] for at in range(0, size, SECTOR_BYTES)]
        assert all(sector in {b"o" * SECTOR_BYTES, b"n" * SECTOR_BYTES} for sector in sectors)
        pattern = tuple(sector[0] == ord("n") for sector in sectors)
        assert any(pattern)
        assert not all(pattern)
        patterns[pattern] = patterns.get(pattern, 0) + 1
    prefixes = sum(count for pattern, count in patterns.items() if list(pattern) == sorted(pattern, reverse=True))
    assert 20 < prefixes < 60


def test_unsynced_writes_are_reordered() -> None:
    """A later one may survive where an earlier one is lost."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"..")
        file = await disk.open(F, "write")
        await file.write_at(0, b"1")
        await file.write_at(1, b"2")

    outcomes = [on_disk(write, nothing, seed=seed, between=crash("random")).image()["/f"] for seed in range(30)]
    assert {b"..", b"1.", b".2", b"12"} == set(outcomes)


def test_names_are_lost_unless_their_directory_was_synced() -> None:
    """Creation, renaming and removal, each by itself; a renaming wholly or not at all."""

    async def prepare(disk: SimDisk) -> None:
        for name in ("/old", "/gone"):
            await disk.open(Path(name), "create")
        await disk.sync_dir(Path("/"))
        await disk.make_dir(Path("/dir"))
        await disk.open(Path("/created"), "create")
        await disk.rename(Path("/old"), Path("/new"))
        await disk.remove(Path("/gone"))

    assert list(on_disk(prepare, nothing, between=crash("lost")).image()) == ["/gone", "/old"]
    assert list(on_disk(prepare, nothing, between=crash("kept")).image()) == ["/created", "/dir", "/new"]
    seen = [on_disk(prepare, nothing, seed=seed, between=crash("random")).image() for seed in range(80)]
    assert all(("/old" in image) != ("/new" in image) for image in seen)
    assert len(dict.fromkeys(tuple(image) for image in seen)) == 16


def test_a_synced_file_without_a_synced_name_is_lost() -> None:
    """POSIX promises no more, and some file systems keep no more."""

    async def write(disk: SimDisk) -> None:
        file = await disk.open(F, "create")
        await file.write_at(0, b"synced")
        await file.sync()

    assert on_disk(write, nothing, between=crash("lost")).image() == {}


def test_a_sync_covers_what_was_written_before_it_began() -> None:
    """And nothing that is written while it runs."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"....")
        file = await disk.open(F, "write")
        await file.write_at(0, b"1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(file.sync)
            await trio.sleep(0.0001)
            await file.write_at(1, b"2")

    assert on_disk(write, nothing, between=crash("lost")).image() == {"/f": b"1..."}


# What else goes wrong


def test_after_a_failed_sync_the_next_one_succeeds_without_what_was_lost() -> None:
    """The lost pages are read back until the restart: as Linux does it."""
    lost = 0

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"....")
        file = await disk.open(F, "write")
        await file.write_at(0, b"1")
        with pytest.raises(OSError, match="Input/output"):
            await file.sync()
        await file.sync()
        assert await file.read_at(0, 4) == b"1..."

    async def armed(disk: SimDisk) -> None:
        await write(disk)

    for seed in range(10):

        async def scenario(world: World) -> bytes | None:
            world.operations.arm("a", "sync", nth=2, effect="sync_error")
            world.host("a").start(lambda host: armed(host.disk))
            await world.host("a").wait_end()
            return world.host("a").disk.image(durable=True)["/f"]

        content = World(seed=seed).run(scenario).value
        assert content in {b"....", b"1..."}
        lost += content == b"...."
    assert 0 < lost < 10


def test_a_lying_sync_makes_nothing_durable() -> None:
    """It returns, and that is all."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"1")
        disk.lies = True
        file = await disk.open(F, "write")
        await file.write_at(0, b"2")
        await file.sync()

    assert on_disk(write, nothing, between=crash("lost")).image() == {"/f": b"1"}


def test_a_full_disk_writes_what_fits_and_says_so() -> None:
    """Overwriting needs no room; there is room again when something is removed."""

    async def write(disk: SimDisk) -> None:
        disk.capacity_bytes = 10
        file = await disk.open(F, "create")
        await file.write_at(0, b"12345678")
        with pytest.raises(OSError, match="No space left"):
            await file.write_at(8, b"9abcd")
        assert await file.size() == 10
        await file.write_at(0, b"abcdefgh")
        await disk.open(Path("/g"), "create")
        await disk.remove(F)
        other = await disk.open(Path("/g"), "write")
        await other.write_at(0, bytes(10))

    assert on_disk(write, between=crash("lost")).used_bytes == 10


def test_rot_flips_one_durable_bit() -> None:
    """It is there after any number of restarts."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, bytes(1000))
        assert disk.rot("/f")
        assert not disk.rot("/g")

    async def read(disk: SimDisk) -> None:
        file = await disk.open(F, "read")
        data = await file.read_at(0, 1000)
        assert sum(byte.bit_count() for byte in data) == 1

    on_disk(write, read, read, between=crash("lost"))


def test_a_misdirected_write_shows_after_the_restart() -> None:
    """It destroys another sector, and its own place keeps the old content."""
    size = 4 * SECTOR_BYTES

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"o" * size)
        file = await disk.open(F, "write")
        await file.write_at(0, b"n" * SECTOR_BYTES)
        await file.sync()
        assert (await file.read_at(0, 1)) == b"n"

    found: list[bytes] = []
    for seed in range(8):

        async def scenario(world: World) -> bytes | None:
            world.operations.arm("a", "write", nth=2, effect="misdirect")
            world.host("a").start(lambda host: write(host.disk))
            await world.host("a").wait_end()
            return world.host("a").disk.image(durable=True)["/f"]

        content = World(seed=seed).run(scenario).value
        assert content is not None
        assert content.count(b"n") == SECTOR_BYTES
        found.append(content)
    assert any(content[0] == ord("o") for content in found)


@pytest.mark.parametrize(("operation", "effect"), [("read", "read_error"), ("write", "write_error")])
def test_reads_and_writes_fail_once_if_armed(operation: str, effect: str) -> None:
    """With EIO, in files whose path matches, and then no more."""

    async def scenario(world: World) -> int:
        failed = 0

        async def main(host: Host) -> None:
            nonlocal failed
            for name in ("/other", "/this"):
                file = await host.disk.open(Path(name), "create")
                for _ in range(3):
                    try:
                        await file.write_at(0, b"x")
                        await file.read_at(0, 1)
                    except OSError as error:
                        failed += error.filename == "/this"

        world.operations.arm("a", "read" if operation == "read" else "write", subject="/this", effect=effect)
        world.host("a").start(main)
        await world.host("a").wait_end()
        return failed

    assert World(seed=1).run(scenario).value == 1


def test_locks_die_with_their_process() -> None:
    """And hold as long as it is only paused."""

    async def lock(disk: SimDisk) -> None:
        await disk.lock(Path("/LOCK"), "me")

    on_disk(lock, lock, lock, between=lambda world: world.kill("a"))


def test_a_cancelled_write_is_finished_first() -> None:
    """As in the real disk, where a thread does it."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"..")
        file = await disk.open(F, "write")
        with trio.move_on_after(0.000_001) as scope:
            await file.write_at(0, b"12")
        assert not scope.cancelled_caught
        assert await file.read_at(0, 2) == b"12"

    on_disk(write, between=crash("lost"))


def test_a_backup_can_be_restored() -> None:
    """An image is the whole disk, and putting it back forgets all that came later."""

    async def write(disk: SimDisk) -> None:
        await write_and_sync(disk, b"old")
        image = disk.image()
        file = await disk.open(F, "write")
        await file.write_at(0, b"new")
        await file.sync()
        assert disk.image() == {"/f": b"new"}
        disk.replace(image)

    assert on_disk(write, nothing, between=crash("lost")).image() == {"/f": b"old"}
