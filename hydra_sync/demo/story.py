"""The demonstration's story: who appends, who is killed when, and what must be true at its end. Does I/O.

First carol is killed while all three append; the others go on, she comes back and asks for what she
missed. Then alice is killed for good when her last event has reached only bob, and carol gets it from him.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

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
    """How the story ended. ``fetches`` are the ranges that carol asked for, with whom she asked."""

    verdict: Verdict
    acknowledged: Mapping[str, int]
    fetches: Sequence[Mapping[str, object]]
    seconds: float
    problems: Sequence[str]

    @property
    def good(self) -> bool:
        return self.verdict.good and not self.problems


@dataclass(slots=True)
class _Story:
    nodes: dict[str, NodeProcess]
    submitted: Mapping[str, Sequence[bytes]]
    rate: float
    picture: Picture
    say: Callable[[str], None]
    acknowledged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    """Events of a node's own log that it has acknowledged, counted outside of it."""
    resume_at: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    fetches: list[Mapping[str, object]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    heard: trio.Event = field(default_factory=trio.Event)


async def tell_story(
    directory: Path,
    submitted: Mapping[str, Sequence[bytes]],
    *,
    rate: float,
    picture: Picture,
    say: Callable[[str], None],
) -> Outcome:
    """Run the whole story in ``directory``. Raises `DeliveryError` for what does not happen in time."""
    began = time.monotonic()
    files = prepare(directory, NAMES)
    story = _Story({}, submitted, rate, picture, say)
    hear = _Hearing(story)
    story.nodes.update((name, NodeProcess(name, files[name], hear)) for name in NAMES)
    for node in story.nodes.values():
        await node.init()
    async with open_tasks() as nursery:
        await _carol_is_killed(story, nursery)
        await _alice_is_gone(story, nursery)
        for node in story.nodes.values():
            await node.stop()
    verdict = await judge({name: node.config for name, node in story.nodes.items()}, submitted)
    return Outcome(verdict, story.acknowledged, story.fetches, time.monotonic() - began, story.problems)


async def _carol_is_killed(story: _Story, nursery: trio.Nursery) -> None:
    for name in NAMES:
        await _start(story, nursery, name)
    last = {name: len(story.submitted[name]) for name in NAMES} | {"alice": len(story.submitted["alice"]) - 1}
    async with open_tasks() as appending:
        for name in ("alice", "bob"):
            appending.start_soon(_append, story, name, last[name])
        carols_client = trio.CancelScope()
        appending.start_soon(_append, story, "carol", last["carol"], carols_client)
        third = last["carol"] // 3
        await _until(story, lambda: story.acknowledged["carol"] >= third, "carol's first third")
        carols_client.cancel()
        await story.nodes["carol"].kill()
        story.picture.states["carol"] = "killed"
        story.say(f"[bold red]carol is killed[/] (SIGKILL) after {story.acknowledged['carol']} acknowledged events")
        away = {name: math.ceil(last[name] * 0.8) for name in ("alice", "bob")}
        await _until(story, lambda: all(story.acknowledged[n] >= away[n] for n in away), "alice and bob going on")
        story.say("alice and bob went on without her; [bold green]carol comes back[/]")
        await _start(story, nursery, "carol")
        appending.start_soon(_append, story, "carol", last["carol"])
    await _until(story, lambda: _all_hold(story, NAMES, last), "all logs on all three nodes")
    story.say("[green]all three hold all events so far[/]")


async def _alice_is_gone(story: _Story, nursery: trio.Nursery) -> None:
    await story.nodes["carol"].stop()
    story.picture.states["carol"] = "stopped"
    story.say("carol is stopped; alice appends her last event")
    last = {name: len(story.submitted[name]) for name in NAMES}
    await _append(story, "alice", last["alice"])
    await _until(
        story, lambda: story.picture.held.get(("bob", "alice"), 0) >= last["alice"], "bob having alice's last event"
    )
    await story.nodes["alice"].kill()
    story.picture.states["alice"] = "killed"
    story.say(
        "[bold red]alice is killed for good[/]: her last event is with bob alone; [bold green]carol comes back[/]"
    )
    await _start(story, nursery, "carol")
    await _until(story, lambda: _all_hold(story, ("bob", "carol"), last), "carol getting alice's log from bob")
    story.say("[green]carol has alice's last event, from bob, signed by alice[/]")


async def _start(story: _Story, nursery: trio.Nursery, name: str) -> None:
    try:
        with trio.fail_after(PATIENCE_S):
            await nursery.start(story.nodes[name].run)
    except trio.TooSlowError:
        raise DeliveryError(f"{name} was not ready within {PATIENCE_S:g} s") from None
    story.picture.states[name] = "runs"


async def _append(story: _Story, name: str, stop: int, scope: trio.CancelScope | None = None) -> None:
    """A client: hand over one transaction after the other, from where the node's log ends."""
    with scope or trio.CancelScope():
        node = story.nodes[name]
        for index in range(story.resume_at[name], stop):
            await _until(story, partial(_has_room, story, name, index), f"{name}'s acknowledgements")
            await node.append(story.submitted[name][index])
            await trio.sleep(1 / story.rate)
        await _until(story, lambda: story.acknowledged[name] >= stop, f"{name}'s last acknowledgement")
        story.resume_at[name] = stop


async def _until(story: _Story, happened: Callable[[], bool], what: str) -> None:
    try:
        with trio.fail_after(PATIENCE_S):
            while not happened():
                await story.heard.wait()
    except trio.TooSlowError:
        raise DeliveryError(f"waited {PATIENCE_S:g} s in vain for {what}") from None


def _has_room(story: _Story, name: str, index: int) -> bool:
    return index - story.acknowledged[name] < WINDOW


def _all_hold(story: _Story, nodes: Sequence[str], counts: Mapping[str, int]) -> bool:
    return all(story.picture.held.get((node, log), 0) >= counts[log] for node in nodes for log in NAMES)


class _Hearing:
    """Turns what the nodes tell into the picture and the record of the story."""

    def __init__(self, story: _Story) -> None:
        self._story = story

    def __call__(self, node: str, fields: Mapping[str, object]) -> None:
        self._take(self._story, node, fields)
        self._story.heard.set()
        self._story.heard = trio.Event()

    def _take(self, story: _Story, node: str, fields: Mapping[str, object]) -> None:
        match fields:
            case {"event": "ready", "next_seq": int(next_seq)}:
                # What was acknowledged must be there; what was not may be, and is not handed over again.
                if next_seq < story.acknowledged[node]:
                    lost = story.acknowledged[node] - next_seq
                    story.problems.append(f"{node} lost {lost} acknowledged events of its own log")
                story.resume_at[node] = story.acknowledged[node] = next_seq
                story.picture.held[node, node] = next_seq
            case {"event": "appended", "seq": int(seq)}:
                if seq != story.acknowledged[node]:
                    story.problems.append(f"{node} acknowledged seq {seq} after {story.acknowledged[node]} events")
                story.acknowledged[node] = seq + 1
            case {"event": "advanced", "log": str(log), "next_seq": int(next_seq)}:
                story.picture.held[node, log] = next_seq
            case {"event": "fetching", "log": str(log), "peer": str(peer), "start": int(start), "stop": stop}:
                if node == "carol":
                    story.fetches.append({"log": log, "peer": peer, "start": start, "stop": stop})
                    what = f"from {start} on, live" if stop is None else f"[{start}, {stop})"
                    story.say(f"carol asks {peer} for {log}'s log {what}")
            case {"event": "caught_up", "log": str(log), "next_seq": int(next_seq)} if node == "carol":
                story.say(f"carol has caught up with {log}'s log at {next_seq}")
            case {"event": "source_replaced", "log": str(log), "peer": str(peer), "why": str(why)} if node == "carol":
                story.say(f"carol leaves {peer} for {log}'s log: {why}")
            case _:
                pass
