"""Fixtures that make networks."""

from tests.node.network import make_network

__all__ = ["make_network"]
