"""The clients of the demonstration's head: what each submits, and when it was confirmed. Does I/O by trio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from hydra_sync.demo.processes import NodeProcess
from hydra_sync.tasks import Signal

__all__ = ["Client", "HeadNode"]

WINDOW_MAX: Final = 100  # transactions submitted and not confirmed: what a wallet server keeps on their way
WINDOW_MIN: Final = 4
WINDOWS: Final = 4  # a client has so many windows of transactions, or more: it is never all submitted at once


@dataclass(eq=False, slots=True)
class HeadNode:
    """What one node's process told so far."""

    name: str
    changed: Signal = field(default_factory=Signal)
    greetings: list[Mapping[str, Any]] = field(default_factory=list)
    """One for each start."""
    begun: int = 0
    """Epochs of its log."""
    status: str = "idle"
    confirmed: dict[str, float] = field(default_factory=dict)
    """When this node's clients were told that a transaction is confirmed."""
    snapshots: dict[int, str] = field(default_factory=dict)
    """The outputs' hash of each snapshot."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a transaction was refused, by its id or, where the command was, by its bytes in hexadecimal."""
    up: list[list[float]] = field(default_factory=list)
    """When its head was there: beginnings and ends."""

    def take(self, _: str, fields: Mapping[str, Any]) -> None:
        """Take one JSON line."""
        now_s = trio.current_time()
        match fields:
            case {"event": "started"}:
                self.begun += 1
            case {"event": "greetings"}:
                self.greetings.append(fields)
                self.status = fields["status"]
                self.up.append([now_s])
                for seen in fields["transactions"]:
                    if seen["fate"] == "confirmed":
                        self.confirmed.setdefault(seen["id"], now_s)
            case {
                "tag": "SnapshotConfirmed",
                "number": int(number),
                "utxoHash": str(utxo_hash),
                "confirmed": list(ids),
            }:
                self.snapshots[number] = utxo_hash
                for id_ in ids:
                    self.confirmed.setdefault(id_, now_s)
            case {"tag": "TxInvalid", "transactionId": str(id_), "validationError": {"reason": str(reason)}}:
                self.refused[id_] = reason
            case {
                "tag": "CommandFailed",
                "clientInput": {"transaction": {"cborHex": str(data)}},
                "reason": str(reason),
            }:
                self.refused[data] = reason
            case {"headStatus": str(status)}:
                self.status = status
            case _:
                return
        self.changed.fire()

    @property
    def is_up(self) -> bool:
        """Whether its head was there, and its process was not killed since."""
        return bool(self.up) and len(self.up[-1]) == 1

    def killed(self) -> None:
        """Its process is no more."""
        self.up[-1].append(trio.current_time())


class Client:
    """Submits transactions to one node, in order, and insists: what a killed node had not taken is given again."""

    def __init__(self, node: HeadNode, process: NodeProcess, transactions: Mapping[str, bytes]) -> None:
        self.submitted: Final[dict[str, float]] = {}
        """When each was first submitted, by id."""
        self.transactions = transactions
        self.window: Final = max(WINDOW_MIN, min(WINDOW_MAX, len(transactions) // WINDOWS))
        self._held: frozenset[str] = frozenset()
        self._sending = trio.CancelScope()
        self._node = node
        self._process = process

    @property
    def is_done(self) -> bool:
        return all(id_ in self._node.confirmed for id_ in self.transactions)

    @property
    def confirmed(self) -> int:
        """How many are confirmed, as its node told."""
        return sum(id_ in self._node.confirmed for id_ in self.transactions)

    @property
    def unconfirmed(self) -> list[str]:
        """What was submitted, and its node has not told that it is confirmed."""
        return [id_ for id_ in self.submitted if id_ not in self._node.confirmed]

    def hold(self) -> None:
        """Keep the last window back until `release`: there is something to submit then."""
        self._held = frozenset(list(self.transactions)[-self.window :])

    def release(self) -> None:
        self._held = frozenset()
        self._node.changed.fire()

    def interrupt(self) -> None:
        """The node was killed: what is being sent to it never arrives."""
        self._sending.cancel()

    async def run(self) -> None:
        """Return when all are confirmed."""
        while not self.is_done:
            start = len(self._node.greetings)
            given = {seen["id"] for seen in self._node.greetings[-1]["transactions"] if seen["fate"] != "rejected"}
            await self._submit(start, [id_ for id_ in self.transactions if id_ not in given])
            while len(self._node.greetings) == start and not self.is_done:
                await self._node.changed.wait()

    async def _submit(self, start: int, ids: list[str]) -> None:
        """Submit these to the node's process of this start, as the window has room."""
        for place, id_ in enumerate(ids):
            while id_ in self._held or not self._node.is_up or self._on_their_way(ids[:place]) >= self.window:
                await self._node.changed.wait()
                if len(self._node.greetings) != start:
                    return
            self.submitted.setdefault(id_, trio.current_time())
            with trio.CancelScope() as self._sending:
                await self._process.send(new_tx(self.transactions[id_]))
            self._node.changed.fire()
            if self._sending.cancelled_caught or len(self._node.greetings) != start:
                return

    def _on_their_way(self, ids: list[str]) -> int:
        return sum(1 for id_ in ids[-self.window * 2 :] if id_ not in self._node.confirmed)


def new_tx(transaction: bytes) -> str:
    """The command that submits a transaction."""
    return json.dumps({"tag": "NewTx", "transaction": {"cborHex": transaction.hex()}})
