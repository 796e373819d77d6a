"""The trace's digest tells two runs apart, and where they part."""

from __future__ import annotations

from types import SimpleNamespace

import trio

from hydra_sync.testing import Trace, World


def test_the_digest_covers_rows_and_decisions() -> None:
    """In their order; and a closed trace takes nothing more."""

    def digest(*steps: str) -> str:
        trace = Trace(SimpleNamespace(now_ns=0))
        for step in steps:
            if step == "close":
                trace.close()
            elif step.isdigit():
                trace.decided([int(step)])
            else:
                trace.row(step)
        return trace.digest

    digests = [
        digest(),
        digest("a"),
        digest("1"),
        digest("a", "1"),
        digest("a", "2"),
        digest("a", "b"),
        digest("b", "a"),
    ]
    assert len(dict.fromkeys(digests)) == len(digests)
    assert digest("a", "close", "b", "1") == digest("a")


def test_the_digest_covers_when_a_batch_runs() -> None:
    """A run that lasts longer is another run, even if it writes no row."""

    def digest(sleep_s: float) -> str:
        async def scenario(world: World) -> None:
            await trio.sleep(sleep_s)

        return World(seed=1).run(scenario).digest

    assert digest(0.001) == digest(0.001) != digest(0.002)


def test_checkpoints_show_where_two_runs_part() -> None:
    """One digest every thousand rows."""
    one, other = Trace(SimpleNamespace(now_ns=0)), Trace(SimpleNamespace(now_ns=0))
    for number in range(3000):
        one.row("row", data=(number,))
        other.row("row", data=(number if number < 1500 else 0,))
    assert len(one.checkpoints) == 3
    assert [mine == theirs for mine, theirs in zip(one.checkpoints, other.checkpoints, strict=True)] == [
        True,
        False,
        False,
    ]
