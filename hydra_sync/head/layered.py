"""A map that is never changed in place: each change is a thin layer over what was there. No I/O.

A head keeps maps that grow with all it has ever confirmed, and changes a few keys of them with each event.
Copying them would make every event cost as much as the whole past. Here a change makes a new layer, and a
layer merges with the next one once that is not much larger (as in a log-structured merge tree): n changes cost
O(n log n) in all, a look-up O(log n). Old maps stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ["Layered"]

V = TypeVar("V")

RATIO: Final = 4  # a layer is more than so many times the one above it: the depth is logarithmic


@dataclass(frozen=True, slots=True, eq=False)
class Layered(Generic[V]):
    """A map from bytes; ``None`` is no value.

    >>> one = Layered.of({b"a": 1, b"b": 2})
    >>> two = one.changed({b"c": 3}, [b"a"])
    >>> one.get(b"a"), two.get(b"a"), two.size, two.sorted()
    (1, None, 2, [(b'b', 2), (b'c', 3)])
    """

    layers: tuple[Mapping[bytes, V | None], ...] = ()
    """The newest first; ``None`` hides what is below."""
    size: int = 0

    @classmethod
    def of(cls, values: Mapping[bytes, V]) -> Layered[V]:
        """The map with just these values."""
        return cls((dict(values),), len(values)) if values else cls()

    def get(self, key: bytes) -> V | None:
        """The value, None if there is none."""
        for layer in self.layers:
            if key in layer:
                return layer[key]
        return None

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def changed(self, values: Mapping[bytes, V], gone: Iterable[bytes] = ()) -> Layered[V]:
        """This map with some values set, and some keys gone."""
        top: dict[bytes, V | None] = dict(values)
        size = self.size + sum(1 for key in top if key not in self)
        for key in gone:
            if key not in top and key in self:
                top[key] = None
                size -= 1
        return self if not top else Layered(_pushed(self.layers, top), size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.flat())

    def flat(self) -> dict[bytes, V]:
        """All of it, as a new dictionary, in no particular order."""
        merged: dict[bytes, V | None] = {}
        for layer in reversed(self.layers):
            merged.update(layer)
        return {key: value for key, value in merged.items() if value is not None}

    def sorted(self) -> list[tuple[bytes, V]]:
        """All of it in the order of the keys: the same for equal maps, however they came about."""
        return sorted(self.flat().items(), key=lambda item: item[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layered) and self.size == other.size and self.flat() == other.flat()

    def __hash__(self) -> int:
        return hash(self.size)


def _pushed(
    layers: tuple[Mapping[bytes, V | None], ...], top: dict[bytes, V | None]
) -> tuple[Mapping[bytes, V | None], ...]:
    """``top`` over the layers, merged with all that are not much larger."""
    below = 0
    size = len(top)
    while below < len(layers) and len(layers[below]) <= RATIO * size:
        size += len(layers[below])
        below += 1
    if below:
        merged: dict[bytes, V | None] = {}
        for layer in reversed(layers[:below]):
            merged.update(layer)
        merged.update(top)
        top = merged
    if below == len(layers):  # nothing is left to hide
        top = {key: value for key, value in top.items() if value is not None}
        return (top,) if top else ()
    return (top, *layers[below:])
