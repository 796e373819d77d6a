"""The demonstration's story: who appends, who is killed when, and what must be true at its end. Does I/O.

First carol is killed while all three append; the others go on, she comes back and asks for what she
missed. Then alice is killed when her last event has reached only bob, and carol gets it from him. Then
carol's disk is lost, and bob's: `recover`, and even an `init` in its place, get everything back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from hydra_sync.demo.hearing import Hearing
from hydra_sync.demo.picture import Picture
from hydra_sync.demo.processes import NodeProcess, prepare
from hydra_sync.demo.verdict import Verdict, judge
from hydra_sync.errors import DeliveryError
from hydra_sync.tasks import open_tasks

__all__ = ["NAMES", "Outcome", "tell_story"]

NAMES: Final = ("alice", "bob", "carol")
PATIENCE_S: Final = 60.0  # what takes longer is a failure
WINDOW: Final = 16  # transactions handed over and not acknowledged


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the story ended. ``fetches`` are what carol asked for after each return, and of whom."""

    verdict: Verdict
    acknowledged: Mapping[str, int]
    fetches: Sequence[Mapping[str, object]]
    seconds: float
    problems: Sequence[str]

    @property
    def good(self) -> bool:
        return self.verdict.good and not self.problems


async def tell_story(
    directory: Path,
    submitted: Mapping[str, Sequence[bytes]],
    *,
    rate: float,
    picture: Picture,
    say: Callable[[str, str], None],
) -> Outcome:
    """Run the whole story in ``directory``; ``say`` gets each line of it and its style.

    Raises `DeliveryError` for what does not happen in time, and `StoreError` for a node that ends by
    itself. No process is left, however this ends.
    """
    began = time.monotonic()
    files = prepare(directory, NAMES)
    hearing = Hearing(NAMES, hero="carol", picture=picture, say=say)
    nodes = {name: NodeProcess(name, files[name], hearing.take) for name in NAMES}
    story = _Story(nodes, submitted, rate, picture, hearing)
    async with open_tasks() as nursery:
        async with open_tasks() as making:
            for node in nodes.values():
                making.start_soon(node.init)
        await story.carol_is_killed(nursery)
        await story.alice_is_gone(nursery)
        await story.disks_are_lost(nursery)
        await story.end()
    verdict = await judge({name: node.config for name, node in nodes.items()}, submitted)
    return Outcome(verdict, hearing.acknowledged, hearing.fetches, time.monotonic() - began, hearing.problems)


@dataclass(frozen=True, slots=True)
class _Story:
    nodes: Mapping[str, NodeProcess]
    submitted: Mapping[str, Sequence[bytes]]
    rate: float
    picture: Picture
    hearing: Hearing

    async def carol_is_killed(self, nursery: trio.Nursery) -> None:
        hearing = self.hearing
        async with open_tasks() as starting:
            for name in NAMES:
                starting.start_soon(self._start, nursery, name)
        # Only all of them together can found the network: who is killed before that is waited for.
        await self._until(lambda: all(hearing.epochs[name] for name in NAMES), "all three beginning their first epochs")
        hearing.say("alice, bob and carol run, each appends to its own log and follows the others'")
        last = self._kept() | {"alice": len(self.submitted["alice"]) - 1}
        away = {name: math.ceil(last[name] * 0.8) for name in ("alice", "bob")}
        async with open_tasks() as appending:
            for name in away:
                appending.start_soon(self._append, name, last[name])
            carols_client = trio.CancelScope()
            appending.start_soon(self._append, "carol", last["carol"], carols_client)
            third = last["carol"] // 3
            await self._until(lambda: hearing.acknowledged["carol"] >= third, "carol's first third")
            carols_client.cancel()
            await self._kill("carol")
            count = hearing.acknowledged["carol"]
            hearing.say(f"carol is killed with SIGKILL; she had acknowledged {count} events", "bold red")
            await self._until(lambda: all(hearing.acknowledged[n] >= away[n] for n in away), "alice and bob going on")
            hearing.say("alice and bob went on without her; carol is started again", "bold green")
            await self._start(nursery, "carol")
            appending.start_soon(self._append, "carol", last["carol"])
        await self._until(partial(self._all_hold, NAMES, last), "all logs on all three nodes")
        hearing.say("all three hold all events so far", "green")

    async def alice_is_gone(self, nursery: trio.Nursery) -> None:
        last = self._kept()
        await self._stop("carol")
        self.hearing.say("carol is stopped, and alice appends her last event")
        await self._append("alice", last["alice"])
        await self._until(partial(self._all_hold, ("bob",), last), "bob having alice's last event")
        await self._kill("alice")
        self.hearing.say("alice is killed: nobody but bob has her last event", "bold red")
        self.hearing.say("carol is started again, and does not meet alice", "bold green")
        await self._start(nursery, "carol")
        await self._until(partial(self._all_hold, ("bob", "carol"), last), "carol getting alice's log from bob")
        self.hearing.say("carol has alice's last event, from bob, signed by alice", "green")

    async def disks_are_lost(self, nursery: trio.Nursery) -> None:
        hearing, last = self.hearing, self._lengths()
        before = dict(hearing.epochs)
        hearing.say("alice is back with her disk: carol had waited for two to grant her start", "bold green")
        await self._start(nursery, "alice")
        started = ("alice", "carol")
        await self._until(
            lambda: all(hearing.epochs[name] > before[name] for name in started), "alice and carol beginning new epochs"
        )
        await self._until(partial(self._all_hold, NAMES, self._kept()), "all logs on all three nodes")

        await self._stop("carol")
        self._lose("carol")
        hearing.say("carol is stopped and her store deleted", "bold red")
        refusal = await self.nodes["carol"].refusal()
        if "hydra-sync recover" not in refusal:
            hearing.problems.append(f"carol's node did not name recover: {refusal}")
        hearing.say("run refuses, and names recover", "bold yellow")
        self.picture.states["carol"] = "recovers"
        with trio.move_on_after(PATIENCE_S) as scope:
            await self.nodes["carol"].recover()
        if scope.cancelled_caught:
            raise DeliveryError(f"carol's disk was not recovered within {PATIENCE_S:g} s")
        hearing.say(
            f"carol has her log and all others' again, and epoch {hearing.epochs['carol']} of it", "bold yellow"
        )
        await self._start(nursery, "carol")
        await self._append("carol", last["carol"])
        await self._until(partial(self._all_hold, NAMES, self._kept() | {"carol": last["carol"]}), "carol going on")
        hearing.say("carol goes on appending, and alice and bob follow", "green")

        await self._stop("bob")
        self._lose("bob")
        await self.nodes["bob"].init()
        hearing.say("bob's store is deleted too, and init makes a new one in its place", "bold red")
        begun = hearing.epochs["bob"]
        await self._start(nursery, "bob")
        await self._until(lambda: hearing.epochs["bob"] > begun, "bob getting his log back")
        await self._append("bob", last["bob"])
        await self._until(partial(self._all_hold, NAMES, last), "all logs on all three nodes")
        hearing.say("bob has everything again, and goes on in a new epoch; nothing has forked", "green")

    def _lose(self, name: str) -> None:
        self.nodes[name].lose_disk()
        self.hearing.lost(name)
        self.picture.states[name] = "lost"

    def _kept(self) -> dict[str, int]:
        """How many each appends before disks are lost: the last ones are for afterwards."""
        lengths = self._lengths()
        return lengths | {name: lengths[name] - max(1, lengths[name] // 10) for name in ("bob", "carol")}

    def _lengths(self) -> dict[str, int]:
        return {name: len(transactions) for name, transactions in self.submitted.items()}

    async def _start(self, nursery: trio.Nursery, name: str) -> None:
        self.picture.states[name] = "starts"
        try:
            with trio.fail_after(PATIENCE_S):
                await nursery.start(self.nodes[name].run)
        except trio.TooSlowError:
            raise DeliveryError(f"{name} was not ready within {PATIENCE_S:g} s") from None
        self.picture.states[name] = "runs"

    async def _kill(self, name: str) -> None:
        await self.nodes[name].kill()
        self.picture.states[name] = "killed"

    async def end(self) -> None:
        """Stop the nodes that still run."""
        async with open_tasks() as stopping:
            for name in NAMES:
                stopping.start_soon(self._stop, name)

    async def _stop(self, name: str) -> None:
        await self.nodes[name].stop()
        self.picture.states[name] = "stopped"

    async def _append(self, name: str, stop: int, scope: trio.CancelScope | None = None) -> None:
        """A client: hand over one transaction after the other, from where the node's log ends."""
        acknowledged = self.hearing.acknowledged
        with scope or trio.CancelScope():
            for index in range(acknowledged[name], stop):
                await self._until(partial(self._has_room, name, index), f"{name}'s acknowledgements")
                await self.nodes[name].append(self.submitted[name][index])
                await trio.sleep(1 / self.rate)
            await self._until(lambda: acknowledged[name] >= stop, f"{name}'s last acknowledgement")

    async def _until(self, happened: Callable[[], bool], what: str) -> None:
        try:
            with trio.fail_after(PATIENCE_S):
                while not happened():
                    await self.hearing.wait()
        except trio.TooSlowError:
            raise DeliveryError(f"waited {PATIENCE_S:g} s in vain for {what}") from None

    def _has_room(self, name: str, index: int) -> bool:
        return index - self.hearing.acknowledged[name] < WINDOW

    def _all_hold(self, nodes: Sequence[str], counts: Mapping[str, int]) -> bool:
        return all(
            self.picture.held.get((node, log), 0) >= counts[log] + self.hearing.epochs[log]
            for node in nodes
            for log in NAMES
        )
