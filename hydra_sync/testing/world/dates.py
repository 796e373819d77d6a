"""Classes in the place of `datetime.date` and `datetime.datetime`, with tripwires on what takes the time. No I/O.

They make real instances, and real ones count as theirs, so that a program sees no difference.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Final

__all__ = ["DATES", "guarded_date"]

# What takes the time, by class.
DATES: Final = ((datetime.date, ("today",)), (datetime.datetime, ("now", "utcnow", "today")))

_REAL: Final = "_real"  # where a class has the one that it stands for; a program's subclass of it has none


class _Twin(type):
    def __instancecheck__(cls, instance: object) -> bool:
        real = vars(cls).get(_REAL)
        return super().__instancecheck__(instance) if real is None else isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = vars(cls).get(_REAL)
        return super().__subclasscheck__(subclass) if real is None else issubclass(subclass, real)


def guarded_date(real: type, names: tuple[str, ...], trip: Callable[[str], None]) -> type:
    """A class in the place of ``real`` that calls ``trip`` when one of these, which it names, is called."""

    def make(cls: type, *args: object, **kwargs: object) -> object:
        return real.__new__(real if cls is twin else cls, *args, **kwargs)

    def guarded(name: str) -> object:
        def take_time(cls: type, /, *args: object, **kwargs: object) -> object:
            trip(f"{real.__name__}.{name}")
            return getattr(real if cls is twin else super(twin, cls), name)(*args, **kwargs)

        return classmethod(take_time)

    twin = _Twin(real.__name__, (real,), {_REAL: real, "__new__": make} | {name: guarded(name) for name in names})
    return twin
