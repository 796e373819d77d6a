"""Calls functions in other processes, one a core, each with a time limit. Does I/O: starts and kills processes.

The processes see one hash seed, so that a program which depends on it does at least always the same;
a call may ask for an environment of its own. Whoever takes too long is killed, and replaced.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Final

import trio

from hydra_sync.tasks import open_tasks

__all__ = ["Answer", "Call", "call_all", "call_chunk"]

_TAIL_BYTES: Final = 8000  # of what a process that died had written
_READ_BYTES: Final = 1 << 16
_STACK_S: Final = 0.3  # for a process to write where it is, before it is killed
_PLACES: Final = 4  # of a stack, innermost first


@dataclass(frozen=True, slots=True)
class Call:
    """A function, as ``module:name``, and its arguments, which travel as JSON and so does its value."""

    function: str
    arguments: Mapping[str, object]
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of a process of its own; without any, processes are shared by one call after the other."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned, or the type and message of what went wrong: its error,
    ``TimedOut`` or ``ProcessDied``."""

    value: object = None
    error: str = ""
    message: str = ""


def call_all(calls: Iterable[Call], jobs: int, on_answer: Callable[[Call, Answer], None]) -> None:
    """Make all calls, ``jobs`` at a time; ``on_answer`` hears of each when it is done, in any order."""
    trio.run(_call_all, calls, jobs, on_answer)


def call_chunk(calls: list[Call]) -> list[Answer]:
    """Make calls one by one in one process, as a step of something larger; the answers in their order."""
    answers: list[Answer] = []
    call_all(calls, 1, lambda _, answer: answers.append(answer))
    return answers


async def _call_all(calls: Iterable[Call], jobs: int, on_answer: Callable[[Call, Answer], None]) -> None:
    waiting = deque(calls)
    async with open_tasks() as nursery:
        for _ in range(min(jobs, len(waiting))):
            nursery.start_soon(_work, waiting, on_answer)


async def _work(waiting: deque[Call], on_answer: Callable[[Call, Answer], None]) -> None:
    """One core's share: the next call, until there is none."""
    shared = _Process({})
    try:
        while waiting:
            call = waiting.popleft()
            if call.environment:
                own = _Process(call.environment)
                try:
                    answer = await own.call(call)
                finally:
                    await own.aclose()
            else:
                answer = await shared.call(call)
            on_answer(call, answer)
    finally:
        await shared.aclose()


class _Process:
    """A worker process, started when first needed, and again when it has died."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONMALLOC"}
        self._environment = {**inherited, "PYTHONHASHSEED": "0", **environment}
        self._process: trio.Process | None = None
        self._errors: IO[bytes]
        self._unread = b""

    async def call(self, call: Call) -> Answer:
        """One call, and what became of it."""
        request = {"function": call.function, "arguments": dict(call.arguments), "timeout_s": call.timeout_s}
        line = json.dumps(request) + "\n"
        with trio.move_on_after(call.timeout_s) as limit:
            if self._process is None:
                self._process = await self._start()
            answer = await self._ask(self._process, line.encode())
            if answer is not None:
                fields = json.loads(answer)
                return Answer(fields.get("value"), fields.get("error", ""), fields.get("message", ""))
            await self._process.wait()
        if limit.cancelled_caught and self._process is not None:
            self._process.send_signal(signal.SIGUSR1)
            await trio.sleep(_STACK_S)
        said = self._said()
        status = self._process.returncode if self._process is not None else None
        await self.aclose()
        if limit.cancelled_caught:
            return Answer(error="TimedOut", message=f"no answer within {call.timeout_s:g} s of wall time{_place(said)}")
        return Answer(
            error="ProcessDied", message=f"the process ended with status {status} and said: {said or 'nothing'}"
        )

    async def aclose(self) -> None:
        """End the process at once, if there is one, and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)
        self._errors.close()

    async def _start(self) -> trio.Process:
        self._unread = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        try:
            return await trio.lowlevel.open_process(
                [sys.executable, "-m", "hydra_sync.testing.campaign.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for us: we end our processes ourselves
            )
        except BaseException:
            self._errors.close()
            raise

    async def _ask(self, process: trio.Process, line: bytes) -> bytes | None:
        """The line that comes back, or None if the process died over it."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            await process.stdin.send_all(line)
            while b"\n" not in self._unread:
                data = await process.stdout.receive_some(_READ_BYTES)
                if not data:
                    return None
                self._unread += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return None
        answer, _, self._unread = self._unread.partition(b"\n")
        return answer

    def _said(self) -> str:
        """The end of what the process wrote to standard error; it is not to write any more."""
        if self._process is None:
            return ""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _TAIL_BYTES))
        return self._errors.read().decode(errors="replace").strip()


def _place(said: str) -> str:
    """Where a process was when its time was over, from what it wrote then (see `faulthandler`)."""
    _, found, stack = said.rpartition("(most recent call first):\n")
    lines = [line.strip() for line in stack.splitlines() if line.startswith("  File ")]
    return f"; it was in {', called from '.join(lines[:_PLACES])}" if found and lines else ""
