"""A machine on running nodes: exactly once, durable before visible, the same state after every restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TypeVar

import pytest
import trio

from hydra_sync import Config, Event, Node, Seams, SeqRange, UnavailableError, UsageError
from hydra_sync.batch import Batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.encoding import encode_event
from hydra_sync.errors import ForkedError
from hydra_sync.identity import MemberKey
from hydra_sync.limits import EVENT_BYTES_MAX, EVENT_DEPTH_MAX
from hydra_sync.machine import (
    Alarm,
    CheckpointPart,
    Command,
    Consumed,
    Decided,
    Forked,
    Heard,
    Input,
    Machine,
    MachineError,
    Progress,
    Record,
    RejectedError,
    state_hash,
)
from hydra_sync.runtime import Read, Runtime, fold, fold_from_checkpoint, open_machine, replay_check
from hydra_sync.runtime import runtime as runtime_module
from hydra_sync.runtime.folding import Folded, ReadRange
from hydra_sync.runtime.history import entered
from hydra_sync.sync import Forked as ForkNotice
from hydra_sync.tutorial import Bank, Entries, ReplicatedMap
from tests.node.forged import write_log
from tests.node.network import PATIENCE_S, Network, NetworkMaker, until
from tests.node.test_disk_trouble import TroubledDisk

S = TypeVar("S")


class Counter:
    """Counts what it hears; decides an event for each command, and may be told to fail."""

    name = "counter"
    start: tuple[object, ...] = ()

    def __init__(self, alarm_us: int | None = None) -> None:
        self._alarm_us = alarm_us

    def decide(self, state: tuple[object, ...], cause: Input) -> Sequence[object]:
        match cause:
            case Command("reject"):
                raise RejectedError("as you wish")
            case Command("break"):
                raise ValueError("broken")
            case Command("large"):
                return (b"x" * 600_000, b"y" * 600_000)
            case Command("list"):
                return ([1, 2],)
            case Command(("many", int(count))):
                return tuple(range(count))
            case Command(content):
                return (content,)
        return ()

    def evolve(self, state: tuple[object, ...], record: Record) -> tuple[object, ...]:
        match record:
            case Heard(_, content):
                return (*state, ("heard", content))
            case Decided(content):
                return (*state, ("decided", content))
            case Alarm():
                return (*state, "alarm")
        return state

    def hears(self, content: object) -> bool:
        return content != "private"

    def alarm_us(self, state: tuple[object, ...]) -> int | None:
        return None if "alarm" in state else self._alarm_us

    def freeze(self, state: tuple[object, ...]) -> object:
        return state

    def thaw(self, frozen: object) -> tuple[object, ...]:
        assert isinstance(frozen, tuple)
        return frozen


def values(runtime: Runtime[Entries]) -> dict[str, object]:
    return {key: entry.value for key, entry in sorted(runtime.state.items())}


def decisions(runtime: Runtime[tuple[object, ...]]) -> list[object]:
    return [one[1] for one in runtime.state if isinstance(one, tuple) and one[0] == "decided"]


async def entries(network: Network, name: str) -> list[object]:
    async with network.node(name) as node:
        stop = node.status().me.log.tip.next_seq
        return [found.entry async for event in node.read(name, SeqRange(0, stop)) if (found := entered(event))]


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = (value,)
    return value


async def test_a_map_becomes_equal_on_all_nodes_and_is_there_after_a_restart(make_network: NetworkMaker) -> None:
    """Every put reaches every map once; a node that restarts alone has its own state before it meets anybody."""
    network = make_network("alice", "bob", "carol")
    async with (
        network.node("alice") as alice,
        network.node("bob") as bob,
        network.node("carol") as carol,
        open_machine(alice, ReplicatedMap()) as a,
        open_machine(bob, ReplicatedMap()) as b,
        open_machine(carol, ReplicatedMap()) as c,
    ):
        await a.submit(("put", "colour", "red"))
        await b.submit(("put", "size", 5))
        await until(lambda: len(values(c)) == 2 and len(values(a)) == 2, "both puts")
        await c.submit(("put", "colour", "blue"))
        await until(lambda: values(a) == values(b) == values(c) == {"colour": "blue", "size": 5}, "the same map")
        hashes = {state_hash(ReplicatedMap().freeze(one.state)) for one in (a, b, c)}
        assert len(hashes) == 1
    async with network.node("alice") as alice, open_machine(alice, ReplicatedMap()) as a:
        assert values(a) == {"colour": "blue", "size": 5}


async def test_each_input_is_one_batch_with_what_it_decided(make_network: NetworkMaker) -> None:
    """In the log a consumed event or a command is followed by its decisions, under one signature; with nothing
    new, nothing more is written."""
    network = make_network("alice", "bob")
    async with (
        network.node("alice") as alice,
        network.node("bob") as bob,
        open_machine(alice, Counter()) as a,
        open_machine(bob, Counter()) as b,
    ):
        done = await a.submit(("many", 3))
        assert done.decided == (0, 1, 2)
        await a.submit("private")
        await until(lambda: b.state == (("heard", 0), ("heard", 1), ("heard", 2)), "bob to hear")
        await until(lambda: [("heard", n) in a.state for n in range(3)] == [True] * 3, "alice to hear herself")
        stop = alice.status().me.log.tip.next_seq
        events = [event async for event in alice.read("alice", SeqRange(done.seq - 3, stop))]
        assert len({event.batch_hash for event in events[:4]}) == 1
        assert [found.entry for event in events[:4] if (found := entered(event))][1:] == [Decided(n) for n in range(3)]
        await trio.sleep(0.2)
        assert alice.status().me.log.tip.next_seq == stop
    assert [entry.place.seq for entry in await entries(network, "bob") if isinstance(entry, Consumed)] == [2, 3, 4]


async def test_a_command_is_refused_with_the_machines_words(make_network: NetworkMaker) -> None:
    """A rejected command leaves no record; one that is no plain CBOR never reaches the machine."""
    network = make_network("alice")
    async with network.node("alice") as alice, open_machine(alice, Counter()) as a:
        before = alice.status().me.log.tip.next_seq
        with pytest.raises(RejectedError, match="as you wish"):
            await a.submit("reject")
        with pytest.raises(UsageError, match="plain CBOR"):
            await a.submit(1 << 70)
        for content in (bytes(EVENT_BYTES_MAX - 8), nested(EVENT_DEPTH_MAX)):  # the command fits, its record not
            with pytest.raises(UsageError):
                await a.submit(content)
        assert alice.status().me.log.tip.next_seq <= max(before, 1)
        await a.submit("good")
        assert ("decided", "good") in a.state


async def test_a_command_is_answered_when_no_crash_takes_it_back_any_more(make_network: NetworkMaker) -> None:
    """Stable means on a majority: without one there is no answer, and nothing is heard, unless durable is enough."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice:
        async with open_machine(alice, Counter()) as a:
            with trio.move_on_after(0.3) as scope:
                await a.submit("lonely")
            assert scope.cancelled_caught
            assert a.state == (("decided", "lonely"),)
        async with open_machine(alice, Counter(), outputs="durable") as a:
            await a.submit("durable")
            assert a.state == (("decided", "lonely"), ("decided", "durable"))
            async with network.node("bob"):
                await until(lambda: len(a.state) == 4, "alice to hear herself")
        async with network.node("bob"), open_machine(alice, Counter()) as a:
            assert (await a.submit("together")).decided == ("together",)


@pytest.mark.parametrize(
    ("command", "words"),
    [("break", "ValueError: broken"), ("large", "more than a batch holds"), ("list", "tuples")],
)
async def test_a_machine_that_fails_stops_and_the_node_goes_on(
    make_network: NetworkMaker, command: str, words: str
) -> None:
    """The failure names the input; nothing of it is in the log; commands before it stand, later ones are refused."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice, network.node("bob") as bob, open_machine(alice, Counter()) as a:
        results: list[object] = []

        async def submit(content: object) -> None:
            try:
                results.append((await a.submit(content)).decided)
            except MachineError as error:
                results.append(str(error))

        await submit("one")
        async with trio.open_nursery() as nursery:
            for content in (command, "two"):
                nursery.start_soon(submit, content)
        assert ("one",) in results
        assert [one for one in results if isinstance(one, str) and words in one]
        assert a.failure is not None
        with pytest.raises(MachineError, match=words):
            await a.submit("later")
        assert await bob.append("still alive", replicas=1) == 0
    recorded = [(entry.content,) for entry in await entries(network, "alice") if isinstance(entry, Command)]
    assert recorded == [result for result in results if isinstance(result, tuple)]


async def test_an_alarm_comes_when_it_is_due_and_is_recorded(make_network: NetworkMaker) -> None:
    """The machine is woken once, by the wall clock that it was given, and remembers it after a restart."""
    network = make_network("alice")
    clock = iter(range(0, 10**9, 20_000))
    async with (
        network.node("alice") as alice,
        open_machine(alice, Counter(alarm_us=100_000), wall_clock=partial(next, clock)) as a,
    ):
        await until(lambda: "alarm" in a.state, "the alarm")
        await a.submit("on")
        assert a.state.count("alarm") == 1
    alarms = [entry for entry in await entries(network, "alice") if isinstance(entry, Alarm)]
    assert len(alarms) == 1
    assert alarms[0].now_us >= 100_000


async def test_a_checkpoint_and_its_tail_are_the_whole_log(make_network: NetworkMaker) -> None:
    """The fold from the last checkpoint, of any size, is the fold of everything; it reads the tail only."""
    network = make_network("alice")
    async with network.node("alice") as alice, open_machine(alice, Counter(), checkpoint_bytes_min=1 << 20) as a:
        for _ in range(12):
            await a.submit(b"x" * 300_000)
        await until(lambda: len(a.state) == 24, "everything to be heard")
        state = a.state
    async with network.node("alice") as alice:
        stop = alice.status().me.log.tip.next_seq
        read = partial(alice.read, "alice")
        contents = partial(alice.follow, delivery="eager")
        whole = await fold(Counter(), read(SeqRange(0, stop)), contents)
        tail = await fold_from_checkpoint(Counter(), read, stop, contents)
        assert whole.progress == tail.progress
        assert whole.progress.state == state
        assert tail.checkpoint_bytes > 1 << 20  # several pieces
        assert 0 < tail.records < whole.records
        checked = await replay_check(Counter(), read(SeqRange(0, stop)), contents)
        assert (checked.difference, checked.checkpoints > 1, checked.progress) == (None, True, whole.progress)


async def test_a_checkpoint_comes_when_it_is_worth_it(make_network: NetworkMaker) -> None:
    """Not before so much of the log, and so many times the one before, was written since; a restart counts on."""
    network = make_network("alice")
    for _ in range(4):
        async with network.node("alice") as alice, open_machine(alice, Counter(), checkpoint_bytes_min=2_000) as a:
            for _ in range(10):
                await a.submit(bytes(100))
    async with network.node("alice") as alice:
        stop = alice.status().me.log.tip.next_seq
        since, least, sizes = 0, 2_000, []
        async for event in alice.read("alice", SeqRange(0, stop)):
            if (found := entered(event)) and isinstance(found.entry, CheckpointPart):
                assert since >= least
                since, least = 0, max(2_000, runtime_module.CHECKPOINT_SHARE * len(found.entry.data))
                sizes.append(len(found.entry.data))
            else:
                since += len(event.data)
        assert since < least + 1_000
        assert len(sizes) >= 2
        assert sizes == sorted(sizes)


async def test_a_full_disk_is_waited_for(make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was decided waits until there is room, and becomes durable then, once and in its place."""
    monkeypatch.setattr(runtime_module, "AGAIN_S", 0.05)
    network = make_network("alice")
    disk = TroubledDisk()
    async with network.node("alice", seams=Seams(disk=disk)) as alice, open_machine(alice, Counter()) as a:
        await a.submit("before")
        disk.full = True
        with trio.move_on_after(0.3) as scope:
            await a.submit(bytes(200_000))
        assert scope.cancelled_caught
        assert (a.failure, decisions(a)) == (None, ["before"])
        disk.full = False
        await a.submit("after")
        assert decisions(a) == ["before", bytes(200_000), "after"]


async def test_replay_finds_a_machine_that_decides_otherwise(make_network: NetworkMaker) -> None:
    """Each input is decided on again: a changed rule shows at the first input that it changes."""

    class Generous(Bank):
        def decide(self, state: object, cause: Input) -> Sequence[object]:
            match cause:
                case Command(("pay", payee, 3)):
                    return (("paid", payee, 4),)
            return super().decide(state, cause)  # type: ignore[arg-type]

    network = make_network("alice", "bob")
    keys = {name: network.configs[name].key.member for name in ("alice", "bob")}
    opening = {keys["alice"]: 10, keys["bob"]: 10}
    async with (
        network.node("alice") as alice,
        network.node("bob") as bob,
        open_machine(alice, Bank(keys["alice"], opening)) as a,
        open_machine(bob, Bank(keys["bob"], opening)) as b,
    ):
        await a.submit(("pay", keys["bob"], 2))
        seq = (await a.submit(("pay", keys["bob"], 3))).seq - 1
        with pytest.raises(RejectedError, match="6 is more than the 5"):
            await a.submit(("pay", keys["bob"], 6))
        await until(lambda: b.state.balances[keys["bob"]] == 15, "the money")
        await until(lambda: a.state.under_way == 0, "alice to hear herself")
        assert a.state.money == b.state.money == 20
        stop = alice.status().me.log.tip.next_seq
        read, contents = partial(alice.read, "alice"), partial(alice.follow, delivery="eager")
        good = await replay_check(Bank(keys["alice"], opening), read(SeqRange(0, stop)), contents)
        assert (good.difference, good.inputs, good.decided) == (None, 4, 2)
        bad = await replay_check(Generous(keys["alice"], opening), read(SeqRange(0, stop)), contents)
        assert bad.difference is not None
        assert bad.difference.seq == seq
        # Time travel, by another member, from its replica alone.
        there = await fold(Bank(keys["alice"], opening), bob.read("alice", SeqRange(0, seq)), contents)
        assert there.progress.state.balances[keys["alice"]] == 8


async def test_another_machines_log_is_refused(make_network: NetworkMaker) -> None:
    """A log begun by one machine is not taken up by another."""
    network = make_network("alice")
    async with network.node("alice") as alice:
        async with open_machine(alice, Counter()) as a:
            await a.submit("one")
        with pytest.raises(MachineError, match="'counter', not of 'tutorial/map'"):
            async with open_machine(alice, ReplicatedMap()):
                pass


async def test_a_log_that_heard_an_event_twice_is_refused(make_network: NetworkMaker) -> None:
    """As two runtimes on one node write it: the fold says so, and does not wait for what it has passed."""
    network = make_network("alice")
    async with network.node("alice") as alice:
        async with open_machine(alice, Counter()) as a:
            await a.submit("one")
            await until(lambda: ("heard", "one") in a.state, "alice to hear herself")
        stop = alice.status().me.log.tip.next_seq
        (consumed,) = [event async for event in alice.read("alice", SeqRange(stop - 1, stop))]
        await alice.append_encoded([consumed.data])
        with trio.fail_after(PATIENCE_S), pytest.raises(MachineError, match="heard twice"):
            async with open_machine(alice, Counter()):
                pass


async def test_values_of_others_in_the_logs_are_passed_over(make_network: NetworkMaker) -> None:
    """Events that no machine wrote, own ones and others', are neither inputs nor in the way."""
    network = make_network("alice", "bob")
    async with network.node("alice") as alice, network.node("bob") as bob, open_machine(alice, Counter()) as a:
        await bob.append_many(["text", ["consumed", 1], ["decided"], {"decided": 1}, [1, 2]])
        await alice.append(["decided"])
        await bob.append(["decided", "heard"])
        await until(lambda: a.state == (("heard", "heard"),), "the one decision")


def test_progress_comes_back_from_a_checkpoint() -> None:
    """Cursors and forks are part of it; another machine's, or garbage, is refused."""
    member = MemberKey(bytes([7]) * 32)
    state: tuple[object, ...] = (("heard", 1),)
    progress = Progress(state, {member: 5}, frozenset([member]))
    data = progress.encode(Counter())
    assert Progress.decode(Counter(), data) == progress
    for bad in (ReplicatedMap().name, "x"):
        other = Counter()
        other.name = bad
        with pytest.raises(MachineError):
            Progress.decode(other, data)
    for garbage in (b"", b"\x80", b"\x84\x67counter\x01\x02\x03"):
        with pytest.raises(MachineError):
            Progress.decode(Counter(), garbage)


class Troubled:
    """Stands in for a node's way to follow logs: one log forks, another cannot be read the first time."""

    def __init__(self, node: Node, forked: MemberKey, damaged: MemberKey) -> None:
        self._node, self._forked, self._damaged, self._left = node, forked, damaged, 1

    def __getattr__(self, name: str) -> object:
        return getattr(self._node, name)

    def follow(self, log: MemberKey, start: int = 0, **options: object) -> AsyncIterator[Event]:
        if log == self._forked:
            return raising(ForkedError("two histories"))
        if log == self._damaged and self._left:
            self._left -= 1
            return raising(UnavailableError("a hole"))
        return self._node.follow(log, start)


class raising:  # noqa: N801  as a function would be called
    """An iterator that has nothing but an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __aiter__(self) -> raising:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        raise self._error


async def test_a_fork_is_an_input_once_and_a_hole_is_tried_again(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a member that signed two histories nothing more is heard, also after a restart; damage passes."""
    monkeypatch.setattr(runtime_module, "AGAIN_S", 0.05)
    network = make_network("alice", "bob", "carol")
    keys = {name: network.configs[name].key.member for name in network.names}
    async with network.node("alice") as alice, network.node("bob") as bob, network.node("carol") as carol:
        await bob.append(["decided", "from bob"])
        await carol.append(["decided", "from carol"])
        for damaged in (keys["carol"], keys["alice"]):
            troubled = Troubled(alice, forked=keys["bob"], damaged=damaged)
            async with open_machine(troubled, Counter()) as a:  # type: ignore[arg-type]  # it behaves as one
                await until(lambda: a.state == (("heard", "from carol"),), "carol's event")
                await until(lambda: a.progress.forked == {keys["bob"]}, "the fork")
    forks = [entry for entry in await entries(network, "alice") if isinstance(entry, Forked)]
    assert forks == [Forked(keys["bob"], 0)]


async def test_one_machine_at_a_time_runs_on_a_node(make_network: NetworkMaker) -> None:
    """A second one would write into the first one's log; it is refused, and the first goes on."""
    network = make_network("alice")
    async with network.node("alice") as alice:
        async with open_machine(alice, Counter()) as a:
            with pytest.raises(UsageError, match="'counter' runs on this node already"):
                async with open_machine(alice, Counter()):
                    pass
            await a.submit("on")
        async with open_machine(alice, Counter()) as a:
            assert ("decided", "on") in a.state


class Fragile(Counter):
    """Fails where nobody expects a decision."""

    def hears(self, content: object) -> bool:
        if content == "break its ears":
            raise KeyError("ears")
        return True

    def alarm_us(self, state: tuple[object, ...]) -> int | None:
        if ("decided", "break its clock") in state:
            raise KeyError("clock")
        return None


@pytest.mark.parametrize("command", ["break its ears", "break its clock"])
async def test_whatever_a_machine_raises_is_its_failure(make_network: NetworkMaker, command: str) -> None:
    """Also where it is not decided: commands that wait are answered, later ones refused, the node goes on."""
    network = make_network("alice")
    async with network.node("alice") as alice, open_machine(alice, Fragile(), outputs="durable") as a:
        await a.submit(command)
        await until(lambda: a.failure is not None, "the failure")
        with trio.fail_after(5), pytest.raises(MachineError, match="KeyError"):
            await a.submit("later")
        await alice.append("still alive")


async def test_a_disk_that_cannot_be_read_once_is_read_again(
    make_network: NetworkMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is rebuilt a little later; what cannot be read at all is told."""
    monkeypatch.setattr(runtime_module, "AGAIN_S", 0.01)
    network = make_network("alice")
    async with network.node("alice") as alice:
        async with open_machine(alice, Counter()) as a:
            await a.submit("one")
        left = [2]

        async def failing(machine: Machine[S], own: ReadRange, stop: int, contents: Read) -> Folded[S]:
            if left[0]:
                left[0] -= 1
                raise UnavailableError("the disk")
            return await fold_from_checkpoint(machine, own, stop, contents)

        monkeypatch.setattr(runtime_module, "fold_from_checkpoint", failing)
        async with open_machine(alice, Counter()) as a:
            assert ("decided", "one") in a.state
        left[0] = 99
        with pytest.raises(UnavailableError, match="the disk"):
            async with open_machine(alice, Counter()):
                pass


def branch(config: Config, words: Sequence[str], after: Tip) -> list[Batch]:
    """Events of a machine, a batch each."""
    batches: list[Batch] = []
    for word in words:
        tip = Tip.after(batches[-1]) if batches else after
        event = encode_event(["decided", word])
        sealed = seal_batch(
            config.key,
            config.network_id,
            [event],
            epoch=0,
            first_seq=tip.next_seq,
            time_us=1_700_000_000_000_000,
            prev_hash=tip.hash,
        )
        batches.append(sealed)
    return batches


async def test_what_was_heard_before_a_fork_was_proven_stays_in_the_state(make_network: NetworkMaker) -> None:
    """bob heard alice's one history beyond the fork; when he restarts, knowing of it, his state is what it was."""
    network = make_network("alice", "bob", "carol")
    config = network.configs["alice"]
    common = branch(config, ["common"], EMPTY)
    for name, word in (("bob", "left"), ("carol", "right")):
        await network.init(name)
        log = [*common, *branch(config, [word], Tip.after(common[-1]))]
        write_log(network.configs[name].persistence_dir, config.key.member, log)
        if name == "bob":
            heard = [["consumed", config.key.member, 0, seq, batch.hash] for seq, batch in enumerate(log)]
    async with network.node("bob") as bob, network.node("carol"):
        await bob.append_many([["machine", "counter"], *heard])
        await until(lambda: bool(network.told("bob", ForkNotice)), "the proof")
        with trio.fail_after(10):
            async with open_machine(bob, Counter(), outputs="durable") as b:
                assert b.state == (("heard", "common"), ("heard", "left"))
                await until(lambda: b.progress.forked == {config.key.member}, "the fork")
