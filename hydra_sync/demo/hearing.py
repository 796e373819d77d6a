"""What the demonstration hears from its nodes, kept as record and picture. Does I/O only by trio."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import trio

from hydra_sync.demo.picture import Picture

__all__ = ["Hearing"]


class Hearing:
    """Turns the JSON lines of the nodes into the story, as told of ``hero``, and what it is judged by."""

    def __init__(self, names: Sequence[str], *, hero: str, picture: Picture, say: Callable[[str, str], None]) -> None:
        self.acknowledged: Final[dict[str, int]] = dict.fromkeys(names, 0)
        """Events that a node has acknowledged, counted outside of it."""
        self.epochs: Final[dict[str, int]] = dict.fromkeys(names, 0)
        """How many epochs of a node's log have begun: each has a seq of its own."""
        self.recovered: Final[dict[str, Mapping[str, object]]] = {}
        """What each recovery reported."""
        self.fetches: Final[list[Mapping[str, object]]] = []
        """What the hero asked for after each return, and of whom."""
        self.problems: Final[list[str]] = []
        self._hero = hero
        self._picture = picture
        self._say = say
        self._began: float | None = None
        self._starts = 0
        self._lost: set[str] = set()
        self._recognised: set[str] = set()
        self._gaps: dict[str, int] = {}
        """Where each log stood when the hero came back."""
        self._got: dict[str, dict[str, list[int]]] = {}
        """First and next seq that the hero got since, by log and source."""
        self._heard = trio.Event()

    async def wait(self) -> None:
        """Return when a node has told something."""
        await self._heard.wait()

    def say(self, line: str, style: str = "") -> None:
        """Tell a line of the story; its time counts from the first one."""
        self._began = self._began or time.monotonic()
        self._say(f"{time.monotonic() - self._began:4.1f} s  {line}", style)

    def reach(self, log: str) -> int:
        """Where a log must end that has all that was acknowledged, and the beginnings of its epochs."""
        return self.acknowledged[log] + self.epochs[log]

    def lost(self, node: str) -> None:
        """The node's store is gone."""
        for log in self.acknowledged:
            self._picture.held[node, log] = 0
            self._picture.missed.pop((node, log), None)
        self._lost.add(node)
        if node == self._hero:
            self._gaps = {log: self.reach(log) for log in self.acknowledged}
            self._got = {}

    def take(self, node: str, fields: Mapping[str, object]) -> None:
        """Take one JSON line of ``node``."""
        self._take(node, fields)
        if node == self._hero and self._starts > 1:
            self._take_return(fields)
        self._heard.set()
        self._heard = trio.Event()

    def _take(self, node: str, fields: Mapping[str, object]) -> None:
        match fields:
            case {"event": "ready", "next_seq": int(next_seq)}:
                self._ready(node, next_seq)
            case {"event": "appended", "seq": int(seq)}:
                if seq != self.reach(node):
                    self.problems.append(f"{node} acknowledged seq {seq}, due was {self.reach(node)}")
                self.acknowledged[node] += 1
            case {"event": "started", "epoch": int()}:
                self.epochs[node] += 1
                self._picture.totals[node] += 1
            case {"event": "recovered"}:
                self.recovered[node] = fields
            case {"event": "lost_disk"} if node != self._hero and node not in self._recognised:
                self._recognised.add(node)
                self.say(f"{node}'s new store meets who knows his log: a lost disk, no new node", "bold yellow")
            case {"event": "fetched", "log": str(log), "start": int(start), "stop": int(stop)} if node in self._lost:
                self._picture.missed.setdefault((node, log), []).append((start, min(stop, self.reach(log))))
            case {"event": "advanced", "log": str(log), "next_seq": int(next_seq)}:
                self._picture.held[node, log] = next_seq
            case _:
                pass

    def _ready(self, node: str, next_seq: int) -> None:
        # What was acknowledged must be there; what was not may be, and is not handed over again.
        if node not in self._lost or node in self.recovered:
            if next_seq < self.reach(node):
                self.problems.append(f"{node} lost {self.reach(node) - next_seq} acknowledged events of its own log")
            self.acknowledged[node] = next_seq - self.epochs[node]
        self._picture.held[node, node] = next_seq
        if node == self._hero:
            self._starts += 1
            self._lost.discard(node)
            self._gaps = {log: self.reach(log) for log in self.acknowledged if log != node}
            self._got = {}

    def _take_return(self, fields: Mapping[str, object]) -> None:
        hero = self._hero
        match fields:
            case {"event": "fetching", "log": str(log), "peer": str(peer), "start": int(start), "stop": stop}:
                self._asked(log, peer, start, stop if isinstance(stop, int) else None)
            case {"event": "fetched", "log": str(log), "peer": str(peer), "start": int(start), "stop": int(stop)}:
                if log in self._gaps and start < self._gaps[log]:
                    span = self._got.setdefault(log, {}).setdefault(peer, [start, stop])
                    span[:] = min(span[0], start), max(span[1], stop)
                    self._picture.missed.setdefault((hero, log), []).append((start, min(stop, self._gaps[log])))
            case {"event": "caught_up", "log": str(log), "next_seq": int(next_seq)} if log in self._got:
                sources = ", ".join(f"[{start}, {stop}) from {peer}" for peer, (start, stop) in self._got[log].items())
                self.say(f"{hero} has caught up with {log}'s log at {next_seq}: {sources}", "bold yellow")
                del self._got[log]
            case {"event": "source_replaced", "log": str(log), "peer": str(peer), "why": str(why)}:
                self.say(f"{hero} leaves {peer} for {log}'s log: {why}")
            case _:
                pass

    def _asked(self, log: str, peer: str, start: int, stop: int | None) -> None:
        missed = max(0, min(self._gaps.get(log, 0), stop or self._gaps.get(log, 0)) - start)
        self.fetches.append({"log": log, "peer": peer, "start": start, "stop": stop, "missed": missed})
        if not missed:
            self.say(f"{self._hero} follows {log}'s log at {peer} from {start} on")
            return
        span = f"[{start}, ...)" if stop is None else f"[{start}, {stop})"
        self.say(f"{self._hero} asks {peer} for {log}'s {span}: {missed} missed", "bold yellow")
