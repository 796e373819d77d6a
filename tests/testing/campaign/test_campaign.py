"""Campaigns as people start them: they find, replay, go on after a kill, and do not believe themselves."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hydra_sync.cli.simulate import simulate
from hydra_sync.testing.campaign.campaign import Campaign, run_campaign
from hydra_sync.testing.campaign.findings import explain_difference

ROOT = Path(__file__).resolve().parents[3]
TOYS = "tests.testing.campaign.toys"


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def campaign(out: Path, scenario: str, seeds: str, *options: str) -> list[str]:
    words = ("campaign", "--scenario", f"{TOYS}:{scenario}", "--seeds", seeds, "--jobs", "1", "--out", str(out))
    return python("-m", "simulations", *words, *options)


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def report(words: list[str]) -> tuple[int, dict[str, Any]]:
    """The exit code, and what is said to programs."""
    done = run([*words, "--json"])
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_failing_seed_is_found_shrunk_and_replayed(tmp_path: Path) -> None:
    """The commands that are printed fail in the same way; the trace tells what caused what."""
    code, told = report(campaign(tmp_path, "every-third", "1:6", "--check-every", "0"))
    assert code == 1
    assert [(failure["seed"], failure["invariant"]) for failure in told["failures"]] == [(3, "S4")]
    (finding,) = told["findings"]
    assert finding["setup"]["plan"] == []
    assert str(tmp_path) in finding["replay"]
    plain = f"python -m simulations run {TOYS}:every-third --seed 3"
    assert finding["replay"].startswith(plain)
    for command in (plain, finding["replay"]):
        again = run([*python(*shlex.split(command)[1:]), "--json"])
        assert again.returncode == 1
        assert json.loads(again.stdout)["failure"]["invariant"] == "S4"
    header, *rows = map(json.loads, Path(finding["files"][0]).read_text().splitlines())
    assert (header["seed"], header["failure"]["invariant"]) == (3, "S4")
    assert all(cause < number for number, _, _, _, _, cause, _ in rows)
    assert json.loads(again.stdout)["digest"] == header["digest"]
    assert finding["replay"] in html.unescape(Path(finding["files"][1]).read_text())


def test_people_are_told_how_to_see_it_again(tmp_path: Path) -> None:
    """As soon as it fails, and with the verdict at the end."""
    done = run(campaign(tmp_path, "every-third", "3:5", "--check-every", "0", "--no-shrink"))
    assert done.returncode == 1
    assert "every-third 3 failed S4: three divides the seed" in done.stdout
    assert f"again:  python -m simulations run {TOYS}:every-third --seed 3\n" in done.stdout
    assert "seeds/s" in done.stdout
    assert "FAILED: 1 seed failed" in done.stdout


def test_a_killed_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    """No verdict is lost, none is made twice."""
    results = tmp_path / "results.jsonl"
    words = campaign(tmp_path, "peaceful", "0:40")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while (not results.exists() or results.read_bytes().count(b"\n") < 5) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    known = results.read_bytes().count(b"\n")
    assert 5 <= known < 41
    code, told = report(words)
    assert code == 0
    assert (told["runs"], told["new_runs"], told["checked"]) == (40, 41 - known, 1)
    kept = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted((verdict["seed"], verdict["environment"] == "usual") for verdict in kept) == sorted(
        [(seed, True) for seed in range(40)] + [(0, False)]
    )
    assert report(words)[1]["new_runs"] == 0


def interrupt(words: list[str], results: Path) -> subprocess.CompletedProcess[str]:
    """What a campaign says when Ctrl-C reaches it and all of its processes, a few new verdicts in."""

    def lines() -> int:
        return results.read_bytes().count(b"\n") if results.exists() else 0

    enough, deadline = lines() + 5, time.monotonic() + 60
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while lines() < enough and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, errors)


def interrupted_after(done: subprocess.CompletedProcess[str]) -> int:
    """How many new runs a campaign says it has made."""
    (count,) = re.findall(r"interrupted after (\d+) new runs in ", done.stdout)
    return int(count)


def test_an_interrupted_campaign_says_how_far_it_came(tmp_path: Path) -> None:
    """Every verdict that is counted is in the file, and none is asked for again.

    One more may be in the file: Ctrl-C may come when it was written and not yet counted.
    """
    results = tmp_path / "results.jsonl"
    done = interrupt(campaign(tmp_path, "peaceful", "0:1000"), results)
    known = results.read_bytes().count(b"\n")
    assert done.returncode == 130
    assert interrupted_after(done) in {known - 1, known}
    assert "virtual seconds per wall second" in done.stdout
    assert "Traceback" not in done.stderr
    again = interrupt(campaign(tmp_path, "peaceful", "0:1000"), results)
    more = results.read_bytes().count(b"\n") - known
    assert interrupted_after(again) in {more - 1, more}
    seeds = [(one["seed"], one["environment"]) for one in map(json.loads, results.read_text().splitlines())]
    assert len(seeds) == len(set(seeds))


@pytest.mark.parametrize("scenario", ["by-hash", "by-address"])
def test_what_depends_on_the_process_is_found_out(tmp_path: Path, scenario: str) -> None:
    """One seed in so many is run twice; where the two part is told."""
    job = Campaign((f"{TOYS}:{scenario}",), range(6), tmp_path / "results.jsonl", check_every=3)
    tally = run_campaign(job)
    assert tally.checked == 2
    assert {one.seed for one, _ in tally.differing} == {0, 3}
    assert "not deterministic" in tally.complaints[0]
    assert "first differ in row" in explain_difference(*tally.differing[0], tmp_path)


def test_seeds_that_hang_or_kill_their_process_fail_alone(tmp_path: Path) -> None:
    """The others have their verdicts."""
    specs = (f"{TOYS}:slow", f"{TOYS}:sudden")
    tally = run_campaign(Campaign(specs, range(3), tmp_path / "results.jsonl", jobs=2, timeout_s=4, check_every=0))
    assert tally.runs == 6
    told = {(verdict.scenario, verdict.seed): verdict.failure for verdict in tally.failures}
    assert {key: failure and failure.invariant for key, failure in told.items()} == {
        (specs[0], 1): "TimedOut",
        (specs[1], 1): "ProcessDied",
    }


def invoke(*words: str) -> Result:
    """What ``hydra-sync simulate`` does with these words."""
    return CliRunner().invoke(simulate, words)


def test_a_process_that_died_is_told_by_its_last_words(tmp_path: Path) -> None:
    """On the line that says which seed it was."""
    done = invoke(f"{TOYS}:sudden", "--seeds", "1:2", "--jobs", "1", "--out", str(tmp_path), "--check-every", "0")
    assert "sudden 1 failed ProcessDied: the process ended with status 7 and said at last: and thanks\n" in done.output


def test_a_seed_that_hangs_is_told_with_its_limit(tmp_path: Path) -> None:
    """The command that is printed for it ends, too, in the same failure."""
    words = ("--jobs", "1", "--out", str(tmp_path), "--check-every", "0", "--timeout", "2.5")
    done = invoke(f"{TOYS}:slow", "--seeds", "1:2", *words)
    assert f"again:  hydra-sync simulate {TOYS}:slow --seed 1 --timeout 2.5\n" in done.output


@pytest.mark.parametrize("scenario", ["slow", "deaf"])
def test_one_seed_has_a_limit_if_it_is_given_one(tmp_path: Path, scenario: str) -> None:
    """When it is over, where the program was is told; there is nothing to shrink."""
    small, html = tmp_path / "small.json", tmp_path / "run.html"
    words = ("--seed", "1", "--timeout", "0.3", "--shrink", str(small), "--html", str(html))
    done = invoke(f"{TOYS}:{scenario}", *words)
    assert done.exit_code == 1
    assert re.search(r'TimedOut failed at .* within 0.3 s of wall time; it was in File ".*toys.py", line', done.output)
    assert f"again:  hydra-sync simulate {TOYS}:{scenario} --seed 1 --timeout 0.3\n" in done.output
    assert not small.exists()
    assert "TimedOut" in html.read_text()
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    assert invoke(f"{TOYS}:{scenario}", "--seed", "2", "--timeout", "9").exit_code == 0


def test_an_interrupted_seed_says_where_it_was() -> None:
    """In the program, not in what simulates it."""
    words = python("-m", "simulations", "run", f"{TOYS}:slow", "--seed", "1")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        assert "slow, seed 1" in process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert re.match(r"interrupted in toys.py, line \d+\n", process.communicate(timeout=60)[0])
    assert process.returncode == 130


def test_what_no_terminal_can_write_is_escaped() -> None:
    done = invoke(f"{TOYS}:unwritable")
    assert done.exit_code == 1
    assert r"half a character: \ud800" in done.output


@pytest.mark.parametrize("option", ["--timeout", "--shrink-time"])
@pytest.mark.parametrize("number", ["nan", "inf", "1e300", "-1"])
def test_a_limit_is_a_number(option: str, number: str) -> None:
    done = invoke(f"{TOYS}:peaceful", "--seeds", "0:1", option, number)
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output


def test_toothless_faults_and_unhit_signals_are_reported(tmp_path: Path) -> None:
    """Faults that never have an effect fail the campaign; a signal does so if it is to be strict."""
    done = invoke(f"{TOYS}:toothless", "--seeds", "0:50", "--jobs", "1", "--out", str(tmp_path))
    assert done.exit_code == 1
    for kind in ("Clog", "Cut", "Rot"):
        assert f"FAILED: {kind} was in 50 plans and never had an effect" in done.output
    assert "FAILED: Wipe was in none of 50 plans" in done.output
    assert "Pause was in" not in done.output
    lenient = ("--seeds", "0:1", "--jobs", "1", "--out", str(tmp_path), "--check-every", "0")
    assert "note: signals that were never hit: 'dreamt'" in invoke(f"{TOYS}:peaceful", *lenient).output
    assert invoke(f"{TOYS}:peaceful", *lenient, "--strict").exit_code == 1


def test_one_seed_can_be_recorded_and_run_from_an_edited_setup(tmp_path: Path) -> None:
    """``hydra-sync simulate`` runs anyone's scenario, and says the command that does it again."""
    trace, small = tmp_path / "trace.jsonl", tmp_path / "small.json"
    done = invoke(f"{TOYS}:every-third", "--seed", "6", "--record", str(trace), "--shrink", str(small))
    assert done.exit_code == 1
    assert f"again:  hydra-sync simulate {TOYS}:every-third --seed 6\n" in done.output
    assert json.loads(trace.read_text().splitlines()[0])["seed"] == 6
    perfetto, shiviz = tmp_path / "perfetto.json", tmp_path / "shiviz.log"
    drawn = invoke(f"{TOYS}:every-third", "--seed", "6", "--perfetto", str(perfetto), "--shiviz", str(shiviz))
    assert json.loads(perfetto.read_text())["otherData"]["seed"] == 6
    assert "(?<clock>" in drawn.output
    assert '{"n0": 1} start' in shiviz.read_text()
    small.write_text(small.read_text().replace('"nodes": 1', '"nodes": 2'))
    again = invoke(f"{TOYS}:every-third", "--seed", "6", "--setup", str(small), "--fifo")
    assert "2 nodes, 0 operations, 0 faults" in again.output
    assert invoke(f"{TOYS}:every-third", "--seed", "7").exit_code == 0


@pytest.mark.parametrize("words", [["--seeds", "5"], ["--seeds", "5:5"], ["--seeds", "-1:5"], ["--seed", "-1"]])
def test_seeds_are_a_range(words: list[str]) -> None:
    """Half-open, and not empty."""
    assert invoke(f"{TOYS}:peaceful", *words).exit_code == 2


def test_a_bug_is_planted_in_place_of_a_scenario() -> None:
    """One of the two has to be named; the list names all bugs."""
    listed = run(python("-m", "simulations", "list")).stdout
    assert re.search(r"--mutant S1 +an append returns before its sync", listed)
    for words, told in (([], "name a scenario, or a --mutant"), (["swarm", "--mutant", "S1"], "not both")):
        done = run(python("-m", "simulations", "run", *words))
        assert done.returncode == 2
        assert told in done.stderr


def test_a_mistyped_scenario_is_looked_for_in_all_modules() -> None:
    """Whichever it was meant to be from."""
    done = run(python("-m", "simulations", "run", "wiped_autor"))
    assert done.returncode == 2
    assert "did you mean wiped_author" in done.stderr
