"""What a running node tells on its terminal, or as JSON, and what ends it. Does I/O."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Final

import trio

from hydra_sync.cli.notices import notice_json, notice_line
from hydra_sync.cli.output import LineWriter, lost_json, lost_line
from hydra_sync.config import Config
from hydra_sync.errors import StoreFullError
from hydra_sync.node import Node
from hydra_sync.sync import Connected, Disconnected, Notice, OwnLogTaken

__all__ = ["NodeOutput"]


class NodeOutput:
    """What the node tells: lines for people on standard error, or JSON on standard output."""

    def __init__(self, config: Config, as_json: bool) -> None:
        self.out: Final = LineWriter(sys.stdout, lost_json)
        self.err: Final = LineWriter(sys.stderr, lost_line)
        self._config = config
        self._as_json = as_json
        self._here: set[tuple[bytes, bool]] = set()
        self.taken = trio.Event()
        """Another process runs with this node's key, and has begun a later epoch."""

    def notice(self, notice: Notice) -> None:
        """Tell a notice. Called from inside the node, and so never raises, and never waits."""
        if isinstance(notice, OwnLogTaken):
            self.taken.set()
        if self._as_json:
            self.out.offer(json.dumps(notice_json(notice, self._config)))
            return
        match notice:
            case Connected(peer, tool):
                self._here.add((peer, tool))
            case Disconnected(peer, tool) if (peer, tool) not in self._here:
                return  # it never was here, and `NoSession` says so
            case Disconnected(peer, tool):
                self._here.remove((peer, tool))
            case _:
                pass
        if line := notice_line(notice, self._config):
            self.note(line)

    async def appended(self, seq: int) -> None:
        """Acknowledge a line of standard input. Waits for a reader, and with it the standard input does."""
        await self.out.put(json.dumps({"event": "appended", "seq": seq}) if self._as_json else f"appended {seq}")

    def full(self, first: int, last: int, why: StoreFullError) -> None:
        """Tell which lines of standard input wait for room on the disk."""
        if self._as_json:
            self.out.offer(json.dumps({"event": "disk_full", "first_line": first, "last_line": last, "why": str(why)}))
            return
        lines = (
            f"line {first} of standard input is" if first == last else f"lines {first} to {last} of standard input are"
        )
        self.note(f"{lines} not appended, and will be once there is room: {why}")

    def waits(self, lines: Sequence[str]) -> None:
        """Say why the node does not append yet."""
        if self._as_json:
            self.out.offer(json.dumps({"event": "waiting", "why": list(lines)}))
        for line in lines:
            self.note(line)

    def ready(self, node: Node) -> None:
        """Say that the node runs, and where."""
        status = node.status()
        if self._as_json:
            fields = {"event": "ready", "node": status.node_id, "listen": status.listen}
            self.out.offer(json.dumps(fields | {"next_seq": status.me.log.tip.next_seq}))
        where = f" at {status.listen}" if status.listen else ", listening nowhere: it only dials"
        self.note(f"{status.node_id} runs in network {status.network}{where}; stop it with Ctrl-C")
        for warning in status.warnings:
            self.note(f"note: {warning}")

    def note(self, line: str) -> None:
        """Tell people."""
        if not self._as_json:
            self.err.offer(line)
