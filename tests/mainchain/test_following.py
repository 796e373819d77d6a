"""A head and layer 1 kept together on a real node: what is posted, when, and how often; and where observing resumes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from hydra_sync.head import HeadMachine, SimpleLedger, Status
from hydra_sync.head.commands import Point
from hydra_sync.head.events import PostTx
from hydra_sync.head.state import State
from hydra_sync.mainchain import DevChain, Line, drive
from hydra_sync.runtime import Runtime, open_machine
from tests.node.network import Network, NetworkMaker, until

POLL_S = 0.01
SHORT_S = 0.3  # long enough for what must not happen


@dataclass
class Chain:
    """A development chain that remembers who asked what; with ``silent`` it takes posts and makes no block."""

    chain: DevChain = field(default_factory=lambda: DevChain(()))
    silent: bool = False
    posted: list[PostTx] = field(default_factory=list)
    asked: list[Point] = field(default_factory=list)
    reachable: trio.Event | None = None
    """Until this nothing is told of it; posts arrive all the same."""

    def add(self, line: Line | str | None) -> None:
        assert isinstance(line, Line), line
        self.chain.lines.append(line)

    async def post(self, post: PostTx) -> str | None:
        await trio.lowlevel.checkpoint()
        self.posted.append(post)
        if self.silent:
            return None
        line = self.chain.post(post, 0)
        if isinstance(line, str):
            return line
        self.add(line)
        return None

    async def known(self, point: Point) -> Sequence[Line]:
        await trio.lowlevel.checkpoint()
        self.asked.append(point)
        if self.reachable is not None:
            await self.reachable.wait()
        return self.chain.lines[self.chain.after(point) :]

    async def after(self, point: Point) -> Sequence[Line]:
        while not (lines := self.chain.lines[self.chain.after(point) :]):  # noqa: ASYNC110  the other end is a list
            await trio.sleep(POLL_S)
        return lines

    @property
    def kinds(self) -> list[str]:
        return [post.kind for post in self.posted]


@asynccontextmanager
async def machine(network: Network) -> AsyncIterator[Runtime[State]]:
    """alice's node with a head on it, that nobody drives."""
    key = network.configs["alice"].key
    async with (
        network.node("alice") as node,
        open_machine(node, HeadMachine(key.member, SimpleLedger(), key)) as runtime,
    ):
        yield runtime


@asynccontextmanager
async def driven(network: Network, chain: Chain, told: list[str] | None = None) -> AsyncIterator[Runtime[State]]:
    """The same, and it follows the chain."""
    async with machine(network) as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: drive(runtime, chain, tell=([] if told is None else told).append))
        yield runtime
        nursery.cancel_scope.cancel()


def init(network: Network) -> tuple[object, ...]:
    return ("Init", tuple(config.key.member for config in network.configs.values()), 60)


def status(runtime: Runtime[State]) -> Status:
    return runtime.state.stage.status


async def test_what_is_decided_is_posted_and_what_it_makes_is_observed(make_network: NetworkMaker) -> None:
    """The whole life of a head; each post once, though its decision stays in the state until layer 1 moves."""
    network, chain = make_network("alice"), Chain()
    async with driven(network, chain) as runtime:
        await runtime.submit(init(network))
        await until(lambda: status(runtime) is Status.OPEN)
        await runtime.submit(("Close",))
        await until(lambda: status(runtime) is Status.CLOSED)
        chain.add(chain.chain.tick(10**9))
        await until(lambda: status(runtime) is Status.FANOUT_POSSIBLE)
        await runtime.submit(("Fanout",))
        await until(lambda: status(runtime) is Status.FINAL)
    assert chain.kinds == ["Init", "Close", "Fanout"]


async def test_a_post_that_layer_1_has_not_answered_is_not_repeated(make_network: NetworkMaker) -> None:
    """Whatever else the head does meanwhile; another decision is posted, though."""
    network, chain = make_network("alice"), Chain(silent=True)
    async with driven(network, chain) as runtime:
        await runtime.submit(init(network))
        await until(lambda: chain.kinds == ["Init"])
        await runtime.submit(init(network))
        await trio.sleep(SHORT_S)
        assert chain.kinds == ["Init"]
        await runtime.submit((*init(network)[:2], 61))
        await until(lambda: chain.kinds == ["Init", "Init"])
        assert [post.contestation_s for post in chain.posted] == [60, 61]


async def test_a_post_waits_until_its_decision_is_stable(make_network: NetworkMaker) -> None:
    """What only this disk holds could be lost, and decided otherwise."""
    network, chain = make_network("alice", "bob"), Chain()
    async with driven(network, chain) as runtime:
        with trio.move_on_after(SHORT_S):
            await runtime.submit(init(network))
        assert [post.kind for post in runtime.state.posts] == ["Init"], "it is decided, and durable here"
        assert chain.kinds == []
        async with network.node("bob"):
            await until(lambda: chain.kinds == ["Init"])


async def test_a_post_that_has_become_needless_before_it_was_stable_is_not_made(make_network: NetworkMaker) -> None:
    """Another member opened the head meanwhile."""
    network, chain = make_network("alice", "bob"), Chain()
    async with driven(network, chain) as runtime:
        with trio.move_on_after(SHORT_S):
            await runtime.submit(init(network))
        (post,) = runtime.state.posts
        chain.add(chain.chain.post(post, 0))
        await until(lambda: status(runtime) is Status.OPEN)
        async with network.node("bob"):
            await runtime.node.wait_stable(runtime.node.status().me.log.tip.next_seq - 1)
            await trio.sleep(SHORT_S)
        assert chain.kinds == []


async def test_what_was_decided_before_a_crash_is_posted_after_it(make_network: NetworkMaker) -> None:
    """The node died between its decision and the post."""
    network, chain = make_network("alice", "bob"), Chain()
    async with network.node("bob"):
        async with machine(network) as runtime:
            await runtime.submit(init(network))
        async with driven(network, chain) as runtime:
            await until(lambda: status(runtime) is Status.OPEN)
    assert chain.kinds == ["Init"]


async def test_what_layer_1_has_answered_meanwhile_is_not_posted_after_a_crash(make_network: NetworkMaker) -> None:
    """The head was opened by another member, and is over: the old Init would open a second one."""
    network, chain = make_network("alice", "bob"), Chain()
    async with network.node("bob"), machine(network) as runtime:
        await runtime.submit(init(network))
        (post,) = runtime.state.posts
    line = chain.chain.post(post, 0)
    chain.add(line)
    assert isinstance(line, Line)
    head = line.fact[1]
    assert isinstance(head, bytes)
    chain.add(chain.chain.post(PostTx("Close", head, 0, 0, bytes(32), (), 0), 0))
    chain.add(chain.chain.tick(10**9))
    chain.add(chain.chain.post(PostTx("Fanout", head, 0, 0, bytes(32), (), 0), 0))
    chain.reachable = trio.Event()
    async with network.node("bob"), driven(network, chain) as runtime:
        await runtime.node.wait_stable(runtime.node.status().me.log.tip.next_seq - 1)
        await trio.sleep(SHORT_S)
        assert chain.kinds == [], "it is stable, and layer 1 has not been looked at"
        chain.reachable.set()
        await until(lambda: status(runtime) is Status.FINAL)
        await trio.sleep(SHORT_S)
        assert chain.kinds == []
        await runtime.submit(init(network))  # what is asked for now is posted
        await until(lambda: status(runtime) is Status.OPEN)
    assert chain.kinds == ["Init"]


async def test_observing_resumes_where_it_was(make_network: NetworkMaker) -> None:
    """Nothing is observed twice, and nothing that happened meanwhile is missed."""
    network, chain, told = make_network("alice"), Chain(), list[str]()
    async with driven(network, chain, told) as runtime:
        await runtime.submit(init(network))
        await until(lambda: status(runtime) is Status.OPEN)
        point = runtime.state.point
        head = runtime.state.stage.head or b""
    assert point == chain.chain.lines[0].point
    chain.add(chain.chain.post(PostTx("Close", head, 0, 0, bytes(32), (), 0), 0))
    chain.asked.clear()
    async with driven(network, chain, told) as runtime:
        await until(lambda: status(runtime) is Status.CLOSED)
    assert chain.asked[0] == point
    assert told == []


async def test_what_layer_1_refuses_and_what_the_head_passes_over_is_told(make_network: NetworkMaker) -> None:
    """With the reason; and following goes on."""
    network, chain, told = make_network("alice"), Chain(), list[str]()
    async with driven(network, chain, told) as runtime:
        await runtime.submit((*init(network)[:2], 1 << 40))
        await until(lambda: len(told) == 1)
        assert told[0].startswith("layer 1 refused Init: a contestation period has at most")
        others = PostTx("Init", b"", 0, 0, b"", (bytes(range(32)),), 60)
        line = chain.chain.post(others, 0)
        chain.add(line)
        await until(lambda: len(told) == 2)
        assert told[1].startswith("HeadOpened of slot 1 was passed over: ")
        assert isinstance(line, Line)
        chain.add(chain.chain.roll_back(1))
        await until(lambda: len(told) == 3)
        await runtime.submit(init(network))
        await until(lambda: status(runtime) is Status.OPEN)
