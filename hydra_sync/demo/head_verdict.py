"""The verdict on the demonstration's head: what the stores hold, against a second, independent fold. Does I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hydra_sync.config import Config
from hydra_sync.demo.head_story import Told
from hydra_sync.demo.naive import Naive, apply_all, outputs_hash
from hydra_sync.demo.wallets import Wallets
from hydra_sync.errors import HydraSyncError
from hydra_sync.head import Answers, HeadMachine, UtxoLedger
from hydra_sync.machine import Progress, replay
from hydra_sync.node import open_read_only, replicas
from hydra_sync.runtime.history import Contents, entered

__all__ = ["Figures", "HeadVerdict", "figures", "judge_head"]

QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Compared:
    """The four answers of one node at its kill: in short, and whether all three ways to them agree."""

    node: str
    status: str
    snapshot: int
    seen: int
    unconfirmed: int
    """Transactions of its client that were submitted and not confirmed."""
    problem: str | None


@dataclass(frozen=True, slots=True)
class HeadVerdict:
    """What the stores hold, and what is wrong."""

    kills: tuple[Compared, ...]
    utxo_hash: Mapping[str, str]
    """Of the last snapshot, by node."""
    folded_hash: str
    """The same from the transactions alone, by other code."""
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.problems and not any(kill.problem for kill in self.kills)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: seconds, and transactions a second."""

    confirmed: int
    seconds: float
    throughput: float
    throughput_up: float
    """In the time in which all three heads were there."""
    latency_s: tuple[float, float, float]
    """From submission to the client being told: half, 95 and 99 of a hundred took no longer."""
    snapshots: int


def figures(told: Told) -> Figures:
    """The figures of a story that has ended."""
    submitted = [at for client in told.clients.values() for at in client.submitted.values()]
    waits: list[float] = []
    ends: list[float] = []
    for name, client in told.clients.items():
        for id_ in client.transactions:
            end = told.nodes[name].confirmed[id_]
            ends.append(end)
            waits.append(end - client.submitted[id_])
    waits.sort()
    began, ended = min(submitted), max(ends)
    away = sum(
        max(0.0, min(after[0], ended) - max(before[1], began))
        for node in told.nodes.values()
        for before, after in zip(node.up, node.up[1:], strict=False)
    )
    seconds = ended - began
    fifty, most, nearly_all = (waits[min(len(waits) - 1, int(len(waits) * part))] for part in QUANTILES)
    up_s = max(seconds - away, 1e-9)
    return Figures(
        len(ends),
        seconds,
        len(ends) / seconds,
        len(ends) / up_s,
        (fifty, most, nearly_all),
        max(len(node.snapshots) for node in told.nodes.values()),
    )


async def judge_head(configs: Mapping[str, Config], told: Told, wallets: Wallets) -> HeadVerdict:
    """Read the stores, as the kills and as the end left them, and compare. The nodes must not run."""
    kills = [await _compare(name, configs[name], copy, told) for name, copy in told.copies.items()]
    problems = list(told.problems)
    if told.copies and not any(told.unconfirmed.values()):
        problems.append("at no kill anything was unconfirmed: the kills prove nothing")
    hashes: dict[str, str] = {}
    folded = ""
    for name, config in configs.items():
        try:
            answers, naive = await _fold(config, config.persistence_dir)
        except HydraSyncError as error:
            problems.append(f"{name}'s store: {error}")
            continue
        problems += [f"{name}: {problem}" for problem in _final_problems(answers, naive, told)]
        hashes[name] = answers.snapshot.utxo_hash if answers.snapshot else ""
        confirmed = [naive.transactions[id_] for id_, fate in naive.fates.items() if fate == "confirmed"]
        try:
            folded = outputs_hash(apply_all(wallets.outputs, in_order(confirmed, wallets)))
        except KeyError:
            problems.append(f"{name} confirmed a transaction that spends what is not there")
        if hashes[name] != folded:
            problems.append(f"{name}'s outputs are not what its confirmed transactions lead to")
    if len(set(hashes.values())) > 1:
        problems.append("the nodes end with different outputs")
    return HeadVerdict(tuple(kills), hashes, folded, tuple(problems))


def in_order(confirmed: Sequence[bytes], wallets: Wallets) -> list[bytes]:
    """Each client's own in its order, and then what else was confirmed: chains that do not touch one another."""
    listed = [transaction for transactions in wallets.transactions for transaction in transactions]
    extra = [transaction for transaction in confirmed if transaction not in set(listed)]
    known = set(confirmed)
    return [transaction for transaction in listed if transaction in known] + extra


def _final_problems(answers: Answers, naive: Naive, told: Told) -> list[str]:
    problems = []
    due = {id_ for client in told.clients.values() for id_ in client.transactions}
    if missing := sorted(id_ for id_ in due if naive.fates.get(id_) != "confirmed"):
        problems.append(f"{len(missing)} transactions are not confirmed, the first is {missing[0]}")
    if answers.snapshot is None or len(answers.snapshot.signed_by) != len(answers.parties):
        problems.append("the last snapshot does not hold the signatures of all")
    if answers.status.value != "final":
        problems.append(f"the head is {answers.status.value}")
    if comparable(answers) != naive.answers():
        problems.append("a second fold comes to other answers")
    return problems


async def _compare(name: str, config: Config, copy: Path, told: Told) -> Compared:
    """The answers of the store that a kill left, of a second fold of it, and of the head that came back."""
    greetings = told.nodes[name].greetings[1]
    try:
        answers, naive = await _fold(config, copy)
    except HydraSyncError as error:
        return Compared(name, "", 0, 0, told.unconfirmed[name], str(error))
    before, independent, after = comparable(answers), naive.answers(), comparable_json(greetings)
    problem = None
    if before != independent:
        problem = f"a second fold differs: {_difference(before, independent)}"
    elif before != after:
        problem = f"the head came back with other answers: {_difference(before, after)}"
    number = answers.snapshot.number if answers.snapshot else 0
    seen, unconfirmed = len(answers.transactions), told.unconfirmed[name]
    return Compared(name, answers.status.value, number, seen, unconfirmed, problem)


def comparable(answers: Answers) -> dict[str, object]:
    """The four answers in the form of `Naive.answers`."""
    snapshot = answers.snapshot
    return {
        "status": answers.status.value,
        "parties": list(answers.parties),
        "snapshot": [snapshot.number, list(snapshot.transactions)] if snapshot else [0, []],
        "transactions": dict(sorted((seen.id, seen.fate.value) for seen in answers.transactions)),
    }


def comparable_json(greetings: Mapping[str, Any]) -> dict[str, object]:
    """The same, of what a head said when it came back."""
    snapshot = greetings["snapshot"] or {"number": 0, "transactions": []}
    return {
        "status": greetings["status"],
        "parties": greetings["parties"],
        "snapshot": [snapshot["number"], snapshot["transactions"]],
        "transactions": dict(sorted((seen["id"], seen["fate"]) for seen in greetings["transactions"])),
    }


def _difference(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    return ", ".join(key for key in one if one[key] != other[key])


async def _fold(config: Config, directory: Path) -> tuple[Answers, Naive]:
    """The answers of a store's own log, by the head's machine and by the second fold."""
    machine = HeadMachine(config.key.member, UtxoLedger())
    naive = Naive()
    async with open_read_only(config, directory) as store:
        read = replicas(store, config)
        progress, contents = Progress(machine.start, {}), Contents(read)
        async for event in read(config.key.member, 0):
            if (found := entered(event)) and (record := await contents.resolve(found.entry)):
                progress = replay(machine, progress, record)
                naive.take(record)
    return machine.answers(progress.state), naive
