"""Bands: what lasted, from which row to which."""

from __future__ import annotations

from hydra_sync.testing.view.bands import find_bands
from hydra_sync.testing.world.links import Shape
from tests.testing.view.runs import rows_of

USUAL = (10_000_000, 5_000_000, 12_500_000, 0)


def spans(*parts: tuple[int, str, str, int, tuple[str | int, ...]]) -> list[tuple[str, str, str, int, int | None]]:
    return [(band.kind, band.host, band.other, band.start, band.stop) for band in find_bands(rows_of(*parts))]


def test_a_crash_lasts_until_the_next_start() -> None:
    """And ends a pause."""
    assert spans(
        (0, "a", "start", -1, ()),
        (1, "a", "pause", -1, ()),
        (2, "a", "crash", -1, ("lost", "silent")),
        (3, "b", "exit", -1, ()),
        (4, "a", "start", -1, ()),
    ) == [("paused", "a", "", 1, 2), ("down", "a", "", 2, 4), ("down", "b", "", 3, None)]


def test_links_are_told_apart_by_direction() -> None:
    """A second cut of a cut link changes nothing."""
    assert spans(
        (0, "a", "cut", -1, ("b",)),
        (1, "b", "cut", -1, ("a",)),
        (2, "a", "cut", -1, ("b",)),
        (3, "b", "heal", -1, ("a",)),
        (4, "a", "heal", -1, ("b",)),
    ) == [("cut", "a", "b", 0, 4), ("cut", "b", "a", 1, 3)]


def test_a_clog_ends_at_its_time() -> None:
    """No row says so."""
    (band,) = find_bands(rows_of((5, "a", "clog", -1, ("b", 100))))
    assert (band.start_ns, band.stop, band.stop_ns) == (5, None, 105)


def test_a_link_unlike_itself_says_in_what() -> None:
    """Against the default shape, or the one that it was given most often."""
    assert Shape(*USUAL) == Shape()
    (band,) = find_bands(
        rows_of((0, "a", "reshape", -1, ("b", *USUAL[:3], 100_000)), (9, "a", "reshape", -1, ("b", *USUAL)))
    )
    assert (band.label, band.stop) == ("→ b: loss 10 %", 1)
    own = (1, 0, 1 << 30, 0)
    slow = (5, 0, 1 << 30, 0)
    assert [
        (band.start, band.stop)
        for band in find_bands(
            rows_of(*((n, "a", "reshape", -1, ("b", *shape)) for n, shape in enumerate([slow, own, slow, own, own])))
        )
    ] == [(0, 1), (2, 3)]


def test_rows_of_others_are_not_mistaken() -> None:
    """A scenario may note anything under any name."""
    assert spans((0, "a", "clog", -1, ()), (1, "a", "reshape", -1, ("b",)), (2, "a", "heal", -1, ())) == []
