"""Kills real node processes at chosen phases of their work and keeps the record of what they had promised. Does I/O.

Everything a victim says arrives through a pipe and is recorded here: what it said is outside of it when
it dies. Contradictions are raised as `AssertionError` at once, by whom and after which kill.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from hydra_sync.config import Config, load_config
from hydra_sync.demo.processes import prepare
from hydra_sync.disk import RealDisk
from hydra_sync.store import Manifest, create_store
from hydra_sync.tasks import open_tasks
from tests.crash.phases import Page, Phase

__all__ = ["Campaign", "Kill", "Victim"]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
NAMES: Final = ("alice", "bob", "carol")

PATIENCE_S: Final = 60.0  # for what happens within seconds on a machine that has nothing else to do
AIM_S: Final = 3.0  # a phase not met for so long is given up; the next kill has another one in mind
GLANCE_S: Final = 0.0005
DOWN_S_MAX: Final = 0.5
ALL_UP: Final = 0.6  # so often nobody is killed before all three are back
LIVE_S_MAX: Final = 0.4


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL. ``phase`` is in what it fell, None if between the phases; ``also_away`` were down or starting."""

    number: int
    victim: str
    life: int
    aimed: Phase
    phase: Phase | None
    acknowledged: int
    also_away: tuple[str, ...]

    def __str__(self) -> str:
        fell = self.phase.name.lower() if self.phase is not None else "between the phases"
        others = f", {' and '.join(self.also_away)} away too" if self.also_away else ""
        aimed = self.aimed.name.lower()
        return (
            f"kill {self.number}: {self.victim}'s life {self.life}, in {fell} (aimed at {aimed}), "
            f"{self.acknowledged} events acknowledged so far{others}"
        )


@dataclass(slots=True)
class Victim:
    """One node, over all its lives, and what it promised in them."""

    name: str
    config: Config
    config_file: Path
    page: Page
    page_file: Path
    errors_file: Path
    life: int = 0
    process: trio.Process | None = None
    loaded: bool = False
    """Whether it has acknowledged something in this life."""
    resting_at: int | None = None
    acknowledged: dict[int, str] = field(default_factory=dict)
    """The ids of its events, by seq."""
    tips: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    """How far it said it holds each log durably."""
    last_kill: Kill | None = None
    gone: trio.Event = field(default_factory=trio.Event)


class Campaign:
    """Three victims in one directory, the kills, and the record."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.kills: list[Kill] = []
        self._random = random.Random(seed)
        self._heard = trio.Event()
        self.victims: dict[str, Victim] = {}

    async def prepare(self) -> None:
        """Make keys, configurations, stores and pages."""
        for name, config_file in prepare(self.directory, NAMES).items():
            config = load_config(config_file)
            page_file = self.directory / f"{name}.page"
            errors_file = self.directory / f"{name}.err"
            manifest = Manifest(config.network_id, config.key.member, name.encode().ljust(16), founding=True)
            await create_store(RealDisk(), config.persistence_dir, manifest)
            self.victims[name] = Victim(name, config, config_file, Page.create(page_file), page_file, errors_file)

    def close(self) -> None:
        """Unmap the pages."""
        for victim in self.victims.values():
            victim.page.close()

    async def kill(self, count: int, at_least: int) -> None:
        """Run the victims and kill ``count`` times in a phase, in each phase ``at_least`` so often; then let them
        rest, catch up and stop."""
        given_up = None
        async with open_tasks() as nursery:
            for victim in self.victims.values():
                nursery.start_soon(self._live, victim)
            await self._until(lambda: all(v.loaded for v in self.victims.values()), "all three to append")
            while self.hits.total() < count:
                aimed = self._target(at_least, given_up)
                given_up = None if await self._strike(nursery, aimed) else aimed
            await self._rest()
            await self._stop()

    @property
    def hits(self) -> Counter[Phase]:
        """How many kills fell in each phase."""
        return Counter(kill.phase for kill in self.kills if kill.phase is not None)

    def table(self) -> str:
        """The kills by phase, and those that fell between, for people."""
        rows = [f"{phase.name.lower():12} {self.hits[phase]:3}" for phase in Phase]
        between = len(self.kills) - self.hits.total()
        return "\n".join(["phase      kills", *rows, f"{'sum':12} {self.hits.total():3}", f"({between} fell between)"])

    def story(self) -> str:
        """Every kill, for who has to find out what went wrong."""
        return "\n".join(str(kill) for kill in self.kills)

    def _target(self, at_least: int, given_up: Phase | None) -> Phase:
        """The phase to aim at: first those that still lack hits, then any, but not the one just given up: where
        all are up and know everything, nobody catches up before somebody was killed in another phase."""
        phases = [phase for phase in Phase if phase is not given_up]
        lacking = [phase for phase in phases if self.hits[phase] < at_least]
        return self._random.choice(lacking or phases)

    async def _strike(self, nursery: trio.Nursery, aimed: Phase) -> bool:
        """Wait a random while, then for the phase, and kill in it; whether anybody was met in it."""
        if aimed is not Phase.CATCH_UP and self._random.random() < ALL_UP:
            await self._until(lambda: all(victim.loaded for victim in self.victims.values()), "all three to append")
        await trio.sleep(self._random.uniform(0, LIVE_S_MAX))
        victim = await self._sight(aimed)
        if victim is None:
            return False
        process = victim.process
        assert process is not None
        process.kill()
        await victim.gone.wait()
        phases = victim.page.under_way()
        fell = aimed if aimed in phases else phases[0] if phases else None
        away = tuple(name for name, other in self.victims.items() if not other.loaded and other is not victim)
        kill = Kill(len(self.kills) + 1, victim.name, victim.life, aimed, fell, len(victim.acknowledged), away)
        victim.last_kill = kill
        self.kills.append(kill)
        nursery.start_soon(self._live, victim, self._random.uniform(0, DOWN_S_MAX))
        return True

    async def _sight(self, phase: Phase) -> Victim | None:
        """Who is met in the phase; None if nobody is for too long."""
        victims = list(self.victims.values())
        if phase is not Phase.CATCH_UP:  # only who was away has something to catch up with
            await self._until(lambda: any(victim.loaded for victim in victims), "one of the three to append")
            victims = [self._random.choice([victim for victim in victims if victim.loaded])]
        with trio.move_on_after(AIM_S):
            while True:
                for victim in victims:
                    if victim.process is not None and victim.page[phase]:
                        return victim
                await trio.sleep(GLANCE_S)
        return None

    async def _rest(self) -> None:
        """Let everybody stop appending and catch up."""
        victims = self.victims.values()
        await self._until(lambda: all(victim.loaded for victim in victims), "all three to come back")
        await self._order("rest")
        await self._until(lambda: all(victim.resting_at is not None for victim in victims), "all three to rest")
        due = {victim.name: victim.resting_at for victim in victims}
        await self._until(lambda: all(victim.tips == due for victim in victims), f"all three to hold {due}")

    async def _stop(self) -> None:
        for victim in self.victims.values():
            victim.gone = trio.Event()
        await self._order("stop")
        for victim in self.victims.values():
            with self._patience(f"{victim.name} to stop"):
                await victim.gone.wait()

    async def _order(self, order: str) -> None:
        for victim in self.victims.values():
            assert victim.process is not None
            assert victim.process.stdin is not None
            await victim.process.stdin.send_all(f"{order}\n".encode())

    async def _live(self, victim: Victim, wait_s: float = 0) -> None:
        """Run one life of the victim, to its end."""
        await trio.sleep(wait_s)
        victim.life += 1
        victim.gone = trio.Event()
        victim.page.clear()
        with victim.errors_file.open("ab") as errors:
            command = [sys.executable, "-m", "tests.crash.victim"]
            process = await trio.lowlevel.open_process(
                [*command, str(victim.config_file), str(victim.page_file), str(victim.life)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        victim.process = process
        try:
            await self._listen(victim, process)
            status = await process.wait()
        finally:
            victim.process, victim.loaded = None, False
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                await process.stdin.aclose()
                await process.stdout.aclose()
            victim.gone.set()
        expected = (0,) if victim.resting_at is not None else (-signal.SIGKILL,)
        assert status in expected, (
            f"{self._describe(victim)} ended with status {status}:\n{_tail(victim.errors_file)}\n{self._where()}"
        )

    async def _listen(self, victim: Victim, process: trio.Process) -> None:
        rest = b""
        assert process.stdout is not None
        async for data in process.stdout:
            # What comes after the last line end was never said.
            *lines, rest = (rest + bytes(data)).split(b"\n")
            for line in lines:
                self._hear(victim, line.decode().split())
            self._heard.set()
            self._heard = trio.Event()

    def _hear(self, victim: Victim, words: Sequence[str]) -> None:
        match words:
            case ["ready", *tips]:
                self._hear_ready(victim, dict(tip.split("=") for tip in tips))
            case ["tip", log, next_seq]:
                self._hear_tip(victim, log, int(next_seq))
            case ["ack", seq, name]:
                self._hear_ack(victim, int(seq), name)
            case ["resting", next_seq]:
                victim.resting_at = int(next_seq)
            case _:
                raise AssertionError(f"{self._describe(victim)} said {words}")

    def _hear_ready(self, victim: Victim, tips: dict[str, str]) -> None:
        for log, text in tips.items():
            held = victim.tips[log]
            assert int(text) >= held, (
                f"{self._describe(victim)} opened {log}'s log with {text} events and had said that {held} were safe\n"
                f"{self._where()}"
            )
            victim.tips[log] = int(text)

    def _hear_tip(self, victim: Victim, log: str, next_seq: int) -> None:
        assert next_seq >= victim.tips[log], (
            f"{self._describe(victim)} shows {log}'s log up to {next_seq} after {victim.tips[log]}\n{self._where()}"
        )
        victim.tips[log] = next_seq

    def _hear_ack(self, victim: Victim, seq: int, name: str) -> None:
        other = victim.acknowledged.setdefault(seq, name)
        assert other == name, (
            f"{self._describe(victim)} acknowledged event {name} at seq {seq}, where it had acknowledged {other}\n"
            f"{self._where()}"
        )
        assert seq < victim.tips[victim.name], (
            f"{self._describe(victim)} acknowledged seq {seq} and shows its log up to {victim.tips[victim.name]}\n"
            f"{self._where()}"
        )
        victim.loaded = True

    def _describe(self, victim: Victim) -> str:
        return f"{victim.name} in life {victim.life} (after {victim.last_kill or 'no kill'})"

    def _where(self) -> str:
        return f"kept in {self.directory}\n{self.story()}"

    async def _until(self, happened: Callable[[], bool], what: str) -> None:
        with self._patience(what):
            while not happened():
                await self._heard.wait()

    @contextmanager
    def _patience(self, what: str) -> Iterator[None]:
        with trio.move_on_after(PATIENCE_S) as scope:
            yield
        if scope.cancelled_caught:
            tips = "\n".join(f"{self._describe(v)}: {v.tips}" for v in self.victims.values())
            raise AssertionError(f"waited {PATIENCE_S:g} s in vain for {what}\n{tips}\n{self._where()}")


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-6000:]
