"""Promises of `hydra_sync.store.turns`."""

from __future__ import annotations

import trio
import trio.testing

from hydra_sync.store.turns import Turns


async def test_a_change_waits_for_who_looks_and_who_comes_later_waits_for_it() -> None:
    """Many look at once; whoever changes is alone, and not kept waiting by those who come after."""
    turns, said = Turns(), []
    first, change = trio.Event(), trio.Event()

    async def look(name: str, until: trio.Event) -> None:
        async with turns.looking():
            said.append(name)
            await until.wait()

    async def alter() -> None:
        async with turns.changing():
            said.append("change")
            await change.wait()
            said.append("changed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, "a", first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(look, "b", first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(alter)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(look, "c", first)
        await trio.testing.wait_all_tasks_blocked()
        assert said == ["a", "b"]
        first.set()
        await trio.testing.wait_all_tasks_blocked()
        assert said == ["a", "b", "change"]
        change.set()
    assert said == ["a", "b", "change", "changed", "c"]
