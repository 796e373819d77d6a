"""Nodes whose network takes the place of an older one: their logs begin with its checkpoint, once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from hydra_sync import Address, Config, Member, Node, SeqRange, SigningKey, UsageError, create_store, open_node
from hydra_sync.batch import Batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.checkpoint import Checkpoint, Position
from hydra_sync.config import Restart
from hydra_sync.disk import RealDisk
from hydra_sync.encoding import encode_event
from hydra_sync.node.checkpoints import NONE, differences, origin
from hydra_sync.store import open_store, position_of
from tests.node.network import free_port, until
from tests.sync.pump import begin_epoch

KEYS = [SigningKey(bytes([n]) * 32) for n in (1, 2)]
OLD = Checkpoint("old", tuple(Position(member, EMPTY, b"") for member in sorted(key.member for key in KEYS)), b"state")


def configs(directory: Path, restart: Restart) -> list[Config]:
    members = tuple(
        Member(name, key.member, Address("127.0.0.1", free_port()))
        for name, key in zip(("alice", "bob"), KEYS, strict=True)
    )
    return [
        Config("new", key, members, directory / member.alias, listen=member.address, restart=restart)
        for key, member in zip(KEYS, members, strict=True)
    ]


async def own_events(node: Node) -> list[object]:
    stop = node.status().me.log.tip.next_seq
    return [event.value async for event in node.read(node.config.key.member, SeqRange(0, stop))]


@pytest.mark.parametrize("restart", ["prove", "trust-disk"])
async def test_the_application_appends_after_the_checkpoint(tmp_path: Path, restart: Restart) -> None:
    """However early it comes, and whatever ends the process in between; after a restart there is no second one."""
    alices, bobs = configs(tmp_path, restart)
    for config in (alices, bobs):
        await create_store(config, checkpoint=OLD)
    with trio.move_on_after(0):  # a process that ended at once
        async with open_node(alices):
            pass
    for number in range(2):
        async with open_node(alices) as alice, open_node(bobs) as bob:
            await alice.append(number)
            first, *rest = await own_events(alice)
            assert list(first)[:4] == ["hydra-sync checkpoint", 1, OLD.network, "old"]  # type: ignore[call-overload]
            assert rest == list(range(number + 1))
            await until(lambda: bob.status().me.log.tip.next_seq > 0, "bob to begin")
            assert not [line for line in alice.status().warnings if "checkpoint" in line]


async def test_a_checkpoint_of_the_network_itself_is_refused(tmp_path: Path) -> None:
    """Its signatures would mean something there."""
    config = configs(tmp_path, "prove")[0]
    checkpoint = Checkpoint(config.network, OLD.logs)
    with pytest.raises(UsageError, match="another name, or other members"):
        await create_store(config, checkpoint=checkpoint)
    assert not config.persistence_dir.exists()


async def test_a_position_is_where_a_batch_ends(tmp_path: Path) -> None:
    """The last one before, signed by its author; the whole log, or a part that begins nothing."""
    config = configs(tmp_path, "trust-disk")[0]
    await create_store(config)
    async with open_node(config) as node:
        await node.append_many(["a", "b", "c"])
        await node.append("d")
    async with open_store(
        RealDisk(),
        config.persistence_dir,
        members=config.keys,
        network=config.network_id,
        key=None,
        wall_clock=lambda: 0,
        holder="test",
        read_only=True,
    ) as store:
        log = store.log(config.key.member)
        ends = [(await position_of(log, "alice", stop)).tip.next_seq for stop in range(5)]
        assert ends == [0, 0, 0, 3, 4]
        position = await position_of(log, "alice", 4)
        assert position.tip == log.tip
        position.verify(config.network_id)


async def test_what_a_log_comes_from_is_sought_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An author may begin epoch after epoch and write nothing: each batch is looked at once, whatever follows it."""
    alices, bobs = configs(tmp_path, "trust-disk")
    await create_store(bobs)
    author, network = alices.key, alices.network_id
    log_of_epochs: list[Batch] = []
    for epoch in range(1, 41):
        before = Tip.after(log_of_epochs[-1]) if log_of_epochs else EMPTY
        log_of_epochs.append(begin_epoch(author, [bobs.key], network, before, epoch))
    end = Tip.after(log_of_epochs[-1])
    async with open_node(bobs) as bob:
        engine, log = bob._engine, bob._engine.store.log(author.member)
        looked: list[int] = []
        read = log.read

        async def counted(start_seq: int, stop_seq: int, bytes_max: int) -> list[Batch]:
            batches = await read(start_seq, stop_seq, bytes_max)
            looked.extend(batch.header.first_seq for batch in batches)
            return batches

        def comes_from(event: bytes) -> bool:
            return engine.origins.get(author.member) == origin(event)

        monkeypatch.setattr(log, "read", counted)
        for batch in log_of_epochs:
            await log.commit([batch])
            await trio.testing.wait_all_tasks_blocked()
        assert looked == list(range(40))
        assert author.member not in engine.origins
        for event, at in ((encode_event(1), end), (OLD.event(), Tip.after(log_of_epochs[30]))):
            batch = seal_batch(
                author, network, [event], epoch=at.epoch, first_seq=at.next_seq, time_us=0, prev_hash=at.hash
            )
            await log.rebranch(at.next_seq, [batch])
            await until(partial(comes_from, event))
        # The store itself reads what the other branch is to stand on, and whether it has that already.
        assert looked[40:] == [40, 30, 31, 31]


def test_who_took_over_something_else_is_named(tmp_path: Path) -> None:
    """Of those whose first event is known; and our own may be still to come."""
    config = configs(tmp_path, "prove")[0]
    alice, bob = config.find("alice"), config.find("bob")
    event, other = OLD.event(), Checkpoint("old", OLD.logs).event()
    assert differences(config, event, {}) == ()
    assert differences(config, event, {bob: origin(event)}) == ()
    assert differences(config, None, {bob: NONE, alice: NONE}) == ()
    for own, theirs, said in (
        (event, origin(other), "begins with another checkpoint"),
        (event, origin(b"\x01"), "begins without the checkpoint"),
        (None, origin(event), "begins with a checkpoint of an older network"),
    ):
        (line,) = differences(config, own, {bob: theirs})
        assert line.startswith(f"bob's log {said}")
    assert differences(config, None, {bob: origin(event), alice: origin(event)}) == ()
