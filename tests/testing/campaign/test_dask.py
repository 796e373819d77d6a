"""The same command on a Dask cluster has the same results."""

from __future__ import annotations

import importlib
import importlib.util
import json
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from hydra_sync.errors import UsageError
from hydra_sync.testing.campaign.on_dask import LOCAL, call_all_on_dask
from hydra_sync.testing.campaign.pool import Answer, Call
from tests.testing.campaign.test_campaign import campaign, interrupt, report, run

CALLS = "tests.testing.campaign.calls"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="Dask is not installed: pip install 'hydra-sync[simulate-cluster]'",
)


def digests(directory: Path) -> dict[tuple[int, str], str]:
    lines = (directory / "results.jsonl").read_text().splitlines()
    return {(one["seed"], one["environment"]): one["digest"] for one in map(json.loads, lines)}


def test_a_real_cluster_comes_to_the_same_results(tmp_path: Path) -> None:
    """Two workers, every seed once, failures and second runs included."""
    there, here = tmp_path / "there", tmp_path / "here"
    words = campaign(there, "every-third", "0:6", "--check-every", "3", "--no-shrink")
    words[words.index("--jobs") + 1] = "2"
    code, told = report([*words, "--scheduler", "local"])
    assert (code, told["runs"], told["new_runs"], told["checked"]) == (1, 6, 8, 2)
    assert [failure["seed"] for failure in sorted(told["failures"], key=lambda one: one["seed"])] == [0, 3]
    report(campaign(here, "every-third", "0:6", "--check-every", "3", "--no-shrink"))
    assert digests(there) == digests(here)


def test_a_scheduler_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Nothing is run in its place."""
    done: subprocess.CompletedProcess[str] = run(
        campaign(tmp_path, "peaceful", "0:2", "--scheduler", "tcp://127.0.0.1:9")
    )
    assert done.returncode == 2
    assert "no Dask scheduler at tcp://127.0.0.1:9" in done.stderr


def test_a_scheduler_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for them a while, and not for ever."""
    distributed = importlib.import_module("distributed")
    monkeypatch.setattr("hydra_sync.testing.campaign.on_dask.WORKERS_S_MAX", 0.5)
    monkeypatch.setattr("hydra_sync.testing.campaign.on_dask.QUIET_S", 0.2)
    calls = [Call(f"{CALLS}:echo", {"value": 7}, 60)]
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        pytest.raises(UsageError, match="has no workers: start some"),
    ):
        call_all_on_dask(calls, cluster.scheduler_address, 1, print)


def test_calls_that_kill_their_worker_are_answered() -> None:
    """The others too: a cluster that loses workers does not lose the campaign."""
    answers: dict[str, Answer] = {}
    calls = [
        Call(f"{CALLS}:orphan", {}, 60),
        Call(f"{CALLS}:echo", {"value": 7}, 60),
    ]
    call_all_on_dask(calls, LOCAL, 1, lambda call, answer: answers.update({call.function: answer}), chunk_max=1)
    assert answers[f"{CALLS}:echo"] == Answer(7)
    assert answers[f"{CALLS}:orphan"].error == "KilledWorker"


def test_workers_that_were_given_up_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask does not: where a killed worker is not back in time (here, at once), it forgets about it."""
    monkeypatch.setattr("hydra_sync.testing.campaign.on_dask.QUIET_S", 0.2)
    answers: list[Answer] = []
    settings = {"distributed.deploy.lost-worker-timeout": "10ms", "distributed.scheduler.allowed-failures": 1}
    with importlib.import_module("dask").config.set(settings):
        call_all_on_dask([Call(f"{CALLS}:orphan", {}, 60)], LOCAL, 1, lambda _, answer: answers.append(answer))
    assert [answer.error for answer in answers] == ["KilledWorker"]


@pytest.mark.parametrize(
    ("lost", "told"),
    [("workers", "has no workers: start some"), ("scheduler", "is gone")],
)
def test_a_cluster_that_is_lost_is_told(monkeypatch: pytest.MonkeyPatch, lost: str, told: str) -> None:
    """Its workers or its scheduler: nobody waits for ever, and what was done is kept."""
    distributed = importlib.import_module("distributed")
    monkeypatch.setattr("hydra_sync.testing.campaign.on_dask.WORKERS_S_MAX", 0.5)
    monkeypatch.setattr("hydra_sync.testing.campaign.on_dask.QUIET_S", 0.2)
    answers: list[Answer] = []
    calls = [Call(f"{CALLS}:echo", {"value": 7}, 60), Call(f"{CALLS}:sleep", {}, 60)]
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:

        def lose_all(call: Call, answer: Answer) -> None:
            answers.append(answer)
            cluster.close() if lost == "scheduler" else cluster.scale(0)

        with pytest.raises(UsageError, match=told):
            call_all_on_dask(calls, cluster.scheduler_address, 1, lose_all, chunk_max=1)
    assert answers == [Answer(7)]


def test_a_local_cluster_takes_nobodys_port() -> None:
    """Dask's usual one may be taken, and Dask would warn of it."""
    answers: list[Answer] = []
    with ExitStack() as stack:
        with suppress(OSError):  # else somebody has it already
            stack.enter_context(socket.create_server(("127.0.0.1", 8787)))
        call_all_on_dask([Call(f"{CALLS}:echo", {"value": 7}, 60)], LOCAL, 1, lambda _, answer: answers.append(answer))
    assert answers == [Answer(7)]


def test_ctrl_c_is_heard_while_a_cluster_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes out when the cluster is there, and ends it."""
    said: list[str] = []

    def start(**_: object) -> ExitStack:
        signal.raise_signal(signal.SIGINT)
        said.append("started")
        cluster = ExitStack()
        cluster.callback(said.append, "ended")
        return cluster

    monkeypatch.setattr("distributed.LocalCluster", start)
    with pytest.raises(KeyboardInterrupt):
        call_all_on_dask([], LOCAL, 1, print)
    assert said == ["started", "ended"]


def test_ctrl_c_keeps_what_a_cluster_has_done(tmp_path: Path) -> None:
    """Without the last words of its workers, who are not asked."""
    done = interrupt(campaign(tmp_path, "peaceful", "0:1000", "--scheduler", "local"), tmp_path / "results.jsonl")
    assert done.returncode == 130
    assert done.stdout.endswith("the same command goes on from there\n")
    assert "Traceback" not in done.stdout + done.stderr
