"""The demonstration's nodes: operating-system processes of the real command line. Does I/O."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

from hydra_sync.config import Config, load_config
from hydra_sync.errors import StoreError, UsageError
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope
from hydra_sync.limits import KEY_BYTES
from hydra_sync.tasks import open_tasks

__all__ = ["NodeProcess", "prepare"]

_PORTS: Final = range(20_000, 30_000)
STOP_S: Final = 10.0  # a node that was asked to stop does so within; then it is killed


def prepare(directory: Path, names: Sequence[str]) -> dict[str, Path]:
    """Make keys and configurations of a network of ``names`` on loopback; returns each one's configuration file.

    Raises `UsageError`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{directory} cannot be made: {error.strerror}; name another directory") from error
    ports = _free_ports(len(names))
    for name in names:
        key = SigningKey(os.urandom(KEY_BYTES))
        private = directory / f"{name}.sk"
        private.touch(mode=0o600)
        private.write_text(signing_envelope(key))
        (directory / f"{name}.vk").write_text(verification_envelope(key.member))
    return {name: _write_config(directory, name, dict(zip(names, ports, strict=True))) for name in names}


class NodeProcess:
    """One member's node as a process of its own; its story comes as JSON lines on its standard output."""

    def __init__(
        self,
        name: str,
        config_file: Path,
        hear: Callable[[str, Mapping[str, object]], None],
        command: Sequence[str] = ("run", "--stdin", "--stop-at-end", "--format", "hex", "--json"),
    ) -> None:
        self.name = name
        self._command = command
        self.config_file = config_file
        self._hear = hear
        self._process: trio.Process | None = None
        self._may_end = False
        self._ended = trio.Event()
        """Set when all that the process told has been heard."""

    @property
    def config(self) -> Config:
        return load_config(self.config_file)

    @property
    def pid(self) -> int:
        """The operating system's number of the running process."""
        assert self._process is not None
        return self._process.pid

    async def init(self) -> None:
        """Make the node's store. Raises `StoreError`."""
        command = [*_COMMAND, "init", "--config", str(self.config_file), "--json"]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode != 0:
            raise StoreError(f"{self.name} has no store: {_words(done.stderr)}")

    def lose_disk(self) -> None:
        """Delete the node's store, as if its disk were gone."""
        shutil.rmtree(self.config.persistence_dir)

    async def refusal(self) -> str:
        """What the node says when it is started and cannot be. Raises `StoreError` if it can."""
        command = [*_COMMAND, *self._command, "--config", str(self.config_file)]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode == 0:
            raise StoreError(f"the node of {self.name} runs without a store")
        return _words(done.stderr)

    async def recover(self) -> None:
        """Get the node's log back from the others. Raises `StoreError`."""
        command = [*_COMMAND, "recover", "--config", str(self.config_file), "--json"]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        for line in done.stdout.splitlines():
            self._hear(self.name, json.loads(line))
        if done.returncode != 0:
            raise StoreError(f"{self.name} was not recovered: {_words(done.stderr)}")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the node until it is stopped or killed; started when it is ready.

        Raises `StoreError` if it ends by itself. However this ends, the process has ended too.
        """
        command = [*_COMMAND, *self._command, "--config", str(self.config_file)]
        self._may_end, self._ended = False, trio.Event()
        # Of its own session: a Ctrl-C is for the demonstration, which ends its nodes itself. Should it be
        # killed, its pipes close, and the nodes stop at the end of their standard input.
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._process = process
        try:
            errors: list[bytes] = []
            async with open_tasks() as nursery:
                nursery.start_soon(_collect, process, errors)
                await self._listen(process, task_status)
            await process.wait()
        finally:
            await _end(process)
            self._ended.set()
        if not self._may_end:
            raise StoreError(f"the node of {self.name} ended by itself: {_words(b''.join(errors))}")

    async def _listen(self, process: trio.Process, task_status: trio.TaskStatus[None]) -> None:
        assert process.stdout is not None
        rest = b""
        async for data in process.stdout:
            *lines, rest = (rest + bytes(data)).split(b"\n")
            for line in lines:
                fields = json.loads(line)
                self._hear(self.name, fields)
                if fields.get("event") == "ready":
                    task_status.started()

    async def append(self, transaction: bytes) -> None:
        """Hand one transaction to the node; its acknowledgement comes as a line of its story."""
        await self.send(transaction.hex())

    async def send(self, line: str) -> None:
        """Write a line to the node's standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(line.encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.sleep_forever()  # the node has ended, and `run` says why

    async def kill(self) -> None:
        """SIGKILL: not one more instruction."""
        assert self._process is not None
        self._may_end = True
        self._process.kill()
        await self._ended.wait()

    async def stop(self) -> None:
        """Ask the node to stop, and wait until it has."""
        if self._process is None or self._process.poll() is not None:
            return
        self._may_end = True
        self._process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_S):
            await self._ended.wait()
            return
        await self.kill()


_COMMAND: Final = (sys.executable, "-m", "hydra_sync")


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            process.kill()
        await process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                await stream.aclose()


def _words(output: bytes) -> str:
    text = output.decode(errors="replace").strip()
    return text.rpartition("\n")[2].removeprefix("hydra-sync: ") or "it gave no reason"


async def _collect(process: trio.Process, parts: list[bytes]) -> None:
    assert process.stderr is not None
    async for data in process.stderr:
        parts.append(bytes(data))  # noqa: PERF401  read while it comes, not at the end


def _free_ports(count: int) -> list[int]:
    """Free now, and outside the range that the system gives to outgoing connections.

    From inside it, a node that dials one that is down could be given the very port it dials, and keep it.
    """
    ports: list[int] = []
    candidates = iter(random.sample(_PORTS, len(_PORTS)))
    while len(ports) < count:
        port = next(candidates)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return ports


def _write_config(directory: Path, name: str, ports: Mapping[str, int]) -> Path:
    lines = [
        'network = "demo"',
        f'node-id = "{name}"',
        f'listen = "127.0.0.1:{ports[name]}"',
        f'hydra-signing-key = "{name}.sk"',
        f'persistence-dir = "{name}"',
    ]
    for other, port in ports.items():
        key = f'hydra-verification-key = "{other}.vk"'
        lines += ["", "[[member]]", f'alias = "{other}"', key, f'address = "127.0.0.1:{port}"']
    path = directory / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
