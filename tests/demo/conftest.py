"""Fixtures with stores as the demonstration leaves them."""

from tests.demo.stores import stores

__all__ = ["stores"]
