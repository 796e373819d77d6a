"""The judge of the head's demonstration: one story that went well, and each way in which it could have been spoilt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio

from hydra_sync.config import Config, load_config
from hydra_sync.demo import head_verdict
from hydra_sync.demo.head_story import Told, tell_head_story
from hydra_sync.demo.head_verdict import HeadVerdict, judge_head
from hydra_sync.demo.naive import Naive
from hydra_sync.demo.wallets import Wallets, generate
from hydra_sync.head import Answers, Status

PATIENCE_S = 240.0


@dataclass
class Case:
    """What is judged: as the story left it, or spoilt."""

    configs: dict[str, Config]
    told: Told
    wallets: Wallets

    @property
    def verdict(self) -> HeadVerdict:
        return trio.run(judge_head, self.configs, self.told, self.wallets)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A short story with its kills."""
    home, wallets = tmp_path_factory.mktemp("story") / "demo", generate(12)

    async def tell() -> Told:
        with trio.fail_after(PATIENCE_S):
            return await tell_head_story(home, wallets, kills=True, say=lambda _, __: None, progress=lambda _: None)

    told = trio.run(tell)
    return Case({name: load_config(home / f"{name}.toml") for name in told.nodes}, told, wallets)


@pytest.fixture
def case(story: Case, tmp_path: Path) -> Case:
    """A copy of it to spoil."""
    told = story.told
    nodes = {name: copy(node) for name, node in told.nodes.items()}
    for node in nodes.values():
        node.greetings = deepcopy(node.greetings)
    clients = {name: copy(client) for name, client in told.clients.items()}
    copies = {name: tmp_path / f"{name}.killed" for name in told.copies}
    for name, directory in told.copies.items():
        shutil.copytree(directory, copies[name])
    configs = {}
    for name, config in story.configs.items():
        configs[name] = replace(config, persistence_dir=tmp_path / name)
        shutil.copytree(config.persistence_dir, tmp_path / name)
    spoilt = Told(nodes, clients, copies, dict(told.unconfirmed), list(told.rejected), list(told.problems))
    return Case(configs, spoilt, story.wallets)


def cut_log(config: Config, directory: Path, share: float) -> None:
    """Leave a part of the log's bytes, as if the rest had never been written."""
    segments = sorted((directory / "logs" / config.key.member.hex()).glob("*.log"))
    data = segments[-1].read_bytes().rstrip(b"\0")
    segments[-1].write_bytes(data[: int(len(data) * share)])


def test_a_story_that_went_well_is_good(case: Case) -> None:
    """Nothing is wrong, and each kill is there with its answers."""
    verdict = case.verdict
    assert verdict.good, verdict
    assert sorted(kill.node for kill in verdict.kills) == ["alice", "bob", "carol"]
    assert set(verdict.utxo_hash.values()) == {verdict.folded_hash}
    assert any(kill.unconfirmed for kill in verdict.kills)


def other_fate(greetings: dict[str, Any]) -> None:
    greetings["transactions"].append({"id": "00" * 32, "fate": "waiting"})


def other_snapshot(greetings: dict[str, Any]) -> None:
    greetings["snapshot"]["number"] += 1


def other_status(greetings: dict[str, Any]) -> None:
    greetings["status"] = "idle"


def other_parties(greetings: dict[str, Any]) -> None:
    greetings["parties"].reverse()


@pytest.mark.parametrize("spoil", [other_fate, other_snapshot, other_status, other_parties])
def test_a_head_that_came_back_with_another_answer_is_seen(case: Case, spoil: Callable[[dict[str, Any]], None]) -> None:
    """Each of the four answers is compared, for each kill."""
    greetings: Any = case.told.nodes["bob"].greetings[1]
    spoil(greetings)
    verdict = case.verdict
    assert not verdict.good
    assert [kill.node for kill in verdict.kills if kill.problem] == ["bob"]
    assert "came back with other answers" in str(next(kill.problem for kill in verdict.kills if kill.problem))


def test_a_copy_that_lost_its_end_is_seen(case: Case) -> None:
    """A store that holds less than the head came back with."""
    cut_log(case.configs["carol"], case.told.copies["carol"], 0.5)
    verdict = case.verdict
    assert not verdict.good
    assert [kill.node for kill in verdict.kills if kill.problem] == ["carol"]


def test_a_copy_that_is_no_store_is_seen(case: Case) -> None:
    """The kill is in the verdict, with why it cannot be judged."""
    shutil.rmtree(case.told.copies["carol"])
    assert [kill.node for kill in case.verdict.kills if kill.problem] == ["carol"]


def test_kills_that_hit_nothing_prove_nothing(case: Case) -> None:
    """At one of them something must have been unconfirmed."""
    case.told.unconfirmed |= dict.fromkeys(case.told.unconfirmed, 0)
    assert [problem for problem in case.verdict.problems if "at no kill" in problem]


def a_transaction_is_missing(case: Case) -> None:
    client = case.told.clients["alice"]
    client.transactions = {**client.transactions, "00" * 32: b""}


def outputs_are_others(case: Case) -> None:
    case.wallets = replace(case.wallets, outputs=(*case.wallets.outputs, (bytes(34), b"\x00")))


def an_output_was_never_there(case: Case) -> None:
    case.wallets = replace(case.wallets, outputs=case.wallets.outputs[1:])


def a_store_lost_its_end(case: Case) -> None:
    cut_log(case.configs["bob"], case.configs["bob"].persistence_dir, 0.5)


def a_store_is_gone(case: Case) -> None:
    shutil.rmtree(case.configs["bob"].persistence_dir)


def something_went_wrong(case: Case) -> None:
    case.told.problems.append("as told")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (a_transaction_is_missing, ["alice: 1 transactions are not confirmed", "carol: 1 transactions"]),
        (outputs_are_others, ["alice's outputs are not what", "bob's outputs are not what"]),
        (an_output_was_never_there, ["alice confirmed a transaction that spends what is not there"]),
        (a_store_lost_its_end, ["bob's store: "]),
        (a_store_is_gone, ["bob's store: "]),
        (something_went_wrong, ["as told"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_end_that_is_wrong_is_seen(case: Case, spoil: Callable[[Case], None], words: list[str]) -> None:
    """The verdict says what is wrong, and whose."""
    spoil(case)
    verdict = case.verdict
    assert not verdict.good
    for word in words:
        assert [problem for problem in verdict.problems if problem.startswith(word)], (word, verdict.problems)


class Forgetful(Naive):
    """Another second fold: it leaves out a transaction."""

    def answers(self) -> dict[str, object]:
        answers = super().answers()
        known = answers["transactions"]
        assert isinstance(known, dict)
        return answers | {"transactions": dict(list(known.items())[1:])}


def test_a_second_fold_that_differs_is_seen(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of every node, and at every kill at which there were transactions."""
    monkeypatch.setattr(head_verdict, "Naive", Forgetful)
    verdict = case.verdict
    assert [problem for problem in verdict.problems if "a second fold comes to other answers" in problem]
    differ = [kill.node for kill in verdict.kills if kill.problem and "a second fold differs" in kill.problem]
    assert differ == [kill.node for kill in verdict.kills if kill.seen]


def unsigned(answers: Answers) -> Answers:
    assert answers.snapshot is not None
    return replace(answers, snapshot=replace(answers.snapshot, signed_by=answers.snapshot.signed_by[1:]))


def none_confirmed(answers: Answers) -> Answers:
    return replace(answers, snapshot=None)


def other_outputs(answers: Answers) -> Answers:
    assert answers.snapshot is not None
    return replace(answers, snapshot=replace(answers.snapshot, utxo_hash="00" * 32))


def still_open(answers: Answers) -> Answers:
    return replace(answers, status=Status.OPEN)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (unsigned, ["bob: the last snapshot does not hold the signatures of all"]),
        (none_confirmed, ["bob: the last snapshot does not hold the signatures of all"]),
        (
            other_outputs,
            ["bob's outputs are not what", "the nodes end with different"],
        ),
        (still_open, ["bob: the head is open"]),
    ],
)
def test_a_node_that_ends_otherwise_is_seen(
    case: Case, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Answers], Answers], words: list[str]
) -> None:
    """With a snapshot that is not signed by all, other outputs than the others', or a head that is not over."""
    fold = head_verdict._fold

    async def spoilt(config: Config, directory: Path) -> tuple[Answers, Naive]:
        answers, naive = await fold(config, directory)
        return (spoil(answers) if config is case.configs["bob"] else answers), naive

    monkeypatch.setattr(head_verdict, "_fold", spoilt)
    case.told.copies.clear()
    problems = case.verdict.problems
    for word in words:
        assert [problem for problem in problems if problem.startswith(word)], (word, problems)
