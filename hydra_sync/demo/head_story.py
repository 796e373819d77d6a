"""The demonstration of a head: three processes pay, each is killed once, nothing is lost. Does I/O.

Three clients submit signed transactions to a node each; among them some that must be rejected. Each node is
killed once, at a random moment while transactions of its client are not confirmed, and its store copied as the
kill left it. In the end every transaction is in a snapshot that all three signed, and the head is closed on layer 1.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import trio

from hydra_sync.demo.head_clients import Client, HeadNode, new_tx
from hydra_sync.demo.processes import NodeProcess, prepare
from hydra_sync.demo.story import NAMES
from hydra_sync.demo.wallets import Wallets, again, onward
from hydra_sync.errors import DeliveryError
from hydra_sync.head.conway import read_transaction
from hydra_sync.mainchain import FileChain
from hydra_sync.tasks import open_tasks

__all__ = ["HeadStory", "Told", "tell_head_story"]

PATIENCE_S: Final = 120.0  # what takes longer is a failure
CONTESTATION_S: Final = 1
WAIT_S: Final = 0.05


@dataclass(slots=True)
class Told:
    """What happened, for the verdict."""

    nodes: Mapping[str, HeadNode]
    clients: Mapping[str, Client]
    copies: dict[str, Path] = field(default_factory=dict)
    """Each node's store as its kill left it."""
    unconfirmed: dict[str, int] = field(default_factory=dict)
    """How many transactions of its client were submitted and not confirmed, at each node's kill."""
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """What must be rejected, and the reason that was given; empty if none was."""
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class HeadStory:
    """The story's parts."""

    directory: Path
    wallets: Wallets
    kills: bool
    say: Callable[[str, str], None]
    progress: Callable[[int], None]
    told: Told = field(init=False)
    processes: dict[str, NodeProcess] = field(default_factory=dict)

    def __post_init__(self) -> None:
        files = prepare(self.directory, NAMES)
        chain = self.directory / "chain.jsonl"
        FileChain.create(chain, self.wallets.outputs)
        nodes = {name: HeadNode(name) for name in NAMES}
        command = ("head", "run", "--chain", str(chain), "--stdin", "--stop-at-end", "--json")
        self.processes = {name: NodeProcess(name, files[name], nodes[name].take, command) for name in NAMES}
        clients = {
            name: Client(nodes[name], self.processes[name], {read_transaction(tx).id.hex(): tx for tx in transactions})
            for name, transactions in zip(NAMES, self.wallets.transactions, strict=True)
        }
        self.told = Told(nodes, clients)

    @property
    def confirmed(self) -> int:
        """How many of the clients' transactions are confirmed, as each one's own node told."""
        told = self.told
        return sum(id_ in told.nodes[name].confirmed for name in NAMES for id_ in told.clients[name].transactions)

    async def tell(self) -> None:
        """All of it."""
        async with open_tasks() as making:
            for process in self.processes.values():
                making.start_soon(process.init)
        async with open_tasks() as nursery:
            async with open_tasks() as starting:
                for name in NAMES:
                    starting.start_soon(self._start, nursery, name)
            self.say("alice, bob and carol run a node and a head each", "")
            await self._send("alice", {"tag": "Init", "contestationPeriod": CONTESTATION_S})
            await self._all(lambda node: node.status == "open", "the head opening")
            self.say(f"the head is open, with {len(self.wallets.outputs)} outputs; the clients begin to pay", "green")
            if self.kills:
                for client in self.told.clients.values():
                    client.hold()
            async with open_tasks() as paying:
                for client in self.told.clients.values():
                    paying.start_soon(client.run)
                paying.start_soon(self._watch)
                if self.kills:
                    paying.start_soon(self._kill_each, nursery)
            total = self.confirmed
            await self._all(lambda node: len(node.confirmed) >= total, "all transactions on all nodes")
            self.say(f"all {total} transactions are confirmed, on all three nodes", "green")
            await self._be_rejected()
            await self._close()
            async with open_tasks() as stopping:
                for process in self.processes.values():
                    stopping.start_soon(process.stop)

    async def _watch(self) -> None:
        total = sum(map(len, self.wallets.transactions))
        while (done := self.confirmed) < total:
            self.progress(done)
            await trio.sleep(WAIT_S)

    async def _kill_each(self, nursery: trio.Nursery) -> None:
        """Each once, in random order, each in its third of its client's payments, while some are on their way."""
        random = Random()  # noqa: S311  any moment will do
        victims = random.sample(NAMES, len(NAMES))
        for third, name in enumerate(victims):
            client, node = self.told.clients[name], self.told.nodes[name]
            before = len(client.transactions) - client.window
            moment = int((third + random.uniform(0.1, 0.9)) * before / len(victims))
            while client.confirmed < moment:
                await node.changed.wait()
            await trio.sleep(random.uniform(0, 0.02))  # not when something has just been told
            client.release()
            while not client.unconfirmed:
                await node.changed.wait()
            await self._kill(nursery, name)

    async def _kill(self, nursery: trio.Nursery, name: str) -> None:
        process, node = self.processes[name], self.told.nodes[name]
        submitted = self.told.clients[name].unconfirmed
        await process.kill()  # and all that it told is heard
        node.killed()
        self.told.clients[name].interrupt()
        left = self.told.unconfirmed[name] = sum(id_ not in node.confirmed for id_ in submitted)
        how_far = f"{self.confirmed} transactions are confirmed, {left} of its client's on their way"
        self.say(f"{name} is killed with SIGKILL; {how_far}", "bold red")
        copy = self.directory / f"{name}.killed"
        await trio.to_thread.run_sync(shutil.copytree, process.config.persistence_dir, copy)
        self.told.copies[name] = copy
        await self._start(nursery, name)
        answers = node.greetings[-1]
        number, count = answers["snapshot"]["number"], len(answers["transactions"])
        self.say(f"{name} is back: {answers['status']}, snapshot {number}, {count} transactions seen", "bold green")

    async def _be_rejected(self) -> None:
        """Double spends, bad witnesses, what is no transaction, and two that conflict: each is told why."""
        wallets = self.wallets
        spent = again(wallets.keys[0], wallets.transactions[0][0], fee=1)
        fresh = [onward(wallets.keys[number], wallets.transactions[number][-1], fee=0) for number in range(len(NAMES))]
        signature = read_transaction(fresh[0]).witnesses[0][1]
        await self._rejected("alice", "a double spend of what is confirmed", spent)
        await self._rejected("bob", "a bad witness", fresh[0].replace(signature, bytes(len(signature))))
        await self._rejected("carol", "half a transaction", fresh[1][: len(fresh[1]) // 2])
        one, other = (
            onward(wallets.keys[2], wallets.transactions[2][-1], fee=1),
            onward(wallets.keys[2], wallets.transactions[2][-1], fee=2),
        )
        ids = [read_transaction(each).id.hex() for each in (one, other)]
        async with open_tasks() as both:
            both.start_soon(self.processes["alice"].send, new_tx(one))
            both.start_soon(self.processes["bob"].send, new_tx(other))
        nodes = self.told.nodes.values()
        await self._until(
            lambda: (
                any(all(id_ in node.confirmed for node in nodes) for id_ in ids)
                and any(id_ in node.refused for node in nodes for id_ in (*ids, one.hex(), other.hex()))
            ),
            "one of two conflicting transactions being confirmed, and the other rejected",
        )
        if all(any(id_ in node.confirmed for node in nodes) for id_ in ids):
            self.told.problems.append("two transactions that spend one output are confirmed")
        why = next(node.refused[id_] for node in nodes for id_ in (*ids, one.hex(), other.hex()) if id_ in node.refused)
        self._tell_rejected("one of two that spend one output", why)

    async def _rejected(self, name: str, what: str, transaction: bytes) -> None:
        node = self.told.nodes[name]
        await self.processes[name].send(new_tx(transaction))
        await self._until(lambda: transaction.hex() in node.refused, f"{what} being rejected")
        self._tell_rejected(what, node.refused[transaction.hex()])

    def _tell_rejected(self, what: str, why: str) -> None:
        self.told.rejected.append((what, why))
        self.say(f"rejected, {what}: {why}", "yellow")

    async def _close(self) -> None:
        await self._send("bob", {"tag": "Close"})
        await self._all(lambda node: node.status == "fanout possible", "the contestation deadline")
        await self._send("carol", {"tag": "Fanout"})
        await self._all(lambda node: node.status == "final", "the head's end")
        self.say("the head is closed, and its outputs are back on layer 1", "green")

    async def _start(self, nursery: trio.Nursery, name: str) -> None:
        node = self.told.nodes[name]
        starts = len(node.greetings)
        with trio.move_on_after(PATIENCE_S):
            await nursery.start(self.processes[name].run)
            await self._until(lambda: len(node.greetings) > starts, f"{name}'s head")

    async def _send(self, name: str, command: Mapping[str, object]) -> None:
        await self.processes[name].send(json.dumps(command))

    async def _all(self, holds: Callable[[HeadNode], bool], what: str) -> None:
        await self._until(lambda: all(map(holds, self.told.nodes.values())), what)

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        with trio.move_on_after(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  several nodes may tell it
                await trio.sleep(WAIT_S)
            return
        raise DeliveryError(f"waited {PATIENCE_S:g} s in vain for {what}")


async def tell_head_story(
    directory: Path,
    wallets: Wallets,
    *,
    kills: bool,
    say: Callable[[str, str], None],
    progress: Callable[[int], None],
) -> Told:
    """Run the story in ``directory``; no process is left, however it ends.

    Raises `DeliveryError` for what does not happen in time, and `StoreError` for a node that ends by itself.
    """
    story = HeadStory(directory, wallets, kills, say, progress)
    await story.tell()
    return story.told
