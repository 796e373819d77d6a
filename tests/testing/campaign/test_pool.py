"""Functions are called in other processes, and whatever becomes of those, there is an answer."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hydra_sync.testing.campaign.pool import Answer, Call, call_all, call_chunk

HERE = "tests.testing.campaign.calls"


def call(name: str, timeout_s: float = 60, **environment: str) -> Call:
    return Call(f"{HERE}:{name}", {}, timeout_s, environment)


def test_values_go_there_and_back() -> None:
    """As JSON, in the order of the calls, and printing does not disturb them."""
    calls = [Call(f"{HERE}:echo", {"value": value}, 60) for value in (1, "ä\n", [None, {"a": 0.5}])]
    assert [answer.value for answer in call_chunk(calls)] == [1, "ä\n", [None, {"a": 0.5}]]


def test_an_error_is_an_answer() -> None:
    """And the process goes on."""
    failed, fine = call_chunk([call("fail"), call("about")])
    assert failed == Answer(error="LookupError", message="as ordered")
    assert fine.error == ""


def test_whoever_takes_too_long_is_killed_and_replaced() -> None:
    """The next call is answered by another process."""
    before, late, after = call_chunk([call("about"), call("sleep", 1.5), call("about")])
    assert late.error == "TimedOut"
    assert "calls.py" in late.message
    assert before.value["pid"] != after.value["pid"]  # type: ignore[index]


def test_a_death_is_told_with_the_last_words() -> None:
    """And the next call is answered by another process."""
    dead, fine = call_chunk([call("die"), call("about")])
    assert dead.error == "ProcessDied"
    assert "status 3" in dead.message
    assert "last words" in dead.message
    assert fine.error == ""


def test_the_environment_is_the_same_for_all_but_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash seed and the usual allocator, whatever ours are; one process serves several calls."""
    monkeypatch.setenv("PYTHONMALLOC", "debug")
    usual, other, again = call_chunk(
        [call("about"), call("about", PYTHONHASHSEED="9", PYTHONMALLOC="malloc"), call("about")]
    )
    assert usual.value == again.value
    assert usual.value | {"pid": 0} == {"pid": 0, "PYTHONHASHSEED": "0", "PYTHONMALLOC": None}  # type: ignore[operator]
    assert other.value | {"pid": 0} == {"pid": 0, "PYTHONHASHSEED": "9", "PYTHONMALLOC": "malloc"}  # type: ignore[operator]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells a process when another one ends")
def test_processes_end_with_whoever_started_them(tmp_path: Path) -> None:
    """Even if that one was killed and could say nothing, and they are busy."""
    told = tmp_path / "pid"
    program = (
        "from hydra_sync.testing.campaign.pool import Call, call_chunk\n"
        f"call_chunk([Call('{HERE}:loop', {{'tell': {str(told)!r}}}, 60)])"
    )
    deadline = time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", program]) as starter:
        while not (told.exists() and told.read_text().endswith("\n")) and time.monotonic() < deadline:
            time.sleep(0.01)
        worker = os.pidfd_open(int(told.read_text()))
        starter.kill()
    try:
        assert select.select([worker], [], [], 10)[0], "it still works for nobody"
    finally:
        os.close(worker)


def test_there_are_as_many_processes_as_jobs() -> None:
    """Each call is answered once."""
    pids: list[object] = []
    calls = [call("about") for _ in range(20)]
    call_all(calls, 2, lambda _, answer: pids.append(answer.value["pid"]))  # type: ignore[index]
    assert len(pids) == 20
    assert 1 <= len(set(pids)) <= 2


def test_our_own_errors_end_it_all() -> None:
    """As Ctrl-C does: the error comes out as it is, and the processes end."""

    def refuse(call: Call, answer: Answer) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call_all([call("about"), call("sleep")], 2, refuse)
