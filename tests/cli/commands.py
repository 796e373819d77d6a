"""What the tests of the command line share: nodes in a directory, the command in this process or in one of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

import pytest

from hydra_sync.cli import main
from hydra_sync.config import Config, Restart, load_config
from hydra_sync.identity import SigningKey, signing_envelope, verification_envelope

PATIENCE_S = 60.0  # far more than anything here takes
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
FILLING = b"."  # what a full pipe is full of
NAMES = ("alice", "bob")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        """Standard output, every line of which has to be JSON; of which form, the test knows."""
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def run(*words: object) -> Result:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["hydra-sync", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Result(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with keys and configurations of alice and bob."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_SYNC_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    write_network(tmp_path)
    return tmp_path


def write_network(home: Path, network: str = "test", *, restart: Restart = "trust-disk") -> None:
    """alice and bob, who know one another and their ports. Alone, a node can only trust its disk."""
    ports = {name: free_port() for name in NAMES}
    for index, name in enumerate(NAMES):
        key = SigningKey(bytes([index + 1]) * 32)
        (home / f"{name}.sk").write_text(signing_envelope(key))
        (home / f"{name}.vk").write_text(verification_envelope(key.member))
        lines = [f'network = "{network}"', f'node-id = "{name}"', f'listen = "127.0.0.1:{ports[name]}"']
        lines += [f'hydra-signing-key = "{name}.sk"', f'persistence-dir = "{name}"', f'restart = "{restart}"']
        for other, port in ports.items():
            key_line = f'hydra-verification-key = "{other}.vk"'
            lines += ["[[member]]", f'alias = "{other}"', key_line, f'address = "127.0.0.1:{port}"']
        (home / f"{name}.toml").write_text("\n".join(lines) + "\n")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def config(home: Path, name: str) -> Config:
    return load_config(home / f"{name}.toml")


def segment(home: Path, store: str, log: str) -> Path:
    """The first segment of a log."""
    key = config(home, "alice").find(log)
    return home / store / "logs" / key.hex() / f"{0:020d}.log"


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def fill(pipe: int) -> None:
    """Write to a pipe until nothing more goes in."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while os.write(pipe, FILLING * 65536):
            pass
    with suppress(BlockingIOError):
        while os.write(pipe, FILLING):
            pass
    os.set_blocking(pipe, True)


class Process:
    """A command as a process of its own, its lines read as they come."""

    def __init__(self, home: Path, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hydra_sync", *words],
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.seen: list[str] = []
        self._lines: Queue[tuple[int, str | None]] = Queue()
        self._unread: tuple[list[str], ...] = ([], [])
        """What came of each stream after the line that was last waited for in it."""
        self._readers = [
            threading.Thread(target=self._read, args=(number, stream), daemon=True)
            for number, stream in enumerate((self._process.stdout, self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, number: int, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put((number, line.rstrip("\n")))
        self._lines.put((number, None))

    def until(self, part: str) -> str:
        """The next line, of either stream, that has ``part`` in it; between the streams there is no order."""
        for unread in self._unread:
            for at, came in enumerate(unread):
                if part in came:
                    del unread[: at + 1]
                    return came
        ends = 0
        while ends < 2:
            try:
                number, line = self._lines.get(timeout=PATIENCE_S)
            except Empty:
                break
            if line is None:
                ends += 1
                continue
            self.seen.append(line)
            if part in line:
                self._unread[number].clear()
                return line
            self._unread[number].append(line)
        raise AssertionError(f"no line with {part!r} came: {self.seen}")

    def write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def copy_store(self, store: str, copy: str) -> None:
        """What a snapshot of the disk would hold: the process stands still while its files are copied."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)  # each of its threads
        shutil.copytree(store, copy)
        self._process.send_signal(signal.SIGCONT)
        (Path(copy) / "LOCK").unlink()

    def wait(self) -> int:
        """The exit code; the lines that were not waited for are in ``seen`` after this."""
        code = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        while not self._lines.empty():
            if (line := self._lines.get()[1]) is not None:
                self.seen.append(line)
        assert not any("Traceback" in line for line in self.seen), self.seen
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


Start = Callable[..., Process]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start a command as a process of its own; it is ended with the test."""
    processes: list[Process] = []

    def run(*words: str) -> Process:
        processes.append(Process(home, *words))
        return processes[-1]

    yield run
    for process in processes:
        process.close()


@contextmanager
def locked(home: Path, name: str) -> Iterator[None]:
    """Somebody else has the store."""
    code = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(fd, fcntl.LOCK_EX); os.ftruncate(fd, 0); "
        "os.pwrite(fd, b'process 7 (node alice)', 0); print('ok', flush=True); sys.stdin.read()"
    )
    command: Sequence[str] = [sys.executable, "-c", code, str(home / name / "LOCK")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
        holder.kill()
