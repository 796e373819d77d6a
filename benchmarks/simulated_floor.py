"""What the least program would cost in a simulated world: the floor under `simulated_time`.

    python benchmarks/simulated_floor.py [--nodes 5] [--rates 1,100] [--events 2500]

It does for each event what no node can leave out, and nothing else: the author encodes, signs and syncs it and
sends it to all others; each of these parses and checks it, syncs it, and shows its author how far it is; the
author tells all when a majority has it. These are the formats, the sockets and the disks of the simulation, with
the trace on. There are no tasks but those that read, no other decisions, no recovery, no flow control, no
applications and no invariants. With five nodes, an event takes 12 frames and 5 syncs.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from hydra_sync.batch import parse_batches, seal_batch
from hydra_sync.chain import EMPTY, Tip, link
from hydra_sync.encoding import encode_event
from hydra_sync.identity import MemberKey, NetworkId, network_id
from hydra_sync.tasks import Turn
from hydra_sync.testing.cluster.identities import signing_key
from hydra_sync.testing.world.host import Host
from hydra_sync.testing.world.world import World
from hydra_sync.wire import Data, FrameReader, LogTip, Message, Stable, Tips, encode_frame

PORT: Final = 1
EVENT: Final = ["n0", 1, b"x" * 200]


class Least:
    """One node, of the least that could be one."""

    def __init__(self, name: str, names: list[str], network: NetworkId) -> None:
        self.key = signing_key(name)
        self.names = {signing_key(other).member: other for other in names if other != name}
        self.network = network
        self.tips: dict[MemberKey, Tip] = defaultdict(lambda: EMPTY)
        self.shown: dict[int, int] = defaultdict(int)
        self.streams: dict[MemberKey, tuple[trio.SocketStream, Turn]] = {}

    async def main(self, host: Host) -> None:
        self.disk = host.disk
        await self.disk.make_dir(Path("/data"))
        self.files = {
            member: await self.disk.open(Path(f"/data/{member.hex()}"), "create")
            for member in (self.key.member, *self.names)
        }
        await trio.serve_tcp(self.read, PORT, host=host.ip)

    async def dial(self) -> None:
        for member, name in self.names.items():
            self.streams[member] = await trio.open_tcp_stream(name, PORT), Turn()

    async def read(self, stream: trio.SocketStream) -> None:
        frames = FrameReader()
        while data := await stream.receive_some(1 << 16):
            for message in frames.feed(bytes(data)):
                await self.take(message)

    async def take(self, message: Message) -> None:
        if isinstance(message, Data):
            (batch,) = parse_batches(message.records)
            author = list(self.files)[message.request]
            batch.verify(self.network, author)
            tip = self.tips[author] = link(self.tips[author], batch)
            await self.commit(author, batch.record, batch.header.first_seq)
            await self.send(author, Tips(False, (LogTip(author, tip),)))
        elif isinstance(message, Tips):
            seq = message.logs[0].tip.next_seq
            self.shown[seq] += 1
            if self.shown[seq] == len(self.names) // 2:
                await self.tell_all(lambda _: Stable(self.key.member, 0, seq))

    async def commit(self, author: MemberKey, record: bytes, seq: int) -> None:
        await self.files[author].write_at(seq * len(record), record)
        await self.files[author].sync()

    async def append(self) -> None:
        me, tip = self.key.member, self.tips[self.key.member]
        batch = seal_batch(
            self.key,
            self.network,
            [encode_event(EVENT)],
            epoch=0,
            first_seq=tip.next_seq,
            time_us=tip.next_seq,
            prev_hash=tip.hash,
        )
        self.tips[me] = link(tip, batch)
        await self.commit(me, batch.record, batch.header.first_seq)
        await self.tell_all(lambda peer: Data(self.place(me, peer), batch.record))

    def place(self, author: MemberKey, at: MemberKey) -> int:
        """Which file of a peer holds our log: its own comes first there, then the others in order."""
        return 1 + [other for other in ALL if other != at].index(author)

    async def tell_all(self, message: Callable[[MemberKey], Message]) -> None:
        for peer in self.names:
            await self.send(peer, message(peer))

    async def send(self, peer: MemberKey, message: Message) -> None:
        stream, turn = self.streams[peer]
        async with turn:
            await stream.send_all(encode_frame(message))


ALL: list[MemberKey] = []


def run(nodes: int, rate: float, virtual_s: float) -> tuple[float, int]:
    """Seconds of this process for so many virtual ones, and task steps."""
    names = [f"n{number}" for number in range(nodes)]
    ALL[:] = [signing_key(name).member for name in names]
    figures: list[float] = []

    async def scenario(world: World) -> None:
        least = {name: Least(name, names, network_id("floor", ALL)) for name in names}
        for name in names:
            world.host(name).start(least[name].main)
        await trio.sleep(1)
        for name in names:
            await world.host(name).call(least[name].dial)

        async def write(name: str, offset_s: float) -> None:
            began_s = trio.current_time() + offset_s
            for number in range(int(rate * virtual_s)):
                await trio.sleep_until(began_s + number / rate)
                await least[name].append()

        began = time.process_time()
        async with trio.open_nursery() as nursery:
            for number, name in enumerate(names):
                nursery.start_soon(world.host(name).call, write, name, number / nodes / rate)
        figures.append(time.process_time() - began)

    steps = World(seed=1).run(scenario).steps
    return figures[0], steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rates", default="1,10,100", help="events a second of each node")
    parser.add_argument("--events", type=int, default=2500, help="of all nodes, in each run")
    options = parser.parse_args()
    run(options.nodes, 1.0, 5.0)  # imports and caches
    for rate in map(float, options.rates.split(",")):
        virtual_s = options.events / options.nodes / rate
        seconds, steps = run(options.nodes, rate, virtual_s)
        print(
            f"{options.nodes} nodes, {rate:g} events/s each: {virtual_s / seconds:,.1f} times real time; "
            f"{seconds / options.events * 1e6:,.0f} us and {steps / options.events:.1f} task steps an event"
        )


if __name__ == "__main__":
    main()
