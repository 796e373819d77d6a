"""The verdict reads the disks: whatever is wrong with a store, it is seen, and named by node and log."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hydra_sync.demo import Verdict
from hydra_sync.demo.verdict import Finding
from tests.demo.stores import DUE, Stores


def bobs_alice(verdict: Verdict) -> Finding:
    """The finding on alice's log in bob's store; every other one has to be good."""
    assert all(f.good for f in verdict.findings if (f.node, f.log) != ("bob", "alice"))
    return next(f for f in verdict.findings if (f.node, f.log) == ("bob", "alice"))


async def test_good_stores(stores: Stores) -> None:
    """All events, once, in order, the same bytes everywhere."""
    for node in DUE:
        await stores.make(node)
    verdict = await stores.judge()
    assert verdict.good
    assert verdict.identical
    assert [finding.events for finding in verdict.findings] == [6, 6, 6, 6]


@pytest.mark.parametrize(
    ("places", "lost", "duplicated", "out_of_order"),
    [
        ([0, 1, 2, 3, 4], 1, 0, 0),
        ([], 6, 0, 0),
        ([0, 1, 3, 4, 5], 1, 0, 0),
        ([0, 1, 2, 2, 3, 4, 5], 0, 1, 0),
        ([0, 1, 2, 3, 4, 5, 0], 0, 1, 1),
        ([1, 0, 2, 3, 5, 4], 0, 0, 2),
        ([0, 0, 2, 3, 4, 5], 1, 1, 0),
    ],
)
async def test_validly_signed_and_wrong(
    stores: Stores, places: Sequence[int], lost: int, duplicated: int, out_of_order: int
) -> None:
    """No signature helps a log that is not what its author was given."""
    await stores.make("alice")
    await stores.make("bob", {"alice": [DUE["alice"][place] for place in places], "bob": DUE["bob"]})
    verdict = await stores.judge()
    found = bobs_alice(verdict)
    assert (found.lost, found.duplicated, found.out_of_order, found.foreign) == (lost, duplicated, out_of_order, 0)
    assert not verdict.good
    assert not verdict.identical


async def test_an_event_that_nobody_submitted(stores: Stores) -> None:
    """It is foreign, and not called a duplicate."""
    await stores.make("alice")
    await stores.make("bob", {"alice": [*DUE["alice"], b"to mallory"], "bob": DUE["bob"]})
    found = bobs_alice(await stores.judge())
    assert (found.lost, found.duplicated, found.foreign, found.good) == (0, 0, 1, False)


async def test_every_planted_byte(stores: Stores) -> None:
    """Wherever in a segment one byte changes, the verdict fails for that log alone."""
    for node in DUE:
        await stores.make(node)
    path = stores.segment("bob", "alice")
    data = path.read_bytes()
    for offset in range(0, len(data), 29):
        path.write_bytes(data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :])
        verdict = await stores.judge()
        assert not verdict.good, offset
        assert not bobs_alice(verdict).good, offset
    path.write_bytes(data)
    assert (await stores.judge()).good


async def test_a_byte_behind_the_last_record(stores: Stores) -> None:
    """Readers never see it, the verdict does."""
    for node in DUE:
        await stores.make(node)
    path = stores.segment("bob", "alice")
    path.write_bytes(path.read_bytes() + bytes(1000) + b"\1" + bytes(1000))
    found = bobs_alice(await stores.judge())
    assert found.events == 6
    assert found.damage is not None
    assert str(path) in found.damage


async def test_same_events_in_other_bytes(stores: Stores) -> None:
    """Two copies that both verify and differ are no good: their author signed two histories."""
    await stores.make("alice")
    await stores.make("bob")
    path = stores.segment("bob", "alice")
    original = path.read_bytes()
    path.write_bytes(b"".join(stores.records("alice", DUE["alice"], time_us=2)))
    assert path.read_bytes() != original
    verdict = await stores.judge()
    assert all(finding.good for finding in verdict.findings)
    assert not verdict.identical
    assert not verdict.good


async def test_a_store_that_cannot_be_opened(stores: Stores) -> None:
    """It is a finding on each of its logs, and the others are judged."""
    for node in DUE:
        await stores.make(node)
    (stores.directory / "bob" / "store.toml").write_text("nonsense")
    verdict = await stores.judge()
    assert [(f.node, f.good) for f in verdict.findings] == [
        ("alice", True),
        ("alice", True),
        ("bob", False),
        ("bob", False),
    ]
    assert "store.toml is damaged" in str(verdict.findings[2].damage)
