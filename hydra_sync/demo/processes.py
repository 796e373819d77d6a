"""The demonstration's nodes: operating-system processes of the real command line. Does I/O."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

from hydra_sync.config import Config, load_config
from hydra_sync.errors import StoreError
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope
from hydra_sync.limits import KEY_BYTES
from hydra_sync.tasks import open_tasks

__all__ = ["NodeProcess", "prepare"]

STOP_S: Final = 10.0  # a node that was asked to stop does so within; then it is killed


def prepare(directory: Path, names: Sequence[str]) -> dict[str, Path]:
    """Make keys and configurations of a network of ``names`` on loopback; returns each one's configuration file."""
    directory.mkdir(parents=True, exist_ok=True)
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

    def __init__(self, name: str, config_file: Path, hear: Callable[[str, Mapping[str, object]], None]) -> None:
        self.name = name
        self.config_file = config_file
        self._hear = hear
        self._process: trio.Process | None = None

    @property
    def config(self) -> Config:
        return load_config(self.config_file)

    @property
    def pid(self) -> int:
        """The operating system's number of the running process."""
        assert self._process is not None
        return self._process.pid

    async def init(self) -> None:
        """Make the node's store."""
        await trio.run_process([*_COMMAND, "init", "--config", str(self.config_file), "--json"], capture_stdout=True)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the node until it ends; started when it is ready. Raises `StoreError` if it never is."""
        command = [*_COMMAND, "run", "--config", str(self.config_file), "--stdin", "--format", "hex", "--json"]
        self._process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        ready = False
        async with open_tasks() as nursery:
            errors: list[bytes] = []
            nursery.start_soon(_collect, self._process, errors)
            assert self._process.stdout is not None
            rest = b""
            async for data in self._process.stdout:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    fields = json.loads(line)
                    self._hear(self.name, fields)
                    if fields["event"] == "ready":
                        ready = True
                        task_status.started()
        await self._process.wait()
        if not ready:
            raise StoreError(f"the node of {self.name} did not start: {b''.join(errors).decode(errors='replace')}")
        self._hear(self.name, {"event": "ended", "status": self._process.returncode})

    async def append(self, transaction: bytes) -> None:
        """Hand one transaction to the node; its acknowledgement comes as a line of its story."""
        assert self._process is not None
        assert self._process.stdin is not None
        await self._process.stdin.send_all(transaction.hex().encode() + b"\n")

    async def kill(self) -> None:
        """SIGKILL: not one more instruction."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ask the node to stop, and wait until it has."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_S):
            await self._process.wait()
            return
        await self.kill()


_COMMAND: Final = (sys.executable, "-m", "hydra_sync")


async def _collect(process: trio.Process, parts: list[bytes]) -> None:
    assert process.stderr is not None
    async for data in process.stderr:
        parts.append(bytes(data))  # noqa: PERF401  read while it comes, not at the end


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
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
