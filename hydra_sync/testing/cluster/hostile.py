"""Hostile members: small programs with a member's keys and address, and no good in mind. Runs in a world.

They prove who they are, speak the wire protocol as far as it serves them, and then equivocate,
replay, flood, stall, forge or send garbage. `Cluster.byzantine` puts one in the place of a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import trio

from hydra_sync.batch import Batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.config import Address
from hydra_sync.testing.cluster.insider import EXPECTED, HostileProgram, Insider, Wire, converse, serve
from hydra_sync.testing.signals import reachable
from hydra_sync.wire import Credit, Data, End, EndReason, Fetch, LogTip, Message, Ping, Pong, Tips, encode_frame

__all__ = [
    "PROGRAMS",
    "equivocate",
    "flood",
    "forge",
    "garbage",
    "knock",
    "replay",
    "stale_epochs",
    "stall",
]

_ZERO_HASH: Final = bytes(32)

_believed = reachable("a node asks a liar for what nobody has", cluster=True)
_both = reachable("an equivocator serves both of its histories", cluster=True)


def equivocate(seq: int = 3, *, events: int = 6) -> HostileProgram:
    """Sign two histories of the own log, equal up to ``seq``, and show each to one half of the members."""

    async def program(insider: Insider) -> None:
        branches: list[list[Batch]] = [[], []]
        for number, branch in enumerate(branches):
            tip = EMPTY
            for at in range(events):
                word = "both" if at < seq else f"branch {number}"
                branch.append(
                    branches[0][at] if at < seq and number else insider.seal([[insider.alias, word, at]], tip)
                )
                tip = Tip.after(branch[-1])
        served: dict[int, None] = {}

        async def talk(wire: Wire) -> None:
            number = insider.others.index(wire.peer) % 2
            branch = branches[number]

            def answer(_: Wire, fetch: Fetch) -> Iterable[Message]:
                served[number] = None
                _both(len(served) == 2)
                return serve(branch, fetch) if fetch.log == insider.config.key.member else ()

            own = LogTip(insider.config.key.member, Tip.after(branch[-1]))
            await converse(insider, wire, lambda: [own], answer)

        await insider.meet(talk)

    return program


def stale_epochs(*, events: int = 4) -> HostileProgram:
    """Serve an own log whose epochs go up and down again."""

    async def program(insider: Insider) -> None:
        batches: list[Batch] = []
        tip = EMPTY
        for at in range(events):
            batches.append(insider.seal([[insider.alias, "epoch", at]], tip, epoch=(0, 2, 1)[at % 3]))
            tip = Tip.after(batches[-1])

        async def talk(wire: Wire) -> None:
            own = LogTip(insider.config.key.member, tip)
            await converse(insider, wire, lambda: [own], lambda _, fetch: serve(batches, fetch))

        await insider.meet(talk)

    return program


def forge(*, ahead: int = 3) -> HostileProgram:
    """Claim to hold more of everyone's log than there is, and make it up when asked for it."""

    async def program(insider: Insider) -> None:
        async def talk(wire: Wire) -> None:
            def tips() -> Iterable[LogTip]:
                for log, shown in sorted(wire.shown.items()):
                    yield LogTip(log, Tip(0, shown.tip.next_seq + ahead, insider.dice.bytes(32)))

            def answer(_: Wire, fetch: Fetch) -> Iterable[Message]:
                _believed()
                tip = Tip(0, fetch.start, fetch.prev_hash or _ZERO_HASH)
                log = insider.alias_of(fetch.log)
                return [Data(fetch.request, insider.seal([[log, "forged", fetch.start]], tip, log=log).record)]

            await converse(insider, wire, tips, answer)

        await insider.meet(talk)

    return program


def stall() -> HostileProgram:
    """Claim to hold more than anyone, and let everybody wait who asks; but answer pings."""

    async def program(insider: Insider) -> None:
        async def talk(wire: Wire) -> None:
            def tips() -> Iterable[LogTip]:
                for log, shown in sorted(wire.shown.items()):
                    yield LogTip(log, Tip(0, shown.tip.next_seq + 1000, insider.dice.bytes(32)))

            def answer(_: Wire, fetch: Fetch) -> Iterable[Message]:
                _believed()
                return [End(fetch.request, fetch.start, EndReason.BUSY, 100)] if insider.dice.below(8) == 0 else ()

            await converse(insider, wire, tips, answer)

        await insider.meet(talk)

    return program


def flood(*, messages: int = 2000) -> HostileProgram:
    """Ask for everything, again and again, and read nothing of it."""

    async def program(insider: Insider) -> None:
        async def talk(wire: Wire) -> None:
            await wire.say(insider.hello(), Tips(True, ()))
            keys = sorted(insider.config.keys)
            for number in range(messages):
                await wire.say(Ping(number), Fetch(number + 1, insider.dice.pick(keys), 0, None, None, 1 << 20))
                if number % 100 == 0:
                    await trio.sleep(0.05)
            await trio.sleep(30)

        await insider.meet(talk)

    return program


def replay(*, remembered: int = 200) -> HostileProgram:
    """Fetch all logs as a node would, and send what came back to everyone, in any order."""

    async def program(insider: Insider) -> None:
        heard: list[Message] = []

        async def talk(wire: Wire) -> None:
            await wire.say(insider.hello())
            request = 0
            while (message := await wire.hear()) is not None:
                match message:
                    case Tips() if request == 0:
                        await wire.say(Tips(True, ()))
                        for log in sorted(insider.config.keys):
                            request += 1
                            await wire.say(Fetch(request, log, 0, None, None, 1 << 20))
                    case Ping():
                        await wire.say(Pong(message.nonce))
                    case _:
                        heard.append(message)
                        del heard[:-remembered]
                        if request and insider.dice.below(4) == 0:
                            await wire.say(insider.dice.pick(heard))

        await insider.meet(talk)

    return program


def garbage() -> HostileProgram:
    """Send noise: raw, in frames, and as real messages with bytes turned over."""

    async def program(insider: Insider) -> None:
        async def talk(wire: Wire) -> None:
            dice = insider.dice
            if dice.below(3):
                await wire.say(insider.hello())
            if dice.below(2):
                await wire.say(Tips(True, ()))
            while True:
                noise = dice.bytes(dice.between(1, 2000))
                match dice.below(4):
                    case 0:
                        await wire.say_bytes(noise)
                    case 1:
                        await wire.say_bytes(len(noise).to_bytes(4) + noise)
                    case 2:
                        frame = bytearray(encode_frame(Tips(False, (LogTip(insider.config.key.member, EMPTY),))))
                        frame[4 + dice.below(len(frame) - 4)] ^= 1 << dice.below(8)
                        await wire.say_bytes(bytes(frame))
                    case _:
                        await wire.say(Credit(dice.below(9), dice.between(1, 1 << 20)), Data(dice.below(9), noise))
                await trio.sleep(dice.between(1, 500) / 1000)

        await insider.meet(talk)

    return program


def knock(*, doors: int = 200) -> HostileProgram:
    """Open connections to everyone, and say nothing on any of them."""

    async def program(insider: Insider) -> None:
        async def stand(address: Address) -> None:
            while True:
                with suppress(*EXPECTED):
                    async with await trio.open_tcp_stream(address.host, address.port) as stream:
                        while await stream.receive_some():
                            pass
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            for member in insider.config.members:
                if member.alias != insider.alias and member.address is not None:
                    for _ in range(doors):
                        nursery.start_soon(stand, member.address)

    return program


PROGRAMS: Final[dict[str, Callable[[], HostileProgram]]] = {
    "equivocate": equivocate,
    "flood": flood,
    "forge": forge,
    "garbage": garbage,
    "knock": knock,
    "replay": replay,
    "stale_epochs": stale_epochs,
    "stall": stall,
}
"""Every program here, by name."""
