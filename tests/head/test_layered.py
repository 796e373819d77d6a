"""The map in layers: a dictionary that is never changed in place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hydra_sync.head.layered import Layered

KEYS = st.integers(0, 12).map(lambda number: bytes([number]))
CHANGES = st.lists(st.tuples(st.dictionaries(KEYS, st.integers()), st.lists(KEYS)))


@given(CHANGES)
def test_it_is_the_dictionary_that_the_same_changes_make(changes: list[tuple[dict[bytes, int], list[bytes]]]) -> None:
    """After every change it holds what a dictionary would, and the maps before hold what they held."""
    model: dict[bytes, int] = {}
    layered: Layered[int] = Layered()
    past = [(layered, dict(model))]
    for values, gone in changes:
        layered = layered.changed(values, [key for key in gone if key not in values])
        for key in gone:
            model.pop(key, None)
        model.update(values)
        past.append((layered, dict(model)))
    for then, held in past:
        assert then.flat() == held
        assert then.size == len(held)
        assert all(then.get(key) == held.get(key) and (key in then) == (key in held) for key in map(bytes, [[1], [2]]))
        assert then == Layered.of(held)
        assert then.sorted() == sorted(held.items())


def test_many_small_changes_stay_shallow() -> None:
    """A look-up after ten thousand changes passes a few layers, and nothing removed is carried along for ever."""
    layered: Layered[int] = Layered()
    for number in range(10_000):
        layered = layered.changed({number.to_bytes(4): number}, [(number - 100).to_bytes(4)] if number >= 100 else ())
    assert layered.size == 100
    assert len(layered.layers) < 16
    assert sum(len(layer) for layer in layered.layers) < 1000
